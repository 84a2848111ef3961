"""Content types: which ones are equal, and how each kind is framed (Sections 5.2, 5.8 and 9)."""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache

from durable_streams.errors import MalformedField

DEFAULT = "application/octet-stream"

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PARAMETER = rf"[ \t]*;[ \t]*(?:{_TOKEN}=(?:{_TOKEN}|\"(?:[^\"\\\x00-\x1f]|\\.)*\"))?"
_CONTENT_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}(?:{_PARAMETER})*[ \t]*", re.ASCII)


class Kind(IntEnum):
    """How the bytes of a stream are framed."""

    BINARY = 0
    TEXT = 1
    JSON = 2


@lru_cache(1024)
def media_type(content_type: str) -> str:
    """The part that decides equality: lower case, without parameters."""
    return content_type.partition(";")[0].strip().lower()


@lru_cache(1024)
def kind_of(content_type: str) -> Kind:
    """``application/json`` has messages, ``text/*`` is sent as text over SSE, all else is binary."""
    media = media_type(content_type)
    if media == "application/json":
        return Kind.JSON
    return Kind.TEXT if media.startswith("text/") else Kind.BINARY


def parse_content_type(value: str) -> str:
    """A well-formed Content-Type, as written. Raises ``MalformedField``."""
    if not _CONTENT_TYPE.fullmatch(value):
        raise MalformedField("Content-Type", "must be a media type such as text/plain")
    return value
