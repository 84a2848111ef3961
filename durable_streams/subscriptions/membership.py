"""Which streams belong to a subscription, and where their cursors begin (Sections 6.1, 6.2 and 6.4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from durable_streams.subscriptions.configuration import Configuration
from durable_streams.subscriptions.events import Event, StreamLinked, StreamUnlinked
from durable_streams.subscriptions.roster import Member, Roster
from durable_streams.subscriptions.state import Link


class Found(NamedTuple):
    """A stream as a new link finds it; ``cursor`` is the position where the link begins, at most ``tail``."""

    stream_id: int
    cursor: int
    tail: int


NOTHING = Found(0, 0, 0)
"""There is no stream. One that comes later is linked at its beginning."""

_NO_LINK = Link(explicit=False, matched=False, stream_id=0, acked=0)


def first_links(
    configuration: Configuration, matched: Mapping[str, Found], named: Mapping[str, Found]
) -> dict[str, Link]:
    """The links of a new subscription: the streams that its pattern matches, and those that it names."""
    links = {path: Link(False, True, found.stream_id, found.cursor) for path, found in matched.items()}
    for path in configuration.streams:
        found = named[path]
        links[path] = Link(True, path in matched, found.stream_id, found.cursor)
    return links


def stream_appeared(roster: Roster, path: str, found: Found) -> Iterator[Event]:
    """A stream is at a path: cursors of an earlier one there begin anew, patterns that match take it in.

    New links begin at its cursor, the first byte of its own; what a fork inherits was its source's to deliver. No
    cursor stays behind the tail: it would pass over what is appended there, when streams were restored from a backup
    that is older than the cursors.
    """
    matching = roster.matching(path)
    followed = roster.followed.get(path)
    members = followed.members if followed is not None else {}
    for subscription_id in {*members, *matching}:
        link = roster.members[subscription_id].links.get(path, _NO_LINK)
        acked = min(link.acked, found.tail) if link.stream_id == found.stream_id else found.cursor
        yield from _changed(
            subscription_id, path, link, Link(link.explicit, subscription_id in matching, found.stream_id, acked)
        )


def stream_vanished(roster: Roster, path: str) -> Iterator[Event]:
    """The stream at a path is gone: only explicit links stay, and wait for another one."""
    followed = roster.followed.get(path)
    for member in followed.members.values() if followed is not None else ():
        link = member.links[path]
        yield from _changed(member.subscription_id, path, link, Link(link.explicit, False, 0, 0))


def streams_named(member: Member, named: Mapping[str, Found]) -> Iterator[Event]:
    """A client adds explicit links; a stream that is linked keeps its cursor (Section 6.4)."""
    for path, found in named.items():
        link = member.links.get(path)
        new = Link(True, False, found.stream_id, found.cursor) if link is None else replace(link, explicit=True)
        yield from _changed(member.subscription_id, path, link or _NO_LINK, new)


def stream_unnamed(member: Member, path: str) -> Iterator[Event]:
    """A client removes an explicit link; a pattern that matches keeps the stream (Section 6.4)."""
    link = member.links.get(path)
    if link is not None:
        yield from _changed(member.subscription_id, path, link, replace(link, explicit=False))


def became_wake_stream(roster: Roster, path: str) -> Iterator[Event]:
    """Patterns let go of a stream that wakes are written to; otherwise wakes could cause wakes without end."""
    followed = roster.followed.get(path)
    for member in followed.members.values() if followed is not None else ():
        link = member.links[path]
        yield from _changed(member.subscription_id, path, link, replace(link, matched=False))


def _changed(subscription_id: str, path: str, before: Link, after: Link) -> Iterable[Event]:
    if after == before:
        return ()
    if after.explicit or after.matched:
        return (StreamLinked(subscription_id, path, after),)
    return (StreamUnlinked(subscription_id, path),)
