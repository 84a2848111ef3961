"""The official suite against the real service."""

from __future__ import annotations

from pathlib import Path

import pytest

from durable_streams.web.channels import CHANNELS
from tests.certificate import make_certificate
from tests.conformance.official_suite import LONG_POLL_SECONDS, run_official_suite
from tests.running_service import RunningService, running_service

WHOLE_SUITE = 338
OPTIONS = ("--long-poll-timeout", str(LONG_POLL_SECONDS), "--allow-loopback-webhooks")


def check(service: RunningService, report: Path) -> None:
    """Every test of the official suite passes, and none was lost on the way."""
    verdict = run_official_suite(service.origin, report)
    assert not verdict.failed, "\n\n".join(f"{name}\n{message}" for name, message in verdict.failed.items())
    assert (len(verdict.passed), verdict.skipped) == (WHOLE_SUITE, [])


@pytest.mark.timeout(400)
@pytest.mark.parametrize("channel", CHANNELS)
def test_the_suite_passes_on_memory_storage(channel: str, tmp_path: Path) -> None:
    """Streams and subscriptions, all in memory, on each HTTP channel."""
    with running_service("--storage", "memory", "--http-channel", channel, *OPTIONS) as service:
        check(service, tmp_path / "report.json")


@pytest.mark.timeout(400)
def test_the_suite_passes_over_tls(tmp_path: Path) -> None:
    """Section 12.11: the same over HTTPS."""
    certificate, key = make_certificate(tmp_path)
    listen = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
    with running_service("--storage", "memory", *OPTIONS, listen=listen) as service:
        check(service, tmp_path / "report.json")


@pytest.mark.timeout(400)
def test_the_suite_passes_on_what_a_killed_service_has_left(tmp_path: Path) -> None:
    """A restart in the middle: the suite, a kill, and the suite again on the same directory and the other channel."""
    for channel in CHANNELS:
        with running_service("--data-dir", str(tmp_path / "data"), "--http-channel", channel, *OPTIONS) as service:
            check(service, tmp_path / f"{channel}.json")
            service.kill()
