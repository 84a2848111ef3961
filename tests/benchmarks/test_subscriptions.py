"""The benchmark of subscriptions, small: every figure is there, and what it measures works."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from benchmarks.adapters import ROOT


def test_it_measures_everything(tmp_path: Path) -> None:
    """The figures themselves mean nothing here."""
    small = ("--streams", "50", "--subscriptions", "20", "--wakes", "5", "--rounds", "1", "--seconds", "0.2")
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.subscriptions", *small, "--directory", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    for line in (
        r"20 subscriptions made in [\d.]+ s",
        r"appends/s without [\d,]+ \(p99 [\d.]+ ms\), with [\d,]+ ",
        r"creations/s without [\d,]+ ",
        r"append to wake event, by SSE: p50 [\d.]+ ms",
        r"append to webhook request: p50 [\d.]+ ms",
        r"a subscription to 50 streams made in",
    ):
        assert re.search(line, ran.stdout), ran.stdout
