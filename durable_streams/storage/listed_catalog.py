"""The catalog of a storage whose streams can be listed."""

from __future__ import annotations

from durable_streams.protocol.stream import Stream
from durable_streams.storage.catalog import Catalog
from durable_streams.storage.path_index import PathIndex


class ListedCatalog(Catalog):
    """A catalog with the order of its paths."""

    def __init__(self) -> None:
        super().__init__()
        self.paths = PathIndex(self.by_path)

    def add(self, stream: Stream) -> None:
        self.paths.add(stream.path)
        super().add(stream)
