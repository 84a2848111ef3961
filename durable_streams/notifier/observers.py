"""Those who are told what happened to streams, in this process and in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from durable_streams.interfaces import IStreamObserver
from durable_streams.protocol.commands import Append, Command, Create

_log = Logger()


class StreamObservers:
    """Tells each ``IStreamObserver`` of commands that have become durable."""

    def __init__(self) -> None:
        self._observers: list[IStreamObserver] = []

    def add(self, observer: IStreamObserver) -> Callable[[], None]:
        """Tell ``observer`` from now on; returns what ends that, and may be called again without effect."""
        self._observers = [*self._observers, observer]
        return lambda: self._discard(observer)

    def _discard(self, observer: IStreamObserver) -> None:
        self._observers = [other for other in self._observers if other is not observer]

    def performed(self, command: Command, result: Any) -> None:
        """A command has become durable, with that result."""
        if type(command) is Append:
            self._tell_all("stream_appended", command.path, result)
        elif type(command) is Create:
            self._tell_all("stream_created", command, result.stream)
        else:
            self._tell_all("stream_deleted", command.path)

    def expired(self, path: str) -> None:
        """A stream at ``path`` has expired."""
        self._tell_all("stream_expired", path)

    def _tell_all(self, member: str, *what: Any) -> None:
        """Call a member of each observer; by its name, for a function made for every append would cost more."""
        for observer in self._observers:
            try:
                getattr(observer, member)(*what)
            except Exception:
                _log.failure("an observer of streams failed")
