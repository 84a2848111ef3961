"""The examples of a worker and of a webhook receiver do what their own words say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.running_service import ROOT, running_service

Starting = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def url() -> Iterator[str]:
    with running_service("--storage", "memory", "--allow-loopback-webhooks") as service:
        yield service.url


@pytest.fixture
def start(url: str) -> Iterator[Starting]:
    """Starts an example, which ends with the test."""
    running: list[subprocess.Popen[str]] = []

    def started(example: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", f"examples.{example}", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "STREAM_URL": url, **environment},
        )
        running.append(process)
        return process

    yield started
    for process in running:
        process.kill()
        process.communicate(timeout=20)


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def send(url: str, method: str, body: object = None, **headers: str) -> int:
    content = None if body is None else json.dumps(body).encode()
    fields = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    try:
        with urlopen(Request(url, content, fields, method=method), timeout=10) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def test_workers_share_the_orders(url: str, start: Starting) -> None:
    """One packs; when it is killed, another one goes on; one that is asked to stop finishes what it has.

    Not by Ctrl-C's signal, which is ignored in all that is started by a shell in the background.
    """
    ada = start("worker", "ada")
    assert line_of(ada) == "ada: waiting for orders\n"
    send(f"{url}orders/eve", "PUT")
    send(f"{url}orders/eve", "POST", {"item": "teapot"})
    assert [line_of(ada), line_of(ada)] == ["ada: packing teapot for eve\n", "ada: packed\n"]
    slow = start("worker", "slow", SECONDS_TO_PACK="3600")
    line_of(slow)
    ada.terminate()
    assert ada.wait(30) == 0
    send(f"{url}orders/eve", "POST", {"item": "cup"})
    assert line_of(slow) == "slow: packing cup for eve\n"
    slow.kill()
    bob = start("worker", "bob", SECONDS_TO_PACK="0.5")
    assert line_of(bob) == "bob: waiting for orders\n"
    assert line_of(bob) == "bob: packing cup for eve\n"
    assert line_of(bob) == "bob: packed\n"
    send(f"{url}orders/eve", "POST", {"item": "spoon"})
    assert line_of(bob) == "bob: packing spoon for eve\n"
    bob.terminate()
    assert line_of(bob) == "bob: packed\n"
    assert bob.wait(30) == 0


def test_a_receiver_is_called(url: str, start: Starting) -> None:
    """Orders of several customers become invoices; a forged call does nothing."""
    receiver = start("webhook_receiver", "0")
    hook = re.search(r"http://\S+", line_of(receiver))
    assert hook is not None
    for customer in ("eve", "mal"):
        send(f"{url}orders/{customer}", "PUT", [])
    send(f"{url}orders/eve", "POST", [{"item": "teapot"}, {"item": "cup"}])
    assert [line_of(receiver), line_of(receiver)] == ["invoice for eve: teapot\n", "invoice for eve: cup\n"]
    forged = {"subscription_id": "invoices", "wake_id": "w", "generation": 9, "streams": [], "callback_token": "t"}
    forged["callback_url"] = url
    assert send(hook[0], "POST", forged) == 401
    assert send(hook[0], "POST", forged, Webhook_Signature=f"t=1,kid=k,ed25519={'A' * 86}") == 401
    send(f"{url}orders/mal", "POST", {"item": "spoon"})
    assert line_of(receiver) == "invoice for mal: spoon\n"
