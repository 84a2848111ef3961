#include "verdict.h"

#include <stdarg.h>

void verdict_wrong(struct verdict *verdict, const char *format, ...)
{
    if (verdict->wrong++ != 0)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(verdict->first, sizeof verdict->first, format, arguments);
    va_end(arguments);
}

void verdict_print(const struct verdict *verdict, FILE *out)
{
    fprintf(out, "\"wrong\": %llu, \"first_wrong\": \"", (unsigned long long)verdict->wrong);
    for (const char *at = verdict->first; *at; at++)
        fputc(*at < ' ' || *at == '"' || *at == '\\' ? '?' : *at, out);
    fputc('"', out);
}
