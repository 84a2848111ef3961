"""The client-conformance adapter, driven through every command against our own server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.running_service import running_service

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
_paths = count()


class Runner:
    """The runner's side: one command a line, one result a line."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "client_adapter.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )

    def __call__(self, kind: str, **fields: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"type": kind, **fields}) + "\n")
        self._process.stdin.flush()
        result: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert result["success"] is (result["type"] == kind), result
        return result

    def end(self) -> int:
        self._process.communicate(timeout=10)
        return self._process.returncode


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    with running_service("--storage", "memory", "--long-poll-timeout", "0.5") as service:
        yield service.url.rstrip("/")


@pytest.fixture(scope="module")
def runner(server_url: str) -> Iterator[Runner]:
    runner = Runner()
    runner("init", serverUrl=server_url)
    yield runner
    runner("shutdown")
    assert runner.end() == 0


@pytest.fixture
def path() -> str:
    return f"/test-stream-{next(_paths)}"


@pytest.fixture
def text(runner: Runner, path: str) -> str:
    runner("create", path=path, contentType="text/plain")
    return path


@pytest.fixture
def messages(runner: Runner, path: str) -> str:
    runner("create", path=path, contentType="application/json")
    return path


def test_init_claims_every_feature(server_url: str) -> None:
    """Nothing of the official suite is skipped for want of a feature."""
    runner = Runner()
    result = runner("init", serverUrl=server_url)
    assert set(result["features"].values()) == {True}
    assert len(result["features"]) == 9
    runner("shutdown")
    assert runner.end() == 0


def test_create_connect_head_delete(runner: Runner, path: str) -> None:
    """A stream's life, with the statuses that the runner expects."""
    created = runner("create", path=path, contentType="text/plain; charset=utf-8", ttlSeconds=60, data="x")
    assert created["status"] == 201
    assert runner("create", path=path, contentType="text/plain; charset=utf-8", ttlSeconds=60)["status"] == 200
    assert runner("connect", path=path) == {
        "type": "connect",
        "success": True,
        "status": 200,
        "offset": created["offset"],
    }
    head = runner("head", path=path)
    assert (head["contentType"], head["streamClosed"], head["ttlSeconds"]) == ("text/plain; charset=utf-8", False, 60)
    assert runner("delete", path=path)["status"] == 200
    gone = runner("head", path=path)
    assert (gone["errorCode"], gone["status"], gone["commandType"]) == ("NOT_FOUND", 404, "head")
    assert path in gone["message"]


def test_append_and_read(runner: Runner, text: str) -> None:
    """Text and base64, from the beginning and from an offset."""
    first = runner("append", path=text, data="one ")
    assert first["status"] == 200
    runner("append", path=text, data=b64encode(b"two").decode(), binary=True)
    read = runner("read", path=text)
    assert "".join(chunk["data"] for chunk in read["chunks"]) == "one two"
    assert (read["status"], read["upToDate"], read["streamClosed"]) == (200, True, False)
    rest = runner("read", path=text, offset=first["offset"])
    assert [chunk["data"] for chunk in rest["chunks"]] == ["two"]


@pytest.mark.parametrize("live", ["long-poll", "sse", True])
def test_live_reads_until_up_to_date(runner: Runner, messages: str, live: Any) -> None:
    """JSON batches as compact arrays."""
    runner("append", path=messages, data='[{"id": 1}, {"id": 2}]')
    read = runner("read", path=messages, live=live, waitForUpToDate=True)
    assert [json.loads(chunk["data"]) for chunk in read["chunks"]] == [[{"id": 1}, {"id": 2}]]
    assert " " not in read["chunks"][0]["data"]
    assert read["upToDate"] is True


def test_a_long_poll_that_times_out(runner: Runner, text: str) -> None:
    """204, and no chunk."""
    read = runner("read", path=text, live="long-poll")
    assert (read["status"], read["chunks"], read["upToDate"]) == (204, [], True)


def test_a_live_read_whose_time_is_up(runner: Runner, text: str) -> None:
    """It succeeds with what came."""
    read = runner("read", path=text, live="sse", timeoutMs=200)
    assert (read["success"], read["chunks"], read["upToDate"]) == (True, [], True)


def test_a_read_stops_at_its_chunks(runner: Runner, text: str) -> None:
    """``maxChunks`` is enough."""
    runner("append", path=text, data="x")
    assert len(runner("read", path=text, live="sse", maxChunks=1)["chunks"]) == 1


def test_close(runner: Runner, text: str) -> None:
    """With data, again without, and what then fails."""
    offset = runner("close", path=text, data="end")["finalOffset"]
    assert runner("close", path=text)["finalOffset"] == offset
    assert runner("append", path=text, data="late")["errorCode"] == "STREAM_CLOSED"
    read = runner("read", path=text, live="long-poll")
    assert (read["streamClosed"], read["upToDate"]) == (True, True)


def test_error_codes(runner: Runner, text: str) -> None:
    """Each refusal has the runner's word for it."""
    runner("append", path=text, data="a", seq=2)
    assert runner("append", path=text, data="b", seq=1)["errorCode"] == "SEQUENCE_CONFLICT"
    assert runner("create", path=text, contentType="application/json")["errorCode"] == "CONFLICT"
    assert runner("read", path=text, offset="nonsense")["errorCode"] == "INVALID_OFFSET"
    assert runner("append", path=text, data="")["status"] == 400
    assert runner("read", path="/missing")["errorCode"] == "NOT_FOUND"


