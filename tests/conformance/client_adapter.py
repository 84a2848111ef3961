#!/usr/bin/env python3
"""The client behind the line protocol of the official client-conformance runner.

The runner writes one JSON command a line and waits for one JSON result a line. Run it with
``client-conformance-tests --run tests/conformance/client_adapter.py``.
"""

from __future__ import annotations

import json
import sys
import time
from base64 import b64decode
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import CancelledError, Deferred, DeferredQueue
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.stdio import StandardIO
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from durable_streams.client import (
    BadRequest,
    Batch,
    Batching,
    ClientError,
    Conflict,
    ConnectionFailed,
    Connections,
    InvalidArgument,
    ParseError,
    Producer,
    ProducerStopped,
    Reading,
    ResponseError,
    RetryPolicy,
    StreamClosed,
    StreamHandle,
    StreamNotFound,
    StreamSeqConflict,
    TimedOut,
)

reactor: Any = installed_reactor

Command = dict[str, Any]
Result = dict[str, Any]

FEATURES = (
    "batching",
    "sse",
    "longPoll",
    "auto",
    "streaming",
    "dynamicHeaders",
    "retryOptions",
    "batchItems",
    "strictZeroValidation",
)
OCTETS = "application/octet-stream"
RETRY = RetryPolicy(max_retries=6, initial_delay=0.05, max_delay=1.0)

ERROR_CODES: list[tuple[type[Exception], str]] = [
    (InvalidArgument, "INVALID_ARGUMENT"),
    (ParseError, "PARSE_ERROR"),
    (TimedOut, "TIMEOUT"),
    (ConnectionFailed, "NETWORK_ERROR"),
    (StreamNotFound, "NOT_FOUND"),
    (StreamClosed, "STREAM_CLOSED"),
    (StreamSeqConflict, "SEQUENCE_CONFLICT"),
    (Conflict, "CONFLICT"),
    (ClientError, "UNEXPECTED_STATUS"),
]

PARAMETERS = {
    "epoch": "epoch",
    "max_bytes": "maxBatchBytes",
    "max_items": "maxBatchItems",
    "max_retries": "maxRetries",
    "initial_delay": "initialDelayMs",
    "max_delay": "maxDelayMs",
    "multiplier": "multiplier",
    "producer_id": "producerId",
}


class DynamicValues:
    """Header or parameter values that differ from command to command."""

    def __init__(self) -> None:
        self._makers: dict[str, Callable[[], str]] = {}

    def set(self, name: str, kind: str, initial: str | None) -> None:
        self._makers[name] = _maker_of(kind, initial)

    def clear(self) -> None:
        self._makers.clear()

    def next(self) -> dict[str, str]:
        return {name: make() for name, make in self._makers.items()}


def _maker_of(kind: str, initial: str | None) -> Callable[[], str]:
    if kind == "counter":
        numbers = iter(range(1, sys.maxsize))
        return lambda: str(next(numbers))
    if kind == "timestamp":
        return lambda: str(int(time.time() * 1000))
    return lambda: initial or ""


