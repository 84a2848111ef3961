"""The streams that a storage holds in memory, changed by events alone."""

from __future__ import annotations

from collections.abc import Iterator

from durable_streams.protocol.events import (
    Appended,
    Event,
    StreamAccessed,
    StreamCreated,
    StreamDeleted,
    Trimmed,
)
from durable_streams.protocol.stream import Stream


class Catalog:
    """Streams by path and by id.

    ``apply`` is the one place where an event changes state: when a command is accepted, when a journal is replayed, and
    when it is folded away. What an append changes is up to ``Stream.apply_append``, what a creation does to ``create``:
    a storage that has such an event at hand may call these itself.
    """

    def __init__(self) -> None:
        self.by_path: dict[str, Stream] = {}
        self.by_id: dict[int, Stream] = {}

    def add(self, stream: Stream) -> None:
        self.by_path[stream.path] = stream
        self.by_id[stream.stream_id] = stream

    def forget(self, stream: Stream) -> None:
        del self.by_id[stream.stream_id]
        if self.by_path.get(stream.path) is stream:
            del self.by_path[stream.path]

    def apply(self, event: Event) -> list[Stream]:
        """Change the state as the event says; the answer lists the streams whose bytes nobody needs any more.

        Every stream that the event touches, a fork's whole chain of sources included, must be in the catalog.
        """
        match event:
            case Appended():
                self.by_id[event.stream_id].apply_append(event)
            case StreamCreated():
                self.create(event)
            case StreamDeleted():
                return list(self._apply_deletion(self.by_id[event.stream_id]))
            case StreamAccessed():
                self.by_id[event.stream_id].accessed_at = event.at
            case Trimmed():
                self.by_id[event.stream_id].apply_trim(event)
        return []

    def create(self, event: StreamCreated) -> Stream:
        """The stream that the event creates."""
        stream = Stream.created_by(event)
        self.add(stream)
        if stream.fork is not None:
            self.by_id[stream.fork.source_id].lend(event)
        return stream

    def _apply_deletion(self, stream: Stream) -> Iterator[Stream]:
        """Delete a stream, and the soft-deleted sources that no other fork needs (Section 4.2)."""
        if stream.forks:
            stream.soft_deleted = True
            return
        while True:
            self.forget(stream)
            yield stream
            if stream.fork is None:
                return
            stream = self.by_id[stream.fork.source_id]
            stream.release()
            if stream.forks or not stream.soft_deleted:
                return
