"""What a server asks of its process."""

from __future__ import annotations

import subprocess
import sys

import pytest

_FAULTS = """
from collections import deque
from resource import RUSAGE_SELF, getrusage
from durable_streams.process import keep_freed_memory
if {keep}:
    keep_freed_memory()
kept = deque(maxlen=4)
def receive(bodies):
    for _ in range(bodies):
        kept.append(b"".join([bytes(500_000), bytes(500_000)]))
receive(8)
before = getrusage(RUSAGE_SELF).ru_minflt
receive(100)
print(getrusage(RUSAGE_SELF).ru_minflt - before)
"""


def _faults(keep: bool) -> int:
    """How often the system had to give a page while bodies came and went."""
    program = [sys.executable, "-c", _FAULTS.format(keep=keep)]
    return int(subprocess.run(program, check=True, capture_output=True, text=True).stdout)


def test_memory_of_large_bodies_is_used_again() -> None:
    """Bodies of a megabyte that come and go do not get their memory from the system each time."""
    if sys.platform != "linux" or _faults(keep=False) < 1_000:
        pytest.skip("its malloc keeps memory anyway")
    assert _faults(keep=True) < 500
