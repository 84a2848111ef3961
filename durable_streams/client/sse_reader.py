"""Following a stream by Server-Sent Events (Section 5.8)."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from collections import deque

import msgspec

from durable_streams.client.batch import RawBatch
from durable_streams.client.errors import ClientError, ParseError
from durable_streams.client.place import Place
from durable_streams.client.request import Answer, Request, StreamRequests
from durable_streams.client.sse_events import Event, EventParser

SHORT = 1.0
"""Seconds. A connection that ends sooner is short: something on the way does not let streams through."""

SHORT_IN_A_ROW = 3
"""Short connections after which SSE is given up."""


class Control(msgspec.Struct, rename="camel"):
    """The payload of a ``control`` event."""

    stream_next_offset: str
    stream_cursor: str | None = None
    up_to_date: bool = False
    stream_closed: bool = False


_control_of = msgspec.json.Decoder(Control).decode


class SseReader:
    """Listens until the stream is closed, reconnecting from the last control event.

    Gives up SSE after several short connections in a row. Lost connections are failures, not short ones: a server that
    restarts is no reason to.
    """

    def __init__(self, requests: StreamRequests, place: Place) -> None:
        self._requests = requests
        self._place = place
        self._backoff = requests.backoff()
        self._short_in_a_row = 0
        self._connected_at = 0.0
        self._answer: Answer | None = None
        self._events = EventParser()
        self._is_base64 = False
        self._has_advanced = False
        """Whether this connection has given an offset."""
        self._data: list[bytes] = []
        self._ready: deque[RawBatch] = deque()
        self._broken: ParseError | None = None

    async def next(self) -> RawBatch | None:
        """The data up to the next control event; None when the stream has ended, or SSE does not work here."""
        while not self._ready:
            if self._broken is not None:
                raise self._broken
            if self._place.closed or self._short_in_a_row >= SHORT_IN_A_ROW:
                self.stop()
                return None
            try:
                await self._listen()
            except ParseError as error:
                self.stop()
                self._broken = error
            except ClientError as error:
                if self._answer is not None and self._has_lasted():
                    self._backoff.succeeded()
                self.stop()
                await self._backoff.pause_after(error)
        return self._ready.popleft()

    def stop(self) -> None:
        """Close the connection if there is one."""
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.body.stop()

    async def _listen(self) -> None:
        """Connect if need be, and take in what comes next."""
        if self._answer is None:
            self._answer = await self._connect()
        piece = await self._answer.body.take()
        for event in self._events.feed(piece):
            if not self._place.closed:
                self._take_in(event)
        if not piece:
            self._answer = None
            await self._reflect_on_end()

    async def _connect(self) -> Answer:
        query = {**self._place.query(), "live": "sse"}
        answer = await self._requests.attempt(
            Request("GET", self._requests.timeouts.live, query, {"Accept": "text/event-stream"})
        )
        received = answer.headers.get("Content-Type") or "nothing"
        if not received.lower().startswith("text/event-stream"):
            answer.body.stop()
            raise ParseError(self._requests.url, f"asked for text/event-stream, got {received}")
        self._is_base64 = (answer.headers.get("Stream-SSE-Data-Encoding") or "").lower() == "base64"
        self._events = EventParser()
        self._has_advanced = False
        self._data = []
        self._connected_at = self._requests.clock.seconds()
        return answer

    async def _reflect_on_end(self) -> None:
        """Reconnect at once after an orderly end, which is usual every minute or so, but not in a hurry."""
        if self._has_lasted():
            self._short_in_a_row = 0
            self._backoff.succeeded()
            return
        self._short_in_a_row += 1
        if self._short_in_a_row < SHORT_IN_A_ROW and not self._place.closed:
            await self._backoff.pause()

    def _has_lasted(self) -> bool:
        return self._requests.clock.seconds() - self._connected_at >= SHORT

    def _take_in(self, event: Event) -> None:
        if event.type == b"data":
            self._data.append(self._payload(event.data))
        elif event.type == b"control":
            data, self._data = self._data, []
            self._take_control(self._control(event.data), data)

    def _take_control(self, control: Control, data: list[bytes]) -> None:
        """The data end at the control event's offset; what was received before is not received again."""
        place, offset = self._place, control.stream_next_offset
        if self._goes_back_to(offset):
            return
        news = data if offset != place.offset else []
        place.advance(offset, control.stream_cursor, control.up_to_date, control.stream_closed)
        self._has_advanced = True
        if news:
            self._backoff.succeeded()
        self._ready.append(place.batch(news))

    def _goes_back_to(self, offset: str) -> bool:
        """Whether an event has come before on this connection: offsets sort as strings (Section 8).

        Those of different lengths are not compared, because not every server pads its numbers.
        """
        here = self._place.offset
        return self._has_advanced and len(offset) == len(here) and offset < here

    def _payload(self, data: bytes) -> bytes:
        if not self._is_base64:
            return data
        try:
            return b64decode(data.translate(None, b"\r\n"), validate=True)
        except NotBase64 as error:
            raise ParseError(self._requests.url, f"a data event is not base64: {error}") from None

    def _control(self, data: bytes) -> Control:
        try:
            control = _control_of(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ParseError(self._requests.url, f"a control event is not readable: {error}") from None
        if not control.stream_next_offset:
            raise ParseError(self._requests.url, "a control event has no offset")
        return control
