"""The samples of a run, and what they say together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

from benchmarks.metrics import Figures, Metric
from benchmarks.wrong_answer import WrongAnswer


@dataclass(frozen=True)
class Summary:
    """Several samples of one figure: their median, and half the distance of the extremes as a share of it."""

    median: float
    spread: float


def summary_of(values: Iterable[float]) -> Summary:
    """Of at least one value."""
    ordered = sorted(values)
    middle = median(ordered)
    return Summary(middle, (ordered[-1] - ordered[0]) / 2 / middle if middle else 0.0)


@dataclass
class Results:
    """By workload and server: the figures of every round, and the wrong answers."""

    figures: dict[tuple[str, str], list[Figures]] = field(default_factory=dict)
    wrong: dict[tuple[str, str], list[WrongAnswer]] = field(default_factory=dict)

    def add(self, workload: str, server: str, figures: Figures) -> None:
        self.figures.setdefault((workload, server), []).append(figures)

    def add_wrong(self, workload: str, server: str, wrong: WrongAnswer) -> None:
        self.wrong.setdefault((workload, server), []).append(wrong)

    def rounds(self, workload: str, server: str) -> int:
        """How often a workload has been run, whatever came of it."""
        key = (workload, server)
        return len(self.figures.get(key, ())) + len(self.wrong.get(key, ()))

    def summary(self, workload: str, server: str, metric: Metric) -> Summary | None:
        """None when the server gave no such figure, or a wrong answer in any round."""
        if (workload, server) in self.wrong:
            return None
        rounds = self.figures.get((workload, server), [])
        values = [figures[metric] for figures in rounds if metric in figures]
        return summary_of(values) if values else None

    def wrong_answers(self, workload: str, server: str) -> int:
        return sum(wrong.count for wrong in self.wrong.get((workload, server), ()))

    def ratio(self, workload: str, metric: Metric, ours: str, peer: str) -> float | None:
        """Our median divided by the peer's; None when either has none, or the peer's is 0."""
        mine, theirs = self.summary(workload, ours, metric), self.summary(workload, peer, metric)
        return mine.median / theirs.median if mine and theirs and theirs.median else None
