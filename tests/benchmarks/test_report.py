"""The tables that a run writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.adapters import ADAPTERS
from benchmarks.metrics import P50, P99, REQUESTS, Figures
from benchmarks.report import BEGIN, END, Setting, report_of, write_report
from benchmarks.results import Results
from benchmarks.trial import Trial
from benchmarks.workload import Workload
from benchmarks.wrong_answer import WrongAnswer


def _not_measured(trial: Trial) -> Figures:
    raise NotImplementedError


_SERVERS = [adapter for adapter in ADAPTERS if adapter.name in ("ours-memory", "node-memory", "node-file")]
_WORKLOAD = Workload("post", "POST", (REQUESTS, P99), _not_measured)
_SETTING = Setting("2030-01-02", "a machine", "the command", 3, {"ours-memory": "1.0"}, {"caddy": "it is not here"})


def _report(results: Results) -> list[str]:
    return report_of(results, [_WORKLOAD], _SERVERS, _SETTING).splitlines()


def test_the_setting_is_told() -> None:
    report = "\n".join(_report(Results()))
    for told in ("2030-01-02", "a machine", "`the command`", "3 rounds", "ours-memory: 1.0", "caddy: left out"):
        assert told in report


def test_a_row_has_medians_spread_and_ratio() -> None:
    results = Results()
    for rate in (9_000.0, 10_000.0, 11_000.0):
        results.add("post", "ours-memory", {REQUESTS: rate})
    results.add("post", "node-memory", {REQUESTS: 5_000.0})
    assert "| POST | requests/s | 10,000 ±10% | 5,000 | **2.00** |" in _report(results)


def test_a_ratio_is_bold_when_ours_is_better_also_where_less_is_better() -> None:
    results = Results()
    results.add("post", "ours-memory", {REQUESTS: 50.0, P99: 1.5})
    results.add("post", "node-memory", {REQUESTS: 100.0, P99: 3.0})
    report = _report(results)
    assert "| POST | requests/s | 50.0 | 100 | 0.50 |" in report
    assert "| POST | p99, ms | 1.50 | 3.00 | **0.50** |" in report


def test_memory_and_durable_servers_have_separate_tables() -> None:
    heads = [line for line in _report(Results()) if line.startswith("| workload")]
    assert heads[0] == "| workload | unit | ours-memory | node-memory | ours-memory ÷ node-memory |"
    assert heads[1] == "| workload | unit | node-file |"


def test_other_figures_stand_in_the_details() -> None:
    results = Results()
    results.add("post", "node-file", {P50: 2.0})
    report = _report(results)
    assert "| POST | p50, ms | - | - | 2.00 |" in report[report.index("### Details") :]


def test_wrong_answers_take_the_place_of_figures() -> None:
    results = Results()
    results.add("post", "node-memory", {REQUESTS: 100.0})
    results.add_wrong("post", "node-memory", WrongAnswer(1_200, "status 500 instead of 204"))
    report = _report(results)
    assert "| POST | requests/s | - | 1,200 wrong | - |" in report
    assert "- node-memory, post: 1200; the first: status 500 instead of 204" in report


def test_the_report_replaces_the_last_one_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_report(page, "new")
    write_report(page, "newer")
    assert page.read_text() == f"before\n{BEGIN}\n\nnewer\n{END}\nafter\n"


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n")
    with pytest.raises(ValueError, match="no marks"):
        write_report(page, "new")
    assert page.read_text() == "before\n"
