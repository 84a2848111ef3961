"""Exactly once, in order, over a server that dies every second."""

from __future__ import annotations

import pytest
import pytest_twisted

from tests.client.soak import soak


@pytest_twisted.ensureDeferred
async def test_every_message_arrives_once_and_in_order(pytestconfig: pytest.Config) -> None:
    """The producer repeats, the server drops what it has, every reader resumes where it was (Sections 5.2.1 and 8)."""
    verdict = await soak("local", pytestconfig.getoption("soak"))
    assert verdict.kills >= 2
    assert verdict.sent > 1000
    assert set(verdict.received.values()) == {verdict.sent}
