"""All workloads, in the order of the table."""

from __future__ import annotations

from benchmarks.scale import Scale
from benchmarks.workload import Workload
from benchmarks.workloads.catch_up import catch_up_workloads
from benchmarks.workloads.live import live_workloads
from benchmarks.workloads.requests import request_workloads
from benchmarks.workloads.sizes import size_workloads


def all_workloads(scale: Scale) -> list[Workload]:
    """The workloads of a run of this scale."""
    return [*request_workloads(), *catch_up_workloads(scale), *live_workloads(scale), *size_workloads(scale)]
