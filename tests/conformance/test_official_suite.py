"""The official suite against the real service."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.official_suite import LONG_POLL_SECONDS, run_official_suite
from tests.running_service import running_service

EXPECTED = 332
CONFIGURATIONS = {
    "memory": ("--storage", "memory"),
}


@pytest.mark.parametrize("options", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
def test_the_service_passes_the_official_suite(options: tuple[str, ...], tmp_path: Path) -> None:
    """Every test of the official suite for the base protocol passes."""
    with running_service("--long-poll-timeout", str(LONG_POLL_SECONDS), *options) as service:
        verdict = run_official_suite(service.origin, tmp_path / "report.json", subscriptions=False)
    assert verdict.failed == {}
    assert len(verdict.passed) == EXPECTED
