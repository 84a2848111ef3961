"""Offsets that outlive a program (Section 8)."""

from __future__ import annotations

from pathlib import Path

import pytest

from durable_streams.client import FileOffsetStore
from tests.client.outcomes import error_of, result_of

URL = "http://h/v1/stream/" + "long/" * 200


def test_an_offset_survives_the_program(tmp_path: Path) -> None:
    """Another store on the same directory has it; a URL may be longer than a file's name."""
    store = FileOffsetStore(tmp_path / "made" / "when needed")
    assert result_of(store.load(URL)) is None
    result_of(store.save(URL, "0_1"))
    result_of(store.save(URL, "0_2"))
    assert result_of(FileOffsetStore(tmp_path / "made" / "when needed").load(URL)) == "0_2"


def test_keys_do_not_mix(tmp_path: Path) -> None:
    """Each has a file of its own."""
    store = FileOffsetStore(tmp_path)
    result_of(store.save("a", "1"))
    result_of(store.save("b", "2"))
    assert (result_of(store.load("a")), result_of(store.load("b"))) == ("1", "2")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_file_that_is_no_offset_is_named(tmp_path: Path) -> None:
    """Beginning anew without a word would read everything again."""
    store = FileOffsetStore(tmp_path)
    result_of(store.save("a", "1"))
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"\x00\x00")
    assert str(file) in str(error_of(store.load("a"), ValueError))


def test_a_directory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """The reading that asked for it ends."""
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    error_of(FileOffsetStore(blocked).save("a", "1"), OSError)
    error_of(FileOffsetStore(blocked).load("a"), OSError)


@pytest.mark.parametrize("crash", ["before", "after"])
def test_a_crash_leaves_the_old_offset_or_the_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash: str) -> None:
    """A file is replaced whole."""
    store = FileOffsetStore(tmp_path)
    result_of(store.save("a", "old"))
    replace = Path.replace

    def crashing(self: Path, target: Path) -> Path:
        if crash == "after":
            replace(self, target)
        raise OSError("the machine went down")

    monkeypatch.setattr(Path, "replace", crashing)
    error_of(store.save("a", "new"), OSError)
    assert result_of(store.load("a")) == {"before": "old", "after": "new"}[crash]
