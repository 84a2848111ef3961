"""Samples kept in a file, so that a long run can be done in parts and go on where it stopped."""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmarks import metrics
from benchmarks.metrics import Metric
from benchmarks.results import Results
from benchmarks.wrong_answer import WrongAnswer

_METRICS = {metric.unit: metric for metric in vars(metrics).values() if isinstance(metric, Metric)}


class OtherSetting(Exception):
    """The file holds samples of another machine, scale or version: ``kept`` there, ``now`` here."""

    def __init__(self, kept: object, now: object) -> None:
        super().__init__(kept, now)
        self.kept = kept
        self.now = now


class _Sample(msgspec.Struct):
    workload: str
    server: str
    figures: dict[str, float]


class _Wrong(msgspec.Struct):
    workload: str
    server: str
    count: int
    reason: str


class _Kept(msgspec.Struct):
    setting: dict[str, str]
    samples: list[_Sample]
    wrong: list[_Wrong]


class SampleFile:
    """Samples that were all taken in one ``setting``: names and values that tell what was measured, and how."""

    def __init__(self, path: Path, setting: dict[str, str]) -> None:
        self._path = path
        self._setting = setting

    def load(self) -> Results:
        """What is there so far. Raises ``OtherSetting``."""
        results = Results()
        if not self._path.exists():
            return results
        kept = msgspec.json.decode(self._path.read_bytes(), type=_Kept)
        if kept.setting != self._setting:
            raise OtherSetting(kept.setting, self._setting)
        for each in kept.samples:
            figures = {_METRICS[unit]: value for unit, value in each.figures.items()}
            results.add(each.workload, each.server, figures)
        for wrong in kept.wrong:
            results.add_wrong(wrong.workload, wrong.server, WrongAnswer(wrong.count, wrong.reason))
        return results

    def keep(self, results: Results) -> None:
        """Replace the file by all samples of ``results``; it is whole at any moment."""
        samples = [
            _Sample(workload, server, {metric.unit: value for metric, value in figures.items()})
            for (workload, server), rounds in results.figures.items()
            for figures in rounds
        ]
        wrong = [
            _Wrong(workload, server, each.count, each.reason)
            for (workload, server), rounds in results.wrong.items()
            for each in rounds
        ]
        written = self._path.with_name(self._path.name + ".new")
        written.write_bytes(msgspec.json.encode(_Kept(self._setting, samples, wrong)))
        written.replace(self._path)
