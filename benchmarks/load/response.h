#ifndef RESPONSE_H
#define RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESPONSE_HEAD_LIMIT 8192

enum response_state {
    RESPONSE_HEAD,
    RESPONSE_BODY,        /* with a known length */
    RESPONSE_UNTIL_CLOSE, /* without one */
    RESPONSE_CHUNK_SIZE,
    RESPONSE_CHUNK_EXTENSION,
    RESPONSE_CHUNK_DATA,
    RESPONSE_CHUNK_END,
    RESPONSE_TRAILER,
    RESPONSE_DONE,
    RESPONSE_MALFORMED,
};

/* One HTTP/1.1 response, parsed as its bytes come. */
struct response {
    enum response_state state;
    bool answers_head; /* a response to HEAD has no body, whatever its fields say */
    int status;        /* 0 until the head is complete */
    uint64_t left;     /* of the body, or of the chunk */
    uint64_t body_bytes;
    size_t line; /* bytes of the current line of chunk framing */
    size_t head_length;
    char head[RESPONSE_HEAD_LIMIT + 1];
    void (*on_body)(void *context, const char *bytes, size_t length);
    void *context;
};

/* Make ready for the next response; on_body and context stay. */
void response_begin(struct response *response, bool answers_head);

/* Take bytes from the connection, up to the end of this response; returns how many were taken. */
size_t response_take(struct response *response, const char *bytes, size_t length);

/* Copy the value of a header field, cut to the size; false when there is none. Only before the next response_begin. */
bool response_field(const struct response *response, const char *name, char *value, size_t size);

#endif
