#include "sse_events.h"

#include <string.h>

static bool is(const char *name, const char *bytes, size_t length)
{
    return strlen(name) == length && memcmp(name, bytes, length) == 0;
}

static bool in_data_event(const struct sse_events *events)
{
    return is("data", events->type, events->type_length);
}

static void end_event(struct sse_events *events)
{
    events->data_events += in_data_event(events);
    events->control_events += is("control", events->type, events->type_length);
    events->type_length = 0;
    events->data_lines = 0;
}

static void end_line(struct sse_events *events)
{
    if (events->field_length == 0 && !events->in_value)
        end_event(events);
    events->field_length = events->value_length = 0;
    events->in_value = false;
}

static void begin_value(struct sse_events *events)
{
    events->in_value = true;
    if (!is("data", events->field, events->field_length))
        return;
    if (events->data_lines++ > 0 && in_data_event(events))
        events->on_data(events->context, "\n", 1);
}

static void take_value(struct sse_events *events, const char *bytes, size_t length)
{
    if (events->value_length == 0 && length > 0 && *bytes == ' ') {
        bytes++;
        length--;
        events->value_length++;
    }
    events->value_length += length;
    if (is("event", events->field, events->field_length)) {
        size_t room = SSE_NAME_LIMIT - events->type_length;
        size_t copied = length < room ? length : room;
        memcpy(events->type + events->type_length, bytes, copied);
        events->type_length += copied;
    } else if (length > 0 && in_data_event(events) && is("data", events->field, events->field_length)) {
        events->on_data(events->context, bytes, length);
    }
}

static void take_name_byte(struct sse_events *events, char byte)
{
    if (byte == ':')
        begin_value(events);
    else if (events->field_length < SSE_NAME_LIMIT)
        events->field[events->field_length++] = byte;
}

void sse_take(struct sse_events *events, const char *bytes, size_t length)
{
    const char *end = bytes + length;
    while (bytes < end) {
        if (*bytes == '\n') {
            end_line(events);
            bytes++;
        } else if (events->in_value) {
            const char *line_end = memchr(bytes, '\n', (size_t)(end - bytes));
            const char *stop = line_end == NULL ? end : line_end;
            take_value(events, bytes, (size_t)(stop - bytes));
            bytes = stop;
        } else {
            take_name_byte(events, *bytes++);
        }
    }
}