class Adapter:
    """Carries out commands, one after the other."""

    def __init__(self) -> None:
        self._connections = Connections(reactor)
        self._begin_anew("")

    def _begin_anew(self, server_url: str) -> None:
        self._server_url = server_url
        self._content_types: dict[str, str] = {}
        self._producers: dict[tuple[str, str, int], Producer] = {}
        self._headers = DynamicValues()
        self._params = DynamicValues()

    async def answer(self, command: Command) -> Result:
        """The result of a command, whatever happens."""
        kind = command["type"]
        try:
            carry_out = getattr(self, "do_" + kind.replace("-", "_"))
            return {"type": kind, "success": True, **await carry_out(command)}
        except Exception as error:
            return {"type": "error", "success": False, "commandType": kind, **_described(error, kind)}

    def _stream(self, command: Command, headers: dict[str, str], params: dict[str, str]) -> StreamHandle:
        path = command["path"]
        return StreamHandle(
            self._server_url + path,
            self._connections.treq,
            headers={**headers, **command.get("headers", {})},
            params=params,
            content_type=self._content_types.get(path),
            retry=RETRY,
        )

    def _plain_stream(self, command: Command) -> StreamHandle:
        return self._stream(command, {}, {})

    # --- session

    async def do_init(self, command: Command) -> Result:
        self._begin_anew(command["serverUrl"])
        features = dict.fromkeys(FEATURES, True)
        return {"clientName": "durable-streams-twisted", "clientVersion": "0.1.0", "features": features}

    async def do_shutdown(self, command: Command) -> Result:
        await self._connections.close()
        return {}

    async def do_set_dynamic_header(self, command: Command) -> Result:
        self._headers.set(command["name"], command["valueType"], command.get("initialValue"))
        return {}

    async def do_set_dynamic_param(self, command: Command) -> Result:
        self._params.set(command["name"], command["valueType"], command.get("initialValue"))
        return {}

    async def do_clear_dynamic(self, command: Command) -> Result:
        self._headers.clear()
        self._params.clear()
        return {}

    # --- one stream

    async def do_create(self, command: Command) -> Result:
        stream = self._plain_stream(command)
        created = await stream.create(
            content_type=command.get("contentType", OCTETS),
            ttl=command.get("ttlSeconds"),
            expires_at=command.get("expiresAt"),
            closed=command.get("closed", False),
            data=command.get("data", ""),
        )
        self._content_types[command["path"]] = command.get("contentType", OCTETS)
        return {"status": 201 if created.is_new else 200, "offset": created.offset}

    async def do_connect(self, command: Command) -> Result:
        metadata = await self._plain_stream(command).head()
        self._content_types[command["path"]] = metadata.content_type or OCTETS
        return {"status": 200, "offset": metadata.offset}

    async def do_head(self, command: Command) -> Result:
        metadata = await self._plain_stream(command).head()
        self._content_types[command["path"]] = metadata.content_type or OCTETS
        return {
            "status": 200,
            "offset": metadata.offset,
            "contentType": metadata.content_type,
            "streamClosed": metadata.closed,
            "ttlSeconds": metadata.ttl,
            "expiresAt": metadata.expires_at,
        }

    async def do_delete(self, command: Command) -> Result:
        await self._plain_stream(command).delete()
        self._content_types.pop(command["path"], None)
        return {"status": 200}

    async def do_close(self, command: Command) -> Result:
        stream = self._plain_stream(command)
        closed = await stream.close(command.get("data", ""))
        return {"finalOffset": closed.offset}

    async def do_append(self, command: Command) -> Result:
        headers, params = self._headers.next(), self._params.next()
        stream = self._stream(command, headers, params)
        data = b64decode(command["data"]) if command.get("binary") else command["data"]
        seq = command.get("seq")
        appended = await stream.append(data, stream_seq=None if seq is None else str(seq))
        return {"status": 200, "offset": appended.offset, "headersSent": headers, "paramsSent": params}

    # --- reading

    async def do_read(self, command: Command) -> Result:
        headers, params = self._headers.next(), self._params.next()
        stream = self._stream(command, headers, params)
        live = command.get("live") or None
        is_json = (self._content_types.get(command["path"]) or "").startswith("application/json")
        read: Any = stream.read_json if is_json else stream.read
        reading = read(command.get("offset", "-1"), "auto" if live is True else live)
        chunks = ChunkCollector(reading, live, command)
        await chunks.collect()
        return {**chunks.result(), "headersSent": headers, "paramsSent": params}

    # --- producers

    def _kept_producer(self, command: Command) -> Producer:
        key = (command["path"], command["producerId"], command["epoch"])
        if key not in self._producers:
            self._producers[key] = self._fresh_producer(command, Batching())
        return self._producers[key]

    def _fresh_producer(self, command: Command, batching: Batching) -> Producer:
        return self._plain_stream(command).producer(
            command["producerId"],
            epoch=command.get("epoch") or 0,
            auto_claim=command.get("autoClaim", False),
            batching=batching,
        )

    async def do_idempotent_append(self, command: Command) -> Result:
        batch = self._kept_producer(command).append(command["data"])
        receipt = await batch
        return {
            "status": 200,
            "offset": receipt.offset,
            "duplicate": receipt.duplicate,
            "producerSeq": receipt.seq,
        }

    async def do_idempotent_append_batch(self, command: Command) -> Result:
        in_flight = command.get("maxInFlight", 1)
        items = len(command["items"]) if in_flight == 1 else 1
        producer = self._fresh_producer(command, Batching(max_items=max(1, items), max_in_flight=in_flight))
        for item in command["items"]:
            producer.append(item if isinstance(item, str) else item["data"])
        await producer.flush()
        return {"status": 200}

    async def do_idempotent_close(self, command: Command) -> Result:
        receipt = await self._kept_producer(command).close(command.get("data"))
        return {"status": 200, "finalOffset": receipt.offset}

    async def do_idempotent_detach(self, command: Command) -> Result:
        producer = self._producers.pop((command["path"], command["producerId"], command["epoch"]), None)
        if producer is not None:
            await producer.detach()
        return {"status": 200}

    async def do_validate(self, command: Command) -> Result:
        given = command["target"]
        if given["target"] == "retry-options":
            RetryPolicy(
                max_retries=given.get("maxRetries", RETRY.max_retries),
                initial_delay=given.get("initialDelayMs", 100) / 1000,
                max_delay=given.get("maxDelayMs", 60_000) / 1000,
                multiplier=given.get("multiplier", 2),
            )
            return {}
        batching = Batching(max_bytes=given.get("maxBatchBytes", 1024), max_items=given.get("maxBatchItems", 10))
        StreamHandle("http://127.0.0.1/", self._connections.treq).producer(
            given.get("producerId", "any"), epoch=given.get("epoch", 0), batching=batching
        )
        return {}

    # --- benchmarks

    async def do_benchmark(self, command: Command) -> Result:
        operation = command["operation"]
        run = getattr(self, "bench_" + operation["op"])
        started = time.perf_counter_ns()
        metrics = await run(operation)
        duration = time.perf_counter_ns() - started
        rates = _rates(metrics, duration)
        return {"iterationId": command["iterationId"], "durationNs": str(duration), "metrics": rates}

    async def bench_append(self, operation: Command) -> dict[str, int]:
        await self._plain_stream(operation).append(b"*" * operation["size"])
        return {"bytesTransferred": operation["size"]}

    async def bench_read(self, operation: Command) -> dict[str, int]:
        data = await self._plain_stream(operation).read(operation.get("offset", "-1")).collect()
        return {"bytesTransferred": len(data)}

    async def bench_create(self, operation: Command) -> dict[str, int]:
        await self._plain_stream(operation).create(content_type=operation.get("contentType", OCTETS))
        return {}

    async def bench_roundtrip(self, operation: Command) -> dict[str, int]:
        stream = self._plain_stream(operation)
        content_type = operation.get("contentType", OCTETS)
        await stream.create(content_type=content_type)
        received = Deferred.fromCoroutine(_first_data(stream.read(live=operation.get("live", "long-poll"))))
        payload = b"*" * operation["size"]
        await stream.append(b'"%b"' % payload if content_type.startswith("application/json") else payload)
        return {"bytesTransferred": operation["size"] + len(await received)}

    async def bench_throughput_append(self, operation: Command) -> dict[str, int]:
        stream = self._plain_stream(operation)
        content_type = self._content_types.get(operation["path"], OCTETS)
        await stream.create(content_type=content_type)
        payload = b"*" * operation["size"]
        message = b'"%b"' % payload if content_type.startswith("application/json") else payload
        producer = stream.producer("benchmark", auto_claim=True)
        for _ in range(operation["count"]):
            producer.append(message)
        await producer.flush()
        return {"bytesTransferred": operation["count"] * operation["size"], "messagesProcessed": operation["count"]}

    async def bench_throughput_read(self, operation: Command) -> dict[str, int]:
        stream = self._plain_stream(operation)
        count = size = 0
        async for message in stream.read_json().each():
            count += 1
            size += len(json.dumps(message))
        return {"bytesTransferred": size, "messagesProcessed": count}


