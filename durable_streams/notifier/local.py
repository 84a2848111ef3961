"""Notices within one process."""

from __future__ import annotations

from collections.abc import Callable, Collection

from twisted.logger import Logger
from zope.interface import implementer

from durable_streams.interfaces import INotifier

_log = Logger()


@implementer(INotifier)
class LocalNotifier:
    """Calls the subscribers of a stream at once, in the order in which they came."""

    def __init__(self) -> None:
        self._subscribers: dict[str, dict[object, Callable[[], None]]] = {}

    def notify(self, path: str) -> None:
        subscribers = self._subscribers.get(path)
        if subscribers is None:
            return
        for key, changed in list(subscribers.items()):
            if key in subscribers:
                self._call(path, changed)

    def _call(self, path: str, changed: Callable[[], None]) -> None:
        try:
            changed()
        except Exception:
            _log.failure("a follower of {path} failed", path=path)

    def subscribe(self, path: str, changed: Callable[[], None]) -> Callable[[], None]:
        key = object()
        self._subscribers.setdefault(path, {})[key] = changed

        def end() -> None:
            subscribers = self._subscribers.get(path, {})
            subscribers.pop(key, None)
            if not subscribers:
                self._subscribers.pop(path, None)

        return end

    def followed(self) -> Collection[str]:
        return list(self._subscribers)
