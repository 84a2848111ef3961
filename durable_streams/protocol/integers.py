"""Integers in headers: plain ASCII decimal, no sign, no leading zeros, exact in JavaScript (Sections 5.1 and 5.2.1)."""

from __future__ import annotations

import re

from durable_streams.errors import MalformedField

LARGEST = 2**53 - 1

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)


def parse_integer(value: str, field: str) -> int:
    """A non-negative integer up to 2^53-1. Raises ``MalformedField`` naming ``field``."""
    if not _DECIMAL.fullmatch(value) or (number := int(value)) > LARGEST:
        raise MalformedField(field, "must be a decimal integer from 0 to 9007199254740991 without leading zeros")
    return number
