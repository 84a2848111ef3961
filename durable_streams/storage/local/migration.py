"""The schema of the base store: the scripts in ``schema/``, each of which leads to the next version."""

from __future__ import annotations

import sqlite3
from importlib.resources import files

from durable_streams.errors import StorageFailed
from durable_streams.storage.local.base import FILE_NAME


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up to this version. Raises ``StorageFailed`` for one from the future."""
    version = connection.execute("pragma user_version").fetchone()[0]
    scripts = sorted(
        (int(entry.name[:4]), entry)
        for entry in (files(__package__) / "schema").iterdir()
        if entry.name.endswith(".sql")
    )
    if version > scripts[-1][0]:
        raise StorageFailed(f"{FILE_NAME} has schema {version}, which is newer than this program knows")
    for number, script in scripts:
        if number > version:
            connection.executescript(f"begin;\n{script.read_text()}\npragma user_version = {number};\ncommit;")
