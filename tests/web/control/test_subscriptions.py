"""Create, read, delete, membership and keys over HTTP (Sections 6.2 to 6.5)."""

from __future__ import annotations

from typing import Any

import pytest

from durable_streams.protocol.offsets import offset_of
from durable_streams.subscriptions.wakes import FIRST_RETRY, JITTER
from tests.subscriptions.world import HOOK
from tests.web.control.control_desk import PULL, WEBHOOK, ControlDesk
from tests.web.desk import Answer


def code_of(answer: Answer, status: int) -> str:
    """The code of a refusal, which has a sentence for people too."""
    assert answer.status == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json["error"]["message"].endswith(".")
    code: str = answer.json["error"]["code"]
    return code


class TestCreation:
    """6.2: create or re-confirm."""

    def test_a_webhook_subscription(self, desk: ControlDesk) -> None:
        """6.2, 6.3: 201 with the whole subscription; no secret; where the keys are."""
        desk.text_stream("events/a", "x")
        body = {**WEBHOOK, "streams": ["b", "a"], "lease_ttl_ms": 5000, "description": "events"}
        answer = desk.subscribe(body=body)
        [key] = desk.control("GET", "jwks.json").json["keys"]
        assert (answer.status, answer.headers["cache-control"]) == (201, "no-store")
        assert answer.json == {
            "id": "sub",
            "subscription_id": "sub",
            "type": "webhook",
            "pattern": "events/*",
            "streams": [
                {"path": "a", "link_type": "explicit", "acked_offset": offset_of(0)},
                {"path": "b", "link_type": "explicit", "acked_offset": offset_of(0)},
                {"path": "events/a", "link_type": "glob", "acked_offset": desk.get("events/a").offset},
            ],
            "webhook": {
                "url": HOOK,
                "signing": {
                    "alg": "ed25519",
                    "kid": key["kid"],
                    "jwks_url": "http://streams.example/v1/stream/__ds/jwks.json",
                },
            },
            "wake_stream": None,
            "lease_ttl_ms": 5000,
            "created_at": "2027-01-15T08:00:00.000Z",
            "status": "active",
            "description": "events",
        }

    def test_a_pull_wake_subscription(self, desk: ControlDesk) -> None:
        """6.2: with defaults for what was not said."""
        shown = desk.subscribe(body=PULL).json
        assert (shown["webhook"], shown["wake_stream"]) == (None, "wake/pool")
        assert (shown["lease_ttl_ms"], shown["description"]) == (30_000, None)

    def test_again_it_is_confirmed(self, desk: ControlDesk) -> None:
        """6.2: 200 for the same configuration, 409 for another one."""
        first = desk.subscribe()
        again = desk.subscribe()
        assert (first.status, again.status, again.json) == (201, 200, first.json)
        other = desk.subscribe(body={**WEBHOOK, "lease_ttl_ms": 1000})
        assert code_of(other, 409) == "SUBSCRIPTION_ALREADY_EXISTS"

    @pytest.mark.parametrize(
        ("body", "word"),
        [
            ({"pattern": "a"}, "type"),
            ({**WEBHOOK, "type": "push"}, "type"),
            ({"type": "webhook", "webhook": {"url": HOOK}}, "pattern"),
            ({"type": "webhook", "pattern": "a"}, "webhook.url"),
            ({"type": "webhook", "pattern": "a", "webhook": {}}, "webhook.url"),
            ({"type": "webhook", "pattern": "a", "webhook": HOOK}, "webhook"),
            ({"type": "pull-wake", "pattern": "a"}, "wake_stream"),
            ({**PULL, "streams": ["wake/pool"]}, "wake_stream"),
            ({**WEBHOOK, "pattern": "a*"}, "pattern"),
            ({**WEBHOOK, "pattern": 1}, "pattern"),
            ({**WEBHOOK, "streams": ["__ds/x"]}, "streams"),
            ({**WEBHOOK, "streams": ["%5F_ds/x"]}, "streams"),
            ({**WEBHOOK, "streams": ["/a"]}, "streams"),
            ({**WEBHOOK, "streams": "a"}, "streams"),
            ({**WEBHOOK, "lease_ttl_ms": 999}, "lease_ttl_ms"),
            ({**WEBHOOK, "lease_ttl_ms": 600_001}, "lease_ttl_ms"),
            ({**WEBHOOK, "lease_ttl_ms": 1.5}, "lease_ttl_ms"),
            ({**WEBHOOK, "lease_ttl_ms": "1000"}, "lease_ttl_ms"),
            ({**WEBHOOK, "description": "x" * 5000}, "description"),
        ],
    )
    def test_bad_fields_are_named(self, desk: ControlDesk, body: Any, word: str) -> None:
        """6.2: 400, and nothing is left behind."""
        answer = desk.subscribe(body=body)
        assert code_of(answer, 400) == "INVALID_REQUEST"
        assert word in answer.json["error"]["message"]
        assert desk.control("GET", "subscriptions/sub").status == 404

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"type": "\xff"}', b"[" * 10_000, b"x" * 5_000_000])
    def test_bad_bodies_are_refused(self, desk: ControlDesk, body: bytes) -> None:
        """A JSON object of reasonable size."""
        answer = desk.ask("PUT", "__ds/subscriptions/sub", body)
        assert code_of(answer, 413 if len(body) > 10_000 else 400) in ("INVALID_REQUEST", "TOO_LARGE")

    @pytest.mark.parametrize("url", ["http://worker.example/", "https://10.0.0.1/", "https://u@worker.example/", "x"])
    def test_an_unsafe_url_is_refused(self, desk: ControlDesk, url: str) -> None:
        """6.2, 12.8: 400 WEBHOOK_URL_REJECTED."""
        assert code_of(desk.subscribe(body={**WEBHOOK, "webhook": {"url": url}}), 400) == "WEBHOOK_URL_REJECTED"

    def test_an_id_may_be_anything(self, desk: ControlDesk) -> None:
        """6.1: the client's choice."""
        assert desk.subscribe("a%2Fb%20%C3%A4").json["id"] == "a/b ä"
        assert code_of(desk.subscribe("x" * 257), 400) == "INVALID_REQUEST"

    def test_without_a_host_nobody_knows_where_callbacks_go(self, desk: ControlDesk) -> None:
        """7.1: unless the operator has said it."""
        assert code_of(desk.control("PUT", "subscriptions/sub", WEBHOOK, Host=""), 400) == "INVALID_REQUEST"

    def test_behind_a_proxy_the_operator_says_where_the_service_is(self) -> None:
        """6.3, 7.1: --public-url is for the keys and for callbacks."""
        desk = ControlDesk(public_url="https://streams.example/ds/")
        shown = desk.subscribe().json
        assert shown["webhook"]["signing"]["jwks_url"] == "https://streams.example/ds/__ds/jwks.json"
        desk.json_stream("events/a", "[1]")
        callback = desk.receivers.next().body["callback_url"]
        assert callback == "https://streams.example/ds/__ds/subscriptions/sub/callback"
        desk.stop()