def test_an_unreachable_server() -> None:
    """A network error, in finite time."""
    runner = Runner()
    runner("init", serverUrl="http://127.0.0.1:1")
    assert runner("head", path="/x")["errorCode"] == "NETWORK_ERROR"
    runner("shutdown")
    assert runner.end() == 0


def test_dynamic_headers_and_params(runner: Runner, text: str) -> None:
    """A counter counts commands; clearing ends it."""
    runner("set-dynamic-header", name="x-count", valueType="counter")
    runner("set-dynamic-header", name="x-token", valueType="token", initialValue="t")
    runner("set-dynamic-param", name="at", valueType="timestamp")
    sent = [runner("append", path=text, data="x") for _ in range(2)]
    assert [result["headersSent"] for result in sent] == [{"x-count": str(n), "x-token": "t"} for n in (1, 2)]
    assert sent[0]["paramsSent"]["at"].isdigit()
    assert runner("read", path=text)["headersSent"]["x-count"] == "3"
    runner("clear-dynamic")
    assert runner("read", path=text)["headersSent"] == {}


def test_idempotent_producers(runner: Runner, messages: str) -> None:
    """Appends, batches, pipelining, fencing and claiming, detaching and closing."""
    producer = {"path": messages, "producerId": "p", "epoch": 0, "autoClaim": False}
    appended = runner("idempotent-append", **producer, data='{"n":0}')
    assert (appended["status"], appended["duplicate"], appended["producerSeq"]) == (200, False, 0)
    assert runner("idempotent-append", **producer, data='{"n":1}')["producerSeq"] == 1
    runner("idempotent-detach", path=messages, producerId="p", epoch=0)
    assert runner("idempotent-append", **producer, data='{"n":0}')["duplicate"]
    fresh = {**producer, "producerId": "q"}
    assert runner("idempotent-append-batch", **fresh, items=["2", "3"])["status"] == 200
    runner("idempotent-append-batch", **{**fresh, "epoch": 1}, items=["4", "5", "6"], maxInFlight=3)
    assert runner("idempotent-append-batch", **fresh, items=["7"])["status"] == 403
    runner("idempotent-append-batch", **{**fresh, "autoClaim": True}, items=["7"])
    read = runner("read", path=messages)
    assert json.loads(read["chunks"][0]["data"]) == [{"n": 0}, {"n": 1}, 2, 3, 4, 5, 6, 7]
    closing = {**producer, "producerId": "c"}
    final = runner("idempotent-close", **closing, data='"end"')["finalOffset"]
    assert runner("idempotent-close", **closing, data='"other"')["finalOffset"] == final
    assert runner("idempotent-close", **{**closing, "producerId": "d"}, data="1")["errorCode"] == "STREAM_CLOSED"


@pytest.mark.parametrize(
    ("target", "parameter"),
    [
        ({"target": "idempotent-producer", "epoch": -1}, "epoch"),
        ({"target": "idempotent-producer", "maxBatchBytes": 0}, "maxBatchBytes"),
        ({"target": "idempotent-producer", "maxBatchItems": 0}, "maxBatchItems"),
        ({"target": "retry-options", "maxRetries": -1}, "maxRetries"),
        ({"target": "retry-options", "initialDelayMs": 0}, "initialDelayMs"),
        ({"target": "retry-options", "initialDelayMs": 100, "maxDelayMs": 50}, "maxDelayMs"),
        ({"target": "retry-options", "multiplier": 0.5}, "multiplier"),
    ],
)
def test_validation(runner: Runner, target: dict[str, Any], parameter: str) -> None:
    """Nonsense is refused under the runner's name for it."""
    refused = runner("validate", target=target)
    assert (refused["errorCode"], refused["commandType"]) == ("INVALID_ARGUMENT", "validate")
    assert parameter in refused["message"]


def test_validation_of_what_is_right(runner: Runner) -> None:
    """It succeeds."""
    runner("validate", target={"target": "idempotent-producer", "producerId": "p", "epoch": 0, "maxBatchItems": 1})
    runner("validate", target={"target": "retry-options", "maxRetries": 0, "initialDelayMs": 1, "maxDelayMs": 1})


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "create"},
        {"op": "append", "size": 100},
        {"op": "read"},
        {"op": "roundtrip", "size": 100, "live": "sse", "contentType": "application/json"},
        {"op": "roundtrip", "size": 100, "live": "long-poll"},
        {"op": "throughput_append", "count": 500, "size": 100, "concurrency": 5},
    ],
    ids=lambda operation: operation["op"],
)
def test_benchmarks(runner: Runner, path: str, operation: dict[str, Any]) -> None:
    """Each operation times itself."""
    if operation["op"] in ("append", "read"):
        runner("create", path=path, data="x")
    result = runner("benchmark", iterationId="i", operation={"path": path, **operation})
    assert result["iterationId"] == "i"
    assert int(result["durationNs"]) > 0


def test_benchmark_of_reading_messages(runner: Runner, messages: str) -> None:
    """Counted one by one."""
    runner("append", path=messages, data=json.dumps(list(range(1000))))
    result = runner("benchmark", iterationId="i", operation={"op": "throughput_read", "path": messages})
    assert result["metrics"]["messagesProcessed"] == 1000
