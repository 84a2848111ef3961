#define _GNU_SOURCE
#include "connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static void end_process(const char *what)
{
    perror(what);
    exit(2);
}

void allow_many_connections(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void watch(struct connection *connection, int operation)
{
    connection->watches_writing = connection->unsent_length > 0;
    struct epoll_event event = {.events = EPOLLIN | (connection->watches_writing ? (unsigned)EPOLLOUT : 0u),
                                .data.ptr = connection};
    if (epoll_ctl(connection->epoll, operation, connection->fd, &event) != 0)
        end_process("epoll_ctl");
}

void connection_open(struct connection *connection, int epoll, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    connection->epoll = epoll;
    connection->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connection->fd < 0)
        end_process("socket");
    if (connect(connection->fd, (struct sockaddr *)&address, sizeof address) != 0)
        end_process("connect");
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(connection->fd, F_SETFL, O_NONBLOCK);
    watch(connection, EPOLL_CTL_ADD);
}

static void keep_unsent(struct connection *connection, const char *bytes, size_t length)
{
    size_t needed = connection->unsent_length + length;
    if (needed > connection->unsent_capacity) {
        connection->unsent = realloc(connection->unsent, needed);
        if (connection->unsent == NULL)
            end_process("realloc");
        connection->unsent_capacity = needed;
    }
    memcpy(connection->unsent + connection->unsent_length, bytes, length);
    connection->unsent_length = needed;
}

/* How many bytes the kernel took; -1 when the connection is lost. */
static long send_some(struct connection *connection, const char *bytes, size_t length)
{
    ssize_t sent = send(connection->fd, bytes, length, MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    return (long)sent;
}

bool connection_send(struct connection *connection, const char *bytes, size_t length)
{
    long sent = connection->unsent_length > 0 ? 0 : send_some(connection, bytes, length);
    if (sent < 0)
        return false;
    if ((size_t)sent == length)
        return true;
    keep_unsent(connection, bytes + sent, length - (size_t)sent);
    if (!connection->watches_writing)
        watch(connection, EPOLL_CTL_MOD);
    return true;
}

bool connection_send_rest(struct connection *connection)
{
    long sent = send_some(connection, connection->unsent, connection->unsent_length);
    if (sent < 0)
        return false;
    connection->unsent_length -= (size_t)sent;
    memmove(connection->unsent, connection->unsent + sent, connection->unsent_length);
    if (connection->unsent_length == 0)
        watch(connection, EPOLL_CTL_MOD);
    return true;
}

long connection_read(struct connection *connection, char *buffer, size_t size)
{
    ssize_t length = recv(connection->fd, buffer, size, 0);
    if (length > 0)
        return (long)length;
    return length < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

void connection_close(struct connection *connection)
{
    close(connection->fd);
    connection->fd = -1;
    free(connection->unsent);
    connection->unsent = NULL;
    connection->unsent_length = connection->unsent_capacity = 0;
}
