"""Log events as JSON, one object a line, for programs that collect logs."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec
from twisted.logger import ILogObserver, LogEvent, formatEvent
from zope.interface import implementer

_PLAIN = (str, int, float, bool)


@implementer(ILogObserver)
class JsonLines:
    """Writes an event as an object: ``time``, ``level``, ``logger``, ``message``, and the event's own plain fields."""

    def __init__(self, output: TextIO) -> None:
        self._output = output

    def __call__(self, event: LogEvent) -> None:
        self._output.write(msgspec.json.encode(line_of(event)).decode() + "\n")
        self._output.flush()


def line_of(event: LogEvent) -> dict[str, Any]:
    """What is written of an event."""
    line: dict[str, Any] = {
        "time": datetime.fromtimestamp(event["log_time"], UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z"),
        "level": event["log_level"].name,
        "logger": event.get("log_namespace", "-"),
        "message": formatEvent(event),
    }
    for name, value in event.items():
        if not name.startswith("log_") and name not in line and isinstance(value, _PLAIN):
            line[name] = value
    if event.get("log_failure") is not None:
        line["traceback"] = event["log_failure"].getTraceback()
    return line


def json_lines() -> JsonLines:
    """An observer for ``twistd --logger``: to standard output."""
    return JsonLines(sys.stdout)
