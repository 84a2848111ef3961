"""``durable-streams-admin``: what an operator does with a data directory."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from durable_streams.errors import StorageFailed, StreamError, StreamNotFound
from durable_streams.protocol.content_types import Kind, kind_of
from durable_streams.protocol.json_messages import array_of, messages_of, stored_form
from durable_streams.protocol.offsets import EARLIEST
from durable_streams.protocol.retention import NO_LIMITS, Retention
from durable_streams.service import StreamService
from durable_streams.storage.local import LocalStorage, RealWorkers
from durable_streams.storage.local.backup import back_up, restore
from durable_streams.storage.local.directory import DataDirectory
from durable_streams.storage.local.verification import faults, figures
from durable_streams.subscriptions import copies

PIECE = 1024 * 1024


def parser() -> argparse.ArgumentParser:
    """The command line."""
    whole = argparse.ArgumentParser(
        prog="durable-streams-admin", description="Care for a durable-streams data directory."
    )
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, about: str, *arguments: str) -> None:
        one = commands.add_parser(name, help=about, description=about)
        for argument in arguments:
            one.add_argument(argument, type=str if argument == "stream" else Path)

    command("verify", "Check every checksum and invariant. The service must not run.", "directory")
    command("figures", "Show what is there. The service may run.", "directory")
    command("backup", "Copy the directory as it is at one moment. The service may run.", "directory", "destination")
    command("restore", "Make a new data directory from a backup, after checking it.", "backup", "directory")
    command(
        "export",
        "Write a stream with its description to standard output. The service must not run.",
        "directory",
        "stream",
    )
    command(
        "import", "Create a stream from an export on standard input. The service must not run.", "directory", "stream"
    )
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 1 when something is wrong."""
    chosen = parser().parse_args(arguments)
    try:
        return _COMMANDS[chosen.command](chosen)
    except StorageFailed as failure:
        print(failure.reason, file=sys.stderr)
        return 1


def _verify(chosen: argparse.Namespace) -> int:
    directory = DataDirectory(chosen.directory)
    if not chosen.directory.exists():
        raise StorageFailed(f"{chosen.directory} does not exist")
    directory.open()
    found = [*faults(chosen.directory), *copies.faults(chosen.directory)]
    directory.close()
    for fault in found:
        print(fault)
    print("nothing is wrong" if not found else f"{len(found)} faults")
    return 1 if found else 0


def _figures(chosen: argparse.Namespace) -> int:
    for name, value in asdict(figures(chosen.directory)).items():
        print(f"{name.replace('_', ' '):20} {value:>16,}")
    return 0


def _back_up(chosen: argparse.Namespace) -> int:
    subscriptions = copies.Snapshot(chosen.directory)
    back_up(chosen.directory, chosen.destination)
    subscriptions.write(chosen.destination)
    return 0


def _restore(chosen: argparse.Namespace) -> int:
    for fault in copies.faults(chosen.backup):
        raise StorageFailed(f"the backup is damaged: {fault}")
    restore(chosen.backup, chosen.directory)
    copies.restore(chosen.backup, chosen.directory)
    return 0


class Description(msgspec.Struct, rename="camel"):
    """The first line of an export; the stream's bytes follow it, messages of JSON as one array.

    The limits are those of the stream's retention. What it has dropped is not there; on import the messages are new.
    """

    content_type: str
    ttl: int | None
    expires_at: float | None
    closed: bool
    max_age: int | None = None
    max_messages: int | None = None
    max_bytes: int | None = None

    @property
    def retention(self) -> Retention | None:
        limits = Retention(self.max_age, self.max_messages, self.max_bytes)
        return None if limits == NO_LIMITS else limits


async def _export(service: StreamService, stream: str, output: BinaryIO) -> None:
    described = await service.describe(stream)
    limits = (described.retention or NO_LIMITS).limits
    line = Description(described.content_type, described.ttl, described.expires_at, described.closed, *limits)
    output.write(msgspec.json.encode(line) + b"\n")
    is_json = described.kind is Kind.JSON
    position, before = EARLIEST, b"["
    while position < described.tail:
        part = await service.read_at(described.path, position)
        position = part.end
        if is_json:
            output.write(before + array_of(part.data)[1:-1])
            before = b","
        else:
            output.write(part.data)
    if is_json:
        output.write(b"]" if before == b"," else b"[]")


async def _import(service: StreamService, stream: str, source: BinaryIO) -> None:
    line = msgspec.json.decode(source.readline(), type=Description)
    kind = kind_of(line.content_type)
    pieces = list(json_pieces(source.read())) if kind is Kind.JSON else iter(partial(source.read, PIECE), b"")
    try:
        await service.describe(stream)
    except StreamNotFound:
        pass
    else:
        raise StorageFailed(f"there is a stream {stream} already")
    await service.create(
        stream,
        content_type=line.content_type,
        ttl=line.ttl,
        expires_at=line.expires_at,
        retention=line.retention,
    )
    try:
        for piece in pieces:
            await service.append(stream, piece)
        if line.closed:
            await service.close(stream)
    except BaseException:
        await service.delete(stream)
        raise


def json_pieces(array: bytes) -> Iterator[bytes]:
    """The messages of a JSON array as arrays of about a mebibyte. Raises ``InvalidMessages``."""
    messages: list[bytes] = []
    length = 0
    for message in messages_of(stored_form(array)):
        messages.append(message)
        length += len(message)
        if length >= PIECE:
            yield b"[%b]" % b",".join(messages)
            messages, length = [], 0
    if messages:
        yield b"[%b]" % b",".join(messages)


def _with_service(chosen: argparse.Namespace) -> int:
    """Run an export or an import on the directory's own storage."""
    outcome: list[str] = []

    async def run(reactor: Any) -> None:
        service = StreamService(LocalStorage(chosen.directory, reactor, RealWorkers(reactor)), clock=reactor)
        service.startService()
        await service.when_open()
        try:
            if chosen.command == "export":
                await _export(service, chosen.stream, sys.stdout.buffer)
            else:
                await _import(service, chosen.stream, sys.stdin.buffer)
        except (StreamError, msgspec.DecodeError) as error:
            outcome.append(str(error))
        finally:
            await service.stopService()

    async def guarded(reactor: Any) -> None:
        try:
            await run(reactor)
        except StorageFailed as failure:
            outcome.append(failure.reason)

    try:
        react(lambda reactor: Deferred.fromCoroutine(guarded(reactor)))
    except SystemExit as end:
        if end.code:
            return 1
    for reason in outcome:
        print(reason, file=sys.stderr)
    return 1 if outcome else 0


_COMMANDS = {
    "verify": _verify,
    "figures": _figures,
    "backup": _back_up,
    "restore": _restore,
    "export": _with_service,
    "import": _with_service,
}

if __name__ == "__main__":
    sys.exit(main())
