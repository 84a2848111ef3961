"""docs/deployment.md: the units are what systemd wants, and a socket that systemd holds is served."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.docs.pages import ROOT, blocks_of

PROGRAMS = Path(sys.executable).parent
UNITS = {block.argument: block.text for block in blocks_of("docs/deployment.md") if block.language == "ini"}


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_no_fault_with_the_unit(name: str, tmp_path: Path) -> None:
    """With the programs of this environment in place of those that the page speaks of."""
    for unit, text in UNITS.items():
        (tmp_path / unit).write_text(text.replace("/opt/durable-streams/.venv/bin", str(PROGRAMS)))
    verified = subprocess.run(["systemd-analyze", "verify", str(tmp_path / name)], capture_output=True, text=True)
    about_it = [line for line in verified.stderr.splitlines() if name in line]
    assert (verified.returncode, about_it) == (0, [])


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="systemd-socket-activate is not installed")
def test_a_socket_from_systemd_is_served(tmp_path: Path) -> None:
    """With the option that the page names."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    twistd = [str(PROGRAMS / "twistd"), "-n", "--pidfile=", "durable-streams", "--data-dir", str(tmp_path / "data")]
    activate = ["systemd-socket-activate", "--fdname=http", "-l", f"127.0.0.1:{port}", f"--setenv=PYTHONPATH={ROOT}"]
    command = [*activate, *twistd, "--listen", "systemd:domain=INET:name=http"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as service:
        try:
            assert _status(f"http://127.0.0.1:{port}/v1/stream/nothing") == 404
        finally:
            service.terminate()


def _status(url: str) -> int:
    """Ask as soon as somebody holds the port; there the question waits until the service is open."""
    give_up = time.monotonic() + 30
    while True:
        try:
            urlopen(url, timeout=30).close()
        except HTTPError as error:
            return error.code
        except OSError:
            assert time.monotonic() < give_up, "nobody listens"
            time.sleep(0.05)