class ChunkCollector:
    """One read command: batches until the command is satisfied, the stream ends, or time is up."""

    def __init__(self, reading: Reading[Any], live: str | bool | None, command: Command) -> None:
        self._reading = reading
        self._live = live
        self._seconds = command.get("timeoutMs", 5000) / 1000
        self._max_chunks = command.get("maxChunks", 100)
        self._until_up_to_date = command.get("waitForUpToDate", False)
        self._chunks: list[Result] = []
        self._last: Batch[Any] | None = None
        self._status = 200
        self._is_over = False

    async def collect(self) -> None:
        timer = reactor.callLater(self._seconds, self._time_is_up)
        try:
            while (batch := await self._reading.next_batch()) is not None:
                self._take(batch)
                if self._is_satisfied(batch):
                    return
        except CancelledError:
            if not self._is_over:
                raise
        finally:
            if timer.active():
                timer.cancel()
            self._reading.close()

    def result(self) -> Result:
        last = self._last
        return {
            "status": self._status,
            "chunks": self._chunks,
            "offset": self._reading.offset,
            "upToDate": self._is_over or bool(last and last.up_to_date),
            "streamClosed": bool(last and last.closed),
            "cursor": last.cursor if last else None,
        }

    def _time_is_up(self) -> None:
        self._is_over = True
        self._reading.close()

    def _take(self, batch: Batch[Any]) -> None:
        if self._last is None and self._live == "long-poll" and not batch.data:
            self._status = 204
        self._last = batch
        if batch.data:
            self._chunks.append({"data": _text_of(batch.data), "offset": batch.offset})

    def _is_satisfied(self, batch: Batch[Any]) -> bool:
        if len(self._chunks) >= self._max_chunks or batch.closed:
            return True
        if not self._live:
            return False
        timed_out = self._live == "long-poll" and not batch.data
        return timed_out or (self._until_up_to_date and batch.up_to_date)


