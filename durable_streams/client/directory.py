"""All streams below one root URL: handles by name, and a listing where the server offers one."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec
from twisted.internet.defer import Deferred

from durable_streams.client.errors import ParseError
from durable_streams.client.handle import StreamHandle
from durable_streams.client.request import Request
from durable_streams.client.subscription import SubscriptionHandle

LISTING = "__ds/streams"


class Listed(msgspec.Struct, frozen=True, rename="camel"):
    """One stream of a listing; ``path`` is relative to the root."""

    path: str
    offset: str
    content_type: str
    closed: bool


class Listing(msgspec.Struct, frozen=True):
    """Part of a listing; ``more`` says whether streams follow the last one."""

    streams: list[Listed]
    more: bool


_listing_of = msgspec.json.Decoder(Listing).decode


class StreamDirectory:
    """The streams of one server: ``StreamDirectory("http://localhost:4437/v1/stream/")``.

    The keyword arguments are those of ``StreamHandle``.
    """

    def __init__(self, root: str, treq: Any = None, **options: Any) -> None:
        self.root = root.rstrip("/") + "/"
        self._handle = StreamHandle(self.root, treq, **options)

    def stream(self, name: str) -> StreamHandle:
        """A handle for the stream ``name``; characters that a URL cannot hold are escaped, ``/`` and ``%`` are kept."""
        return self._handle.sibling(self.root + quote(name, safe="/%~!$&'()*+,;=:@"))

    def subscription(self, subscription_id: str) -> SubscriptionHandle:
        """A handle for a subscription of this server."""
        return SubscriptionHandle(self.root, subscription_id, self._handle.requests)

    def list(self, prefix: str = "", after: str = "", limit: int = 1000) -> Deferred[Listing]:
        """Streams whose names begin with ``prefix``, in order, from behind ``after`` on.

        An extension of the protocol: fails with ``StreamNotFound`` where the server does not offer it.
        """
        return Deferred.fromCoroutine(self._list({"prefix": prefix, "after": after, "limit": str(limit)}))

    async def _list(self, query: dict[str, str]) -> Listing:
        requests = self._handle.sibling(self.root + LISTING).requests
        answer = await requests.perform(Request("GET", requests.timeouts.answer, query))
        try:
            return _listing_of(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ParseError(requests.url, f"not a listing: {error}") from None
