"""The command line: against the server in memory, and as a process of its own."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from twisted.internet.defer import Deferred

from durable_streams.cli import main
from durable_streams.client import FileOffsetStore, StreamDirectory
from durable_streams.console import (
    CONFLICT,
    FAILED,
    INTERRUPTED,
    NOT_FOUND,
    REFUSED,
    UNREACHABLE,
    Console,
    Progress,
)
from durable_streams.protocol.offsets import offset_of
from durable_streams.testing import ROOT, MemoryServer
from tests.client.outcomes import result_of
from tests.client.scripted_server import ScriptedServer, answer
from tests.running_service import running_service

REPOSITORY = Path(__file__).parent.parent


class MemoryInput:
    """Standard input with pieces that are there already."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    async def take(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    async def take_all(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


class MemoryConsole(Console):
    """Runs commands against a server in memory; its output is kept."""

    def __init__(self, server: MemoryServer, state: Path) -> None:
        self.server = server
        self.stdin = MemoryInput()
        offsets = FileOffsetStore(state)
        super().__init__(server.directory(), offsets, server.clock, io.BytesIO(), io.StringIO())

    def input(self) -> Any:
        return self.stdin

    def run(self, command: Callable[[], Coroutine[Any, Any, None]]) -> int:
        codes = []
        running = Deferred.fromCoroutine(command())
        running.addCallbacks(lambda _: codes.append(0), lambda failure: codes.append(self.describe(failure.value)))
        while not codes:
            self.server.advance(1)
        return codes[0]


class CommandLine:
    """A person at the console."""

    def __init__(self, console: MemoryConsole) -> None:
        self.console = console
        self.code = 0

    def __call__(self, *arguments: str, stdin: tuple[bytes, ...] = ()) -> str:
        """The standard output of a command; its exit code is in ``code``."""
        self.console.out = io.BytesIO()
        self.console.stdin = MemoryInput(*stdin)
        self.code = 0
        try:
            main.main(list(arguments), obj=self.console, standalone_mode=False)
        except SystemExit as leaving:
            self.code = int(leaving.code or 0)
        assert isinstance(self.console.out, io.BytesIO)
        return self.console.out.getvalue().decode("ascii", "surrogateescape")

    @property
    def said(self) -> str:
        """What was said to the person so far."""
        err = self.console.err
        assert isinstance(err, io.StringIO)
        return err.getvalue()


@pytest.fixture
def server() -> Iterator[MemoryServer]:
    server = MemoryServer()
    yield server
    result_of(server.stop())


@pytest.fixture
def run(server: MemoryServer, tmp_path: Path) -> CommandLine:
    return CommandLine(MemoryConsole(server, tmp_path / "offsets"))


