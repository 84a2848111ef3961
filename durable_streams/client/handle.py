"""A handle for one stream: what a program has in its hands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from durable_streams.client import connections
from durable_streams.client.addresses import path_of
from durable_streams.client.answers import PIECE
from durable_streams.client.catch_up import CatchUp
from durable_streams.client.decoding import (
    BytesDecoder,
    Decoder,
    JsonDecoder,
    TextDecoder,
)
from durable_streams.client.errors import ClientError, InvalidArgument, StreamNotFound
from durable_streams.client.long_poll import LongPoll
from durable_streams.client.offset_keeping import OffsetKeeping
from durable_streams.client.place import Place
from durable_streams.client.producer import Batching, Producer
from durable_streams.client.producer_batch import ProducerBatch
from durable_streams.client.reading import OnGap, Reading, Source, in_turn
from durable_streams.client.request import Request, StreamRequests, WholeAnswer
from durable_streams.client.request_fields import RequestFields
from durable_streams.client.results import Appended, Created, Metadata
from durable_streams.client.retry import RetryPolicy, was_not_done
from durable_streams.client.sse_reader import SseReader
from durable_streams.client.timeouts import Timeouts
from durable_streams.protocol.content_types import DEFAULT, Kind, kind_of
from durable_streams.protocol.offsets import BEGINNING
from durable_streams.protocol.retention import LIMIT_FIELDS

LiveMode = Literal["long-poll", "sse", "auto"]
"""How to go on at the tail. ``auto`` catches up first, then takes SSE for text and JSON, long-poll for binary data."""

T = TypeVar("T")


class StreamHandle:
    """One stream by its URL. Making a handle sends nothing; one handle serves any number of operations at once.

    ``treq`` is a ``treq.client.HTTPClient`` or what behaves like one; by default handles share pooled connections.
    ``headers`` and ``params`` are added to every request; their values may be callables (see ``RequestField``).
    ``content_type`` may be given where it is known; else it is learned from the server.

    Operations fail with the errors of ``durable_streams.client.errors``. Cancelling a Deferred closes its connection;
    what the server had received by then may still take effect.
    """

    def __init__(
        self,
        url: str,
        treq: Any = None,
        *,
        headers: RequestFields | None = None,
        params: RequestFields | None = None,
        content_type: str | None = None,
        retry: RetryPolicy | None = None,
        timeouts: Timeouts | None = None,
        clock: IReactorTime | None = None,
    ) -> None:
        if clock is None:
            from twisted.internet import reactor

            clock = IReactorTime(reactor)
        self.requests = StreamRequests(
            url,
            treq or connections.shared().treq,
            clock,
            headers or {},
            params or {},
            retry or RetryPolicy(),
            timeouts or Timeouts(),
        )
        self._patience = self.requests.timeouts.answer
        self._content_type = content_type

    @property
    def url(self) -> str:
        """The stream's URL, as it was given."""
        return self.requests.url

    @property
    def content_type(self) -> str | None:
        """The stream's content type with its parameters, once it is known."""
        return self._content_type

    def sibling(self, url: str, retry: RetryPolicy | None = None) -> StreamHandle:
        """A handle for another URL with the same treq client, headers, parameters and, by default, patience."""
        requests = self.requests
        return StreamHandle(
            url,
            requests.treq,
            headers=requests.headers,
            params=requests.params,
            retry=retry or requests.retry,
            timeouts=requests.timeouts,
            clock=requests.clock,
        )

    # --- the stream itself

    def create(
        self,
        *,
        content_type: str | None = None,
        ttl: int | None = None,
        expires_at: datetime | str | None = None,
        closed: bool = False,
        data: bytes | str = b"",
        forked_from: StreamHandle | str | None = None,
        fork_offset: str | None = None,
        fork_sub_offset: int | None = None,
        max_age: int | None = None,
        max_messages: int | None = None,
        max_bytes: int | None = None,
    ) -> Deferred[Created]:
        """Create the stream, or confirm that it is there with the same configuration (Section 5.1). May be repeated.

        ``ttl`` is in seconds; ``expires_at`` a datetime with a time zone, or RFC 3339 text. ``data`` are the first
        content; for a JSON stream, JSON text. ``forked_from`` (a handle, a URL, or a path) makes a fork, at
        ``fork_offset`` or the source's tail, and ``fork_sub_offset`` messages or bytes further (Section 4.2).
        ``max_age`` (seconds), ``max_messages`` and ``max_bytes`` limit what the stream keeps, where the server can.
        """
        headers: dict[str, str] = {}
        _put(headers, "Content-Type", content_type or self._content_type)
        _put(headers, "Stream-TTL", ttl)
        _put(headers, "Stream-Expires-At", _rfc3339(expires_at))
        _put(headers, "Stream-Closed", "true" if closed else None)
        if forked_from is not None:
            source = forked_from.url if isinstance(forked_from, StreamHandle) else forked_from
            headers["Stream-Forked-From"] = path_of(source)
        _put(headers, "Stream-Fork-Offset", fork_offset)
        _put(headers, "Stream-Fork-Sub-Offset", fork_sub_offset)
        for field, limit in zip(LIMIT_FIELDS, (max_age, max_messages, max_bytes), strict=True):
            _put(headers, field, limit)
        return Deferred.fromCoroutine(self._create(Request("PUT", self._patience, {}, headers, _encoded(data))))

    def head(self) -> Deferred[Metadata]:
        """What the stream is, without its data (Section 5.5)."""
        return Deferred.fromCoroutine(self._head())

    def append(
        self, data: bytes | str, *, stream_seq: str | None = None, if_match: str | None = None
    ) -> Deferred[Appended]:
        """Append in one request (Section 5.2). For a JSON stream ``data`` is JSON text; an array is many messages.

        When the connection is lost, the data may be in the stream or not: the request is repeated only where the server
        has surely not taken it. A ``producer`` repeats without harm.

        ``if_match`` is the ``etag`` that ``head``, or the append before with an ``if_match``, has told: when the stream
        has changed since, nothing is appended, and it fails with ``PreconditionFailed``.
        """
        headers: dict[str, str] = {}
        _put(headers, "Stream-Seq", stream_seq)
        _put(headers, "If-Match", if_match)
        return Deferred.fromCoroutine(self._append(_encoded(data), headers))

    def append_json(self, *messages: object, stream_seq: str | None = None) -> Deferred[Appended]:
        """Append Python values as messages of a JSON stream, in one request. Otherwise as ``append``."""
        return self.append(msgspec.json.encode(messages), stream_seq=stream_seq)

    def close(self, data: bytes | str = b"") -> Deferred[Appended]:
        """Close the stream, with ``data`` as its last content if there are any (Section 5.3).

        Without data it may be repeated, with data it fails on a closed stream.
        """
        if not data:
            request = Request("POST", self._patience, {}, {"Stream-Closed": "true"})
            return Deferred.fromCoroutine(self._close(request))
        return Deferred.fromCoroutine(self._append(_encoded(data), {"Stream-Closed": "true"}))

    def delete(self) -> Deferred[None]:
        """Delete the stream (Section 5.4). Fails with ``StreamNotFound`` when there is none."""
        return Deferred.fromCoroutine(self._delete())

    # --- reading and writing at length

    def read(
        self,
        offset: str = BEGINNING,
        live: LiveMode | None = None,
        *,
        offset_store: Any = None,
        key: str | None = None,
        on_gap: OnGap = "raise",
    ) -> Reading[bytes]:
        """Read as bytes from ``offset`` (``-1``: the beginning, ``now``: the tail) to the tail, or on with ``live``.

        With an ``offset_store`` (an ``IOffsetStore``) the reading begins at the offset kept under ``key`` (default: the
        URL), at ``offset`` when there is none, and keeps each batch's offset once the batch has been dealt with.

        Where the stream's retention has dropped what would come next, the reading fails with ``OffsetTrimmed``;
        ``on_gap="jump"``, or a callable that is told of it, lets it go on with what is left.
        """
        return self.read_with(BytesDecoder(), offset, live, offset_store=offset_store, key=key, on_gap=on_gap)

    def read_text(
        self,
        offset: str = BEGINNING,
        live: LiveMode | None = None,
        *,
        offset_store: Any = None,
        key: str | None = None,
        on_gap: OnGap = "raise",
    ) -> Reading[str]:
        """As ``read``, but as text: UTF-8, never half a character."""
        return self.read_with(TextDecoder(), offset, live, offset_store=offset_store, key=key, on_gap=on_gap)

    def read_json(
        self,
        offset: str = BEGINNING,
        live: LiveMode | None = None,
        *,
        message_type: Any = Any,
        offset_store: Any = None,
        key: str | None = None,
        on_gap: OnGap = "raise",
    ) -> Reading[list[Any]]:
        """As ``read``, but as lists of JSON messages, decoded as ``message_type``: any type that msgspec knows.

        ``msgspec.Raw`` leaves each message as the bytes that it is.
        """
        decoder: JsonDecoder[Any] = JsonDecoder(message_type)
        return self.read_with(decoder, offset, live, offset_store=offset_store, key=key, on_gap=on_gap)

    def read_last(self, count: int, *, message_type: Any = Any) -> Reading[list[Any]]:
        """The last ``count`` messages of a JSON stream, or all when there are fewer, up to the tail.

        An extension: a server that does not know it gives all messages. Otherwise as ``read_json``.
        """
        place = Place(self.url, BEGINNING, count)
        decoder: JsonDecoder[Any] = JsonDecoder(message_type)
        ways = in_turn((lambda place: CatchUp(self.requests, place, None),))
        return Reading(place, decoder, ways, OffsetKeeping(None, self.url))

    def read_with(
        self,
        decoder: Decoder[T],
        offset: str = BEGINNING,
        live: LiveMode | None = None,
        *,
        offset_store: Any = None,
        key: str | None = None,
        on_gap: OnGap = "raise",
    ) -> Reading[T]:
        """As ``read``, but decoded by a fresh ``decoder``. Raises ``InvalidArgument``."""
        requests = self.requests
        piece = None if decoder.whole_answers else PIECE

        def catch_up(place: Place) -> Source:
            return CatchUp(requests, place, piece)

        def long_poll(place: Place) -> Source:
            return LongPoll(requests, place, piece)

        def sse(place: Place) -> Source:
            return SseReader(requests, place)

        def sse_unless_binary(place: Place) -> Source | None:
            return None if kind_of(place.content_type or DEFAULT) is Kind.BINARY else SseReader(requests, place)

        ways = {
            None: (catch_up,),
            "long-poll": (long_poll,),
            "sse": (sse, long_poll),
            "auto": (catch_up, sse_unless_binary, long_poll),
        }
        if live not in ways:
            raise InvalidArgument("live", "must be None, 'long-poll', 'sse' or 'auto'")
        keeping = OffsetKeeping(offset_store, key or self.url)
        return Reading(Place(self.url, offset), decoder, in_turn(ways[live]), keeping, on_gap)

    def producer(
        self,
        producer_id: str,
        *,
        epoch: int = 0,
        auto_claim: bool = False,
        batching: Batching | None = None,
        on_error: Callable[[ProducerBatch, Exception], object] | None = None,
    ) -> Producer:
        """An idempotent producer for this stream: see ``Producer``. Raises ``InvalidArgument``."""
        return Producer(
            self.requests,
            self._known_content_type,
            producer_id,
            epoch=epoch,
            auto_claim=auto_claim,
            batching=batching or Batching(),
            on_error=on_error,
        )

    # --- inside

    async def _create(self, request: Request) -> Created:
        answer = await self.requests.perform(request)
        self._learn(answer)
        headers = answer.headers
        return Created(
            answer.status == 201,
            headers.get("Stream-Next-Offset"),
            headers.get("Content-Type"),
            headers.is_true("Stream-Closed"),
        )

    async def _head(self) -> Metadata:
        answer = await self.requests.perform(Request("HEAD", self._patience))
        self._learn(answer)
        headers = answer.headers
        return Metadata(
            headers.get("Content-Type"),
            headers.get("Stream-Next-Offset"),
            headers.is_true("Stream-Closed"),
            headers.integer("Stream-TTL"),
            headers.get("Stream-Expires-At"),
            headers.all(),
            headers.get("Stream-Earliest-Offset"),
        )

    async def _append(self, data: bytes, headers: dict[str, str]) -> Appended:
        headers["Content-Type"] = await self._known_content_type()
        request = Request("POST", self._patience, {}, headers, data)
        return _appended(await self.requests.perform(request, was_not_done))

    async def _close(self, request: Request) -> Appended:
        return _appended(await self.requests.perform(request))

    async def _delete(self) -> None:
        may_have_been_done = False

        def may_repeat(error: ClientError) -> bool:
            nonlocal may_have_been_done
            may_have_been_done |= not was_not_done(error)
            return True

        try:
            await self.requests.perform(Request("DELETE", self._patience), may_repeat)
        except StreamNotFound:
            if not may_have_been_done:
                raise

    async def _known_content_type(self) -> str:
        if self._content_type is None:
            await self._head()
        return self._content_type or DEFAULT

    def _learn(self, answer: WholeAnswer) -> None:
        self._content_type = answer.headers.get("Content-Type") or self._content_type


def _appended(answer: WholeAnswer) -> Appended:
    headers = answer.headers
    return Appended(headers.get("Stream-Next-Offset"), headers.is_true("Stream-Closed"), headers.get("ETag"))


def _encoded(data: bytes | str) -> bytes:
    return data.encode() if isinstance(data, str) else data


def _put(headers: dict[str, str], name: str, value: object | None) -> None:
    if value is not None:
        headers[name] = str(value)


def _rfc3339(moment: datetime | str | None) -> str | None:
    if moment is None or isinstance(moment, str):
        return moment
    if moment.tzinfo is None:
        raise InvalidArgument("expires_at", "must have a time zone")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
