"""Request bodies of the control paths, as checked values."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Struct

from durable_streams.errors import MalformedField
from durable_streams.protocol.paths import path_named
from durable_streams.subscriptions.configuration import (
    DEFAULT_LEASE_TTL_MS,
    Configuration,
    DeliveryType,
    configuration,
)
from durable_streams.subscriptions.state import Ack, Report
from durable_streams.web.control.refusals import InvalidBody, too_large_body

LARGEST_BODY = 4 * 1024 * 1024
LONGEST_WORKER = 256


class _Webhook(Struct):
    url: str | None = None


class _Create(Struct):
    type: DeliveryType
    pattern: str | None = None
    streams: list[str] | None = None
    webhook: _Webhook | None = None
    wake_stream: str | None = None
    lease_ttl_ms: int = DEFAULT_LEASE_TTL_MS
    description: str | None = None


class _Streams(Struct):
    streams: list[str]


class _Claim(Struct):
    worker: str


class _Ack(Struct):
    stream: str
    offset: str


class _Report(Struct):
    wake_id: str
    generation: int
    acks: list[_Ack] | None = None
    done: bool = False


_T = TypeVar("_T")
_create = msgspec.json.Decoder(_Create)
_streams = msgspec.json.Decoder(_Streams)
_claim = msgspec.json.Decoder(_Claim)
_report = msgspec.json.Decoder(_Report)


def _decoded(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T:
    if len(body) > LARGEST_BODY:
        raise too_large_body(LARGEST_BODY)
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidBody(str(error)) from None
    except RecursionError:
        raise InvalidBody("it is nested too deeply") from None


def configuration_in(body: bytes) -> Configuration:
    """What a PUT asks for. Raises ``InvalidBody`` or ``MalformedField``."""
    asked = _decoded(_create, body)
    return configuration(
        type=asked.type,
        pattern=asked.pattern,
        streams=asked.streams or (),
        webhook_url=asked.webhook.url if asked.webhook else None,
        wake_stream=asked.wake_stream,
        lease_ttl_ms=asked.lease_ttl_ms,
        description=asked.description,
    )


def streams_in(body: bytes) -> list[str]:
    """The streams to be linked. Raises ``InvalidBody``."""
    return _decoded(_streams, body).streams


def worker_in(body: bytes) -> str:
    """The name of the worker that claims. Raises ``InvalidBody`` or ``MalformedField``."""
    worker = _decoded(_claim, body).worker
    if not 0 < len(worker) <= LONGEST_WORKER:
        raise MalformedField("worker", f"must have from 1 to {LONGEST_WORKER} characters")
    return worker


def report_in(body: bytes) -> Report:
    """What a worker says of its wake. Raises ``InvalidBody``."""
    report = _decoded(_report, body)
    acks = tuple(Ack(path_named(ack.stream), ack.offset) for ack in report.acks or ())
    return Report(report.wake_id, report.generation, acks, report.done)
