"""The body of a request whose head is whole, when much of it is still to come."""

from __future__ import annotations

from durable_streams.web.request import Request

LONG = 16 * 1024
"""Missing bytes from which a body is worth collecting: reading a head anew costs about as much as copying these."""

_SMALL = 4 * 1024


class LongBody:
    """Keeps what comes as it comes, and puts it together once: by way of llhttp each byte would be copied twice.

    ``missing`` is how many bytes are still to come.
    """

    __slots__ = ("_parts", "_request", "missing")

    def __init__(self, request: Request, parts: list[bytes], missing: int) -> None:
        self._request = request
        self._parts = parts
        self.missing = missing

    def add(self, data: bytes) -> None:
        """Take no more than is missing."""
        self.missing -= len(data)
        parts = self._parts
        if parts and len(parts[-1]) + len(data) < _SMALL:
            # However it trickles, it takes little more memory than it has bytes.
            parts[-1] += data
        else:
            parts.append(data)

    def request(self) -> Request:
        """The request with its body, which is whole."""
        self._request.body = b"".join(self._parts)
        return self._request
