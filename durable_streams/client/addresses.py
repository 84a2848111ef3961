"""Stream URLs with queries."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlsplit


def with_query(url: str, parameters: Mapping[str, str]) -> str:
    """The URL with more query parameters, all in the order of their names: caches see one spelling (Section 10.1).

    What the URL has already is left as it is written.
    """
    without_fragment = url.partition("#")[0]
    base, _, query = without_fragment.partition("?")
    pairs = [pair for pair in query.split("&") if pair]
    pairs += [f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in parameters.items()]
    pairs.sort(key=lambda pair: pair.partition("=")[0])
    return f"{base}?{'&'.join(pairs)}" if pairs else base


def path_of(url: str) -> str:
    """The URL's path as it is written, which is how a fork names its source (Section 4.2)."""
    return urlsplit(url).path
