"""Entity tags of catch-up reads (Section 10.1)."""

from __future__ import annotations

import re

_LISTED = re.compile(r'(?:W/)?("[^"]*")')


def etag(stream_id: int, start: int, end: int, closed: bool) -> str:
    """The tag of a range; it changes with closure, and with re-creation because ``stream_id`` is never reused."""
    return f'"{stream_id:x}:{start}:{end}:c"' if closed else f'"{stream_id:x}:{start}:{end}"'


def matches(if_none_match: str, tag: str) -> bool:
    """Whether an If-None-Match field names the tag: a list, weak tags or ``*`` (RFC 9110, 13.1.2)."""
    return if_none_match.strip() == "*" or tag in _LISTED.findall(if_none_match)