class TestWriting:
    def test_create_prints_the_url(self, run: CommandLine, server: MemoryServer) -> None:
        """Which is how other programs find it."""
        assert run("create", "chats/1", "--json", "--ttl", "60") == f"{ROOT}chats/1\n"
        metadata = result_of(server.stream("chats/1").head())
        assert (metadata.content_type, metadata.ttl) == ("application/json", 60)

    def test_create_with_content_and_end(self, run: CommandLine) -> None:
        """All at once."""
        run("create", "answer", "-t", "text/plain", "--closed", "--data", "42")
        assert run("read", "answer") == "42"
        assert "closed: yes" in run("head", "answer")

    def test_append_an_argument(self, run: CommandLine, server: MemoryServer) -> None:
        """Prints the new tail."""
        run("create", "log", "-t", "text/plain")
        offset = run("append", "log", "one line")
        assert offset == f"{result_of(server.stream('log').head()).offset}\n"
        assert run("read", "log") == "one line"

    def test_append_standard_input_as_it_comes(self, run: CommandLine, server: MemoryServer) -> None:
        """Each byte once, in order."""
        run("create", "log", "-t", "text/plain")
        offset = run("append", "log", stdin=(b"one ", b"two ", b"three"))
        assert run("read", "log") == "one two three"
        assert offset == f"{result_of(server.stream('log').head()).offset}\n"

    def test_append_nothing_from_standard_input(self, run: CommandLine) -> None:
        """An empty file is no error, and no append."""
        run("create", "log", "-t", "text/plain")
        assert run("append", "log") == ""
        assert run.code == 0

    def test_each_line_of_standard_input_is_a_message_of_a_json_stream(self, run: CommandLine) -> None:
        """However the pieces are cut; empty lines are none, and the last line needs no end."""
        run("create", "chat", "--json")
        run("append", "chat", stdin=(b'{"a": ', b"1}\n\n[2,", b" 3]\n", b'\r\n"4\xe2', b'\x82\xac"'))
        assert run.code == 0
        assert run("read", "chat") == '{"a": 1}\n[2, 3]\n"4\udce2\udc82\udcac"\n'

    def test_what_read_writes_can_be_appended(self, run: CommandLine) -> None:
        """A message that was sent in many lines is written in one."""
        run("create", "chat", "--json")
        run("append", "chat", "--json", '{"a":\r\n  [1,\n2]}')
        written = run("read", "chat")
        assert written == '{"a":    [1, 2]}\n'
        run("create", "copy", "--json")
        run("append", "copy", stdin=(written.encode(),))
        assert run("read", "copy") == written

    def test_a_line_that_is_no_message_is_named_and_those_before_it_arrive(self, run: CommandLine) -> None:
        """So that the rest can be appended when it has been repaired."""
        run("create", "chat", "--json")
        assert run("append", "chat", stdin=(b"1\n2\nthree\n4\n",)) == ""
        assert run.code == FAILED
        assert "line 3 is no JSON message" in run.said
        assert run("read", "chat") == "1\n2\n"

    def test_json_is_one_message(self, run: CommandLine) -> None:
        """Also an array, from the argument or standard input."""
        run("create", "chat", "--json")
        run("append", "chat", "--json", "[1,2]")
        run("append", "chat", "--json", stdin=(b'{"a":', b"1}"))
        assert run("read", "chat") == '[1,2]\n{"a":1}\n'

    def test_batch_json_is_many_messages(self, run: CommandLine) -> None:
        """Each element of the array is one."""
        run("create", "chat", "--json")
        run("append", "chat", "--batch-json", '[1,[2],{"a":3}]')
        assert run("read", "chat") == '1\n[2]\n{"a":3}\n'

    @pytest.mark.parametrize("arguments", [("--json", "{"), ("--batch-json", "{}"), ("--batch-json", "[1,")])
    def test_wrong_json_is_not_sent(self, run: CommandLine, arguments: tuple[str, str]) -> None:
        """The message says what is wrong."""
        run("create", "chat", "--json")
        run("append", "chat", *arguments)
        assert run.code == FAILED
        assert "not what they should be" in run.said
        assert run("read", "chat") == ""

    def test_the_last_messages(self, run: CommandLine) -> None:
        """``--last`` counts back from the tail, and is another way to say where to begin than ``--offset``."""
        run("create", "chat", "--json", "--data", "[1,2,3]")
        assert run("read", "chat", "--last", "2") == "2\n3\n"
        with pytest.raises(click.UsageError):
            run("read", "chat", "--last", "2", "--offset", "-1")

    def test_json_and_batch_json_exclude_each_other(self, run: CommandLine) -> None:
        """Usage errors are told before anything is sent."""
        with pytest.raises(click.UsageError, match="exclude"):
            run("append", "chat", "--json", "--batch-json", "[]")

    def test_stream_seq(self, run: CommandLine) -> None:
        """A regression is a conflict."""
        run("create", "log", "-t", "text/plain")
        run("append", "log", "a", "--seq", "2")
        run("append", "log", "b", "--seq", "1")
        assert run.code == CONFLICT

    def test_close_with_last_words(self, run: CommandLine) -> None:
        """Then nothing can follow."""
        run("create", "log", "-t", "text/plain", "--data", "a")
        run("close", "log", "b")
        assert run.code == 0
        run("append", "log", "c")
        assert run.code == CONFLICT
        assert run("read", "log") == "ab"

    def test_close_with_a_json_message(self, run: CommandLine) -> None:
        """An array stays one message."""
        run("create", "chat", "--json")
        run("close", "chat", "--json", "[1]")
        assert run("read", "chat") == "[1]\n"

    def test_close_without_content(self, run: CommandLine, server: MemoryServer) -> None:
        """May be repeated."""
        run("create", "chat", "--json")
        assert run("close", "chat") == run("close", "chat")
        assert result_of(server.stream("chat").head()).closed

    def test_delete(self, run: CommandLine) -> None:
        """A second time there is nothing to delete."""
        run("create", "log")
        run("delete", "log")
        assert run.code == 0
        run("delete", "log")
        assert run.code == NOT_FOUND

    def test_fork_at_an_offset(self, run: CommandLine) -> None:
        """The new stream has the source's content up to there."""
        run("create", "chat", "--json")
        offset = run("append", "chat", "--json", "1").strip()
        run("append", "chat", "--batch-json", "[2,3]")
        assert run("fork", "chat", "copy", "--offset", offset, "--sub-offset", "1") == f"{ROOT}copy\n"
        assert run("read", "copy") == "1\n2\n"


