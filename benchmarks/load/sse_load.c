/*
 * Readers of one stream over SSE, and writers that append to it. The stream is text/plain, new and empty. Once every
 * reader has had its first control event, each writer appends its next message as soon as the last one is acknowledged.
 * Then all readers get time to receive what was appended. Prints one line of JSON.
 *
 * --port N --path P        the stream
 * --readers N --writers N  how many connections of each kind
 * --seconds S              how long to write
 * --rate N                 messages a second of all writers together; without it as many as they can
 * --message-bytes N        length of a message
 * --drain S                how long to wait for deliveries after that
 *
 * Without writers: says "ready", keeps the readers until its standard input ends, and counts what they got then.
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
#include "sse_events.h"
#include "verdict.h"

#define READ_SIZE (256 * 1024)
#define EVENTS 512
#define MESSAGE_LIMIT 65536
#define PATIENCE (30 * NANOSECONDS)

static struct {
    int port;
    const char *path;
    long readers;
    long writers;
    double seconds;
    double rate;
    long message_bytes;
    double drain;
} options = {.readers = 1, .seconds = 1, .message_bytes = 100, .drain = 10};

/* One connection: a reader, or a writer when it has none of a reader's parts. */
struct client {
    struct connection connection;
    bool writes;
    bool waits; /* a writer for its answer, a reader for its first control event */
    bool lost;
    struct sse_events events;
    struct message_reader messages;
    uint64_t received;
    uint64_t order; /* a hash of the messages' numbers in the order they came */
};

static struct client *clients;
static struct histogram latencies;
static struct verdict verdict;
static uint64_t appended, acknowledged, deliveries, data_events;
static uint64_t received_at, last_delivery;
static long waiting_readers, waiting_writers;

static void receive(void *context, struct message message)
{
    struct client *client = context;
    client->received++;
    client->order = (client->order ^ message.number) * 1099511628211ull;
    deliveries++;
    last_delivery = received_at;
    histogram_add(&latencies, received_at > message.sent_at ? received_at - message.sent_at : 0);
}

static void take_data(void *context, const char *bytes, size_t length)
{
    struct client *client = context;
    message_take(&client->messages, bytes, length);
}

static void take_events(void *context, const char *bytes, size_t length)
{
    struct client *client = context;
    uint64_t data_before = client->events.data_events;
    sse_take(&client->events, bytes, length);
    data_events += client->events.data_events - data_before;
    if (client->waits && client->events.control_events > 0) {
        client->waits = false;
        waiting_readers--;
    }
}

static void lose(struct client *client, const char *why)
{
    verdict_wrong(&verdict, "%s: %s", client->writes ? "writer" : "reader", why);
    client->lost = true;
    if (client->waits)
        *(client->writes ? &waiting_writers : &waiting_readers) -= 1;
    client->waits = false;
    connection_close(&client->connection);
}

static void end_append(struct client *client)
{
    int status = client->connection.response.status;
    if (status != 204)
        verdict_wrong(&verdict, "an append was answered by status %d", status);
    else
        acknowledged++;
    client->waits = false;
    waiting_writers--;
    response_begin(&client->connection.response, false);
}

/* NULL, or what is wrong with the answer. */
static const char *fault_of(const struct client *client, size_t not_taken)
{
    const struct response *response = &client->connection.response;
    if (response->state == RESPONSE_MALFORMED)
        return "not HTTP/1.1";
    if (client->writes)
        return not_taken > 0 ? "more than one answer" : NULL;
    if (response->status != 0 && response->status != 200)
        return "status is not 200";
    if (response->state == RESPONSE_DONE)
        return "the server ended the events";
    return client->messages.damaged ? "a message is not as it was appended" : NULL;
}

static void take(struct client *client, const char *bytes, size_t length)
{
    struct response *response = &client->connection.response;
    if (client->writes && !client->waits) {
        lose(client, "an answer to no request");
        return;
    }
    size_t taken = response_take(response, bytes, length);
    const char *fault = fault_of(client, length - taken);
    if (fault != NULL)
        lose(client, fault);
    else if (client->writes && response->state == RESPONSE_DONE)
        end_append(client);
}

