"""What a server and its helper processes use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.process_tree import Usage, usage_of_tree

_SAYS_READY_AND_WAITS = "print('ready', flush=True); input()"
_STARTS_A_CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_SAYS_READY_AND_WAITS!r}])"


@contextmanager
def _running(code: str, cwd: Path | None = None) -> Iterator[int]:
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process.pid
        process.communicate("\n")


def test_the_memory_of_a_child_counts() -> None:
    with _running(_SAYS_READY_AND_WAITS) as alone:
        one = usage_of_tree(alone).resident_bytes
    with _running(_STARTS_A_CHILD) as parent:
        two = usage_of_tree(parent).resident_bytes
    assert one > 1_000_000
    assert two > 1.5 * one


def test_processor_time_counts() -> None:
    spends = "import time\nwhile time.process_time() < 0.2: pass\n"
    with _running(spends + _SAYS_READY_AND_WAITS) as pid:
        assert usage_of_tree(pid).cpu_seconds >= 0.1


def test_what_is_sent_to_the_device_counts(tmp_path: Path) -> None:
    writes = "import os; f = open('f', 'wb'); f.write(bytes(1_000_000)); f.flush(); os.fsync(f.fileno())\n"
    with _running(writes + _SAYS_READY_AND_WAITS, tmp_path) as pid:
        written = usage_of_tree(pid).written_bytes
        counted = "write_bytes: 0\n" not in Path(f"/proc/{pid}/io").read_text()
    # Some file systems, such as those in memory, have no device.
    assert written >= 1_000_000 or not counted


def test_a_process_that_has_ended_uses_nothing() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert usage_of_tree(process.pid) == Usage()


def test_this_process_is_part_of_its_own_tree() -> None:
    assert usage_of_tree(os.getpid()).cpu_seconds > 0
