"""The schema of the base store, brought up to this version."""

from __future__ import annotations

import sqlite3

from durable_streams import sqlite_schema
from durable_streams.errors import StorageFailed
from durable_streams.sqlite_schema import SchemaTooNew
from durable_streams.storage.local.base import FILE_NAME


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up to this version. Raises ``StorageFailed`` for one from the future."""
    try:
        sqlite_schema.migrate(connection, __package__)
    except SchemaTooNew as newer:
        reason = f"{FILE_NAME} has schema {newer.version}, which is newer than this program knows"
        raise StorageFailed(reason) from None
