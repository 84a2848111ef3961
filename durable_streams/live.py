"""Following a stream for an application: a page, a protocol, a service.

A ``LiveListener`` listens to one stream at a time and tells the application what comes: data, changes of its status,
the end of the stream, errors. It keeps the offset, and reconnects by itself. Where the stream is makes no difference:
``InProcess`` follows a ``StreamService`` of the same process, ``OverHttp`` any server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from enum import Enum
from inspect import isawaitable
from typing import Any, NamedTuple, Protocol

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from durable_streams.client import errors
from durable_streams.client.batch import Batch, RawBatch
from durable_streams.client.decoding import BytesDecoder, Decoder, JsonDecoder, TextDecoder
from durable_streams.client.directory import StreamDirectory
from durable_streams.client.errors import ClientError
from durable_streams.client.retry import Backoff, RetryPolicy, is_passing
from durable_streams.errors import OffsetTrimmed, StorageUnavailable
from durable_streams.protocol.content_types import DEFAULT, Kind, kind_of
from durable_streams.protocol.json_messages import array_of
from durable_streams.protocol.offsets import BEGINNING, offset_of
from durable_streams.protocol.results import Slice
from durable_streams.service import StreamService

RECONNECTING = RetryPolicy(initial_delay=0.1, max_delay=10.0)

_ONCE = RetryPolicy(max_retries=0)
_log = Logger()


class Status(Enum):
    """What a listener is doing."""

    IDLE = "idle"
    """Nothing: not begun, stopped, or at the end of a closed stream."""
    CONNECTING = "connecting"
    STREAMING = "streaming"
    DISCONNECTED = "disconnected"
    """The connection was lost and is tried again after a pause; or an error has ended the listening."""


class LiveMessages(NamedTuple):
    """What a source yields. ``messages`` may be empty, ``closed`` says that nothing can follow.

    Messages are values of a JSON stream, pieces of ``str`` of a text stream, pieces of ``bytes`` of any other.
    """

    messages: list[Any]
    offset: str
    closed: bool


class LiveSource(Protocol):
    """Where streams can be followed."""

    def follow(self, stream: str, offset: str) -> AsyncIterator[LiveMessages]:
        """All that follows ``offset``, and all that comes. The first item, maybe empty, says that the stream is there.

        Raises ``Disconnected`` when following may work again later, and ``Gap`` when what comes next was dropped; any
        other exception ends the listening.
        """


class Disconnected(Exception):
    """The stream cannot be followed now; the text says why."""


class Gap(Exception):
    """Retention has dropped what would come next; what is left begins at ``earliest_offset``."""

    def __init__(self, earliest_offset: str) -> None:
        super().__init__(f"what comes next was dropped, up to {earliest_offset}")
        self.earliest_offset = earliest_offset


class InProcess:
    """The streams of a ``StreamService`` in this process."""

    def __init__(self, service: StreamService) -> None:
        self._service = service

    async def follow(self, stream: str, offset: str) -> AsyncIterator[LiveMessages]:
        try:
            found = await self._service.read(stream, offset)
            decoder = _decoder_for(found.stream.kind)
            while True:
                batch = decoder.decode(_raw(found), offset)
                offset = batch.offset
                yield _messages(decoder, batch)
                if found.at_end:
                    return
                found = await self._service.read_live(stream, found.next_offset)
                if not found.data and not found.at_end:
                    raise Disconnected("the service is stopping")
        except StorageUnavailable as error:
            raise Disconnected(error.reason) from error
        except OffsetTrimmed as trimmed:
            raise Gap(offset_of(trimmed.earliest)) from trimmed


class OverHttp:
    """The streams of a server; names are relative to the directory's root."""

    def __init__(self, directory: StreamDirectory) -> None:
        self._directory = directory

    async def follow(self, stream: str, offset: str) -> AsyncIterator[LiveMessages]:
        known = self._directory.stream(stream)
        handle = known.sibling(known.url, _ONCE)
        try:
            content_type = (await handle.head()).content_type or DEFAULT
            decoder = _decoder_for(kind_of(content_type))
            async for batch in handle.read_with(decoder, offset, "auto"):
                yield _messages(decoder, batch)
        except errors.OffsetTrimmed as trimmed:
            raise Gap(trimmed.earliest_offset) from trimmed
        except ClientError as error:
            if is_passing(error):
                raise Disconnected(str(error)) from error
            raise


