/*
 * How long after an append long-polls are answered. In each round every reader polls at the tail; after a pause, in
 * which the polls arrive, one message is appended. Prints one line of JSON.
 *
 * --port N --path P   the stream: text/plain, new and empty
 * --readers N         how many poll
 * --seconds S         how long to go on
 * --pause-ms N        from the last poll to the append
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
#include "message.h"
#include "options.h"
#include "verdict.h"

#define READ_SIZE (64 * 1024)
#define EVENTS 512
#define MESSAGE_BYTES 100
#define PATIENCE (10 * NANOSECONDS)

static struct {
    int port;
    const char *path;
    long readers;
    double seconds;
    long pause_ms;
} options = {.readers = 1, .seconds = 1, .pause_ms = 25};

struct client {
    struct connection connection;
    struct message_reader messages;
    uint64_t received; /* in this round */
};

static struct client *clients; /* the writer is behind the readers */
static struct histogram latencies;
static struct verdict verdict;
static uint64_t sent_at, answers, rounds;
static long unanswered;
static char tail[256] = "-1";

static void receive(void *context, struct message message)
{
    struct client *client = context;
    client->received++;
    if (message.number != rounds)
        verdict_wrong(&verdict, "message %llu came in round %llu", (unsigned long long)message.number,
                      (unsigned long long)rounds);
}

static void take_body(void *context, const char *bytes, size_t length)
{
    struct client *client = context;
    message_take(&client->messages, bytes, length);
}

static void check_reader(struct client *client)
{
    int status = client->connection.response.status;
    if (status != 200)
        verdict_wrong(&verdict, "a poll was answered by status %d", status);
    else if (client->received != 1 || client->messages.position != 0 || client->messages.damaged)
        verdict_wrong(&verdict, "a poll was not answered by the one message appended");
    histogram_add(&latencies, now_ns() - sent_at);
    answers++;
}

static void check_writer(const struct client *client)
{
    const struct response *response = &client->connection.response;
    if (response->status != 204)
        verdict_wrong(&verdict, "an append was answered by status %d", response->status);
    if (!response_field(response, "stream-next-offset", tail, sizeof tail))
        verdict_wrong(&verdict, "an append was answered without an offset");
}

static void end_answer(struct client *client)
{
    if (client == &clients[options.readers])
        check_writer(client);
    else
        check_reader(client);
    client->received = 0;
    unanswered--;
    response_begin(&client->connection.response, false);
}

static void fail(const char *why)
{
    fprintf(stderr, "%s\n", why);
    exit(2);
}

static void serve(struct client *client)
{
    static char buffer[READ_SIZE];
    long length = connection_read(&client->connection, buffer, sizeof buffer);
    struct response *response = &client->connection.response;
    if (length < 0)
        fail("the server closed a connection");
    if (length == 0)
        return;
    size_t taken = response_take(response, buffer, (size_t)length);
    if (response->state == RESPONSE_MALFORMED || taken < (size_t)length)
        fail("the server sent what is not one answer");
    if (response->state == RESPONSE_DONE)
        end_answer(client);
}

static void turn(int epoll, int milliseconds)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(epoll, events, EVENTS, milliseconds);
    for (int i = 0; i < count; i++)
        serve(events[i].data.ptr);
}

static void send_or_fail(struct client *client, const char *request, size_t length)
{
    if (!connection_send(&client->connection, request, length))
        fail("the server closed a connection");
    unanswered++;
}

static void poll_at_tail(struct client *client)
{
    char request[2048];
    int length = snprintf(request, sizeof request, "GET %s?offset=%s&live=long-poll HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
                          options.path, tail, options.port);
    send_or_fail(client, request, (size_t)length);
}

static void append(void)
{
    char request[2048 + MESSAGE_BYTES];
    int length = snprintf(request, 2048,
                          "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n",
                          options.path, options.port, MESSAGE_BYTES);
    sent_at = now_ns();
    message_write(request + length, MESSAGE_BYTES, (struct message){rounds, sent_at});
    send_or_fail(&clients[options.readers], request, (size_t)length + MESSAGE_BYTES);
}

static void wait_for_answers(int epoll)
{
    uint64_t give_up_at = now_ns() + PATIENCE;
    while (unanswered > 0 && now_ns() < give_up_at)
        turn(epoll, 100);
    if (unanswered > 0)
        fail("a request was never answered");
}

static void pause_before_append(int epoll)
{
    uint64_t end = now_ns() + (uint64_t)options.pause_ms * 1000000;
    long polls = unanswered;
    while (now_ns() < end)
        turn(epoll, 1);
    if (unanswered < polls)
        verdict_wrong(&verdict, "%ld polls were answered before the append", polls - unanswered);
}

static void play_round(int epoll)
{
    for (long i = 0; i < options.readers; i++)
        poll_at_tail(&clients[i]);
    pause_before_append(epoll);
    append();
    wait_for_answers(epoll);
    rounds++;
}

static void open_clients(int epoll)
{
    clients = calloc((size_t)options.readers + 1, sizeof *clients);
    for (long i = 0; i <= options.readers; i++) {
        struct client *client = &clients[i];
        client->messages =
            (struct message_reader){.length = MESSAGE_BYTES, .on_message = receive, .context = client};
        client->connection.response.on_body = take_body;
        client->connection.response.context = client;
        response_begin(&client->connection.response, false);
        connection_open(&client->connection, epoll, options.port);
    }
}

/* Polls need an offset of the server's own: it comes with a first message, which nobody waits for. */
static void append_first(int epoll)
{
    append();
    wait_for_answers(epoll);
    rounds++;
}

static void take_option(int option, const char *value)
{
    switch (option) {
    case 'p': options.port = (int)whole_number(value, "--port", 1); break;
    case 'u': options.path = value; break;
    case 'n': options.readers = whole_number(value, "--readers", 1); break;
    case 's': options.seconds = seconds_in(value, "--seconds"); break;
    case 'm': options.pause_ms = whole_number(value, "--pause-ms", 0); break;
    default: exit(2);
    }
}

int main(int count, char **arguments)
{
    static const struct option names[] = {
        {"port", 1, NULL, 'p'},    {"path", 1, NULL, 'u'},     {"readers", 1, NULL, 'n'},
        {"seconds", 1, NULL, 's'}, {"pause-ms", 1, NULL, 'm'}, {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(count, arguments, "", names, NULL)) != -1)
        take_option(option, optarg);
    if (options.port == 0 || options.path == NULL)
        refuse("long_poll_load", "needs --port and --path");
    allow_many_connections();
    int epoll = epoll_create1(0);
    open_clients(epoll);
    append_first(epoll);
    uint64_t end = now_ns() + (uint64_t)(options.seconds * NANOSECONDS);
    while (now_ns() < end)
        play_round(epoll);
    printf("{\"answers\": %llu, ", (unsigned long long)answers);
    histogram_print(&latencies, stdout);
    printf(", ");
    verdict_print(&verdict, stdout);
    printf("}\n");
    return 0;
}
