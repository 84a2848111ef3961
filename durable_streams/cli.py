"""``durable-streams``: streams from the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import uuid4

import click
import msgspec
from click.shell_completion import get_completion_class

from durable_streams.client import (
    Listed,
    LiveMode,
    Metadata,
    OffsetTrimmed,
    OnGap,
    Reading,
    StreamHandle,
    StreamNotFound,
)
from durable_streams.console import STEADFAST, Console, terminal
from durable_streams.protocol.content_types import DEFAULT, Kind, kind_of
from durable_streams.protocol.offsets import BEGINNING, NOW
from durable_streams.standard_input import check_json, messages_of, pieces_of

PROGRAM = "durable-streams"
DEFAULT_URL = "http://127.0.0.1:4437/v1/stream/"
COMPLETION_VARIABLE = "_DURABLE_STREAMS_COMPLETE"
JSON = "application/json"
NOT_JSON = "the data are not what they should be"
PAGE = 1000
_LINE_ENDS_AS_SPACES = bytes.maketrans(b"\r\n", b"  ")


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no such stream,
    4 conflict or closed, 5 not allowed, 6 server not reached, 130 interrupted.

    \b
    Examples:
      export STREAM_URL=http://127.0.0.1:4437/v1/stream/
      durable-streams create chat --json
      durable-streams append chat --json '{"hello": "world"}'
      durable-streams tail -f chat
    """,
)
@click.option("--url", envvar="STREAM_URL", default=DEFAULT_URL, show_default=True, help="Root of the streams.")
@click.option("--auth", envvar="STREAM_AUTH", help="Authorization header, such as 'Bearer TOKEN'.")
@click.version_option(package_name="durable-streams-twisted", prog_name=PROGRAM)
@click.pass_context
def main(context: click.Context, url: str, auth: str | None) -> None:
    """Create, write, read and follow durable streams.

    STREAM is a name below the root, or a whole URL. The root and the Authorization header may also come from the
    environment variables STREAM_URL and STREAM_AUTH.
    """
    if context.obj is None:
        context.obj = terminal(url, auth)


