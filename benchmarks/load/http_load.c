/*
 * A closed loop of HTTP requests: every connection sends its next request when an answer has come. Prints one line of
 * JSON: how many, how fast, and how many answers were wrong.
 *
 * --port N --method M --path P   what to ask a server on 127.0.0.1
 * --each-of N | --any-of N       put a number below N behind the path: each once, in order, or any at random
 * --header "Name: value"         may be repeated
 * --body FILE                    of every request
 * --connections N --pipeline N   how many connections, and requests under way on each
 * --warm-up S                    answers that are checked and counted, but not measured
 * --seconds S --requests N       when to end after that; whichever comes first
 * --status N                     the status that every answer must have
 * --answer FILE                  the body that every answer must have
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "clock.h"
#include "connection.h"
#include "histogram.h"
#include "options.h"
#include "verdict.h"

#define HEAD_LIMIT 4096
#define READ_SIZE (256 * 1024)
#define EVENTS 256
#define PATIENCE (10 * NANOSECONDS)

enum numbering { NO_NUMBER, EACH_ONCE, ANY };

static struct {
    int port;
    const char *method;
    const char *path;
    enum numbering numbering;
    long numbers;
    char fields[1024];
    struct content body;
    bool has_body;
    long connections;
    long pipeline;
    double warm_up;
    double seconds;
    long requests;
    int status;
    struct content answer;
    bool has_answer;
} options = {.connections = 1, .pipeline = 1, .seconds = 1, .requests = -1, .status = 200};

/* A connection and the requests under way on it, oldest first in a ring of their sending times. */
struct client {
    struct connection connection;
    uint64_t *sent_at;
    long oldest;
    long under_way;
    size_t matched; /* bytes of the answer that are as they must be */
    bool differs;
};

static struct client *clients;
static struct histogram latencies;
static struct verdict verdict;
static uint64_t answers, measured, last_answer;
static uint64_t measured_from;
static long asked, under_way;
static uint64_t random_state = 88172645463325252ull;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static bool may_ask(uint64_t now, uint64_t deadline)
{
    if (now >= deadline || asked == options.requests)
        return false;
    return options.numbering != EACH_ONCE || asked < options.numbers;
}

static size_t write_head(char *head)
{
    char number[24] = "";
    if (options.numbering == EACH_ONCE)
        snprintf(number, sizeof number, "%ld", asked);
    else if (options.numbering == ANY)
        snprintf(number, sizeof number, "%ld", (long)(next_random() % (uint64_t)options.numbers));
    int length = snprintf(head, HEAD_LIMIT, "%s %s%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s", options.method, options.path,
                          number, options.port, options.fields);
    if (options.has_body)
        length += snprintf(head + length, HEAD_LIMIT - (size_t)length, "Content-Length: %zu\r\n", options.body.length);
    length += snprintf(head + length, HEAD_LIMIT - (size_t)length, "\r\n");
    return (size_t)length;
}

static bool send_request(struct client *client)
{
    static char small[HEAD_LIMIT + 2048];
    size_t length = write_head(small);
    bool fits = options.body.length <= sizeof small - length;
    if (fits && options.has_body) {
        memcpy(small + length, options.body.bytes, options.body.length);
        length += options.body.length;
    }
    client->sent_at[(client->oldest + client->under_way) % options.pipeline] = now_ns();
    client->under_way++;
    under_way++;
    asked++;
    if (!connection_send(&client->connection, small, length))
        return false;
    return fits || connection_send(&client->connection, options.body.bytes, options.body.length);
}

static bool fill_pipeline(struct client *client, uint64_t now, uint64_t deadline)
{
    while (client->under_way < options.pipeline && may_ask(now, deadline))
        if (!send_request(client))
            return false;
    return true;
}

static void compare_with_answer(void *context, const char *bytes, size_t length)
{
    struct client *client = context;
    bool fits = client->matched + length <= options.answer.length;
    if (!fits || memcmp(options.answer.bytes + client->matched, bytes, length) != 0)
        client->differs = true;
    client->matched += length;
}

static void check_answer(const struct client *client)
{
    const struct response *response = &client->connection.response;
    if (response->status != options.status)
        verdict_wrong(&verdict, "status %d instead of %d", response->status, options.status);
    else if (options.has_answer && (client->differs || client->matched != options.answer.length))
        verdict_wrong(&verdict, "a body of %zu bytes is not the one of %zu bytes that it must be", client->matched,
                      options.answer.length);
}

static void begin_answer(struct client *client)
{
    response_begin(&client->connection.response, strcmp(options.method, "HEAD") == 0);
    client->matched = 0;
    client->differs = false;
}

static void measure(uint64_t sent_at, uint64_t now)
{
    if (now < measured_from)
        return;
    histogram_add(&latencies, now - sent_at);
    measured++;
    last_answer = now;
}

static void end_answer(struct client *client, uint64_t now)
{
    check_answer(client);
    measure(client->sent_at[client->oldest], now);
    client->oldest = (client->oldest + 1) % options.pipeline;
    client->under_way--;
    under_way--;
    answers++;
    begin_answer(client);
}

