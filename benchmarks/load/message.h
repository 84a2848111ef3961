#ifndef MESSAGE_H
#define MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MESSAGE_MARK 32

/* A message of fixed length: 16 hexadecimal digits of its number, 16 of the time it was sent, and letters x. */
struct message {
    uint64_t number;
    uint64_t sent_at;
};

/* Writes a message of this length, which is at least MESSAGE_MARK. */
void message_write(char *bytes, size_t length, struct message message);

/* Finds messages of one length in a run of bytes that comes in pieces. */
struct message_reader {
    size_t length;
    size_t position; /* in the current message */
    char mark[MESSAGE_MARK];
    bool damaged; /* a byte was not what message_write writes */
    void (*on_message)(void *context, struct message message);
    void *context;
};

void message_take(struct message_reader *reader, const char *bytes, size_t length);

#endif
