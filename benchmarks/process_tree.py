"""What a process and its descendants have used, as Linux counts it below /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """Seconds of processor time and bytes sent to storage devices since the beginning; bytes of memory now."""

    cpu_seconds: float = 0.0
    resident_bytes: int = 0
    written_bytes: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.cpu_seconds + other.cpu_seconds,
            self.resident_bytes + other.resident_bytes,
            self.written_bytes + other.written_bytes,
        )


def usage_of_tree(pid: int) -> Usage:
    """The sum over a process and its living descendants. Of ended ones only the processor time counts."""
    return sum((_usage_of(member) for member in _tree(pid)), Usage())


def _tree(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for pid in [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]:
        fields = _stat_fields(pid)
        if fields:
            children.setdefault(int(fields[1]), []).append(pid)
    members = [root]
    for member in members:
        members.extend(children.get(member, ()))
    return members


def _usage_of(pid: int) -> Usage:
    fields = _stat_fields(pid)
    if not fields:
        return Usage()
    ticks = sum(int(fields[index]) for index in (11, 12, 13, 14))
    return Usage(ticks / _TICKS_PER_SECOND, int(fields[21]) * _PAGE_BYTES, _written_bytes(pid))


def _stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on (field 3 of proc(5)); none when the process has ended."""
    try:
        line = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    # The command's name stands in parentheses and may hold anything.
    return line.rpartition(")")[2].split()


def _written_bytes(pid: int) -> int:
    try:
        lines = (_PROC / str(pid) / "io").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    counts = dict(line.split(": ") for line in lines)
    return int(counts["write_bytes"]) - int(counts["cancelled_write_bytes"])