class TestReading:
    def test_raw_bytes(self, run: CommandLine, server: MemoryServer) -> None:
        """What is in the stream and nothing else."""
        result_of(server.stream("bytes").create(content_type="image/png", data=b"\x89PNG\r\n"))
        assert run("read", "bytes").encode("ascii", "surrogateescape") == b"\x89PNG\r\n"

    def test_from_an_offset(self, run: CommandLine) -> None:
        """As ``append`` has printed it."""
        run("create", "log", "-t", "text/plain")
        offset = run("append", "log", "one ").strip()
        run("append", "log", "two")
        assert run("read", "log", "--offset", offset) == "two"

    @pytest.mark.parametrize("mode", ["auto", "sse", "long-poll"])
    def test_tail_follows_to_the_end(self, run: CommandLine, server: MemoryServer, mode: str) -> None:
        """What comes while it runs, until the stream is closed."""
        run("create", "log", "-t", "text/plain", "--data", "one ")
        stream = server.stream("log")
        server.clock.callLater(2, stream.append, "two ")
        server.clock.callLater(4, stream.close, "three")
        assert run("tail", "-f", "log", "--mode", mode) == "one two three"
        assert run.code == 0

    @pytest.mark.parametrize("command", ["read", "tail"])
    def test_a_gap_is_told_and_can_be_jumped_over(self, run: CommandLine, command: str) -> None:
        """What comes next was dropped: the message says where the stream begins now; --jump goes on there."""
        run("create", "log", "-t", "text/plain", "--max-messages", "1")
        for word in ("one", "two", "three"):
            run("append", "log", word)
        run(command, "log", "--offset", offset_of(3))
        assert run.code == FAILED
        assert f"begins at {offset_of(6)} now" in run.said
        assert run(command, "log", "--offset", offset_of(3), "--jump") == "three"
        assert (run.code, offset_of(6) in run.said) == (0, True)

    def test_tail_from_now(self, run: CommandLine, server: MemoryServer) -> None:
        """History is left out."""
        run("create", "log", "-t", "text/plain", "--data", "old ")
        server.clock.callLater(2, server.stream("log").close, "new")
        assert run("tail", "-f", "--now", "log") == "new"

    def test_tail_resumes_where_it_was(self, run: CommandLine) -> None:
        """The place is remembered by itself."""
        run("create", "log", "-t", "text/plain", "--data", "one ")
        assert run("tail", "log") == "one "
        run("append", "log", "two ")
        assert run("tail", "--resume", "log") == "two "
        assert run("tail", "--resume", "log") == ""

    def test_tail_for_the_first_time_resumes_at_the_beginning(self, run: CommandLine) -> None:
        """There is no place yet."""
        run("create", "log", "-t", "text/plain", "--data", "one ")
        assert run("tail", "--resume", "log") == "one "

    def test_tail_takes_one_beginning(self, run: CommandLine) -> None:
        """Which of two would be a guess."""
        with pytest.raises(click.UsageError, match="exclude"):
            run("tail", "log", "--now", "--resume")