static void serve(struct client *client, unsigned events)
{
    static char buffer[READ_SIZE];
    if ((events & EPOLLOUT) != 0 && !connection_send_rest(&client->connection)) {
        lose(client, "the connection was lost");
        return;
    }
    long length = connection_read(&client->connection, buffer, sizeof buffer);
    received_at = now_ns();
    if (length < 0)
        lose(client, "the connection was lost");
    else if (length > 0)
        take(client, buffer, (size_t)length);
}

static void turn(int epoll, int milliseconds)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(epoll, events, EVENTS, milliseconds);
    for (int i = 0; i < count; i++) {
        struct client *client = events[i].data.ptr;
        if (!client->lost)
            serve(client, events[i].events);
    }
}

static void follow(struct client *client, int epoll)
{
    char request[2048];
    int length = snprintf(request, sizeof request,
                          "GET %s?offset=-1&live=sse HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: text/event-stream\r\n\r\n",
                          options.path, options.port);
    client->events = (struct sse_events){.on_data = take_data, .context = client};
    client->messages = (struct message_reader){
        .length = (size_t)options.message_bytes, .on_message = receive, .context = client};
    client->connection.response.on_body = take_events;
    client->connection.response.context = client;
    client->waits = true;
    waiting_readers++;
    connection_open(&client->connection, epoll, options.port);
    if (!connection_send(&client->connection, request, (size_t)length))
        lose(client, "the connection was lost");
}

static void append(struct client *client)
{
    static char request[2048 + MESSAGE_LIMIT];
    int length = snprintf(request, 2048,
                          "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: text/plain\r\nContent-Length: %ld\r\n\r\n",
                          options.path, options.port, options.message_bytes);
    struct message message = {appended++, now_ns()};
    message_write(request + length, (size_t)options.message_bytes, message);
    client->waits = true;
    waiting_writers++;
    if (!connection_send(&client->connection, request, (size_t)(length + options.message_bytes)))
        lose(client, "the connection was lost");
}

static void open_clients(int epoll)
{
    clients = calloc((size_t)(options.readers + options.writers), sizeof *clients);
    for (long i = 0; i < options.readers; i++) {
        response_begin(&clients[i].connection.response, false);
        follow(&clients[i], epoll);
        /* No more than the server's queue of new connections holds. */
        while (waiting_readers >= 32)
            turn(epoll, 100);
    }
    for (long i = options.readers; i < options.readers + options.writers; i++) {
        response_begin(&clients[i].connection.response, false);
        clients[i].writes = true;
        connection_open(&clients[i].connection, epoll, options.port);
    }
}

static void wait_until_ready(int epoll)
{
    uint64_t give_up_at = now_ns() + PATIENCE;
    while (waiting_readers > 0 && now_ns() < give_up_at)
        turn(epoll, 100);
    if (waiting_readers > 0)
        verdict_wrong(&verdict, "%ld readers never had a control event", waiting_readers);
}

/* When the next message is due; long ago when there is no rate. */
static uint64_t due(uint64_t started)
{
    return options.rate > 0 ? started + (uint64_t)((double)appended * NANOSECONDS / options.rate) : 0;
}

static void write_messages(int epoll, uint64_t started)
{
    uint64_t end = started + (uint64_t)(options.seconds * NANOSECONDS);
    for (uint64_t now = started; now < end; now = now_ns()) {
        for (long i = options.readers; i < options.readers + options.writers && now >= due(started); i++)
            if (!clients[i].waits && !clients[i].lost)
                append(&clients[i]);
        turn(epoll, options.rate > 0 ? 1 : 100);
    }
}

static uint64_t expected_deliveries(void)
{
    return acknowledged * (uint64_t)options.readers;
}

