"""What heads are made of and has been read before: most clients send the same again and again."""

from __future__ import annotations

import re

LONGEST_HEAD = 2048
_MOST = 4096

_LINE = re.compile(
    rb"(GET|HEAD|POST|PUT|DELETE|OPTIONS) (/[!$-;=@-Z_a-z~]*)(?:\?([!$-;=?-Z_a-z~]*))? HTTP/1\.1", re.ASCII
)
_ONCE = frozenset((b"PUT", b"DELETE"))
"""Methods that are hardly ever asked twice of one stream."""

RequestLine = tuple[bytes, ...]
"""A method, a path, and a query without its question mark."""


class KnownFields:
    """What the parser made of fields that ``length`` bytes of body follow.

    ``headers`` is shared by all requests with these fields, and nobody changes it.
    """

    __slots__ = ("headers", "keep_alive", "length")

    def __init__(self, headers: dict[bytes, bytes], length: int, keep_alive: bool) -> None:
        self.headers = headers
        self.length = length
        self.keep_alive = keep_alive


class KnownHeads:
    """Request lines and fields of HTTP/1.1 by their bytes, shared by the connections of a factory; bounded in number.

    Apart, because one client sends the same fields to many streams, and many clients ask for the same stream.
    """

    def __init__(self) -> None:
        self._lines: dict[bytes, RequestLine] = {}
        self._fields: dict[bytes, KnownFields] = {}
        self.line = self._lines.get
        self.fields = self._fields.get

    def __len__(self) -> int:
        return len(self._lines) + len(self._fields)

    def read_line(self, raw: bytes) -> RequestLine | None:
        """A request line that needs no second look: a usual method and target. None for any other."""
        found = _LINE.fullmatch(raw)
        if found is None:
            return None
        line = found.groups(b"")
        if line[0] not in _ONCE:
            if len(self._lines) >= _MOST:
                self._lines.clear()
            self._lines[raw] = line
        return line

    def remember(self, fields: bytes, known: KnownFields) -> None:
        """Keep fields that were read without objection, in a request whose body is as long as they say."""
        if len(self._fields) >= _MOST:
            self._fields.clear()
        self._fields[fields] = known
