"""The official suite against the real service."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

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
    "local": Configuration(("--storage", "local"), subscriptions=False),
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
