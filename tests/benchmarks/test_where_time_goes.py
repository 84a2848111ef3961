"""The profile shows requests that were served, and accounts for all their time."""

from __future__ import annotations

import pytest

from benchmarks.where_time_goes import WORKLOADS, Conversation, measure

SUCCESSES = {"POST 100 B": b"204", "GET 1 KB": b"200", "HEAD": b"200", "PUT": b"201"}


@pytest.mark.parametrize("channel", ["lean", "stock"])
@pytest.mark.parametrize("name", WORKLOADS)
def test_every_request_is_served(channel: str, name: str) -> None:
    conversation = Conversation(channel)
    for number in range(3):
        conversation.say(WORKLOADS[name](number))
        assert conversation.status == SUCCESSES[name]


@pytest.mark.parametrize("channel", ["lean", "stock"])
def test_the_rooms_have_all_the_time(channel: str) -> None:
    seconds, rooms = measure(channel, WORKLOADS["HEAD"], 20)
    assert sum(rooms.values()) == pytest.approx(seconds)
    assert ("HTTP/1.1, ours" in rooms) == (channel == "lean")
