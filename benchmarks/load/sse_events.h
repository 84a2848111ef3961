#ifndef SSE_EVENTS_H
#define SSE_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SSE_NAME_LIMIT 16

/*
 * A stream of Server-Sent Events, parsed as its bytes come. The event field must come before the data fields, as in the
 * protocol's own examples (Section 5.8), so that data need not be kept.
 */
struct sse_events {
    char field[SSE_NAME_LIMIT];
    size_t field_length;
    char type[SSE_NAME_LIMIT];
    size_t type_length;
    size_t value_length;
    bool in_value;
    uint64_t data_events;
    uint64_t control_events;
    unsigned data_lines; /* of the current event */
    /* Part of a data line of a data event; lines after the first begin with the new line that joins them. */
    void (*on_data)(void *context, const char *bytes, size_t length);
    void *context;
};

void sse_take(struct sse_events *events, const char *bytes, size_t length);

#endif
