"""Entity tags of what a stream holds (Section 10.1)."""

from __future__ import annotations

import re

from durable_streams.errors import MalformedField

_LISTED = re.compile(r'(?:W/)?("[^"]*")')
_STRONG = re.compile(r'(?:^|,)\s*("[^"]*")\s*(?=,|$)')
_LIST = re.compile(r'\s*(?:W/)?"[^"]*"\s*(?:,\s*(?:W/)?"[^"]*"\s*)*')
_RANGE = re.compile(r'"([0-9a-f]+):[0-9]+:([0-9]+)(:c)?(?::gz)?"', re.ASCII)


def etag(stream_id: int, start: int, end: int, closed: bool) -> str:
    """The tag of a range; it changes with closure, and with re-creation because ``stream_id`` is never reused."""
    return f'"{stream_id:x}:{start}:{end}:c"' if closed else f'"{stream_id:x}:{start}:{end}"'


def gzip_etag(tag: str) -> str:
    """The tag of the same range, compressed: other bytes need another strong tag (RFC 9110, 8.8.3.3)."""
    return f'{tag[:-1]}:gz"'


def matches(if_none_match: str, tag: str) -> bool:
    """Whether an If-None-Match field names the tag: a list, weak tags or ``*`` (RFC 9110, 13.1.2)."""
    return if_none_match.strip() == "*" or tag in _LISTED.findall(if_none_match)


def parse_if_match(field: str) -> tuple[str, ...]:
    """The strong tags of an If-Match field, or ``("*",)``; weak ones never match (RFC 9110, 13.1.1).

    Raises ``MalformedField``.
    """
    if field.strip() == "*":
        return ("*",)
    if not _LIST.fullmatch(field):
        raise MalformedField("If-Match", "must be * or a list of entity tags")
    return tuple(_STRONG.findall(field))


def name_tail(tags: tuple[str, ...], stream_id: int, tail: int, closed: bool) -> bool:
    """Whether one of the tags was given when the stream was as it is now: the same tail, and as closed.

    Where a read began makes no difference: whoever has read up to the tail knows the stream's state.
    """
    for tag in tags:
        named = _RANGE.fullmatch(tag)
        if tag == "*" or (named and _state_in(named) == (stream_id, tail, closed)):
            return True
    return False


def _state_in(named: re.Match[str]) -> tuple[int, int, bool]:
    return int(named[1], 16), int(named[2]), named[3] is not None
