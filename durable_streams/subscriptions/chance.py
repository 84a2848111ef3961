"""Everything random in one place, so that tests can foresee it."""

from __future__ import annotations

from random import uniform
from secrets import token_bytes, token_hex


class Chance:
    """Draws from the machine's random numbers."""

    def jitter(self) -> float:
        """A number from -1 to 1."""
        return uniform(-1.0, 1.0)

    def wake_id(self) -> str:
        """A name that no other wake has."""
        return f"w_{token_hex(12)}"

    def secret(self) -> bytes:
        """The 32 bytes of a key."""
        return token_bytes(32)
