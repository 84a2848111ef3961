"""Appending and closing (Sections 5.2, 5.2.1 and 5.3)."""

from __future__ import annotations

from durable_streams.errors import (
    ContentTypeMismatch,
    EmptyAppend,
    PreconditionFailed,
    ProducerFenced,
    StreamIsClosed,
    StreamSeqRegression,
)
from durable_streams.protocol.commands import Append
from durable_streams.protocol.content_types import Kind, media_type
from durable_streams.protocol.etags import etag, name_tail
from durable_streams.protocol.events import Appended
from durable_streams.protocol.json_messages import stored_form
from durable_streams.protocol.producers import is_duplicate
from durable_streams.protocol.stream import Stream


def decide_append(stream: Stream, command: Append, at: float) -> Appended | None:
    """The event that an append or a close makes of a stream, or None when it was done before.

    The checks run in the documented order: closed, producer, content type, messages, If-Match, Stream-Seq. Raises
    ``StreamIsClosed``, the producer errors, ``ContentTypeMismatch``, ``InvalidMessages``, ``EmptyAppend``,
    ``PreconditionFailed`` or ``StreamSeqRegression``.
    """
    if stream.closed:
        _check_repeats_close(stream, command)
        return None
    claim = command.producer
    if claim is not None and is_duplicate(stream.producers.get(claim.producer_id), claim):
        return None
    data = _data_for(stream, command) if command.body else b""
    if not data and not command.close:
        raise EmptyAppend(stream.path)
    if command.if_match is not None:
        _check_is_as_named(stream, command.if_match)
    sequence = command.stream_seq
    if sequence is not None and stream.stream_seq is not None and sequence <= stream.stream_seq:
        raise StreamSeqRegression(stream.path, stream.stream_seq, sequence)
    return Appended(stream.stream_id, at, stream.tail, data, sequence, claim, command.close)


def _check_repeats_close(stream: Stream, command: Append) -> None:
    """Let pass what the closed stream has already: a repeated batch, or a wish that is fulfilled; refuse the rest."""
    claim = command.producer
    if claim is None:
        if command.close and not command.body:
            return
        raise StreamIsClosed(stream.path, stream.tail)
    if claim == stream.closed_by:
        return
    state = stream.producers.get(claim.producer_id)
    if state is not None and claim.epoch < state.epoch:
        raise ProducerFenced(claim.producer_id, state.epoch)
    raise StreamIsClosed(stream.path, stream.tail)


def _check_is_as_named(stream: Stream, tags: tuple[str, ...]) -> None:
    if not name_tail(tags, stream.stream_id, stream.tail, stream.closed):
        raise PreconditionFailed(stream.path, etag(stream.stream_id, stream.tail, stream.tail, stream.closed))


def _data_for(stream: Stream, command: Append) -> bytes:
    received = command.content_type
    if (
        received is not None
        and received != stream.content_type
        and media_type(received) != media_type(stream.content_type)
    ):
        raise ContentTypeMismatch(stream.path, stream.content_type, received)
    if stream.kind is not Kind.JSON:
        return command.body
    data = stored_form(command.body)
    if not data:
        raise EmptyAppend(stream.path)
    return data
