"""Headers and query parameters that a caller adds to every request: values, or callables that are asked each time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable
from typing import Any

RequestField = str | Callable[[], str | Awaitable[str]]
"""A value, or what gives one: at once, by a Deferred, or by a coroutine.

It is asked anew for each attempt, so that a reader which reconnects has a fresh token.
"""

RequestFields = Mapping[str, RequestField]


async def resolve(fields: RequestFields) -> dict[str, str]:
    """The values as they are now. What a callable raises is the caller's own and passes through."""
    return {name: field if isinstance(field, str) else await _ask(field) for name, field in fields.items()}


async def _ask(field: Callable[[], str | Awaitable[str]]) -> str:
    answer: Any = field()
    return await answer if isawaitable(answer) else answer
