"""What the README promises a newcomer: one line from a clone to a running service."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks_of


def clone(folder: Path) -> None:
    """The files of this checkout as a clone would have them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True
    )
    if listed.returncode != 0:
        pytest.skip("this folder is no git checkout, so nobody can tell which files a clone would have")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)


@pytest.mark.timeout(300)
def test_one_line_installs_and_starts_the_service(tmp_path: Path) -> None:
    """As written, but on a free port; it says where it listens, where it keeps the streams, and how safe they are."""
    clone(tmp_path)
    line = next(block.text for block in blocks_of("README.md") if "twistd -n durable-streams" in block.text)
    with subprocess.Popen(
        ["sh", "-c", line.strip() + " --listen tcp:0:interface=127.0.0.1"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")},
        start_new_session=True,
    ) as service:
        assert service.stdout is not None
        said = ""
        for written in service.stdout:
            said += written
            if "listening on" in written:
                break
        os.killpg(service.pid, 15)
        service.stdout.read()
    assert "listening on http://127.0.0.1:" in said, said
    assert "durable-streams-data" in said
