"""The official conformance suite for servers, run by vitest against a URL."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conformance.node import PACKAGES, find_node, install_packages

# The suite lets a long-poll run out; a short time makes it quick.
LONG_POLL_SECONDS = 1
# Some of its tests sleep for 4 s, and vitest gives each 5 s unless told otherwise: too few on a busy machine.
TEST_SECONDS = 30
WHOLE_SUITE_SECONDS = 280


@dataclass(frozen=True)
class Verdict:
    """What the suite says: the names of the tests by their outcome, failed ones with their messages."""

    passed: list[str]
    failed: dict[str, str]
    skipped: list[str]


def run_official_suite(base_url: str, report: Path) -> Verdict:
    """Run the suite against ``base_url`` (scheme, host and port); ``report`` is where vitest may write its findings.

    Raises RuntimeError when the suite could not run, or failed outside of its tests.
    """
    node = find_node()
    install_packages(node)
    environment = {
        **os.environ,
        "CONFORMANCE_URL": base_url,
        "CONFORMANCE_LONG_POLL_MS": str(LONG_POLL_SECONDS * 1000),
        # A service under test signs its own certificate.
        "NODE_TLS_REJECT_UNAUTHORIZED": "0",
        "NO_COLOR": "1",
    }
    vitest = [*node.node, str(PACKAGES / "vitest" / "vitest.mjs"), "run", f"--testTimeout={TEST_SECONDS * 1000}"]
    run = subprocess.run(
        [*vitest, "--reporter=json", f"--outputFile={report}", "conformance.test.mjs"],
        cwd=PACKAGES.parent,
        env=environment,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=WHOLE_SUITE_SECONDS,
    )
    if not report.exists():
        raise RuntimeError(f"the official suite did not run:\n{run.stdout}")
    files = json.loads(report.read_text())["testResults"]
    verdict = _verdict([test for file in files for test in file["assertionResults"]])
    if run.returncode != 0 and not verdict.failed:
        messages = "\n".join(file["message"] for file in files)
        raise RuntimeError(f"the official suite failed outside of its tests:\n{messages}\n{run.stdout}")
    return verdict


def _verdict(tests: list[dict[str, Any]]) -> Verdict:
    return Verdict(
        [test["fullName"] for test in tests if test["status"] == "passed"],
        {test["fullName"]: "\n".join(test["failureMessages"]) for test in tests if test["status"] == "failed"},
        [test["fullName"] for test in tests if test["status"] not in ("passed", "failed")],
    )
