#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>
#include <time.h>

#define NANOSECONDS 1000000000ull

/* Nanoseconds of a clock that only goes forward, the same in every process of the machine. */
static inline uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * NANOSECONDS + (uint64_t)time.tv_nsec;
}

#endif
