"""The protocol's rules as pure functions over plain data: no I/O, no Twisted."""
