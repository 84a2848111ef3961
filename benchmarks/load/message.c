#include "message.h"

#include <stdio.h>
#include <string.h>

void message_write(char *bytes, size_t length, struct message message)
{
    char mark[MESSAGE_MARK + 1];
    snprintf(mark, sizeof mark, "%016llx%016llx", (unsigned long long)message.number,
             (unsigned long long)message.sent_at);
    memcpy(bytes, mark, MESSAGE_MARK);
    memset(bytes + MESSAGE_MARK, 'x', length - MESSAGE_MARK);
}

static uint64_t number_at(struct message_reader *reader, const char *digits)
{
    uint64_t number = 0;
    for (int i = 0; i < 16; i++) {
        char digit = digits[i];
        bool is_letter = digit >= 'a' && digit <= 'f';
        if (!is_letter && !(digit >= '0' && digit <= '9'))
            reader->damaged = true;
        number = number * 16 + (uint64_t)(is_letter ? digit - 'a' + 10 : digit - '0');
    }
    return number;
}

static void end_message(struct message_reader *reader)
{
    struct message message = {number_at(reader, reader->mark), number_at(reader, reader->mark + 16)};
    reader->position = 0;
    reader->on_message(reader->context, message);
}

static size_t take_mark(struct message_reader *reader, const char *bytes, size_t length)
{
    size_t left = MESSAGE_MARK - reader->position;
    size_t taken = length < left ? length : left;
    memcpy(reader->mark + reader->position, bytes, taken);
    return taken;
}

static size_t take_padding(struct message_reader *reader, const char *bytes, size_t length)
{
    size_t left = reader->length - reader->position;
    size_t taken = length < left ? length : left;
    for (size_t i = 0; i < taken; i++)
        if (bytes[i] != 'x')
            reader->damaged = true;
    return taken;
}

void message_take(struct message_reader *reader, const char *bytes, size_t length)
{
    while (length > 0) {
        bool in_mark = reader->position < MESSAGE_MARK;
        size_t taken = in_mark ? take_mark(reader, bytes, length) : take_padding(reader, bytes, length);
        bytes += taken;
        length -= taken;
        reader->position += taken;
        if (reader->position == reader->length)
            end_message(reader);
    }
}
