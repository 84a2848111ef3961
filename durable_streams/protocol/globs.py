"""Patterns over stream paths: ``*`` is one segment, ``**`` any number of them, also none (Section 6.2)."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator
from typing import Generic, TypeVar

from durable_streams.errors import MalformedField
from durable_streams.protocol.paths import path_named

LONGEST_PATTERN = 1024

_ONE = "*"
_ANY = "**"
_REQUIREMENT = "must be relative to the stream root, and * and ** in it whole segments, as in events/*/log or **"

K = TypeVar("K", bound=Hashable)


def parse_pattern(pattern: str) -> str:
    """The canonical spelling of a pattern. Raises ``MalformedField``."""
    canonical = path_named(pattern)
    segments = canonical.split("/")
    whole = all("*" not in segment or segment in (_ONE, _ANY) for segment in segments)
    if not segments[0] or not whole or len(canonical) > LONGEST_PATTERN:
        raise MalformedField("pattern", f"{_REQUIREMENT}, with at most {LONGEST_PATTERN} characters")
    return canonical


def literal_prefix(pattern: str) -> str:
    """What every matching path begins with."""
    beginning, wildcard, _ = pattern.partition(_ONE)
    return beginning.removesuffix("/") if pattern.startswith(_ANY, len(beginning)) and wildcard else beginning


class _Node(Generic[K]):
    """Where one has got to in some patterns: the ways on, and the keys of the patterns that end here."""

    __slots__ = ("any", "children", "keys", "spans")

    def __init__(self, spans: bool = False) -> None:
        self.spans = spans  # this is a ``**``, which every further segment may prolong
        self.children: dict[str, _Node[K]] = {}
        self.any: _Node[K] | None = None
        self.keys: set[K] = set()


class PatternIndex(Generic[K]):
    """Finds the patterns that match a path by walking along its segments, whatever the number of patterns."""

    def __init__(self) -> None:
        self._root: _Node[K] = _Node()

    def add(self, pattern: str, key: K) -> None:
        """Let ``key`` be found by the paths that ``pattern`` matches."""
        node = self._root
        for segment in _simplified(pattern):
            node = self._grown(node, segment)
        node.keys.add(key)

    def _grown(self, node: _Node[K], segment: str) -> _Node[K]:
        if segment != _ANY:
            return node.children.setdefault(segment, _Node())
        if node.any is None:
            node.any = _Node(spans=True)
        return node.any

    def discard(self, pattern: str, key: K) -> None:
        """Forget that ``key`` had ``pattern``."""
        way = [self._root]
        segments = list(_simplified(pattern))
        for segment in segments:
            following = way[-1].any if segment == _ANY else way[-1].children.get(segment)
            if following is None:
                return
            way.append(following)
        way[-1].keys.discard(key)
        for node, segment in zip(reversed(way[:-1]), reversed(segments), strict=True):
            self._prune(node, segment)

    def _prune(self, node: _Node[K], segment: str) -> None:
        leaf = node.any if segment == _ANY else node.children[segment]
        if leaf is None or leaf.keys or leaf.children or leaf.any:
            return
        if segment == _ANY:
            node.any = None
        else:
            del node.children[segment]

    def matching(self, path: str) -> Collection[K]:
        """The keys of the patterns that match ``path``."""
        reached = _with_empty_spans([self._root])
        for segment in path.split("/"):
            reached = _with_empty_spans(_after(reached, segment))
            if not reached:
                return ()
        return {key for node in reached for key in node.keys}


def _after(reached: Iterable[_Node[K]], segment: str) -> Iterator[_Node[K]]:
    for node in reached:
        if node.spans:
            yield node
        if segment in node.children:
            yield node.children[segment]
        if segment and _ONE in node.children:
            yield node.children[_ONE]


def _with_empty_spans(nodes: Iterable[_Node[K]]) -> set[_Node[K]]:
    """The nodes, and those of a ``**`` right after them, which may stand for nothing."""
    reached = set(nodes)
    reached.update([node.any for node in reached if node.any is not None])
    return reached


def _simplified(pattern: str) -> Iterator[str]:
    """The segments of a pattern; of neighbouring ``**`` one says it all."""
    before = ""
    for segment in pattern.split("/"):
        if not segment == before == _ANY:
            yield segment
        before = segment
