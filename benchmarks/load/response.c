#define _GNU_SOURCE
#include "response.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void response_begin(struct response *response, bool answers_head)
{
    response->state = RESPONSE_HEAD;
    response->answers_head = answers_head;
    response->status = 0;
    response->left = response->body_bytes = 0;
    response->line = response->head_length = 0;
}

bool response_field(const struct response *response, const char *name, char *value, size_t size)
{
    size_t name_length = strlen(name);
    const char *line = strstr(response->head, "\r\n");
    while (line != NULL && line[2] != '\r' && line[2] != '\0') {
        line += 2;
        const char *end = strstr(line, "\r\n");
        if (strncasecmp(line, name, name_length) == 0 && line[name_length] == ':') {
            const char *start = line + name_length + 1;
            start += strspn(start, " \t");
            size_t length = (size_t)(end - start);
            if (length >= size)
                length = size - 1;
            memcpy(value, start, length);
            value[length] = '\0';
            return true;
        }
        line = end;
    }
    return false;
}

static bool has_body(const struct response *response)
{
    return !response->answers_head && response->status >= 200 && response->status != 204 && response->status != 304;
}

static enum response_state state_after_head(struct response *response)
{
    char value[32];
    if (!has_body(response))
        return RESPONSE_DONE;
    if (response_field(response, "transfer-encoding", value, sizeof value))
        return strcasecmp(value, "chunked") == 0 ? RESPONSE_CHUNK_SIZE : RESPONSE_MALFORMED;
    if (!response_field(response, "content-length", value, sizeof value))
        return RESPONSE_UNTIL_CLOSE;
    char *end;
    response->left = strtoull(value, &end, 10);
    if (end == value || *end != '\0')
        return RESPONSE_MALFORMED;
    return response->left == 0 ? RESPONSE_DONE : RESPONSE_BODY;
}

static size_t take_head(struct response *response, const char *bytes, size_t length)
{
    size_t before = response->head_length;
    size_t room = RESPONSE_HEAD_LIMIT - before;
    size_t copied = length < room ? length : room;
    memcpy(response->head + before, bytes, copied);
    response->head_length += copied;
    response->head[response->head_length] = '\0';
    size_t from = before < 3 ? 0 : before - 3;
    char *end = memmem(response->head + from, response->head_length - from, "\r\n\r\n", 4);
    if (end == NULL) {
        if (response->head_length == RESPONSE_HEAD_LIMIT)
            response->state = RESPONSE_MALFORMED;
        return copied;
    }
    response->head_length = (size_t)(end - response->head) + 4;
    response->head[response->head_length] = '\0';
    bool is_http = strncmp(response->head, "HTTP/1.1 ", 9) == 0 && response->head_length > 12;
    response->status = is_http ? atoi(response->head + 9) : 0;
    response->state = response->status >= 100 ? state_after_head(response) : RESPONSE_MALFORMED;
    return response->head_length - before;
}

static size_t take_body(struct response *response, const char *bytes, size_t length)
{
    size_t taken = length;
    if (response->state != RESPONSE_UNTIL_CLOSE && taken > response->left)
        taken = (size_t)response->left;
    if (response->on_body != NULL)
        response->on_body(response->context, bytes, taken);
    response->body_bytes += taken;
    if (response->state == RESPONSE_UNTIL_CLOSE)
        return taken;
    response->left -= taken;
    if (response->left == 0)
        response->state = response->state == RESPONSE_BODY ? RESPONSE_DONE : RESPONSE_CHUNK_END;
    return taken;
}

static int hex_digit(char character)
{
    if (character >= '0' && character <= '9')
        return character - '0';
    character |= 0x20;
    return character >= 'a' && character <= 'f' ? character - 'a' + 10 : -1;
}

static void end_framing_line(struct response *response)
{
    size_t line = response->line;
    response->line = 0;
    if (response->state == RESPONSE_CHUNK_END)
        response->state = line == 0 ? RESPONSE_CHUNK_SIZE : RESPONSE_MALFORMED;
    else if (response->state == RESPONSE_TRAILER)
        response->state = line == 0 ? RESPONSE_DONE : RESPONSE_TRAILER;
    else if (line == 0)
        response->state = RESPONSE_MALFORMED;
    else
        response->state = response->left == 0 ? RESPONSE_TRAILER : RESPONSE_CHUNK_DATA;
}

/* A line of chunk framing, byte by byte: it may be cut anywhere by the network. */
static void take_framing_byte(struct response *response, char byte)
{
    if (byte == '\n') {
        end_framing_line(response);
        return;
    }
    if (byte == '\r')
        return;
    response->line++;
    if (response->state != RESPONSE_CHUNK_SIZE)
        return;
    int digit = hex_digit(byte);
    if (byte == ';' && response->line > 1)
        response->state = RESPONSE_CHUNK_EXTENSION;
    else if (digit < 0 || response->line > 15)
        response->state = RESPONSE_MALFORMED;
    else
        response->left = response->left * 16 + (uint64_t)digit;
}

size_t response_take(struct response *response, const char *bytes, size_t length)
{
    size_t taken = 0;
    while (taken < length && response->state < RESPONSE_DONE) {
        switch (response->state) {
        case RESPONSE_HEAD:
            taken += take_head(response, bytes + taken, length - taken);
            break;
        case RESPONSE_BODY:
        case RESPONSE_UNTIL_CLOSE:
        case RESPONSE_CHUNK_DATA:
            taken += take_body(response, bytes + taken, length - taken);
            break;
        default:
            take_framing_byte(response, bytes[taken++]);
        }
    }
    return taken;
}