class TestReadingAndDeletion:
    """6.3: read or delete."""

    def test_the_status_tells_of_failed_deliveries(self, desk: ControlDesk) -> None:
        """6.3: `failed` while a retry is scheduled."""
        desk.subscribe()
        desk.json_stream("events/a", "[1]")
        desk.receivers.next().fail()
        assert desk.control("GET", "subscriptions/sub").json["status"] == "failed"
        desk.clock.advance(FIRST_RETRY * (1 + JITTER))
        desk.receivers.next().done()
        assert desk.control("GET", "subscriptions/sub").json["status"] == "active"

    def test_head_has_no_body(self, desk: ControlDesk) -> None:
        """As everywhere."""
        desk.subscribe()
        answer = desk.control("HEAD", "subscriptions/sub")
        assert (answer.status, answer.body) == (200, b"")

    def test_a_deleted_subscription_is_gone(self, desk: ControlDesk) -> None:
        """6.3: 204, also when it was not there; every request about it then finds nothing."""
        desk.pool()
        claimed = desk.claim()
        assert desk.control("DELETE", "subscriptions/sub").status == 204
        assert desk.control("DELETE", "subscriptions/sub").status == 204
        assert code_of(desk.control("GET", "subscriptions/sub"), 404) == "SUBSCRIPTION_NOT_FOUND"
        for action in ("ack", "release", "callback"):
            assert code_of(desk.report(action, claimed), 404) == "SUBSCRIPTION_NOT_FOUND"
        assert code_of(desk.control("POST", "subscriptions/sub/claim", {"worker": "w"}), 404)
        assert code_of(desk.control("POST", "subscriptions/sub/streams", {"streams": ["a"]}), 404)
        assert code_of(desk.control("DELETE", "subscriptions/sub/streams/a"), 404)


class TestMembership:
    """6.4: explicit links."""

    def links(self, desk: ControlDesk) -> dict[str, str]:
        shown = desk.control("GET", "subscriptions/sub").json["streams"]
        return {stream["path"]: stream["link_type"] for stream in shown}

    def test_streams_come_and_go(self, desk: ControlDesk) -> None:
        """6.4: 204, as often as one likes; the glob link stays."""
        desk.json_stream("events/a")
        desk.subscribe()
        for _ in range(2):
            answer = desk.control("POST", "subscriptions/sub/streams", {"streams": ["events/a", "x/é"]})
            assert (answer.status, answer.body) == (204, b"")
        assert self.links(desk) == {"events/a": "explicit", "x/%C3%A9": "explicit"}
        for _ in range(2):
            for path in ("events%2Fa", "x/%25C3%25A9"):
                assert desk.control("DELETE", f"subscriptions/sub/streams/{path}").status == 204
        assert self.links(desk) == {"events/a": "glob"}

    @pytest.mark.parametrize(
        "body", [{}, {"streams": "a"}, {"streams": [1]}, {"streams": [""]}, [], {"streams": ["/"]}]
    )
    def test_bad_bodies_are_refused(self, desk: ControlDesk, body: Any) -> None:
        """6.4: a list of paths."""
        desk.subscribe()
        assert code_of(desk.control("POST", "subscriptions/sub/streams", body), 400) == "INVALID_REQUEST"
        assert self.links(desk) == {}


def test_the_key_set(desk: ControlDesk) -> None:
    """6.5: its media type; it may be kept for five minutes, by anybody."""
    answer = desk.control("GET", "jwks.json")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/jwk-set+json"
    assert answer.headers["cache-control"] == "public, max-age=300"
    [key] = answer.json["keys"]
    assert (key["kty"], key["crv"], key["use"], key["alg"]) == ("OKP", "Ed25519", "sig", "EdDSA")


def test_answers_have_the_shared_headers(desk: ControlDesk) -> None:
    """12.7: nosniff and CORS, on refusals too."""
    for answer in (desk.subscribe(), desk.control("GET", "subscriptions/none"), desk.control("GET", "jwks.json")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" in answer.headers
