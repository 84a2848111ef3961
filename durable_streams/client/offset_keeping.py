"""Keeping a reading's offset in a store as it goes on."""

from __future__ import annotations

from typing import Any

from durable_streams.client.place import Place


class OffsetKeeping:
    """Begins where the store says, and saves an offset once the batch that ends there has been dealt with.

    ``store`` is an ``IOffsetStore``, or None to keep nothing.
    """

    def __init__(self, store: Any, key: str) -> None:
        self._store = store
        self._key = key
        self._unsaved: str | None = None

    async def begin(self, place: Place) -> None:
        """Move the place to the kept offset, if there is one."""
        if self._store is None:
            return
        kept = await self._store.load(self._key)
        if kept is not None:
            place.offset = kept

    def yielded(self, offset: str) -> None:
        """A batch that ends at ``offset`` is being dealt with."""
        self._unsaved = offset

    async def keep(self) -> None:
        """The last batch has been dealt with."""
        if self._store is None or self._unsaved is None:
            return
        unsaved, self._unsaved = self._unsaved, None
        await self._store.save(self._key, unsaved)
