#ifndef CONNECTION_H
#define CONNECTION_H

#include <stdbool.h>
#include <stddef.h>

#include "response.h"

/* A connection to a server on 127.0.0.1, never blocking, watched by an epoll instance. */
struct connection {
    int fd;
    int epoll;
    struct response response;
    char *unsent;
    size_t unsent_length;
    size_t unsent_capacity;
    bool watches_writing;
};

/* Let the process open as many connections as the system allows. */
void allow_many_connections(void);

/* Connect; events of the epoll instance carry this pointer. Ends the process when nobody listens. */
void connection_open(struct connection *connection, int epoll, int port);

/* Send bytes now or as soon as there is room. False when the connection is lost. */
bool connection_send(struct connection *connection, const char *bytes, size_t length);

/* There is room again. False when the connection is lost. */
bool connection_send_rest(struct connection *connection);

/* Read into a buffer: how many bytes came, 0 for none at the moment, -1 when the connection has ended. */
long connection_read(struct connection *connection, char *buffer, size_t size);

void connection_close(struct connection *connection);

#endif
