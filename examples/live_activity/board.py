"""What the activity comes to: the newest entries, and how many there were."""

from __future__ import annotations

from collections import deque
from typing import Any

SHOWN = 30


class Board:
    """Is told every message of the stream once, in order, by a listener."""

    def __init__(self) -> None:
        self.newest: deque[dict[str, Any]] = deque(maxlen=SHOWN)
        self.total = 0

    def take(self, messages: list[dict[str, Any]], offset: str) -> None:
        """The callback of the listener; ``offset`` is behind the messages."""
        self.newest.extend(messages)
        self.total += len(messages)
