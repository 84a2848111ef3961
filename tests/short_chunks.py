"""Short chunks, so that few messages are in many: what is packed, and where chunks meet, is come by at once."""

from __future__ import annotations

from contextlib import AbstractContextManager
from unittest.mock import patch

from durable_streams.protocol.rising_numbers import RisingNumbers


def short_chunks(length: int = 4) -> AbstractContextManager[object]:
    """While it is entered, chunks have that many messages, and two of them are held as they are."""
    return patch.multiple(RisingNumbers, CHUNK=length, LOOSE=2 * length)
