#include "histogram.h"

#define STEPS_BITS 6
#define STEPS (1u << STEPS_BITS)

static unsigned bucket_of(uint64_t value)
{
    if (value < STEPS)
        return (unsigned)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - STEPS_BITS;
    return (shift + 1) * STEPS + (unsigned)(value >> shift) % STEPS;
}

static uint64_t end_of_bucket(unsigned bucket)
{
    if (bucket < STEPS)
        return bucket;
    unsigned shift = bucket / STEPS - 1;
    return ((uint64_t)(STEPS + bucket % STEPS + 1) << shift) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t nanoseconds)
{
    histogram->counts[bucket_of(nanoseconds)]++;
    histogram->total++;
    if (nanoseconds > histogram->longest)
        histogram->longest = nanoseconds;
}

uint64_t histogram_quantile(const struct histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)histogram->total);
    uint64_t seen = 0;
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        seen += histogram->counts[bucket];
        if (seen > wanted) {
            uint64_t end = end_of_bucket(bucket);
            return end < histogram->longest ? end : histogram->longest;
        }
    }
    return histogram->longest;
}

void histogram_print(const struct histogram *histogram, FILE *out)
{
    fprintf(out, "\"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f",
            (double)histogram_quantile(histogram, 0.5) / 1e3, (double)histogram_quantile(histogram, 0.99) / 1e3,
            (double)histogram_quantile(histogram, 0.999) / 1e3, (double)histogram->longest / 1e3);
}