static void wait_for_deliveries(int epoll)
{
    uint64_t give_up_at = now_ns() + (uint64_t)(options.drain * NANOSECONDS);
    while ((waiting_writers > 0 || deliveries < expected_deliveries()) && now_ns() < give_up_at)
        turn(epoll, 100);
    if (waiting_writers > 0)
        verdict_wrong(&verdict, "%ld appends were never answered", waiting_writers);
}

/* Every reader that has received all must have received the same, in the same order. */
static void check_orders(void)
{
    const struct client *first = NULL;
    for (long i = 0; i < options.readers; i++) {
        const struct client *client = &clients[i];
        if (client->received > acknowledged)
            verdict_wrong(&verdict, "a reader got %llu messages of %llu", (unsigned long long)client->received,
                          (unsigned long long)acknowledged);
        if (client->received != acknowledged)
            continue;
        if (first != NULL && first->order != client->order)
            verdict_wrong(&verdict, "two readers got the messages in different orders");
        first = client;
    }
}

static void print_results(uint64_t started, double ready_seconds)
{
    double seconds = last_delivery > started ? (double)(last_delivery - started) / NANOSECONDS : options.seconds;
    uint64_t expected = expected_deliveries();
    printf("{\"ready_seconds\": %.3f, \"seconds\": %.6f, \"appends\": %llu, \"deliveries\": %llu, \"undelivered\": %llu, "
           "\"data_events\": %llu, ",
           ready_seconds, seconds, (unsigned long long)acknowledged, (unsigned long long)deliveries,
           (unsigned long long)(expected > deliveries ? expected - deliveries : 0), (unsigned long long)data_events);
    histogram_print(&latencies, stdout);
    printf(", ");
    verdict_print(&verdict, stdout);
    printf("}\n");
}

static void hold(int epoll)
{
    struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL};
    struct epoll_event events[EVENTS];
    printf("ready\n");
    fflush(stdout);
    epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct client *client = events[i].data.ptr;
            if (client == NULL)
                return;
            if (!client->lost)
                serve(client, events[i].events);
        }
    }
}

static void take_option(int option, const char *value)
{
    switch (option) {
    case 'p': options.port = (int)whole_number(value, "--port", 1); break;
    case 'u': options.path = value; break;
    case 'n': options.readers = whole_number(value, "--readers", 1); break;
    case 'w': options.writers = whole_number(value, "--writers", 0); break;
    case 's': options.seconds = seconds_in(value, "--seconds"); break;
    case 'r': options.rate = (double)whole_number(value, "--rate", 1); break;
    case 'b': options.message_bytes = whole_number(value, "--message-bytes", MESSAGE_MARK); break;
    case 'd': options.drain = seconds_in(value, "--drain"); break;
    default: exit(2);
    }
}

int main(int count, char **arguments)
{
    static const struct option names[] = {
        {"port", 1, NULL, 'p'},  {"path", 1, NULL, 'u'},          {"readers", 1, NULL, 'n'},
        {"writers", 1, NULL, 'w'}, {"seconds", 1, NULL, 's'},     {"rate", 1, NULL, 'r'},
        {"drain", 1, NULL, 'd'}, {"message-bytes", 1, NULL, 'b'}, {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(count, arguments, "", names, NULL)) != -1)
        take_option(option, optarg);
    if (options.port == 0 || options.path == NULL || options.message_bytes > MESSAGE_LIMIT)
        refuse("sse_load", "needs --port, --path and messages of 32 to 65536 bytes");
    allow_many_connections();
    int epoll = epoll_create1(0);
    uint64_t opened = now_ns();
    open_clients(epoll);
    wait_until_ready(epoll);
    uint64_t started = now_ns();
    if (options.writers > 0) {
        write_messages(epoll, started);
        wait_for_deliveries(epoll);
        check_orders();
    } else {
        hold(epoll);
    }
    print_results(started, (double)(started - opened) / NANOSECONDS);
    return 0;
}
