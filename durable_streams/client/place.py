"""Where a reading stands."""

from __future__ import annotations

from durable_streams.client.batch import RawBatch
from durable_streams.client.errors import ParseError
from durable_streams.client.header_fields import HeaderFields


class Place:
    """What the next request must name, and what is known of the stream; the sources of one reading share it.

    ``content_type`` is None until an ordinary answer told it. ``last`` is a number of messages before the tail, which
    stands for the offset until the first answer tells that.
    """

    def __init__(self, url: str, offset: str, last: int | None = None) -> None:
        self.url = url
        self.offset = offset
        self.last = last
        self.cursor: str | None = None
        self.up_to_date = False
        self.closed = False
        self.content_type: str | None = None

    def query(self) -> dict[str, str]:
        """The parameters that name this place."""
        if self.last is not None:
            return {"tail": str(self.last)}
        return {"offset": self.offset} if self.cursor is None else {"offset": self.offset, "cursor": self.cursor}

    def jump(self, offset: str) -> None:
        """Go on at ``offset``, although what was before it is missing."""
        self.offset = offset
        self.cursor = None
        self.up_to_date = False

    def advance(self, offset: str, cursor: str | None, up_to_date: bool, closed: bool) -> None:
        """Everything up to ``offset`` has been received."""
        self.last = None
        self.offset = offset
        self.cursor = cursor or self.cursor
        self.closed = closed
        self.up_to_date = up_to_date or closed

    def advance_by(self, headers: HeaderFields) -> None:
        """The whole body of an answer has been received. Raises ``ParseError`` when it does not say where it ends."""
        offset = headers.get("Stream-Next-Offset")
        if not offset:
            raise ParseError(self.url, "the answer has no Stream-Next-Offset")
        self.content_type = headers.get("Content-Type") or self.content_type
        self.advance(
            offset, headers.get("Stream-Cursor"), headers.is_true("Stream-Up-To-Date"), headers.is_true("Stream-Closed")
        )

    def batch(self, data: list[bytes]) -> RawBatch:
        """Data that end here."""
        return RawBatch(data, self.offset, self.up_to_date, self.closed, self.cursor)