class TestLooking:
    def test_head(self, run: CommandLine, server: MemoryServer) -> None:
        """One property a line, or JSON."""
        run("create", "log", "-t", "text/plain", "--expires-at", "2040-01-01T00:00:00Z")
        offset = result_of(server.stream("log").head()).offset
        assert run("head", "log") == (
            f"contentType: text/plain\noffset: {offset}\nclosed: no\nearliestOffset: {offset}\n"
            "expiresAt: 2040-01-01T00:00:00.000Z\n"
        )
        assert msgspec.json.decode(run("head", "log", "--json")) == {
            "contentType": "text/plain",
            "offset": offset,
            "closed": False,
            "earliestOffset": offset,
            "expiresAt": "2040-01-01T00:00:00.000Z",
        }

    def test_head_tells_of_retention(self, run: CommandLine) -> None:
        """The limits, and where the stream begins now."""
        run("create", "log", "-t", "text/plain", "--max-age", "3600", "--max-messages", "1", "--max-bytes", "1000")
        run("append", "log", "one")
        offset = run("head", "log", "--json")
        assert msgspec.json.decode(offset)["earliestOffset"] == offset_of(0)
        run("append", "log", "two")
        described = msgspec.json.decode(run("head", "log", "--json"))
        assert described["earliestOffset"] == offset_of(3)
        assert [described[name] for name in ("maxAgeSeconds", "maxMessages", "maxBytes")] == [3600, 1, 1000]

    def test_list_goes_through_all_pages(self, run: CommandLine) -> None:
        """As many requests as it takes."""
        listing = Listing(["a", "b", "c", "d", "e"], page=2)
        run.console.directory = listing.directory
        assert run("list") == "a\nb\nc\nd\ne\n"
        assert [asked.query["after"] for asked in listing.server.asked] == ["", "b", "d"]

    def test_list_stops_at_the_limit(self, run: CommandLine) -> None:
        """Also where more would follow."""
        listing = Listing(["a", "b", "c", "d", "e"], page=2)
        run.console.directory = listing.directory
        assert run("list", "--limit", "3") == "a\nb\nc\n"

    def test_list_in_full(self, run: CommandLine) -> None:
        """Offset, state, content type and name."""
        run.console.directory = Listing(["a"], page=2).directory
        assert run("list", "--long").split() == ["0_1", "closed", "text/plain", "a"]

    def test_list_where_there_is_none(self, run: CommandLine) -> None:
        """It is an extension; the message says so."""
        scripted = ScriptedServer([answer(404)])
        run.console.directory = directory_on(scripted)
        run("list")
        assert run.code == FAILED
        assert "does not offer a listing" in run.said


class Listing:
    """A server that lists streams, at most ``page`` of them in one answer."""

    def __init__(self, names: list[str], page: int) -> None:
        self._names = names
        self._page = page
        self.server = ScriptedServer.always(self._answer)
        self.directory = directory_on(self.server)

    def _answer(self, asked: Any) -> None:
        left = [name for name in self._names if name > asked.query["after"]]
        shown = left[: min(self._page, int(asked.query["limit"]))]
        streams = [{"path": name, "offset": "0_1", "contentType": "text/plain", "closed": True} for name in shown]
        body = msgspec.json.encode({"streams": streams, "more": len(left) > len(shown)})
        asked.say(answer(200, {"Content-Type": "application/json"}, body))


def directory_on(scripted: ScriptedServer, **options: Any) -> StreamDirectory:
    return StreamDirectory("http://scripted.test/v1/stream/", scripted.network.treq, clock=scripted.clock, **options)


