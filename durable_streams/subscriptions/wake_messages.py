"""The bodies that tell of a wake (Sections 7.1 and 7.2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal
from urllib.parse import quote

import msgspec
from msgspec import Struct

from durable_streams.protocol.offsets import offset_of
from durable_streams.subscriptions.state import Progress, StreamState


class StreamInfo(Struct):
    """A linked stream as workers see it."""

    path: str
    link_type: Literal["explicit", "glob"]
    acked_offset: str
    tail_offset: str
    has_pending: bool


class _Webhook(Struct):
    subscription_id: str
    wake_id: str
    generation: int
    streams: list[StreamInfo]
    callback_url: str
    callback_token: str


class _WakeEvent(Struct):
    type: Literal["wake"]
    subscription_id: str
    stream: str
    generation: int
    ts: int


def stream_infos(snapshot: Iterable[StreamState]) -> list[StreamInfo]:
    """The streams of a wake."""
    return [
        StreamInfo(
            state.path,
            state.link.link_type,
            offset_of(state.link.acked),
            offset_of(state.tail),
            state.has_pending,
        )
        for state in snapshot
    ]


def webhook_body(
    subscription_id: str, progress: Progress, snapshot: Iterable[StreamState], root: str, token: str
) -> bytes:
    """The body of a webhook request; ``root`` is the URL of the stream root."""
    assert progress.wake is not None
    callback = f"{root}__ds/subscriptions/{quote(subscription_id, safe='')}/callback"
    return msgspec.json.encode(
        _Webhook(subscription_id, progress.wake.wake_id, progress.generation, stream_infos(snapshot), callback, token)
    )


def wake_event(subscription_id: str, progress: Progress, now: float) -> bytes:
    """What is written to a wake stream: JSON, and a line of its own where the stream is text."""
    assert progress.wake is not None
    event = _WakeEvent("wake", subscription_id, progress.wake.stream, progress.generation, int(now * 1000))
    return msgspec.json.encode(event) + b"\n"