class LiveListener(Service):
    """Listens to one stream at a time.

    ``on_data(messages, offset)`` gets new messages, never none, and the offset behind them; when it returns a
    Deferred, nothing more is taken meanwhile. ``on_status(status)`` follows ``status``. ``on_complete()`` tells that
    the stream is closed and all of it was delivered. ``on_error(error)`` tells that listening has ended: the stream
    does not exist (or no longer), the server refuses, or ``on_data`` raised; without ``on_error`` that is logged.

    ``on_gap(earliest_offset)`` is told when retention has dropped what would come next; then the listener goes on from
    there. Without ``on_gap`` that is an error, ``Gap``.

    Lost connections are no errors: the listener reconnects, pausing as ``reconnecting`` says, for as long as it takes.

    It need not be a part of a service tree. Where it is, and ``stream`` is given, it listens while the service runs.
    """

    def __init__(
        self,
        source: LiveSource,
        *,
        on_data: Callable[[list[Any], str], object],
        on_status: Callable[[Status], object] | None = None,
        on_complete: Callable[[], object] | None = None,
        on_error: Callable[[Exception], object] | None = None,
        on_gap: Callable[[str], object] | None = None,
        stream: str | None = None,
        offset: str = BEGINNING,
        reconnecting: RetryPolicy = RECONNECTING,
        clock: IReactorTime | None = None,
    ) -> None:
        if clock is None:
            from twisted.internet import reactor

            clock = IReactorTime(reactor)
        self._source = source
        self._on_data = on_data
        self._on_status = on_status
        self._on_complete = on_complete
        self._on_error = on_error
        self._on_gap = on_gap
        self._reconnecting = reconnecting
        self._clock = clock
        self._stream = stream
        self._offset = offset
        self._status = Status.IDLE
        self._run: _Run | None = None

    @property
    def stream(self) -> str | None:
        """The stream that is, or was, listened to."""
        return self._stream

    @property
    def offset(self) -> str:
        """Where to read on: behind everything that ``on_data`` has dealt with."""
        return self._offset

    @property
    def status(self) -> Status:
        return self._status

    @property
    def listening(self) -> bool:
        """Whether more may come."""
        return self._run is not None

    # --- control

    def listen(self, stream: str, offset: str = BEGINNING) -> None:
        """Listen to ``stream`` from ``offset`` on (``now``: only what is new); listening to another is stopped."""
        self.stop_listening()
        self._stream, self._offset = stream, offset
        self.resume()

    def resume(self) -> None:
        """Listen on from the kept offset; nothing happens while it listens. Raises ``ValueError`` without a stream."""
        if self._stream is None:
            raise ValueError("there is no stream to resume")
        if self._run is None:
            self._run = run = _Run()
            self._change_status(run, Status.CONNECTING)
            run.begin(self._listen(run, self._stream))

    def stop_listening(self) -> None:
        """Stop at once; ``resume`` can go on from there. A Deferred that ``on_data`` returned is cancelled."""
        run, self._run = self._run, None
        if run is not None:
            run.stop()
        self._set_status(Status.IDLE)

    def reset(self) -> None:
        """Stop, and forget stream and offset."""
        self.stop_listening()
        self._stream, self._offset = None, BEGINNING

    def startService(self) -> None:
        super().startService()
        if self._stream is not None:
            self.resume()

    def stopService(self) -> None:
        super().stopService()
        self.stop_listening()

    # --- listening

    async def _listen(self, run: _Run, stream: str) -> None:
        """Follow the stream, over lost connections, until it ends, fails, or the run is stopped."""
        backoff = Backoff(self._reconnecting, self._clock)
        while not run.stopped:
            try:
                if await self._follow(run, stream, backoff):
                    self._complete(run)
                    return
            except Disconnected:
                pass
            except Gap as gap:
                self._jump(run, gap)
                if run.stopped:
                    return
                continue
            except Exception as error:
                if not run.stopped:
                    self._fail(run, error)
                return
            self._change_status(run, Status.DISCONNECTED)
            if not run.stopped:
                await backoff.pause()
                self._change_status(run, Status.CONNECTING)

    def _jump(self, run: _Run, gap: Gap) -> None:
        """Go on where the stream begins now, if the application wants to."""
        if self._on_gap is None:
            self._fail(run, gap)
            return
        run.call(_tell, self._on_gap, gap.earliest_offset)
        if not run.stopped:
            self._offset = gap.earliest_offset

    async def _follow(self, run: _Run, stream: str, backoff: Backoff) -> bool:
        """Follow until the end; True when the stream is closed."""
        async for found in self._source.follow(stream, self._offset):
            backoff.succeeded()
            self._change_status(run, Status.STREAMING)
            if found.messages and not run.stopped:
                await self._deliver(run, found)
            if run.stopped:
                return False
            self._offset = found.offset
            if found.closed:
                return True
        return False

    async def _deliver(self, run: _Run, found: LiveMessages) -> None:
        dealt_with = run.call(self._on_data, found.messages, found.offset)
        if isawaitable(dealt_with):
            await dealt_with

    # --- telling

    def _change_status(self, run: _Run, status: Status) -> None:
        if not run.stopped:
            run.call(self._set_status, status)

    def _set_status(self, status: Status) -> None:
        if status is self._status:
            return
        self._status = status
        if self._on_status is not None:
            _tell(self._on_status, status)

    def _complete(self, run: _Run) -> None:
        self._leave(run)
        self._set_status(Status.IDLE)
        if self._on_complete is not None:
            _tell(self._on_complete)

    def _fail(self, run: _Run, error: Exception) -> None:
        self._leave(run)
        self._set_status(Status.DISCONNECTED)
        if self._on_error is not None:
            _tell(self._on_error, error)
        else:
            _log.failure("listening to {stream} ended", Failure(error), stream=self._stream)

    def _leave(self, run: _Run) -> None:
        """The run is over by itself: what the callbacks begin now is another one."""
        run.stopped = True
        self._run = None