class TestFailing:
    @pytest.mark.parametrize(
        ("status", "code"),
        [(401, REFUSED), (403, REFUSED), (404, NOT_FOUND), (410, NOT_FOUND), (409, CONFLICT), (400, FAILED)],
    )
    def test_exit_codes(self, run: CommandLine, status: int, code: int) -> None:
        """A script can tell failures apart."""
        run.console.directory = directory_on(ScriptedServer([answer(status)]))
        run("delete", "x")
        assert run.code == code
        assert run.said.startswith("durable-streams: http://scripted.test/v1/stream/x: ")

    def test_a_server_that_is_not_there(self, run: CommandLine, server: MemoryServer) -> None:
        """After some patience."""
        server.refuse()
        run("head", "x")
        assert run.code == UNREACHABLE

    def test_a_whole_url_elsewhere_does_not_get_the_token(self, run: CommandLine) -> None:
        """STREAM_AUTH is for the root's server."""
        scripted = ScriptedServer.always(answer(404))
        run.console.directory = directory_on(scripted, headers={"Authorization": "Bearer secret"})
        run("delete", "http://scripted.test/other/x")
        run("delete", "http://elsewhere.test/v1/stream/x")
        sent = [asked.headers.get("authorization") for asked in scripted.asked]
        assert sent == ["Bearer secret", None]


