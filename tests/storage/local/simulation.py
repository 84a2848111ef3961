"""A seeded life of a local storage: random commands, crashes at any operation, recovery by the real code."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from random import Random
from shutil import rmtree
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from durable_streams.errors import OffsetTrimmed, StreamConflict, StreamError, StreamGone, StreamNotFound
from durable_streams.protocol.commands import Append, Create, Delete, ForkRequest
from durable_streams.protocol.offsets import EARLIEST
from durable_streams.protocol.producers import ProducerClaim
from durable_streams.protocol.retention import NO_LIMITS, Retention
from durable_streams.storage.local.backup import back_up
from durable_streams.storage.local.directory import JOURNAL
from durable_streams.storage.local.segment import segment_name
from durable_streams.storage.local.settings import MIB, LocalSettings
from durable_streams.storage.local.storage import LocalStorage
from durable_streams.storage.local.verification import faults
from tests.short_chunks import short_chunks
from tests.storage.local.lossy_files import LossyFiles, SimulatedCrash
from tests.storage.local.oracle import Expected, Oracle
from tests.storage.local.simulated_workers import ClockWorkers, fold

PATHS = tuple("abcdef")
TYPE = "application/octet-stream"
LARGE = 20_000
"""From this size on data is not copied out of its segment when that is kept, in bytes."""


class Undecidable(Exception):
    """A command, or a removal of an expired stream, waited for room: the oracle does not wait and cannot follow."""


_LATE = StreamNotFound | StreamGone | StreamConflict


class Simulation:
    """One seed. ``run`` raises ``AssertionError`` when the storage is found in a state in which it must not be."""

    def __init__(self, seed: int, directory: Path) -> None:
        self.random = Random(seed)
        self._directory = directory
        self.files = LossyFiles()
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.oracle = Oracle()
        self.sights: list[tuple[str, int, int, bytes]] = []
        self.broken: Failure | None = None
        self.crashes = 0

    def run(self, generations: int, commands: int) -> None:
        for _ in range(generations):
            self._open()
            self._check_recovered()
            self._live(commands)

    # --- life of one process

    def _open(self) -> None:
        self._workers = ClockWorkers(
            self.clock, self.files, lambda: self.random.choice((0.0, 0.01, 0.3)), lambda: self.random.random() < 0.05
        )
        self._workers.large = LARGE
        settings = LocalSettings(
            segment_bytes=600_000,
            hot_bytes=self.random.choice((0, 20_000, 10**9)),
            inline_seconds=self.random.choice((0.0, 1e9)),
            large_batch=self.random.choice((1, 20_000, MIB)),
        )
        self.storage = LocalStorage(self._directory, self.clock, self._workers, settings, lambda _: self.files)
        self._outcome(self.storage.open())
        self.files.upon_read = lambda: None

    def _live(self, commands: int) -> None:
        crash = self.random.random() < 0.9
        if crash:
            self.files.fuse = self.random.randrange(4 * commands)
        try:
            for _ in range(commands):
                self._one_step()
            self._pass_time(2)
            if not crash:
                self._close()
                return
        except SimulatedCrash:
            pass
        self._raise_broken()
        self._crash()

    def _close(self) -> None:
        closed = self.storage.close()
        self._pass_time(1)
        self._outcome(closed)
        self.oracle.acknowledge(len(self.oracle.history) - 1)

    def _crash(self) -> None:
        self.crashes += 1
        for call in list(self.clock.getDelayedCalls()):
            call.cancel()
        for folder in self._workers.folders:
            folder.stop()
        self.storage._base.connection.close()
        self.storage._directory.close()
        if self.random.random() < 0.7:
            self.files.crash(self.random)
        else:
            self._kill()

    def _kill(self) -> None:
        """Only the process ends: the page cache stays, and its checkpointer may be at work for a while."""
        self.files.fuse = None
        waiting = self._workers.folders[-1].waiting if self._workers.folders else []
        if waiting and self.random.random() < 0.7:
            self.files.upon_read = partial(self._fold_late, waiting[0])

    def _fold_late(self, segment: int) -> None:
        if segment_name(segment) in self.files.names():
            fold(self._directory, self.files, segment, LARGE)

    def _pass_time(self, seconds: float) -> None:
        for _ in range(8):
            self.clock.advance(seconds / 8)

    def _outcome(self, answer: Deferred[Any]) -> Any:
        """What a Deferred has fired with; an ``AssertionError`` when it has not fired."""
        outcomes: list[Any] = []
        answer.addBoth(outcomes.append)
        for _ in range(40):
            if outcomes:
                break
            self.clock.advance(0.05)
        assert outcomes, "no answer"
        if isinstance(outcomes[0], Failure):
            outcomes[0].raiseException()
        return outcomes[0]

    # --- commands

    def _one_step(self) -> None:
        kind = self.random.choices(
            (
                self._create,
                self._append,
                self._close_stream,
                self._delete,
                self._read,
                self._wait,
                self._sweep,
                self._fill,
                self._back_up,
            ),
            (6, 40, 3, 5, 10, 12, 4, 3, 0.05),
        )[0]
        kind(self.random.choice(PATHS))

    def _wait(self, _: str) -> None:
        self.clock.advance(self.random.choice((0.0, 0.0, 0.02, 0.5, 7.0)))

    def _sweep_oracle(self) -> None:
        for path in PATHS:
            self.oracle.at(path, self.clock.seconds())

    def _sweep(self, _: str) -> None:
        self._sweep_oracle()
        self.storage.expire().addErrback(lambda _: None)

    def _expect(self, answer: Deferred[Any], accepted: bool, *paths: str) -> None:
        """Follow a command for these paths: the answer must be what the oracle said, and what it rests on must last.

        Some callers have gone away by then: the command happens all the same, but nobody has been told.
        """
        index = self.oracle.record(*paths) if accepted else self.oracle.last_change(*paths)
        is_there = self.random.random() < 0.9

        def succeeded(_: Any) -> None:
            assert accepted, "a command was accepted that must be refused"
            if is_there:
                self.oracle.acknowledge(index)

        def refused(failure: Failure) -> None:
            if accepted and self.oracle.expiries and isinstance(failure.value, _LATE):
                raise Undecidable
            assert not accepted, f"a command was refused: {failure.value!r}"
            assert isinstance(failure.value, StreamError)
            self.oracle.acknowledge(index)

        self._watch(answer.addCallbacks(succeeded, refused))

    def _watch(self, answer: Deferred[Any]) -> None:
        def broken(failure: Failure) -> None:
            self.broken = failure

        answer.addErrback(broken)
        self._raise_broken()

    def _raise_broken(self) -> None:
        if self.broken is not None:
            self.broken.raiseException()

    def _create(self, path: str) -> None:
        random, oracle, now = self.random, self.oracle, self.clock.seconds()
        existing = oracle.at(path, now)
        source_path = random.choice(PATHS) if random.random() < 0.5 else None
        source = oracle.at(source_path, now) if source_path else None
        existing = oracle.at(path, now)
        body = random.randbytes(random.choice((0, 10, 3000)))
        expires_at = now + random.choice((1, 5, 30)) if random.random() < 0.3 else None
        request = None
        created = Expected(retention=self._policy())
        forgotten = False
        if source_path is not None:
            anchor = random.randrange(len(source.content) + 1) if source else 0
            request = ForkRequest(source_path, anchor)
            created.content = source.content[:anchor] if source else b""
            earliest = source.earliest_at(now) if source else 0
            created.inherited = min(earliest, anchor)
            forgotten = 0 < anchor < earliest
        created.append(body, now)
        retention = None if created.retention is NO_LIMITS else created.retention
        command = Create(path, TYPE, None, expires_at, False, body, request, retention)
        concerned = (path,) if source_path is None else (path, source_path)
        forkable = source_path is None or (source is not None and not source.deleted and not forgotten)
        accepted = existing is None and forkable
        if source is not None and source.expires_at is not None and expires_at is None:
            expires_at = source.expires_at
        created.expires_at = expires_at
        if existing is None and accepted:
            oracle.create(path, created, source_path)
        if existing is not None and not existing.deleted:
            self.storage.create(command).addErrback(lambda failure: failure.trap(StreamError) and None)
            return
        is_timed = retention is not None or (source is not None and source.retention.max_age is not None)
        self._expect(self.storage.create(command), accepted, *concerned)
        self._check_was_decided(path, created, accepted and is_timed)

    def _policy(self) -> Retention:
        random = self.random
        if random.random() < 0.4:
            return NO_LIMITS
        return Retention(
            random.choice((None, None, 1, 5, 30)),
            random.choice((None, 1, 3, 10)),
            random.choice((None, None, 2000, 60_000)),
        )

    def _check_was_decided(self, path: str, stream: Expected, is_timed: bool) -> None:
        """The time of an append or a fork that has to wait is not what the oracle thinks."""
        if not is_timed:
            return
        hot = self.storage._residents.find(path)
        if hot is None or hot.stream.tail != len(stream.content):
            raise Undecidable

    def _append(self, path: str) -> None:
        random = self.random
        stream = self._open_stream(path)
        closed = self.oracle.at(path, self.clock.seconds())
        body = random.randbytes(random.choice((1, 7, 100, 5000, 40_000)))
        claim = self._claim(closed) if random.random() < 0.5 else None
        sequence = f"{random.randrange(50):03d}" if random.random() < 0.1 else None
        command = Append(path, body, TYPE, sequence, claim, random.random() < 0.03)
        accepted = False
        ended = closed is not None and not closed.deleted and closed.closed
        if ended and closed is not None and claim is not None and claim == closed.closed_by:
            self._expect_no_change(self.storage.append(command), path)
            return
        if stream is not None:
            known = (0, -1) if claim is None else stream.producers.get(claim.producer_id, (0, -1))
            if claim is not None and known >= (claim.epoch, claim.seq):
                self._expect_no_change(self.storage.append(command), path)
                return
            if sequence is None or stream.stream_seq is None or sequence > stream.stream_seq:
                accepted = True
                self._apply_append(stream, command)
        self._expect(self.storage.append(command), accepted, path)
        if stream is not None:
            self._check_was_decided(path, stream, accepted and stream.retention.max_age is not None)
        if random.random() < 0.3:
            self._read(path)

    def _fill(self, path: str) -> None:
        """Append until the journal has gone on to the next segment, or to the one after that, slowly enough to wait
        for no room.
        """
        for _ in range(self.random.randrange(40)):
            stream = self._open_stream(path)
            if stream is None or stream.retention.max_age is not None:
                return
            command = Append(path, self.random.randbytes(40_000), TYPE)
            self._apply_append(stream, command)
            self._expect(self.storage.append(command), True, path)
            self.clock.advance(self.random.choice((0.0, 0.3)))

    def _back_up(self, _: str) -> None:
        """What a backup copies must be sound at any moment."""
        journal, copy = self._directory / JOURNAL, self._directory / "copy"
        journal.mkdir()
        for name in self.files.names():
            (journal / name).write_bytes(self.files.read(name))
        back_up(self._directory, copy)
        assert not (found := list(faults(copy))), found
        rmtree(journal)
        rmtree(copy)

    def _expect_no_change(self, answer: Deferred[Any], path: str) -> None:
        """A duplicate: accepted, but only once what it repeats is durable."""
        index = self.oracle.last_change(path)

        def succeeded(result: Any) -> None:
            assert result.duplicate
            self.oracle.acknowledge(index)

        self._watch(answer.addCallback(succeeded))

    def _claim(self, stream: Expected | None) -> ProducerClaim:
        name = self.random.choice(("p", "q"))
        epoch, last = (0, -1) if stream is None else stream.producers.get(name, (0, -1))
        if last >= 0 and self.random.random() < 0.2:
            return ProducerClaim(name, epoch, last)
        if self.random.random() < 0.1:
            return ProducerClaim(name, epoch + 1, 0)
        return ProducerClaim(name, epoch, last + 1)

    def _apply_append(self, stream: Expected, command: Append) -> None:
        stream.append(command.body, self.clock.seconds())
        if command.producer is not None:
            stream.producers[command.producer.producer_id] = (command.producer.epoch, command.producer.seq)
        stream.stream_seq = command.stream_seq or stream.stream_seq
        stream.closed = command.close
        stream.closed_by = command.producer if command.close else None

    def _open_stream(self, path: str) -> Expected | None:
        stream = self.oracle.at(path, self.clock.seconds())
        return None if stream is None or stream.deleted or stream.closed else stream

    def _close_stream(self, path: str) -> None:
        stream = self.oracle.at(path, self.clock.seconds())
        accepted = stream is not None and not stream.deleted
        if accepted and stream is not None:
            if stream.closed:
                self._expect_no_change(self.storage.append(Append(path, close=True)), path)
                return
            stream.closed = True
        self._expect(self.storage.append(Append(path, close=True)), accepted, path)

    def _delete(self, path: str) -> None:
        stream = self.oracle.at(path, self.clock.seconds())
        accepted = stream is not None and not stream.deleted
        if accepted:
            self.oracle.delete(path)
        self._expect(self.storage.delete(Delete(path)), accepted, path)

    def _read(self, path: str) -> None:
        """Remember what a reader sees: a crash must not take it back."""

        def seen(found: Any) -> None:
            self.sights.append((path, found.stream.stream_id, found.start, found.data))

        stream = self.oracle.at(path, self.clock.seconds())
        if path in self.storage._unsettled.paths and (stream is None or stream.expires_at is not None):
            return  # it would wait, and then notice an expiry at a time that the oracle does not know
        answer = self.storage.read(path, EARLIEST, 10**9).addCallback(seen)
        self._watch(answer.addErrback(lambda failure: failure.trap(StreamNotFound, StreamGone) and None))

    # --- after a crash

    def _check_recovered(self) -> None:
        """The storage must be in one of the possible states, whole: nothing acknowledged lost, nothing half done."""
        residents = self.storage._residents
        budget, residents._budget = residents._budget, 10**12
        for path in PATHS:
            self._observe(path)  # a look removes what has expired, in whatever order the deadlines are noticed
        noticed = self.clock.seconds()
        observed, times = {}, {}
        for path in PATHS:
            observed[path] = self._observe(path)
            times[path] = self.clock.seconds()
        residents._budget = budget
        differing = []
        for index in reversed(self.oracle.possible()):
            expected = self._expected(index, noticed, times)
            if observed == expected:
                self.oracle.settle_on(index)
                self._sweep_oracle()
                return
            for path in PATHS:
                if observed[path] != expected[path]:
                    differing.append(f"state {index}, {path}: {brief(observed[path])}, not {brief(expected[path])}")
        raise AssertionError("recovered in none of the possible states:\n" + "\n".join(differing))

    def _observe(self, path: str) -> Any:
        try:
            found = self._outcome(self.storage.describe(path))
        except (StreamNotFound, StreamGone) as gone:
            return type(gone)
        content, position = b"", found.earliest
        while position < found.tail:
            try:
                part = self._outcome(self.storage.read(path, position, 100_000)).data
            except OffsetTrimmed:
                return self._observe(path)
            assert part, f"{path} ends at {position} of {found.tail}"
            content += part
            position += len(part)
        for seen_path, stream_id, start, data in self.sights:
            if (seen_path, stream_id) == (path, found.stream_id):
                assert start <= found.earliest, f"{path} begins at {found.earliest} again, after {start}"
                left = data[found.earliest - start :]
                assert content.startswith(left), f"a reader of {path} has seen bytes that are lost"
        hot = self.storage._residents.find(path)
        assert hot is not None
        producers = {name: (state.epoch, state.last_seq) for name, state in hot.stream.producers.items()}
        limits = (found.retention or NO_LIMITS).limits
        return (content, found.earliest, found.closed, producers, hot.stream.stream_seq, found.expires_at, limits)

    def _expected(self, index: int, noticed: float, times: dict[str, float]) -> dict[str, Any]:
        """What looking at each path at its time must show, if the storage is in that state.

        ``noticed`` is when all had been looked at before, and what had expired was removed.
        """
        then = Oracle()
        then.streams, then.paths = deepcopy(self.oracle.history[index][0]), dict(self.oracle.history[index][1])
        for path in PATHS:
            then.at(path, noticed)
        expected: dict[str, Any] = {}
        for path in PATHS:
            stream = then.at(path, times[path])
            if stream is None or stream.deleted:
                expected[path] = StreamNotFound if stream is None else StreamGone
            else:
                earliest = stream.earliest_at(times[path])
                expected[path] = (
                    stream.content[earliest:],
                    earliest,
                    stream.closed,
                    stream.producers,
                    stream.stream_seq,
                    stream.expires_at,
                    stream.retention.limits,
                )
        return expected


def brief(state: Any) -> Any:
    """A state with the length of its content in place of the content."""
    return (len(state[0]), *state[1:]) if isinstance(state, tuple) else state


def simulate(seed: int, directory: Path, prepare: Callable[[Simulation], None] = lambda _: None) -> Simulation:
    """Live through one seed: a few generations, in which even the short streams of a simulation have chunks."""
    simulation = Simulation(seed, directory)
    prepare(simulation)
    with short_chunks(2):
        try:
            simulation.run(generations=4, commands=80)
            simulation._open()
            simulation._check_recovered()
            simulation._close()
        except Undecidable:
            simulation._crash()
    return simulation
