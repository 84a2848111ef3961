"""The one command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import compare
from benchmarks.adapters import ROOT
from benchmarks.report import BEGIN, END
from benchmarks.scale import SCALES
from benchmarks.workloads import all_workloads
from tests.benchmarks import tiny_server
from tests.benchmarks.tiny_server import LOSES


class TinyAdapter:
    """The tiny server in the place of ours."""

    durable = False

    def __init__(self, name: str, *fault: str, lack: str | None = None) -> None:
        self.name = name
        self._fault = fault
        self._lack = lack

    def lack(self) -> str | None:
        return self._lack

    def version(self) -> str:
        return "tiny"

    def command(self, port: int, folder: Path) -> list[str]:
        return [sys.executable, str(tiny_server.__file__), str(port), *self._fault]


@pytest.fixture
def page(programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page for the report; the tests' own process keeps its cores."""
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    monkeypatch.setattr(compare, "PAGE", page)
    monkeypatch.setattr(compare, "ROOT", tmp_path)
    monkeypatch.setattr(compare, "_share_cores", lambda: [0])
    return page


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str, servers: tuple[TinyAdapter, ...]) -> int:
    monkeypatch.setattr(compare, "ADAPTERS", servers)
    return compare.main(["--quick", "--seconds", "0.1", *arguments])


def test_right_answers_make_a_table(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    servers = (TinyAdapter("ours-tiny"), TinyAdapter("peer"), TinyAdapter("absent", lack="nobody built it"))
    assert _run(monkeypatch, "--only", "post-1c-1s", servers=servers) == 0
    said = capsys.readouterr().out
    assert "| workload | unit | ours-tiny | peer | ours-tiny ÷ peer |" in said
    assert "absent: left out, because nobody built it" in said
    assert "None: every status" in said


def test_wrong_answers_fail_the_run(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    servers = (TinyAdapter("ours-tiny"), TinyAdapter("peer", LOSES))
    assert _run(monkeypatch, "--only", "post-1c-1s", servers=servers) == 1
    assert "- peer, post-1c-1s: 1; the first: 0 appends are there instead of" in capsys.readouterr().out


def test_without_a_server_there_is_nothing_to_run(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _run(monkeypatch, servers=(TinyAdapter("absent", lack="nobody built it"),)) == 2


def test_the_page_is_written_only_from_all_workloads(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        _run(monkeypatch, "--write", "--only", "head", servers=(TinyAdapter("ours-tiny"),))
    assert "--write needs all workloads" in capsys.readouterr().err


def test_an_unknown_server_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        compare.main(["--servers", "ours-memory,unheard-of"])
    assert "there is no server 'unheard-of'" in capsys.readouterr().err


@pytest.mark.parametrize("scale", list(SCALES))
def test_every_workload_has_its_own_name_and_title(scale: str) -> None:
    workloads = all_workloads(SCALES[scale])
    assert len({workload.name for workload in workloads}) == len(workloads)
    assert len({workload.title for workload in workloads}) == len(workloads)


def test_the_command_measures_this_project(programs: Path) -> None:
    arguments = ["--quick", "--seconds", "0.2", "--servers", "ours-memory", "--only", "head"]
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.compare", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert "| HEAD, 32 connections | requests/s |" in ran.stdout


def test_a_run_in_parts_goes_on_where_it_stopped(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the file has is not measured again, and is in the table."""
    servers = (TinyAdapter("ours-tiny"), TinyAdapter("peer"))
    parts = ("--samples", str(tmp_path / "samples"), "--only", "post-1c-1s")
    assert _run(monkeypatch, *parts, "--minutes", "0.0001", servers=servers) == 3
    capsys.readouterr()
    assert _run(monkeypatch, *parts, servers=servers) == 0
    whole = capsys.readouterr()
    assert "round 1, peer" in whole.err
    assert _run(monkeypatch, *parts, servers=servers) == 0
    again = capsys.readouterr()
    assert "round 1" not in again.err
    assert again.out == whole.out


def test_wrong_answers_of_an_earlier_part_are_not_forgotten(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = ("--samples", str(tmp_path / "samples"), "--only", "post-1c-1s")
    servers = (TinyAdapter("ours-tiny"), TinyAdapter("peer", LOSES))
    assert [_run(monkeypatch, *parts, servers=servers) for _ in range(2)] == [1, 1]
    assert capsys.readouterr().out.count("- peer, post-1c-1s: 1; the first: 0 appends are there") == 2


def test_samples_of_another_version_are_not_mixed_in(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = TinyAdapter("ours-tiny")
    parts = ("--samples", str(tmp_path / "samples"), "--only", "post-1c-1s")
    assert _run(monkeypatch, *parts, servers=(server,)) == 0
    monkeypatch.setattr(TinyAdapter, "version", lambda self: "tinier")
    assert _run(monkeypatch, *parts, servers=(server,)) == 2
    assert "is of another run" in capsys.readouterr().err
