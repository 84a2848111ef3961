"""The schema of a SQLite file, by numbered scripts each of which leads to the next version."""

from __future__ import annotations

import sqlite3
from importlib.resources import files


class SchemaTooNew(sqlite3.DatabaseError):
    """The file has a ``version`` that this program does not know."""

    def __init__(self, version: int) -> None:
        super().__init__(f"schema {version} is newer than this program knows")
        self.version = version


def migrate(connection: sqlite3.Connection, package: str) -> None:
    """Run what the file lacks of the scripts in a package's folder ``schema``, each in a transaction of its own.

    Raises ``SchemaTooNew`` and other ``sqlite3.Error``.
    """
    version = connection.execute("pragma user_version").fetchone()[0]
    scripts = sorted(
        (int(entry.name[:4]), entry) for entry in (files(package) / "schema").iterdir() if entry.name.endswith(".sql")
    )
    if version > scripts[-1][0]:
        raise SchemaTooNew(version)
    for number, script in scripts:
        if number > version:
            connection.executescript(f"begin;\n{script.read_text()}\npragma user_version = {number};\ncommit;")
