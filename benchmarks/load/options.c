#include "options.h"

#include <stdio.h>
#include <stdlib.h>

void refuse(const char *option, const char *problem)
{
    fprintf(stderr, "%s: %s\n", option, problem);
    exit(2);
}

struct content content_of(const char *file)
{
    FILE *stream = fopen(file, "rb");
    struct content content = {0};
    if (stream == NULL || fseek(stream, 0, SEEK_END) != 0)
        refuse(file, "cannot be read");
    content.length = (size_t)ftell(stream);
    content.bytes = malloc(content.length + 1);
    rewind(stream);
    if (content.bytes == NULL || fread(content.bytes, 1, content.length, stream) != content.length)
        refuse(file, "cannot be read");
    fclose(stream);
    return content;
}

long whole_number(const char *text, const char *option, long lowest)
{
    char *end;
    long number = strtol(text, &end, 10);
    if (end == text || *end != '\0' || number < lowest)
        refuse(option, "not a number that is large enough");
    return number;
}

double seconds_in(const char *text, const char *option)
{
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !(seconds > 0 && seconds < 3600))
        refuse(option, "not a number of seconds");
    return seconds;
}
