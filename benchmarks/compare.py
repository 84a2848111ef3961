"""Measure this server beside its peers: ``python -m benchmarks.compare --help``."""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from benchmarks.adapters import ADAPTERS, ROOT, Adapter
from benchmarks.load_generators import LoadGenerators, build_load_generators
from benchmarks.machine import describe_machine
from benchmarks.report import Setting, report_of, write_report
from benchmarks.results import Results
from benchmarks.running_server import ServerDidNotStart, running_server
from benchmarks.samples import OtherSetting, SampleFile
from benchmarks.scale import SCALES
from benchmarks.stream_client import StreamClient
from benchmarks.trial import Trial
from benchmarks.workload import Workload
from benchmarks.workloads import all_workloads
from benchmarks.wrong_answer import WrongAnswer

PAGE = ROOT / "docs" / "benchmarks.md"
_CORES = 2


def main(arguments: Sequence[str]) -> int:
    """Run the comparison.

    Returns 1 when an answer was wrong, 2 when there is nothing to run, 3 when the time was over before the end.
    """
    options = _options(arguments)
    skipped = {adapter.name: lack for adapter in options.servers if (lack := adapter.lack())}
    servers = [adapter for adapter in options.servers if adapter.name not in skipped]
    for name, reason in skipped.items():
        _say(f"{name}: left out, because {reason}")
    if not servers:
        return 2
    cores = _share_cores()
    versions = {adapter.name: adapter.version() for adapter in servers}
    with TemporaryDirectory(dir=options.data_root, prefix="durable-streams-benchmark-") as folder:
        machine = describe_machine(cores, Path(folder))
        samples = _sample_file(options, {"machine": machine, "scale": _scale(options), **versions})
        try:
            results = samples.load() if samples else Results()
        except OtherSetting as other:
            _say(f"{options.samples} is of another run: {other.kept} there, {other.now} here")
            return 2
        is_whole = _measure(options, servers, Path(folder), results, samples)
    if not is_whole:
        _say("the time is over: run the same command again to go on")
        return 3
    command = " ".join(["python -m benchmarks.compare", *arguments])
    setting = Setting(date.today().isoformat(), machine, command, options.rounds, versions, skipped)
    report = report_of(results, options.workloads, servers, setting)
    print(report)
    if options.write:
        write_report(PAGE, report)
    return 1 if results.wrong else 0


def _sample_file(options: argparse.Namespace, setting: dict[str, str]) -> SampleFile | None:
    return SampleFile(options.samples, setting) if options.samples else None


def _scale(options: argparse.Namespace) -> str:
    return f"{options.scale}, {options.seconds} s"


def _measure(
    options: argparse.Namespace,
    servers: Sequence[Adapter],
    folder: Path,
    results: Results,
    samples: SampleFile | None,
) -> bool:
    """Every workload on every server, in turn, A B A B, except what ``results`` has; whether that is all now."""
    programs = folder / "programs"
    build_load_generators(programs)
    over_at = time.monotonic() + options.minutes * 60 if options.minutes else float("inf")
    for workload in options.workloads:
        for turn in range(min(options.rounds, workload.most_rounds)):
            for adapter in servers:
                if results.rounds(workload.name, adapter.name) > turn:
                    continue
                if time.monotonic() >= over_at:
                    return False
                _say(f"{workload.name}, round {turn + 1}, {adapter.name}")
                _measure_once(workload, adapter, folder, programs, options.seconds, results)
                if samples:
                    samples.keep(results)
    return True


def _measure_once(
    workload: Workload, adapter: Adapter, folder: Path, programs: Path, seconds: float, results: Results
) -> None:
    try:
        with running_server(adapter, folder) as server, TemporaryDirectory(dir=folder) as own:
            streams = StreamClient(server.port)
            trial = Trial(server, LoadGenerators(programs, server.port), streams, Path(own), seconds)
            try:
                results.add(workload.name, adapter.name, workload.measure(trial))
            finally:
                streams.close()
    except (WrongAnswer, ServerDidNotStart, OSError) as error:
        wrong = error if isinstance(error, WrongAnswer) else WrongAnswer(1, repr(error))
        _say(f"  wrong: {wrong.reason}")
        results.add_wrong(workload.name, adapter.name, wrong)


def _share_cores() -> list[int]:
    """Confine this process, and so the servers and loads that it starts, to the same few cores; allow many files."""
    cores = sorted(os.sched_getaffinity(0))[:_CORES]
    os.sched_setaffinity(0, cores)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return cores


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description="Compare this server with peers.")
    names = ", ".join(adapter.name for adapter in ADAPTERS)
    scale = parser.add_mutually_exclusive_group()
    scale.add_argument("--quick", action="store_const", const="quick", dest="scale", help="about 3 minutes")
    scale.add_argument("--full", action="store_const", const="full", dest="scale", help="an hour or more")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of every workload")
    parser.add_argument("--seconds", type=float, metavar="S", help="length of a measurement")
    parser.add_argument("--only", metavar="PREFIX", help="only workloads whose names begin so")
    parser.add_argument("--servers", metavar="NAMES", help=f"with commas between them; all: {names}")
    parser.add_argument("--data-root", metavar="FOLDER", default=gettempdir(), help="where servers keep their data")
    parser.add_argument(
        "--samples", metavar="FILE", type=Path, help="keep samples there, and measure only what it lacks"
    )
    parser.add_argument("--minutes", type=float, metavar="M", help="begin no measurement later; needs --samples")
    parser.add_argument("--write", action="store_true", help=f"write the tables into {PAGE.relative_to(ROOT)}")
    parser.set_defaults(scale="usual")
    options = parser.parse_args(arguments)
    if options.write and options.only:
        parser.error("--write needs all workloads")
    if options.minutes and not options.samples:
        parser.error("--minutes needs --samples, or what was measured is lost")
    return _completed(options, parser)


def _completed(options: argparse.Namespace, parser: argparse.ArgumentParser) -> argparse.Namespace:
    scale = SCALES[options.scale]
    options.rounds = options.rounds or scale.rounds
    options.seconds = options.seconds or scale.seconds
    options.workloads = [each for each in all_workloads(scale) if each.name.startswith(options.only or "")]
    try:
        options.servers = list(_chosen(options.servers))
    except KeyError as error:
        parser.error(f"there is no server {error}")
    return options


def _chosen(names: str | None) -> Iterator[Adapter]:
    by_name = {adapter.name: adapter for adapter in ADAPTERS}
    for name in names.split(",") if names else by_name:
        yield by_name[name]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
