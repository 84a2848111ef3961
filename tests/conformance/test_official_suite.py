"""The official suite against the real service."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.certificate import make_certificate
from tests.conformance.official_suite import LONG_POLL_SECONDS, run_official_suite
from tests.running_service import running_service

BASE_TESTS = 332
SUBSCRIPTION_TESTS = 6


@dataclass(frozen=True)
class Configuration:
    """Options of the service, and whether the suite tests its subscriptions too."""

    options: tuple[str, ...]
    subscriptions: bool

    @property
    def expected(self) -> tuple[int, int]:
        """How many tests pass and how many the suite leaves out."""
        if self.subscriptions:
            return BASE_TESTS + SUBSCRIPTION_TESTS, 0
        return BASE_TESTS, SUBSCRIPTION_TESTS


CONFIGURATIONS = {
    "memory": Configuration(("--storage", "memory"), subscriptions=False),
}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("configuration", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
def test_the_service_passes_the_official_suite(configuration: Configuration, tmp_path: Path) -> None:
    """Every test of the official suite passes, and none was lost on the way."""
    report = tmp_path / "report.json"
    with running_service("--long-poll-timeout", str(LONG_POLL_SECONDS), *configuration.options) as service:
        verdict = run_official_suite(service.origin, report, subscriptions=configuration.subscriptions)
    assert not verdict.failed, "\n\n".join(f"{name}\n{message}" for name, message in verdict.failed.items())
    assert (len(verdict.passed), len(verdict.skipped)) == configuration.expected


@pytest.mark.timeout(400)
def test_the_suite_passes_over_tls(tmp_path: Path) -> None:
    """Section 12.11: the same over HTTPS."""
    certificate, key = make_certificate(tmp_path)
    listen = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
    with running_service(
        "--long-poll-timeout", str(LONG_POLL_SECONDS), "--storage", "memory", listen=listen
    ) as service:
        verdict = run_official_suite(service.origin, tmp_path / "report.json", subscriptions=False)
    assert verdict.failed == {}
    assert len(verdict.passed) == BASE_TESTS


@pytest.mark.timeout(400)
def test_the_suite_passes_on_what_a_killed_service_has_left(tmp_path: Path) -> None:
    """A restart in the middle: the suite, a kill, and the suite again on the same directory."""
    options = ("--data-dir", str(tmp_path / "data"), "--long-poll-timeout", str(LONG_POLL_SECONDS))
    for run in ("first", "second"):
        with running_service(*options) as service:
            verdict = run_official_suite(service.origin, tmp_path / f"{run}.json", subscriptions=False)
            service.kill()
        assert verdict.failed == {}
        assert len(verdict.passed) == BASE_TESTS
