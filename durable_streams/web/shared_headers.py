"""Header fields that every response carries: browser security (Section 12.7) and CORS."""

from __future__ import annotations

from collections.abc import Sequence

from durable_streams.web.request import HeaderBlock, HeaderList, Request, Response

_SECURITY: HeaderList = [
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Cross-Origin-Resource-Policy", b"cross-origin"),
    (b"Content-Security-Policy", b"sandbox"),
]
_ALLOWED_HEADERS = (
    b"Content-Type, Authorization, Stream-Seq, Stream-TTL, Stream-Expires-At, Stream-Closed, Stream-Forked-From, "
    b"Stream-Fork-Offset, Stream-Fork-Sub-Offset, Producer-Id, Producer-Epoch, Producer-Seq, If-None-Match, If-Match, "
    b"Last-Event-ID, Cache-Control, Content-Encoding, Stream-Retention-Max-Age, Stream-Retention-Max-Messages, "
    b"Stream-Retention-Max-Bytes"
)
_EXPOSED_HEADERS = (
    b"Stream-Next-Offset, Stream-Cursor, Stream-Up-To-Date, Stream-Closed, Stream-TTL, Stream-Expires-At, "
    b"Stream-SSE-Data-Encoding, Producer-Epoch, Producer-Seq, Producer-Expected-Seq, Producer-Received-Seq, ETag, "
    b"Location, Retry-After, Stream-Earliest-Offset, Stream-Retention-Max-Age, Stream-Retention-Max-Messages, "
    b"Stream-Retention-Max-Bytes"
)
_ONE_DAY = b"86400"


class SharedHeaders:
    """The fields for one service.

    ``origins`` are the web origins whose pages may use it; ``*`` stands for all, an empty list for none.
    """

    def __init__(self, origins: Sequence[str] = ("*",)) -> None:
        for_all = "*" in origins
        self._vary: HeaderList = [] if for_all or not origins else [(b"Vary", b"Origin")]
        self._stranger = HeaderBlock([*_SECURITY, *self._vary])
        self._for_all = self._block_for(b"*") if for_all else None
        self._blocks = {origin.encode(): self._block_for(origin.encode()) for origin in origins}

    def _block_for(self, origin: bytes) -> HeaderBlock:
        # A response for all can expose all in one byte; half a kilobyte of names in each costs more than it seems.
        exposed = b"*" if origin == b"*" else _EXPOSED_HEADERS
        allowed = [(b"Access-Control-Allow-Origin", origin), (b"Access-Control-Expose-Headers", exposed)]
        return HeaderBlock([*_SECURITY, *self._vary, *allowed])

    def answer_to(self, request: Request) -> HeaderBlock:
        """The fields for the origin that asks."""
        return self._for_all or self.for_origin(request.headers.get(b"origin"))

    def for_origin(self, origin: bytes | None) -> HeaderBlock:
        """The fields for an origin; None is no browser, or a page of the service's own origin."""
        return self._for_all or self._blocks.get(origin or b"", self._stranger)


def preflight(request: Request, methods: bytes) -> Response:
    """The answer to OPTIONS: what methods there are, and for a browser which fields its page may send."""
    headers: HeaderList = [(b"Allow", methods)]
    if b"access-control-request-method" in request.headers or b"origin" in request.headers:
        headers += [
            (b"Access-Control-Allow-Methods", methods),
            (b"Access-Control-Allow-Headers", _ALLOWED_HEADERS),
            (b"Access-Control-Max-Age", _ONE_DAY),
        ]
    return Response(204, headers)