/* False when the connection is of no more use. */
static bool take_answers(struct client *client, const char *bytes, size_t length, uint64_t now)
{
    struct response *response = &client->connection.response;
    size_t taken = 0;
    while (taken < length) {
        if (client->under_way == 0) {
            verdict_wrong(&verdict, "an answer to no request");
            return false;
        }
        taken += response_take(response, bytes + taken, length - taken);
        if (response->state == RESPONSE_MALFORMED) {
            verdict_wrong(&verdict, "not HTTP/1.1: %.80s", response->head);
            return false;
        }
        if (response->state == RESPONSE_DONE)
            end_answer(client, now);
    }
    return true;
}

static bool serve(struct client *client, unsigned events, uint64_t deadline)
{
    static char buffer[READ_SIZE];
    if ((events & EPOLLOUT) != 0 && !connection_send_rest(&client->connection))
        return false;
    if ((events & ~(unsigned)EPOLLOUT) == 0)
        return true;
    long length = connection_read(&client->connection, buffer, sizeof buffer);
    if (length < 0)
        return false;
    uint64_t now = now_ns();
    return take_answers(client, buffer, (size_t)length, now) && fill_pipeline(client, now, deadline);
}

static void give_up(struct client *client)
{
    verdict_wrong(&verdict, "a connection was lost, with %ld requests under way", client->under_way);
    under_way -= client->under_way;
    client->under_way = 0;
    connection_close(&client->connection);
}

static void run(int epoll, uint64_t deadline)
{
    struct epoll_event events[EVENTS];
    for (long i = 0; i < options.connections; i++)
        if (!fill_pipeline(&clients[i], now_ns(), deadline))
            give_up(&clients[i]);
    while (under_way > 0 && now_ns() < deadline + PATIENCE) {
        int count = epoll_wait(epoll, events, EVENTS, 100);
        for (int i = 0; i < count; i++) {
            struct client *client = events[i].data.ptr;
            if (!serve(client, events[i].events, deadline))
                give_up(client);
        }
    }
    if (under_way > 0)
        verdict_wrong(&verdict, "%ld requests were never answered", under_way);
}

static void open_clients(int epoll)
{
    clients = calloc((size_t)options.connections, sizeof *clients);
    for (long i = 0; i < options.connections; i++) {
        struct client *client = &clients[i];
        client->sent_at = calloc((size_t)options.pipeline, sizeof *client->sent_at);
        connection_open(&client->connection, epoll, options.port);
        if (options.has_answer)
            client->connection.response.on_body = compare_with_answer;
        client->connection.response.context = client;
        begin_answer(client);
    }
}

static void print_results(void)
{
    double seconds = measured > 0 ? (double)(last_answer - measured_from) / NANOSECONDS : 0;
    printf("{\"answers\": %llu, \"measured\": %llu, \"seconds\": %.6f, ", (unsigned long long)answers,
           (unsigned long long)measured, seconds);
    histogram_print(&latencies, stdout);
    printf(", ");
    verdict_print(&verdict, stdout);
    printf("}\n");
}

static void add_field(const char *field)
{
    size_t used = strlen(options.fields);
    if (used + strlen(field) + 3 > sizeof options.fields)
        refuse("--header", "too many");
    snprintf(options.fields + used, sizeof options.fields - used, "%s\r\n", field);
}

static void take_option(int option, const char *value)
{
    switch (option) {
    case 'p': options.port = (int)whole_number(value, "--port", 1); break;
    case 'm': options.method = value; break;
    case 'u': options.path = value; break;
    case 'e': options.numbering = EACH_ONCE; options.numbers = whole_number(value, "--each-of", 1); break;
    case 'a': options.numbering = ANY; options.numbers = whole_number(value, "--any-of", 1); break;
    case 'h': add_field(value); break;
    case 'b': options.body = content_of(value); options.has_body = true; break;
    case 'c': options.connections = whole_number(value, "--connections", 1); break;
    case 'i': options.pipeline = whole_number(value, "--pipeline", 1); break;
    case 'n': options.warm_up = seconds_in(value, "--warm-up"); break;
    case 's': options.seconds = seconds_in(value, "--seconds"); break;
    case 'r': options.requests = whole_number(value, "--requests", 1); break;
    case 't': options.status = (int)whole_number(value, "--status", 100); break;
    case 'w': options.answer = content_of(value); options.has_answer = true; break;
    default: exit(2);
    }
}

int main(int count, char **arguments)
{
    static const struct option names[] = {
        {"port", 1, NULL, 'p'},   {"method", 1, NULL, 'm'},   {"path", 1, NULL, 'u'},        {"each-of", 1, NULL, 'e'},
        {"any-of", 1, NULL, 'a'}, {"header", 1, NULL, 'h'},   {"body", 1, NULL, 'b'},        {"connections", 1, NULL, 'c'},
        {"seconds", 1, NULL, 's'}, {"requests", 1, NULL, 'r'}, {"pipeline", 1, NULL, 'i'},    {"status", 1, NULL, 't'},
        {"answer", 1, NULL, 'w'}, {"warm-up", 1, NULL, 'n'},  {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(count, arguments, "", names, NULL)) != -1)
        take_option(option, optarg);
    if (options.port == 0 || options.method == NULL || options.path == NULL)
        refuse("http_load", "needs --port, --method and --path");
    allow_many_connections();
    int epoll = epoll_create1(0);
    open_clients(epoll);
    measured_from = now_ns() + (uint64_t)(options.warm_up * NANOSECONDS);
    run(epoll, measured_from + (uint64_t)(options.seconds * NANOSECONDS));
    print_results();
    return 0;
}
