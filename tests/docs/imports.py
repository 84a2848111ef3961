"""What each room of the package, a module or a package right below ``durable_streams``, imports from other rooms."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.docs.pages import ROOT

PACKAGE = ROOT / "durable_streams"
ROOMS = sorted(path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists())


def rooms_needed_by(room: str) -> set[tuple[str, str]]:
    """Pairs of a module in ``room`` and another room that it imports, whether at its top or later."""
    package = PACKAGE / room
    modules = package.rglob("*.py") if package.is_dir() else [package.with_suffix(".py")]
    return {
        (str(module.relative_to(PACKAGE)), other)
        for module in modules
        for node in ast.walk(ast.parse(module.read_text()))
        for other in _rooms_in(node)
        if other != room
    }


def _rooms_in(node: ast.AST) -> Iterator[str]:
    """The rooms that a statement imports from."""
    match node:
        case ast.ImportFrom(module="durable_streams"):
            yield from (alias.name for alias in node.names)
        case ast.ImportFrom(module=str(module)) if module.startswith("durable_streams."):
            yield module.split(".")[1]
        case ast.Import(names=names):
            yield from (alias.name.split(".")[1] for alias in names if alias.name.startswith("durable_streams."))
