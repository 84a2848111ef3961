"""Medians, spread and ratios."""

from __future__ import annotations

import pytest

from benchmarks.metrics import P99, REQUESTS
from benchmarks.results import Results, Summary, summary_of
from benchmarks.wrong_answer import WrongAnswer


@pytest.mark.parametrize(
    ("values", "summary"),
    [
        ([7.0], Summary(7.0, 0.0)),
        ([30.0, 10.0, 20.0], Summary(20.0, 0.5)),
        ([10.0, 30.0], Summary(20.0, 0.5)),
        ([0.0, 0.0], Summary(0.0, 0.0)),
    ],
)
def test_a_summary_is_the_median_and_half_the_range(values: list[float], summary: Summary) -> None:
    assert summary_of(values) == summary


def test_a_ratio_is_ours_divided_by_the_peers() -> None:
    results = Results()
    for mine, theirs in ((100, 50), (300, 70), (200, 60)):
        results.add("post", "ours", {REQUESTS: mine})
        results.add("post", "peer", {REQUESTS: theirs})
    assert results.ratio("post", REQUESTS, "ours", "peer") == pytest.approx(200 / 60)


def test_there_is_no_ratio_to_a_figure_that_was_not_measured() -> None:
    results = Results()
    results.add("post", "ours", {REQUESTS: 100, P99: 1})
    results.add("post", "peer", {REQUESTS: 100, P99: 0})
    assert results.ratio("post", P99, "ours", "peer") is None
    assert results.ratio("post", REQUESTS, "ours", "other") is None


def test_one_wrong_answer_spoils_all_rounds_of_a_server() -> None:
    results = Results()
    results.add("post", "peer", {REQUESTS: 100})
    results.add_wrong("post", "peer", WrongAnswer(3, "status 500"))
    results.add_wrong("post", "peer", WrongAnswer(4, "status 404"))
    assert results.summary("post", "peer", REQUESTS) is None
    assert results.wrong_answers("post", "peer") == 7
