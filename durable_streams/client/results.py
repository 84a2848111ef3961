"""What operations on a stream answer."""

from __future__ import annotations

from typing import NamedTuple


class Created(NamedTuple):
    """A stream after its creation. ``is_new`` is False when it was there already with the same configuration."""

    is_new: bool
    offset: str | None
    content_type: str | None
    closed: bool


class Metadata(NamedTuple):
    """What a stream is (Section 5.5). ``ttl`` is in seconds, ``expires_at`` as the server writes it (RFC 3339).

    ``headers`` are all fields of the answer, by lower-case name. ``earliest_offset`` is where the stream begins now,
    where the server says it.
    """

    content_type: str | None
    offset: str | None
    closed: bool
    ttl: int | None
    expires_at: str | None
    headers: dict[str, str]
    earliest_offset: str | None = None

    @property
    def etag(self) -> str | None:
        """The state of the stream, for the ``if_match`` of an append, where the server tells it."""
        return self.headers.get("etag")


class Appended(NamedTuple):
    """The stream's tail after an append, and whether it is closed. ``etag`` names its state, for those who ask."""

    offset: str | None
    closed: bool
    etag: str | None = None
