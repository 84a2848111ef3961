"""Claim, ack, release and callback over HTTP (Sections 7.1 to 7.3)."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.python.failure import Failure

from durable_streams.errors import StorageFailed
from durable_streams.protocol.offsets import offset_of
from tests.web.control.control_desk import ControlDesk
from tests.web.control.test_subscriptions import code_of


def test_a_claim(desk: ControlDesk) -> None:
    """7.2: everything that the worker needs."""
    desk.pool()
    claimed = desk.claim()
    assert claimed == {
        "wake_id": claimed["wake_id"],
        "generation": 1,
        "token": claimed["token"],
        "streams": [
            {
                "path": "events/a",
                "link_type": "glob",
                "acked_offset": offset_of(0),
                "tail_offset": desk.get("events/a").offset,
                "has_pending": True,
            }
        ],
        "lease_ttl_ms": 30_000,
    }


def test_a_second_claim(desk: ControlDesk) -> None:
    """7.2: 409 with the holder and the generation."""
    desk.pool()
    desk.claim("worker-2")
    answer = desk.control("POST", "subscriptions/sub/claim", {"worker": "worker-1"})
    assert code_of(answer, 409) == "ALREADY_CLAIMED"
    assert (answer.json["error"]["current_holder"], answer.json["error"]["generation"]) == ("worker-2", 1)


def test_heartbeat_done_and_next_wake(desk: ControlDesk) -> None:
    """7.2: `next_wake` says whether to come back."""
    desk.pool()
    claimed = desk.claim()
    assert desk.report("ack", claimed).json == {"ok": True, "next_wake": False}
    acks = [{"stream": "events/a", "offset": claimed["streams"][0]["tail_offset"]}]
    desk.post("events/a", "2", Content_Type="application/json")
    assert desk.report("ack", claimed, acks=acks, done=True).json == {"ok": True, "next_wake": True}
    assert code_of(desk.report("ack", claimed, done=True), 409) == "FENCED"


def test_release(desk: ControlDesk) -> None:
    """7.2: 204, then every use is 409 FENCED."""
    desk.pool()
    claimed = desk.claim()
    answer = desk.report("release", claimed)
    assert (answer.status, answer.body) == (204, b"")
    assert code_of(desk.report("release", claimed), 409) == "FENCED"
    assert desk.claim()["generation"] == 2


def test_a_callback(desk: ControlDesk) -> None:
    """7.1: the receiver's own token; stale is 409 FENCED."""
    desk.subscribe()
    desk.json_stream("events/a", "[1]")
    call = desk.receivers.next()
    call.accept()
    wake = {**call.body, "token": call.token}
    acks = [{"stream": path, "offset": tail} for path, tail in call.tails.items()]
    assert desk.report("callback", wake, acks=acks, done=True).json == {"ok": True, "next_wake": False}
    assert code_of(desk.report("callback", wake, done=True), 409) == "FENCED"


@pytest.mark.parametrize("action", ["ack", "release"])
@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer x", "Basic eDp5", "Bearer a.b.c"])
def test_a_token_is_needed(desk: ControlDesk, action: str, authorization: str | None) -> None:
    """12.9: 401, in the Authorization header only."""
    desk.pool()
    claimed = desk.claim()
    body = {"wake_id": claimed["wake_id"], "generation": 1, "token": claimed["token"]}
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = desk.control("POST", f"subscriptions/sub/{action}?token={claimed['token']}", body, **headers)
    assert code_of(answer, 401) == "TOKEN_INVALID"
    assert answer.headers["www-authenticate"] == "Bearer"


def test_the_scheme_of_a_token_may_be_in_any_case(desk: ControlDesk) -> None:
    """RFC 9110, 11.1."""
    desk.pool()
    claimed = desk.claim()
    body = {"wake_id": claimed["wake_id"], "generation": 1}
    answer = desk.control("POST", "subscriptions/sub/ack", body, Authorization=f"bEARER  {claimed['token']} ")
    assert answer.status == 200


@pytest.mark.parametrize(
    ("acks", "message"),
    [
        ([{"stream": "events/a", "offset": offset_of(99)}], "behind the tail"),
        ([{"stream": "events/a", "offset": "-1"}], "returned by this service"),
        ([{"stream": "elsewhere", "offset": offset_of(0)}], "linked"),
    ],
)
def test_an_ack_that_cannot_be(desk: ControlDesk, acks: Any, message: str) -> None:
    """7: 409 INVALID_OFFSET with stream and offset, and nothing has moved."""
    desk.pool()
    answer = desk.report("ack", desk.claim(), acks=acks, done=True)
    assert code_of(answer, 409) == "INVALID_OFFSET"
    assert answer.json["error"]["stream"] == acks[0]["stream"]
    assert message in answer.json["error"]["message"]
    assert desk.control("GET", "subscriptions/sub").json["streams"][0]["acked_offset"] == offset_of(0)


def test_nothing_to_claim(desk: ControlDesk) -> None:
    """7: no pending work, no wake."""
    desk.pool()
    claimed = desk.claim()
    acks = [{"stream": "events/a", "offset": claimed["streams"][0]["tail_offset"]}]
    desk.report("ack", claimed, acks=acks, done=True)
    answer = desk.control("POST", "subscriptions/sub/claim", {"worker": "worker-1"})
    assert code_of(answer, 409) == "NO_PENDING_WORK"


@pytest.mark.parametrize("body", [None, {}, {"worker": ""}, {"worker": 1}, {"worker": "x" * 257}, []])
def test_a_claim_names_its_worker(desk: ControlDesk, body: Any) -> None:
    """7.2: so that others see who holds the lease."""
    desk.pool()
    assert code_of(desk.control("POST", "subscriptions/sub/claim", body), 400) == "INVALID_REQUEST"


@pytest.mark.parametrize(
    "members",
    [{"wake_id": 1}, {"generation": "1"}, {"generation": None}, {"acks": {}}, {"acks": [{}]}, {"done": "yes"}],
)
def test_a_report_has_its_members(desk: ControlDesk, members: Any) -> None:
    """7.2: 400 for what is no report."""
    desk.pool()
    assert code_of(desk.report("ack", desk.claim(), **members), 400) == "INVALID_REQUEST"


def test_requests_of_the_other_delivery(desk: ControlDesk) -> None:
    """7.1, 7.2: callbacks are for webhooks, the rest for pull-wake."""
    desk.pool()
    assert code_of(desk.report("callback", desk.claim(), done=True), 400) == "INVALID_REQUEST"
    desk.control("DELETE", "subscriptions/sub")
    desk.subscribe()
    assert code_of(desk.control("POST", "subscriptions/sub/claim", {"worker": "w"}), 400) == "INVALID_REQUEST"


def test_a_failing_store_is_an_error_of_the_service(desk: ControlDesk) -> None:
    """Not of the client; streams go on."""
    desk.subscriptions._ledger._failed(Failure(StorageFailed("no room")))
    assert desk.subscribe().status == 503
    assert desk.json_stream("events/a").status == 201