class _Run:
    """One listening, from its beginning to its stop."""

    def __init__(self) -> None:
        self.stopped = False
        self._is_calling = False
        self._done: Deferred[None] | None = None

    def begin(self, listening: Coroutine[Any, Any, None]) -> None:
        self._done = Deferred.fromCoroutine(listening)
        self._done.addErrback(lambda failure: failure.trap(CancelledError))
        self._done.addErrback(lambda failure: _log.failure("a listener failed by a bug", failure))

    def call(self, callback: Callable[..., object], *args: object) -> object:
        """Call the application, which may stop this run meanwhile."""
        self._is_calling = True
        try:
            return callback(*args)
        finally:
            self._is_calling = False

    def stop(self) -> None:
        self.stopped = True
        # Within a call there is nothing to cancel: the run looks at ``stopped`` when the call returns.
        if self._done is not None and not self._is_calling:
            self._done.cancel()


def _tell(callback: Callable[..., object], *args: object) -> None:
    try:
        callback(*args)
    except Exception:
        _log.failure("a callback of a listener failed")


def _decoder_for(kind: Kind) -> Decoder[Any]:
    if kind is Kind.JSON:
        return JsonDecoder(Any)
    return TextDecoder() if kind is Kind.TEXT else BytesDecoder()


def _raw(found: Slice) -> RawBatch:
    """A slice of the service as a batch of the client."""
    data = array_of(found.data) if found.stream.kind is Kind.JSON else found.data
    return RawBatch([data] if found.data else [], found.next_offset, found.up_to_date, found.at_end, None)


def _messages(decoder: Decoder[Any], batch: Batch[Any]) -> LiveMessages:
    return LiveMessages(list(decoder.items(batch.data)), batch.offset, batch.closed)
