"""What ``conftest.py`` demands of every test, shown on the examples in ``hygiene_examples.py``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

EXAMPLES = Path(__file__).with_name("hygiene_examples.py")

UNHANDLED = {
    "test_drops_a_failure": "ValueError",
    "test_drops_a_failure_in_a_cycle_older_than_many_objects": "ValueError",
    "test_leaves_a_failure_with_its_fixture": "ValueError",
    "test_raises_in_a_timed_call": "IndexError",
    "test_logs_an_error_of_an_old_library": "ValueError",
}
TIMERS = ["test_leaves_a_timer", "test_leaves_a_timer_in_the_reactor"]
CLEAN = [
    "test_follows_a_leak_but_is_innocent",
    "test_handles_its_failure",
    "test_checks_the_failure_that_it_provokes",
    "test_logs_a_failure_that_the_package_has_dealt_with",
    "test_leaves_a_call_for_the_next_turn",
]


@pytest.fixture(scope="module", params=["default", "asyncio"])
def errors(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Each example that was run, by name, with what pytest found wrong: nothing, or an error's text."""
    report = tmp_path_factory.mktemp("hygiene") / "report.xml"
    pytest_options = ["-p", "no:cacheprovider", f"--reactor={request.param}", f"--junit-xml={report}"]
    command = [sys.executable, "-m", "pytest", *pytest_options, str(EXAMPLES)]
    subprocess.run(command, cwd=EXAMPLES.parent.parent, capture_output=True, check=False)
    examples = ElementTree.parse(report).iter("testcase")
    return {example.attrib["name"]: "".join(found.text or "" for found in example) for example in examples}


def test_every_example_is_judged_here(errors: dict[str, str]) -> None:
    """An example that no test below looks at would prove nothing."""
    assert set(errors) == {*UNHANDLED, *TIMERS, *CLEAN}


@pytest.mark.parametrize(("example", "exception"), UNHANDLED.items())
def test_an_unhandled_failure_is_an_error_of_the_test_that_left_it(
    errors: dict[str, str], example: str, exception: str
) -> None:
    """However the failure came about and whoever held it, its own test fails and shows its traceback."""
    assert "nobody handled" in errors[example]
    assert exception in errors[example]


@pytest.mark.parametrize("example", TIMERS)
def test_a_timer_left_on_the_reactor_is_an_error(errors: dict[str, str], example: str) -> None:
    """The error names the call."""
    assert "still running on the reactor: <DelayedCall" in errors[example]
    assert "print" in errors[example]


@pytest.mark.parametrize("example", CLEAN)
def test_a_test_that_leaves_nothing_passes(errors: dict[str, str], example: str) -> None:
    """Failures that were handled, provoked or logged on purpose, and calls that are due at once, are no leak."""
    assert errors[example] == ""
