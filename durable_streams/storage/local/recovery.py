"""Recovery: what only the journal has comes into memory when a directory is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from durable_streams.protocol.events import Event
from durable_streams.storage.local.base import BaseStore
from durable_streams.storage.local.files import Files
from durable_streams.storage.local.folding import load_touched
from durable_streams.storage.local.journal import Recovered, replay, segment_numbers
from durable_streams.storage.local.residents import Residents, access_staleness
from durable_streams.storage.local.segment import segment_name


@dataclass(frozen=True)
class Recovery:
    """What the journal had, and what the base store says."""

    journal: Recovered
    last_stream_id: int
    base_is_empty: bool


def recover(base: BaseStore, files: Files, residents: Residents) -> Recovery:
    """Bring into ``residents`` what only the journal has, and remove its segments that the base store does not need.

    All is read from one snapshot of the base store: the checkpointer of a service that was killed may still be at work,
    and nothing may be taken from the base store and from the journal too. Raises ``StorageFailed``, ``OSError``,
    ``sqlite3.Error``, ``BaseDamaged``.
    """

    def apply(segment: int, events: Sequence[Event]) -> None:
        replay_segment(base, residents, segment, events)

    base.connection.execute("begin")
    try:
        residents.folded = base.folded_segment()
        _remove_segments(files, residents.folded, base.kept_segments.numbers())
        journal = replay(files, residents.folded, apply)
        recovery = Recovery(journal, max(base.last_stream_id(), journal.last_stream_id), base.is_empty())
    finally:
        base.connection.execute("rollback")
    _allow_for_lost_accesses(residents)
    return recovery


def _remove_segments(files: Files, folded: int, kept: set[int]) -> None:
    for number in segment_numbers(files):
        if number <= folded and number not in kept:
            files.remove(segment_name(number))


def replay_segment(base: BaseStore, residents: Residents, segment: int, events: Sequence[Event]) -> None:
    """Bring into ``residents`` what the base store has of the events' streams, then the events themselves.

    Raises ``StorageFailed`` when they do not fit, ``KeyError`` for a stream that is nowhere.
    """
    known = set(residents.hot)
    load_touched(base, residents.catalog, events)
    loaded = [stream for stream_id, stream in residents.catalog.by_id.items() if stream_id not in known]
    residents.load(loaded)
    residents.link_sources(loaded)
    residents.replay(segment, events)


def _allow_for_lost_accesses(residents: Residents) -> None:
    """Accesses since the last one on disk may be forgotten; nothing may expire early for that."""
    for hot in residents.hot.values():
        if hot.stream.ttl is not None:
            hot.stream.accessed_at += access_staleness(hot.stream.ttl)
