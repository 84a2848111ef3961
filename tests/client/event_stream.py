"""Event streams as a server writes them (Section 5.8)."""

from __future__ import annotations

from typing import Any


def events(*blocks: str) -> bytes:
    """The bytes of some events."""
    return "".join(f"{block}\n\n" for block in blocks).encode()


def data(text: str) -> str:
    """A data event."""
    return "event: data\n" + "\n".join(f"data: {line}" for line in text.split("\n"))


def control(offset: str, **more: Any) -> str:
    """A control event; further members are JSON text."""
    fields = "".join(f',"{name}":{value}' for name, value in more.items())
    return f'event: control\ndata: {{"streamNextOffset":"{offset}","streamCursor":"7"{fields}}}'


FINAL = control("9", streamClosed="true")
