"""The comparison as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.adapters import Adapter
from benchmarks.metrics import Metric
from benchmarks.results import Results, Summary
from benchmarks.workload import Workload

BEGIN = "<!-- measured: begin -->"
END = "<!-- measured: end -->"
_OURS = "ours-"
_NOTHING = "-"


@dataclass(frozen=True)
class Setting:
    """What stands above the tables. ``versions`` are by server name; ``skipped`` are reasons by server name."""

    date: str
    machine: str
    command: str
    rounds: int
    versions: dict[str, str]
    skipped: dict[str, str]


def report_of(results: Results, workloads: Sequence[Workload], servers: Sequence[Adapter], setting: Setting) -> str:
    """Setting, one table in memory and one durable, details, and wrong answers."""
    parts = [_setting(setting)]
    for title, durable in (("In memory", False), ("Durable", True)):
        names = [server.name for server in servers if server.durable == durable]
        if names:
            parts += [f"### {title}", _comparison(results, workloads, names)]
    names = [server.name for server in servers]
    parts += ["### Details", _details(results, workloads, names), "### Wrong answers", _wrong(results)]
    return "\n\n".join(parts) + "\n"


def write_report(page: Path, report: str) -> None:
    """Put the report between the two marks of a page. Raises ValueError when they are not there."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no marks for the report")
    page.write_text(f"{before}{BEGIN}\n\n{report}\n{END}{after}")


def _setting(setting: Setting) -> str:
    lines = [
        f"Measured on {setting.date} by `{setting.command}`: medians of {setting.rounds} rounds.",
        "",
        f"- Machine: {setting.machine}",
    ]
    lines += [f"- {name}: {version}" for name, version in setting.versions.items()]
    lines += [f"- {name}: left out, because {reason}" for name, reason in setting.skipped.items()]
    return "\n".join(lines)


def _comparison(results: Results, workloads: Sequence[Workload], servers: Sequence[str]) -> str:
    ours = [name for name in servers if name.startswith(_OURS)]
    peers = [name for name in servers if not name.startswith(_OURS)]
    pairs = [(mine, peer) for mine in ours for peer in peers]
    head = ["workload", "unit", *servers, *(f"{mine} ÷ {peer}" for mine, peer in pairs)]
    rows = []
    for workload in workloads:
        for metric in workload.headline:
            cells = [_cell(results, workload.name, name, metric) for name in servers]
            ratios = [_ratio(results.ratio(workload.name, metric, *pair), metric) for pair in pairs]
            rows.append([workload.title, metric.unit, *cells, *ratios])
    return _table(head, rows, left=2)


def _details(results: Results, workloads: Sequence[Workload], servers: Sequence[str]) -> str:
    rows = []
    for workload in workloads:
        for metric in _other_metrics(results, workload, servers):
            cells = [_cell(results, workload.name, name, metric) for name in servers]
            rows.append([workload.title, metric.unit, *cells])
    return _table(["workload", "unit", *servers], rows, left=2)


def _other_metrics(results: Results, workload: Workload, servers: Sequence[str]) -> list[Metric]:
    found: dict[Metric, None] = {}
    for name in servers:
        for figures in results.figures.get((workload.name, name), ()):
            found |= dict.fromkeys(figures)
    return [metric for metric in found if metric not in workload.headline]


def _wrong(results: Results) -> str:
    if not results.wrong:
        return "None: every status, body, delivery and message was checked."
    lines = []
    for (workload, server), wrong in results.wrong.items():
        lines.append(f"- {server}, {workload}: {sum(each.count for each in wrong)}; the first: {wrong[0].reason}")
    return "\n".join(lines)


def _cell(results: Results, workload: str, server: str, metric: Metric) -> str:
    summary = results.summary(workload, server, metric)
    if summary is not None:
        return _figure(summary)
    wrong = results.wrong_answers(workload, server)
    return f"{wrong:,} wrong" if wrong else _NOTHING


def _figure(summary: Summary) -> str:
    return f"{_number(summary.median)} ±{summary.spread:.0%}" if summary.spread else _number(summary.median)


def _number(value: float) -> str:
    """Three digits that count; whole numbers from 100 on."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _ratio(ratio: float | None, metric: Metric) -> str:
    if ratio is None:
        return _NOTHING
    is_better = ratio >= 1 if metric.more_is_better else ratio <= 1
    return f"**{ratio:.2f}**" if is_better else f"{ratio:.2f}"


def _table(head: list[str], rows: list[list[str]], left: int) -> str:
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))
