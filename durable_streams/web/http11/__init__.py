"""A lean HTTP/1.1 channel: whole requests straight to handlers, responses straight to the socket."""