def leave(console: Console, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do the work and end with its exit code."""
    code = console.run(work)
    if code:
        sys.exit(code)


_JUMP = click.option(
    "--jump", is_flag=True, help="Go on with what is left where retention has dropped what comes next."
)


# --- writing


@main.command(
    epilog="""\b
    Examples:
      durable-streams create chat --json
      durable-streams create log --content-type text/plain --ttl 3600
      durable-streams create answer --closed --data 'It is 42.'
    """
)
@click.argument("stream")
@click.option("--content-type", "-t", help=f"Media type of the content. [default: {DEFAULT}]")
@click.option("--json", "-j", "is_json", is_flag=True, help=f"Short for --content-type {JSON}.")
@click.option("--ttl", type=click.IntRange(min=0), metavar="SECONDS", help="Expire when unused for so long.")
@click.option("--expires-at", metavar="TIME", help="Expire then: RFC 3339, such as 2030-01-31T12:00:00Z.")
@click.option("--max-age", type=click.IntRange(min=1), metavar="SECONDS", help="Drop what is so old.")
@click.option("--max-messages", type=click.IntRange(min=1), metavar="COUNT", help="Keep the newest messages only.")
@click.option("--max-bytes", type=click.IntRange(min=1), metavar="COUNT", help="Keep the newest bytes only.")
@click.option("--closed", is_flag=True, help="Create it closed: nothing can follow.")
@click.option("--data", default="", help="First content.")
@click.pass_obj
def create(
    console: Console,
    stream: str,
    content_type: str | None,
    is_json: bool,
    ttl: int | None,
    expires_at: str | None,
    max_age: int | None,
    max_messages: int | None,
    max_bytes: int | None,
    closed: bool,
    data: str,
) -> None:
    """Create STREAM, or confirm that it is there with the same settings. Prints its URL."""

    async def work() -> None:
        handle = console.stream(stream)
        kind = JSON if is_json else content_type
        await handle.create(
            content_type=kind,
            ttl=ttl,
            expires_at=expires_at,
            closed=closed,
            data=data,
            max_age=max_age,
            max_messages=max_messages,
            max_bytes=max_bytes,
        )
        console.write(handle.url.encode() + b"\n")

    leave(console, work)


@main.command(
    epilog="""\b
    Examples:
      durable-streams append log 'one line'
      durable-streams append chat --json '{"text": "hello"}'
      durable-streams append chat --batch-json '[{"n": 1}, {"n": 2}]'
      tail -f access.log | durable-streams append log
      durable-streams read chat | durable-streams append copy
    """
)
@click.argument("stream")
@click.argument("data", required=False)
@click.option("--json", "-j", "is_json", is_flag=True, help="The data are one JSON message; an array stays one.")
@click.option("--batch-json", "-b", is_flag=True, help="The data are a JSON array; each element is a message.")
@click.option("--seq", metavar="TEXT", help="Stream-Seq: refused unless greater than the last one.")
@click.pass_obj
def append(console: Console, stream: str, data: str | None, is_json: bool, batch_json: bool, seq: str | None) -> None:
    """Append DATA, or standard input, to STREAM. Prints the new tail offset.

    Standard input without --json, --batch-json and --seq is appended as it comes, each byte exactly once, also when the
    server restarts meanwhile. To a JSON stream each line is one message, which is what read and tail write.
    """
    if is_json and batch_json:
        raise click.UsageError("--json and --batch-json exclude each other.")

    async def work() -> None:
        handle = console.stream(stream)
        if data is None and not (is_json or batch_json or seq):
            await _append_as_it_comes(console, handle.sibling(handle.url, STEADFAST))
            return
        content = data.encode() if data is not None else await console.input().take_all()
        if is_json:
            content = _one_message(content)
        elif batch_json:
            content = _many_messages(content)
        appended = await handle.append(content, stream_seq=seq)
        console.write(f"{appended.offset}\n".encode())

    leave(console, work)


async def _append_as_it_comes(console: Console, handle: StreamHandle) -> None:
    kind = kind_of((await handle.head()).content_type or DEFAULT)
    standard_input, progress = console.input(), console.progress()
    parts = messages_of(standard_input) if kind is Kind.JSON else pieces_of(standard_input)
    producer = handle.producer(f"{PROGRAM}-{uuid4()}")
    console.on_interrupt = lambda: console.say(f"interrupted after {progress.total - producer.buffered} bytes")
    batch = None
    try:
        async for part in parts:
            await producer.ready()
            batch = producer.append(part)
            progress.add(len(part))
    except ValueError:
        # What came before the line that is no message shall arrive.
        await producer.flush()
        raise
    await producer.flush()
    progress.end()
    if batch is not None:
        console.write(f"{(await batch).offset}\n".encode())


def _one_message(content: bytes) -> bytes:
    """The body that appends one message: in an array, lest an array be taken as many messages."""
    check_json(content, object, NOT_JSON)
    return b"[%b]" % content


def _many_messages(content: bytes) -> bytes:
    check_json(content, list[msgspec.Raw], NOT_JSON)
    return content


@main.command(
    epilog="""\b
    Examples:
      durable-streams close chat
      durable-streams close log 'the last line'
    """
)
@click.argument("stream")
@click.argument("data", default="")
@click.option("--json", "-j", "is_json", is_flag=True, help="The data are one JSON message; an array stays one.")
@click.pass_obj
def close(console: Console, stream: str, data: str, is_json: bool) -> None:
    """Close STREAM, with DATA as its end if given. Prints the final offset."""

    async def work() -> None:
        content = data.encode()
        closed = await console.stream(stream).close(_one_message(content) if is_json else content)
        console.write(f"{closed.offset}\n".encode())

    leave(console, work)


@main.command(
    epilog="""\b
    Example:
      durable-streams delete chat
    """
)
@click.argument("stream")
@click.pass_obj
def delete(console: Console, stream: str) -> None:
    """Delete STREAM and its data."""

    async def work() -> None:
        await console.stream(stream).delete()

    leave(console, work)


@main.command(
    epilog="""\b
    Examples:
      durable-streams fork chat chat-copy
      durable-streams fork chat retry --offset 0000000000000000_0000000000000042
    """
)
@click.argument("source")
@click.argument("stream")
@click.option("--offset", help="Where to branch off. [default: the source's tail]")
@click.option("--sub-offset", type=click.IntRange(min=0), help="Messages (JSON) or bytes to take along beyond it.")
@click.option("--ttl", type=click.IntRange(min=0), metavar="SECONDS", help="Expire when unused for so long.")
@click.option("--expires-at", metavar="TIME", help="Expire then: RFC 3339, such as 2030-01-31T12:00:00Z.")
@click.pass_obj
def fork(
    console: Console,
    source: str,
    stream: str,
    offset: str | None,
    sub_offset: int | None,
    ttl: int | None,
    expires_at: str | None,
) -> None:
    """Create STREAM with the content of SOURCE up to an offset, without copying it. Prints its URL."""

    async def work() -> None:
        handle = console.stream(stream)
        await handle.create(
            forked_from=console.stream(source),
            fork_offset=offset,
            fork_sub_offset=sub_offset,
            ttl=ttl,
            expires_at=expires_at,
        )
        console.write(handle.url.encode() + b"\n")

    leave(console, work)


# --- reading


@main.command(
    epilog="""\b
    Examples:
      durable-streams read chat
      durable-streams read picture > picture.png
      durable-streams read log --offset 0000000000000000_0000000000000042
      durable-streams read chat --last 10
    """
)
@click.argument("stream")
@click.option("--offset", "-o", help="Where to begin. [default: -1, the beginning]")
@click.option("--last", "-n", type=click.IntRange(min=0), help="Begin so many JSON messages before the tail.")
@_JUMP
@click.pass_obj
def read(console: Console, stream: str, offset: str | None, last: int | None, jump: bool) -> None:
    """Write what STREAM has to standard output: raw bytes, or one JSON message a line."""
    if offset is not None and last is not None:
        raise click.UsageError("--offset and --last exclude each other.")

    async def work() -> None:
        handle = console.stream(stream)
        if last is None:
            await _copy(console, handle, offset or BEGINNING, None, jump)
        else:
            await _write(console, handle, handle.read_last(last, message_type=msgspec.Raw))

    leave(console, work)


@main.command(
    epilog="""\b
    Examples:
      durable-streams tail -f chat
      durable-streams tail -f chat --now
      durable-streams tail -f chat --resume
    """
)
@click.argument("stream")
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until the stream is closed.")
@click.option("--offset", "-o", help="Where to begin. [default: the beginning]")
@click.option("--now", is_flag=True, help="Begin with what comes next.")
@click.option("--resume", "-r", is_flag=True, help="Begin where the last tail of this stream has ended.")
@click.option(
    "--mode", type=click.Choice(["auto", "sse", "long-poll"]), default="auto", show_default=True, help="How to follow."
)
@_JUMP
@click.pass_obj
def tail(
    console: Console, stream: str, follow: bool, offset: str | None, now: bool, resume: bool, mode: LiveMode, jump: bool
) -> None:
    """Write STREAM to standard output, and go on with -f. Remembers how far it came, for --resume."""
    if (offset is not None) + now + resume > 1:
        raise click.UsageError("--offset, --now and --resume exclude each other.")

    async def work() -> None:
        handle = console.stream(stream)
        start = NOW if now else offset or BEGINNING
        if resume:
            start = await console.offsets.load(handle.url) or BEGINNING
        if follow:
            handle = handle.sibling(handle.url, STEADFAST)
        await _copy(console, handle, start, mode if follow else None, jump, remember=True)

    leave(console, work)


async def _copy(
    console: Console, handle: StreamHandle, offset: str, live: LiveMode | None, jump: bool, remember: bool = False
) -> None:
    """Write a stream to the output as it is read."""

    def skip(gap: OffsetTrimmed) -> None:
        console.say(f"skipping what was dropped, up to {gap.earliest_offset}")

    on_gap: OnGap = skip if jump else "raise"
    kind = kind_of((await handle.head()).content_type or DEFAULT)
    reading: Reading[Any]
    if kind is Kind.JSON:
        reading = handle.read_json(offset, live, message_type=msgspec.Raw, on_gap=on_gap)
    else:
        reading = handle.read(offset, live, on_gap=on_gap)
    await _write(console, handle, reading, remember)


async def _write(console: Console, handle: StreamHandle, reading: Reading[Any], remember: bool = False) -> None:
    console.on_interrupt = lambda: console.say(f"interrupted; go on with --offset {reading.offset}")
    progress = console.progress()
    async for batch in reading:
        data = batch.data if isinstance(batch.data, bytes) else _lines(batch.data)
        console.write(data)
        progress.add(len(data))
        if remember:
            await console.offsets.save(handle.url, batch.offset)
    progress.end()


def _lines(messages: list[Any]) -> bytes:
    """One message a line. Line ends within a message are white space: its strings cannot have any."""
    return b"".join([bytes(message).translate(_LINE_ENDS_AS_SPACES) + b"\n" for message in messages])


# --- looking


@main.command(
    epilog="""\b
    Examples:
      durable-streams head chat
      durable-streams head chat --json
    """
)
@click.argument("stream")
@click.option("--json", "-j", "as_json", is_flag=True, help="As a JSON object.")
@click.pass_obj
def head(console: Console, stream: str, as_json: bool) -> None:
    """Tell what STREAM is: content type, tail and earliest offset, whether it is closed, expiry, retention."""

    async def work() -> None:
        described = _described(await console.stream(stream).head())
        if as_json:
            console.write(msgspec.json.encode(described) + b"\n")
            return
        for name, value in described.items():
            console.write(f"{name}: {_plain(value)}\n".encode())

    leave(console, work)


def _described(metadata: Metadata) -> dict[str, Any]:
    described = {
        "contentType": metadata.content_type,
        "offset": metadata.offset,
        "closed": metadata.closed,
        "earliestOffset": metadata.earliest_offset,
        "ttlSeconds": metadata.ttl,
        "expiresAt": metadata.expires_at,
        "maxAgeSeconds": _limit(metadata, "max-age"),
        "maxMessages": _limit(metadata, "max-messages"),
        "maxBytes": _limit(metadata, "max-bytes"),
    }
    return {name: value for name, value in described.items() if value is not None}


def _limit(metadata: Metadata, name: str) -> int | None:
    value = metadata.headers.get(f"stream-retention-{name}")
    return None if value is None else int(value)


def _plain(value: Any) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


@main.command(
    "list",
    epilog="""\b
    Examples:
      durable-streams list
      durable-streams list chats/ --long
    """,
)
@click.argument("prefix", default="")
@click.option("--after", default="", help="Begin behind this name.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many. [default: all]")
@click.option("--long", "-l", "is_long", is_flag=True, help="With tail offset, state and content type.")
@click.pass_obj
def list_streams(console: Console, prefix: str, after: str, limit: int | None, is_long: bool) -> None:
    """List the streams whose names begin with PREFIX, where the server offers a listing."""

    async def work() -> None:
        try:
            await _list(console, prefix, after, limit, _long_line if is_long else _short_line)
        except StreamNotFound:
            raise ValueError(f"the server at {console.directory.root} does not offer a listing") from None

    leave(console, work)


async def _list(console: Console, prefix: str, after: str, limit: int | None, line_of: Callable[[Listed], str]) -> None:
    left = limit
    while left is None or left > 0:
        page = await console.directory.list(prefix, after, PAGE if left is None else min(left, PAGE))
        for listed in page.streams:
            console.write(f"{line_of(listed)}\n".encode())
        if not page.more or not page.streams:
            return
        after = page.streams[-1].path
        left = None if left is None else left - len(page.streams)


def _short_line(listed: Listed) -> str:
    return listed.path


def _long_line(listed: Listed) -> str:
    state = "closed" if listed.closed else "open"
    return f"{listed.offset}  {state:6}  {listed.content_type:24}  {listed.path}"


@main.command(
    epilog="""\b
    Examples:
      eval "$(durable-streams completion bash)"
      durable-streams completion fish > ~/.config/fish/completions/durable-streams.fish
    """
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes commands and options in SHELL."""
    completer = get_completion_class(shell)
    assert completer is not None
    click.echo(completer(main, {}, PROGRAM, COMPLETION_VARIABLE).source())


if __name__ == "__main__":
    main(prog_name=PROGRAM)
