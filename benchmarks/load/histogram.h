#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

#define HISTOGRAM_BUCKETS 3776

/* Counts of durations in buckets that are at most 1/64 wide, so that any number of them needs the same memory. */
struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t total;
    uint64_t longest;
};

void histogram_add(struct histogram *histogram, uint64_t nanoseconds);

/* The duration, in nanoseconds, that a share (0 to 1) of all does not exceed; 0 when there are none. */
uint64_t histogram_quantile(const struct histogram *histogram, double share);

/* Writes "p50_us", "p99_us", "p999_us" and "max_us" as members of a JSON object. */
void histogram_print(const struct histogram *histogram, FILE *out);

#endif
