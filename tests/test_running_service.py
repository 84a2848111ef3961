"""The service as a process, as other tests use it."""

from __future__ import annotations

import signal
from urllib.request import Request, urlopen

import pytest

from tests.running_service import running_service


def test_it_answers_at_the_port_that_the_kernel_chose() -> None:
    """The address is read from the log, so that no port need be guessed."""
    with (
        running_service("--storage", "memory") as service,
        urlopen(Request(f"{service.url}greetings", method="PUT"), timeout=30) as answer,
    ):
        assert answer.status == 201


def test_it_ends_in_an_orderly_way_when_asked() -> None:
    """twistd finishes its main loop, then ends by the same signal, as its supervisor expects."""
    with running_service("--storage", "memory") as service:
        assert service.terminate() == -signal.SIGTERM
        assert "Main loop terminated." in "".join(service.log)


def test_it_can_be_killed() -> None:
    """For tests of what survives that."""
    with running_service("--storage", "memory") as service:
        service.kill()
        assert service.process.returncode == -signal.SIGKILL


def test_a_service_that_cannot_start_says_why() -> None:
    """The caller sees the service's own words."""
    with pytest.raises(AssertionError, match="there is no such storage"), running_service("--storage", "nowhere"):
        pass