async def _first_data(reading: Reading[bytes]) -> bytes:
    async for data in reading.each():
        return bytes(data)
    return b""


def _text_of(data: bytes | list[Any]) -> str:
    if isinstance(data, bytes):
        return data.decode("utf-8", "replace")
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False)


def _described(error: Exception, kind: str) -> Result:
    if isinstance(error, ProducerStopped) and isinstance(error.__cause__, ClientError):
        error = error.__cause__
    code = next((code for kind_of_error, code in ERROR_CODES if isinstance(error, kind_of_error)), "INTERNAL_ERROR")
    if isinstance(error, BadRequest) and kind == "read":
        code = "INVALID_OFFSET"
    described: Result = {"errorCode": code, "message": str(error) or repr(error)}
    if isinstance(error, InvalidArgument):
        described["message"] = f"{PARAMETERS[error.parameter]} {error.requirement}"
    if isinstance(error, ResponseError):
        described["status"] = error.status
    return described


def _rates(metrics: dict[str, int], nanoseconds: int) -> dict[str, float]:
    seconds = nanoseconds / 1e9
    rates: dict[str, float] = dict(metrics)
    if "messagesProcessed" in metrics:
        rates["opsPerSecond"] = metrics["messagesProcessed"] / seconds
    if "bytesTransferred" in metrics:
        rates["bytesPerSecond"] = metrics["bytesTransferred"] / seconds
    return rates


@implementer(IHalfCloseableProtocol)
class CommandLines(LineOnlyReceiver):
    """The runner's side of standard input and output: commands in their order, until shutdown or the end of input."""

    delimiter = b"\n"
    MAX_LENGTH = 64 * 1024 * 1024

    def __init__(self, answer: Callable[[Command], Awaitable[Result]]) -> None:
        self._answer = answer
        self._commands: DeferredQueue[Command] = DeferredQueue()

    def connectionMade(self) -> None:
        Deferred.fromCoroutine(self._serve()).addErrback(lambda failure: failure.printTraceback(file=sys.stderr))

    def lineReceived(self, line: bytes) -> None:
        if line.strip():
            self._commands.put(json.loads(line))

    def readConnectionLost(self) -> None:
        self._commands.put({"type": "shutdown"})

    def writeConnectionLost(self) -> None:
        """Nobody reads the results any more."""

    def connectionLost(self, reason: Failure | None = None) -> None:
        if reactor.running:
            reactor.stop()

    async def _serve(self) -> None:
        kind = ""
        while kind != "shutdown":
            command = await self._commands.get()
            kind = command["type"]
            result = await self._answer(command)
            said = {name: value for name, value in result.items() if value is not None}
            self.sendLine(json.dumps(said).encode("ascii"))
        assert self.transport is not None
        self.transport.loseConnection()


def main() -> None:
    """Serve commands until standard input ends."""
    warnings_only = FilteringLogObserver(textFileLogObserver(sys.stderr), [LogLevelFilterPredicate(LogLevel.warn)])
    globalLogBeginner.beginLoggingTo([warnings_only], redirectStandardIO=False)
    StandardIO(CommandLines(Adapter().answer))
    reactor.run()


if __name__ == "__main__":
    main()
