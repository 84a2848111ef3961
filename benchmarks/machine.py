"""Where a run took place."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def describe_machine(cores: list[int], data: Path) -> str:
    """Processor, cores used, memory, system, and the file system below a folder, in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{_processor()}, {len(cores)} of {os.cpu_count()} cores, {memory:.0f} GiB of memory, "
        f"{platform.system()} {platform.release().partition('-')[0]}, data on {_file_system(data)}"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return " ".join(line.partition(":")[2].split())
    return platform.machine()


def _file_system(folder: Path) -> str:
    """The type of the file system that is mounted closest above the folder."""
    resolved = folder.resolve()
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    above = [(len(point), kind) for point, kind in mounts if resolved.is_relative_to(point)]
    return max(above)[1]
