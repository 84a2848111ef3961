"""The servers that can stand in the comparison: how each is found, installed and started.

To add one, write a class with these five members and put its configurations into ``ADAPTERS``.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from compileall import compile_dir
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from tests.conformance.node import find_node

ROOT = Path(__file__).parent.parent
STREAM_ROOT = "/v1/stream/"
_NODE_SERVER = Path(__file__).parent / "node_server"
_PROBE_SECONDS = 20


class Adapter(Protocol):
    """One server in one configuration."""

    @property
    def name(self) -> str:
        """What ``--servers`` calls it."""

    @property
    def durable(self) -> bool:
        """Whether an acknowledged append survives the loss of power."""

    def lack(self) -> str | None:
        """Why it cannot run on this machine, or None."""

    def version(self) -> str:
        """What is being measured; also makes it ready, so called once before the first start."""

    def command(self, port: int, folder: Path) -> list[str]:
        """Serves streams below ``STREAM_ROOT`` at this port of 127.0.0.1; its data goes into the empty folder."""


@dataclass(frozen=True)
class TwistedServer:
    """This project."""

    name: str
    durable: bool
    options: tuple[str, ...]

    def lack(self) -> str | None:
        return None

    def version(self) -> str:
        # As an installer does it; the setting of this process may keep Python from doing it by itself.
        compile_dir(ROOT / "durable_streams", quiet=1)
        return f"{_commit()}, Python {platform.python_version()}, Twisted {version('twisted')}"

    def command(self, port: int, folder: Path) -> list[str]:
        listen = f"tcp:{port}:interface=127.0.0.1"
        plugin = [sys.executable, "-m", "twisted", "durable-streams", "--listen", listen]
        return [*plugin, "--data-dir", str(folder), *self.options]


@dataclass(frozen=True)
class NodeServer:
    """The reference server, from npm."""

    name: str
    durable: bool

    def lack(self) -> str | None:
        try:
            find_node()
        except LookupError as error:
            return str(error)
        return None

    def version(self) -> str:
        node = find_node()
        if not self._is_installed():
            _output(*node.npm, "ci", "--ignore-scripts", cwd=_NODE_SERVER)
        package = "@durable-streams/server"
        read = f"require('./node_modules/{package}/package.json').version"
        found = _output(*node.node, "--print", read, cwd=_NODE_SERVER)
        return f"{package} {found}, Node.js {_output(*node.node, '--version')}"

    def _is_installed(self) -> bool:
        # npm writes this file when it has finished.
        installed = _NODE_SERVER / "node_modules" / ".package-lock.json"
        pinned = _NODE_SERVER / "package-lock.json"
        return installed.exists() and installed.stat().st_mtime >= pinned.stat().st_mtime

    def command(self, port: int, folder: Path) -> list[str]:
        serve = [*find_node().node, str(_NODE_SERVER / "serve.mjs"), str(port)]
        return [*serve, str(folder)] if self.durable else serve


@dataclass(frozen=True)
class ElectricServer:
    """Electric's server in Rust, the crate ``durable-streams``. It keeps files in both modes, and syncs in one."""

    name: str
    durable: bool

    def lack(self) -> str | None:
        return None if self._program() else "Electric's durable-streams-server is not on the PATH"

    def _program(self) -> str | None:
        # It has no --version; an impossible value makes it name the possible ones.
        return _program("durable-streams-server", ("--durability", "?"), "wal|memory")

    def version(self) -> str:
        return "Electric's durable-streams-server"

    def command(self, port: int, folder: Path) -> list[str]:
        program = self._program()
        assert program is not None
        durability = "wal" if self.durable else "memory"
        return [program, "--port", str(port), "--data-dir", str(folder), "--durability", durability]


@dataclass(frozen=True)
class CaddyServer:
    """The plugin of the Caddy web server."""

    name: str
    durable: bool

    def lack(self) -> str | None:
        return None if self._program() else "no Caddy with the durable_streams module is on the PATH"

    def _program(self) -> str | None:
        module = "http.handlers.durable_streams"
        probe = ("list-modules",)
        return _program("durable-streams-server", probe, module) or _program("caddy", probe, module)

    def version(self) -> str:
        program = self._program()
        assert program is not None
        return f"Caddy {_output(program, 'version')}"

    def command(self, port: int, folder: Path) -> list[str]:
        program = self._program()
        assert program is not None
        configuration = folder / "Caddyfile"
        configuration.write_text(self.configuration(port, folder))
        return [program, "run", "--config", str(configuration), "--adapter", "caddyfile"]

    def configuration(self, port: int, folder: Path) -> str:
        """The Caddyfile."""
        storage = f"data_dir {folder / 'data'}" if self.durable else ""
        return f"""{{
    admin off
    auto_https off
}}
http://:{port} {{
    bind 127.0.0.1
    route {STREAM_ROOT}* {{
        durable_streams {{
            {storage}
        }}
    }}
}}
"""


ADAPTERS: tuple[Adapter, ...] = (
    TwistedServer("ours-memory", False, ("--storage", "memory")),
    TwistedServer("ours-local", True, ("--storage", "local")),
    NodeServer("node-memory", False),
    NodeServer("node-file", True),
    ElectricServer("electric-memory", False),
    ElectricServer("electric-wal", True),
    CaddyServer("caddy-memory", False),
    CaddyServer("caddy-file", True),
)


def _commit() -> str:
    described = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True
    )
    return f"commit {described.stdout.strip()}" if described.returncode == 0 else "no commit"


def _program(name: str, probe: tuple[str, ...], mark: str) -> str | None:
    """The first program of this name on the PATH whose answer to the probe has the mark: two peers share a name."""
    for folder in os.get_exec_path():
        candidate = Path(folder) / name
        if os.access(candidate, os.X_OK) and mark in _answer(str(candidate), *probe):
            return str(candidate)
    return None


def _answer(*command: str) -> str:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout + answer.stderr


def _output(*command: str, cwd: Path | None = None) -> str:
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()
