"""Subscriptions on disk: what is kept, who may use the file, and what happens when it fails."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from durable_streams.errors import StorageFailed
from durable_streams.subscriptions.configuration import configuration
from durable_streams.subscriptions.events import (
    DeletionsForgotten,
    Event,
    Key,
    KeyAdded,
    KeyDropped,
    KeyPurpose,
    StreamLinked,
    StreamUnlinked,
    SubscriptionDefined,
    SubscriptionDeleted,
    SubscriptionProgressed,
)
from durable_streams.subscriptions.state import Definition, Link, Progress, Wake
from tests.subscriptions.world import ROOT, KeptStore, World, error_of, result_of, sqlite_store

CONFIGURATION = configuration(type="pull-wake", pattern="events/*", wake_stream="wake/pool", description="ä")
DEFINED = SubscriptionDefined(Definition("sub", CONFIGURATION, ROOT, 1.5))
PROGRESSED = SubscriptionProgressed("sub", Progress(7, Wake("w_1", "events/a", "me", 30.5, True), 2, 99.25))
LINKED = StreamLinked("sub", "events/a", Link(True, False, 1_800_000_000_000_000, 42))
KEY = KeyAdded(Key("k", KeyPurpose.TOKEN, b"s" * 32, 3.0))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "subscriptions.sqlite"


def kept_after(path: Path, *events: Event) -> list[Event]:
    """What a store gives back after events were saved and it was closed and opened again."""
    for saved in (events, ()):
        store = sqlite_store(path)
        found: Sequence[Event] = result_of(store.open())
        result_of(store.save(saved))
        result_of(store.close())
    return list(found)


def test_everything_comes_back(path: Path) -> None:
    """6.1, 7.3: definitions, progress with its wake and retry time, cursors, and keys."""
    assert kept_after(path, DEFINED, PROGRESSED, LINKED, KEY) == [DEFINED, PROGRESSED, LINKED, KEY]


def test_what_is_taken_back_is_gone(path: Path) -> None:
    """6.3, 6.4: of a deleted subscription only its last generation is left, and that not for ever."""
    kept_after(path, DEFINED, PROGRESSED, LINKED, KEY)
    assert kept_after(path, StreamUnlinked("sub", "events/a"), KeyDropped("k")) == [DEFINED, PROGRESSED]
    deleted = SubscriptionDeleted("sub", 7, 10.0)
    assert kept_after(path, deleted) == [deleted]
    assert kept_after(path, DeletionsForgotten(10.0)) == [deleted]
    assert kept_after(path, DeletionsForgotten(10.5)) == []


def test_the_file_is_for_its_owner_alone(path: Path) -> None:
    """6.5: private keys are kept secret."""
    store = sqlite_store(path)
    result_of(store.open())
    result_of(store.save([KEY]))
    assert {entry.stat().st_mode & 0o077 for entry in path.parent.iterdir()} == {0}
    result_of(store.close())


def test_a_second_service_is_refused_but_not_a_reader(path: Path) -> None:
    """Two would deliver everything twice; a backup only reads."""
    store = sqlite_store(path)
    result_of(store.open())
    result_of(store.save([DEFINED]))
    assert "another service" in error_of(sqlite_store(path).open(), StorageFailed).reason
    with sqlite3.connect(path) as reader:
        assert reader.execute("select count(*) from definitions").fetchone() == (1,)
    reader.close()
    result_of(store.save([PROGRESSED]))
    result_of(store.close())
    assert kept_after(path) == [DEFINED, PROGRESSED]


def test_a_file_that_is_no_store_is_refused(path: Path) -> None:
    """With the file's name."""
    path.parent.mkdir()
    path.write_bytes(b"nonsense" * 1000)
    assert str(path) in error_of(sqlite_store(path).open(), StorageFailed).reason


def test_a_newer_schema_is_refused(path: Path) -> None:
    """Rather than misread."""
    kept_after(path, DEFINED)
    connection = sqlite3.connect(path)
    connection.execute("pragma user_version = 99")
    connection.close()
    assert "newer than this program" in error_of(sqlite_store(path).open(), StorageFailed).reason


def test_a_failed_write_is_final(path: Path) -> None:
    """Nothing after it is acknowledged, for it would stand on what was lost."""
    store = sqlite_store(path)
    result_of(store.open())
    blocker = sqlite3.connect(path)
    blocker.execute("drop table links")
    blocker.close()
    error_of(store.save([DEFINED, LINKED]), StorageFailed)
    error_of(store.save([PROGRESSED]), StorageFailed)
    error_of(store.save([]), StorageFailed)
    result_of(store.close())


def test_a_service_whose_store_fails_says_so_and_delivers_no_more(path: Path) -> None:
    """Streams go on; requests about subscriptions fail, and the service tells why."""
    world = World(sqlite_store(path))
    world.create("events/a")
    world.subscribe("sub")
    blocker = sqlite3.connect(path)
    blocker.execute("drop table progress")
    blocker.close()
    world.append("events/a")
    assert world.receivers.calls == []
    error_of(world.subscriptions.describe("sub"), StorageFailed)
    assert "progress" in (world.subscriptions.failure() or "")
    world.append("events/a")
    world.stop()


def test_old_deletions_are_forgotten(world: World) -> None:
    """Subscriptions that come and go leave nothing behind after two days, by which time their tokens have ended."""
    world.create("events/a")
    for number in range(10):
        world.subscribe(f"sub-{number}")
        result_of(world.subscriptions.delete(f"sub-{number}"))
    roster = world.subscriptions._roster
    world.clock.pump([3600] * 47)
    assert len(roster.graves) == 10
    world.clock.pump([3600] * 2)
    assert roster.graves == {}


def test_cursors_that_are_ahead_of_restored_streams_come_back() -> None:
    """7: streams from an older backup than the cursors: what is appended to them from now on is delivered."""
    store = KeptStore()
    world = World(store)
    world.create("events/a", 1)
    world.subscribe("sub")
    [stream] = result_of(world.streams.list_streams()).streams
    result_of(world.subscriptions.stopService())
    store.events.append(StreamLinked("sub", "events/a", Link(False, True, stream.stream_id, 10**6)))
    world.start(store)
    assert world.acked("sub") == {"events/a": world.tail("events/a")}
    tail = world.append("events/a")
    assert world.receivers.next().tails == {"events/a": tail}
    world.stop()