class TestHelp:
    @pytest.mark.parametrize(
        "command", ["create", "append", "read", "tail", "head", "close", "delete", "fork", "list", "completion"]
    )
    def test_every_command_has_examples(
        self, run: CommandLine, command: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """``--help`` shows how."""
        run(command, "--help")
        assert f"durable-streams {command}" in capsys.readouterr().out

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_completion_scripts(self, run: CommandLine, shell: str, capsys: pytest.CaptureFixture[str]) -> None:
        """For the shells that people use."""
        run("completion", shell)
        assert "_DURABLE_STREAMS_COMPLETE" in capsys.readouterr().out


class TestProgress:
    def test_long_work_is_shown_on_a_terminal(self) -> None:
        """A line that counts, at most twice a second."""
        err = io.StringIO()
        server = MemoryServer()
        progress = Progress(server.clock, err)
        for _ in range(40):
            server.advance(0.1)
            progress.add(100_000)
        progress.end()
        shown = err.getvalue().split("\r")
        assert 5 < len(shown) < 11
        assert shown[-1] == "4.0 MB\n"

    def test_short_work_is_not(self) -> None:
        """Nothing to read where nothing takes long."""
        err = io.StringIO()
        progress = Progress(MemoryServer().clock, err)
        progress.add(100)
        progress.end()
        assert err.getvalue() == ""

    @pytest.mark.parametrize(("count", "shown"), [(999, "999 B"), (12_345, "12.3 kB"), (7_600_000_000, "7.60 GB")])
    def test_units(self, count: int, shown: str) -> None:
        """Decimal, as disks and networks are measured."""
        err = io.StringIO()
        server = MemoryServer()
        progress = Progress(server.clock, err)
        server.advance(1)
        progress.add(count)
        assert err.getvalue() == f"\r{shown}"


# --- as a process


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running_service("--storage", "memory") as service:
        yield service.url


@pytest.fixture
def environment(url: str, tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "STREAM_URL": url, "XDG_STATE_HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}


def command(environment: dict[str, str], *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "durable_streams.cli", *arguments],
        env=environment,
        stdin=options.pop("stdin", subprocess.DEVNULL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A job in the background ignores interrupts, and so would the command.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        **options,
    )


def finished(process: subprocess.Popen[bytes], data: bytes | None = None) -> tuple[int, bytes, bytes]:
    out, err = process.communicate(data, timeout=30)
    return process.returncode, out, err


class TestProcess:
    def test_a_file_through_a_stream(self, environment: dict[str, str]) -> None:
        """Standard input to the stream, the stream to standard output: the same bytes."""
        content = os.urandom(1_500_000)
        assert finished(command(environment, "create", "file"))[0] == 0
        code, _, err = finished(command(environment, "append", "file", stdin=subprocess.PIPE), content)
        assert (code, err) == (0, b"")
        assert finished(command(environment, "read", "file")) == (0, content, b"")

    def test_standard_input_from_a_file(self, environment: dict[str, str], tmp_path: Path) -> None:
        """A redirected file is no pipe to the reactor, and works all the same."""
        path = tmp_path / "input"
        path.write_bytes(b"x" * 700_000)
        finished(command(environment, "create", "redirected"))
        with path.open("rb") as stdin:
            assert finished(command(environment, "append", "redirected", stdin=stdin))[0] == 0
        assert len(finished(command(environment, "read", "redirected"))[1]) == 700_000

    def test_an_interrupt_prints_where_to_go_on(self, environment: dict[str, str]) -> None:
        """Ctrl-C ends a tail cleanly."""
        finished(command(environment, "create", "log", "-t", "text/plain", "--data", "seen"))
        tail = command(environment, "tail", "-f", "log")
        assert tail.stdout is not None
        assert tail.stdout.read(4) == b"seen"
        tail.send_signal(signal.SIGINT)
        code, _, err = finished(tail)
        assert code == INTERRUPTED
        offset = err.decode().split("--offset ")[1].strip()
        finished(command(environment, "append", "log", " new"))
        assert finished(command(environment, "read", "log", "--offset", offset))[1] == b" new"
        assert finished(command(environment, "tail", "--resume", "log"))[1] == b" new"

    def test_an_interrupt_while_reading_standard_input(self, environment: dict[str, str]) -> None:
        """What was said before has arrived."""
        finished(command(environment, "create", "typed", "-t", "text/plain"))
        append = command(environment, "append", "typed", stdin=subprocess.PIPE)
        assert append.stdin is not None
        append.stdin.write(b"typed")
        append.stdin.flush()
        tail = command(environment, "tail", "-f", "typed")
        assert tail.stdout is not None
        assert tail.stdout.read(5) == b"typed"
        append.send_signal(signal.SIGINT)
        assert append.wait(30) == INTERRUPTED
        assert finished(append)[2] == b"interrupted after 5 bytes\n"
        finished(command(environment, "close", "typed"))
        assert finished(tail)[0] == 0

    def test_a_reader_that_goes_away(self, environment: dict[str, str]) -> None:
        """``| head`` is no error to complain about."""
        finished(command(environment, "create", "much", "--data", "x" * 100_000))
        for _ in range(10):
            finished(command(environment, "append", "much", "x" * 100_000))
        read = command(environment, "tail", "-f", "much")
        assert read.stdout is not None
        read.stdout.read(10)
        read.stdout.close()
        assert read.stderr is not None
        assert (read.stderr.read(), read.wait(30)) == (b"", 141)
        read.stderr.close()

    def test_the_module_shows_its_help(self, environment: dict[str, str]) -> None:
        """With exit codes and examples."""
        code, out, _ = finished(command(environment, "--help"))
        assert code == 0
        assert b"Exit codes" in out
        assert b"STREAM_URL" in out

    def test_the_shell_completes_commands_and_options(self, environment: dict[str, str]) -> None:
        """As the completion script asks."""
        asking = {**environment, "_DURABLE_STREAMS_COMPLETE": "bash_complete"}
        commands = command({**asking, "COMP_WORDS": "durable-streams ta", "COMP_CWORD": "1"})
        assert finished(commands)[1] == b"plain,tail\n"
        options = command({**asking, "COMP_WORDS": "durable-streams tail --re", "COMP_CWORD": "2"})
        assert finished(options)[1] == b"plain,--resume\n"

    def test_usage_errors(self, environment: dict[str, str]) -> None:
        """Exit code 2, as everywhere."""
        assert finished(command(environment, "tail"))[0] == 2
