"""What the application asks of a provider."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol


class ProviderError(Exception):
    """There is no (whole) answer. The text is for the person who asked, and never holds a secret."""


class Provider(Protocol):
    """Somebody who answers prompts."""

    @property
    def name(self) -> str:
        """The word by which requests choose it."""

    @property
    def label(self) -> str:
        """Its name for people."""

    @property
    def model(self) -> str:
        """What answers."""

    def tokens(self, prompt: str) -> AsyncGenerator[str, None]:
        """The answer, piece by piece, as it comes. Raises ``ProviderError``.

        Close the iterator (``contextlib.aclosing``) to hang up early.
        """
