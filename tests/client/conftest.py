"""Fixtures of the client's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from durable_streams.testing import MemoryServer
from tests.client.outcomes import result_of


@pytest.fixture
def server() -> Iterator[MemoryServer]:
    """A server in memory, stopped after the test."""
    server = MemoryServer()
    yield server
    result_of(server.stop())
