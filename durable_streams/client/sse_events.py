"""The event stream format (WHATWG HTML, 9.2.6), parsed as it arrives and in linear time."""

from __future__ import annotations

from typing import NamedTuple

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One event: its type (``message`` where none is named) and its data lines, joined with LF."""

    type: bytes
    data: bytes


class EventParser:
    """Turns the bytes of an event stream, cut anywhere, into events.

    Lines end with LF, CR or CRLF and nothing else. Comments, unknown fields, ``id`` and ``retry`` are skipped; an event
    that the end of the stream cuts off is never seen.
    """

    def __init__(self) -> None:
        self._fragments: list[bytes] = []
        self._after_cr = False
        self._at_start = True
        self._type = b""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[Event]:
        """The events that are complete with ``piece``."""
        events: list[Event] = []
        for line in self._lines(piece):
            if not line:
                if self._data:
                    events.append(Event(self._type or b"message", b"\n".join(self._data)))
                    self._data = []
                self._type = b""
            elif line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            else:
                self._rare_line(line)
        return events

    def _rare_line(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"event":
            self._type = value[1:] if value.startswith(b" ") else value
        elif name == b"data":
            self._data.append(b"")

    def _lines(self, piece: bytes) -> list[bytes]:
        """The lines that are complete with ``piece``; what follows the last line end is kept."""
        if self._after_cr and piece:
            piece = piece.removeprefix(b"\n")
            self._after_cr = False
        if not piece:
            return []
        self._after_cr = piece.endswith(b"\r")
        lines = piece.splitlines()
        rest = b"" if piece.endswith((b"\n", b"\r")) else lines.pop()
        if lines and self._fragments:
            lines[0] = b"".join(self._fragments) + lines[0]
            self._fragments = []
        if rest:
            self._fragments.append(rest)
        if lines and self._at_start:
            self._at_start = False
            lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
        return lines
