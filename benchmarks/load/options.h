#ifndef OPTIONS_H
#define OPTIONS_H

#include <stddef.h>

/* What a file holds; ends the process when it cannot be read. */
struct content {
    char *bytes;
    size_t length;
};

struct content content_of(const char *file);

/* A whole number from lowest on; ends the process with a message when the text is none. */
long whole_number(const char *text, const char *option, long lowest);

/* Seconds; ends the process with a message when the text is none. */
double seconds_in(const char *text, const char *option);

/* End the process because of the command line. */
void refuse(const char *option, const char *problem) __attribute__((noreturn));

#endif
