#ifndef VERDICT_H
#define VERDICT_H

#include <stdint.h>
#include <stdio.h>

/* How many answers were wrong, and what was wrong with the first. */
struct verdict {
    uint64_t wrong;
    char first[160];
};

/* Count a wrong answer; the rest is as for printf and says what was expected and what came. */
void verdict_wrong(struct verdict *verdict, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Writes "wrong" and "first_wrong" as members of a JSON object. */
void verdict_print(const struct verdict *verdict, FILE *out);

#endif
