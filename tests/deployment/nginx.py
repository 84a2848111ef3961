"""A real nginx with the configuration of docs/deployment.md in front of a service."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.pages import blocks_of
from tests.running_service import RunningService

# Debian keeps it out of the path of ordinary users.
_PROGRAM = shutil.which("nginx", path=os.environ["PATH"] + os.pathsep + "/usr/sbin")
needs_nginx = pytest.mark.skipif(_PROGRAM is None, reason="nginx is not installed")

_MAIN = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    log_format origin '$request_method $request_uri $status $upstream_status';
    access_log {folder}/access.log origin;
    {temporary_folders}
    include {folder}/streams.conf;
}}
"""
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Nginx:
    """A running nginx; ``origin`` is its scheme, host and port."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self.origin = f"http://127.0.0.1:{port}"

    def requests_to_the_service(self) -> list[str]:
        """Method, target, status and the service's status of each request that nginx did not answer by itself."""
        lines = (self._folder / "access.log").read_text().splitlines()
        return [line for line in lines if not line.endswith(" -")]


@contextmanager
def nginx_before(service: RunningService, folder: Path) -> Iterator[Nginx]:
    """nginx as docs/deployment.md writes it, but on a free port and with its files in ``folder``."""
    assert _PROGRAM is not None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    written = next(block.text for block in blocks_of("docs/deployment.md") if block.language == "nginx")
    served = written.replace("127.0.0.1:4437", service.origin.removeprefix("http://"))
    served = re.sub(r"listen 80;", f"listen 127.0.0.1:{port} backlog=4096;", served)
    (folder / "streams.conf").write_text(served.replace("/var/cache/nginx/streams", str(folder / "cache")))
    temporary = "\n".join(f"{name}_temp_path {folder}/{name};" for name in _TEMPORARY)
    # Started by root, its workers would be somebody who may not enter this folder.
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_MAIN.format(folder=folder, temporary_folders=temporary, user=user))
    with subprocess.Popen([_PROGRAM, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]) as process:
        try:
            _wait_for(port)
            yield Nginx(folder, port)
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
    raise AssertionError("nginx does not listen")
