"""The resource that applications mount: in trees, in Klein, and what happens to its requests there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from klein import Klein
from twisted.internet.interfaces import IPushProducer
from twisted.web.resource import IResource, Resource

from durable_streams.protocol.results import Page
from durable_streams.web.limits import Limits
from durable_streams.web.resource import StreamResource
from durable_streams.web.settings import HttpSettings
from tests.web.desk import Desk
from tests.web.memory_site import MemorySite


def at_the_root(mounted: IResource) -> IResource:
    return mounted


def as_a_child(mounted: IResource) -> IResource:
    root, middle = Resource(), Resource()
    root.putChild(b"api", middle)
    middle.putChild(b"streams", mounted)
    return root


def as_a_klein_branch(mounted: IResource) -> IResource:
    app = Klein()
    app.url_map.merge_slashes = False

    @app.route("/api/streams/", branch=True)
    def streams(request: Any) -> IResource:
        return mounted

    resource: IResource = app.resource()
    return resource


def as_a_klein_branch_of_a_child(mounted: IResource) -> IResource:
    app = Klein()
    app.url_map.merge_slashes = False

    @app.route("/streams/", branch=True)
    def streams(request: Any) -> IResource:
        return mounted

    root = Resource()
    root.putChild(b"api", app.resource())
    return root


MOUNTS = [(at_the_root, "/"), (as_a_child, "/api/streams/"), (as_a_klein_branch, "/api/streams/")]
MOUNTS.append((as_a_klein_branch_of_a_child, "/api/streams/"))
NAMES = [
    "a",
    "a/b",
    "a%2Fb",
    "a//b",
    "a/",
    "%2E%2E/b",
    "a/../b",
    "a/./b",
    "a;x=1",
    "caf%C3%A9",
    "%F0%9F%A6%84",
    "x" * 3000,
]

Mount = Callable[[IResource], IResource]


@pytest.mark.parametrize(("mount", "root"), MOUNTS)
def test_names_are_kept_apart_wherever_it_is_mounted(desk: Desk, mount: Mount, root: str) -> None:
    """Section 12.2: the path is taken as it was sent; nothing is decoded, merged or resolved on the way."""
    site = MemorySite(mount(StreamResource(desk.service)))
    for name in NAMES:
        created = site.put(root + name, name)
        assert (created.status, created.headers["location"]) == (201, "http://streams.example" + root + name), name
    for name in NAMES:
        assert site.get(root + name).body == name.encode()
    pages: list[Page] = []
    desk.service.list_streams().addCallback(pages.append)
    assert len(pages[0].streams) == len(NAMES)


@pytest.mark.parametrize(("mount", "root"), MOUNTS)
def test_forks_name_their_source_as_it_is_mounted(desk: Desk, mount: Mount, root: str) -> None:
    """Section 4.2: Stream-Forked-From is the path of the source's URL."""
    site = MemorySite(mount(StreamResource(desk.service)))
    site.put(root + "source", "data")
    assert site.put(root + "fork", Stream_Forked_From=root + "source").status == 201
    assert site.get(root + "fork").body == b"data"


def test_bytes_that_are_no_utf8_are_a_name_too(desk: Desk) -> None:
    """In a twisted.web tree; Klein refuses such URLs before any route sees them."""
    site = MemorySite(as_a_child(StreamResource(desk.service)))
    assert site.put("/api/streams/%FF%FE").status == 201
    assert site.ask("HEAD", "/api/streams/%ff%fe").status == 200


@pytest.mark.parametrize("path", ["/api/streams", "/api/streams/"])
def test_the_mount_itself_is_no_stream(desk: Desk, path: str) -> None:
    """404, not a stream without a name."""
    site = MemorySite(as_a_child(StreamResource(desk.service)))
    assert site.put(path).status == 404


def test_a_follower_is_fed_as_it_goes(desk: Desk) -> None:
    """Section 5.8: through a real site and a real client, event by event, to the orderly end."""
    site = MemorySite(StreamResource(desk.service))
    site.put("/a", "one", Content_Type="text/plain")
    live = site.get("/a?offset=-1&live=sse")
    assert live.headers["content-type"] == "text/event-stream"
    assert live.headers["x-content-type-options"] == "nosniff"
    assert (live.data, live.ended) == (["one"], False)
    site.say("/a", "two")
    desk.turn()
    assert live.data == ["one", "two"]
    site.say("/a", "end", Stream_Closed="true")
    desk.turn()
    assert (live.data, live.ended) == (["one", "two", "end"], True)
    assert desk.is_quiet()


def test_a_poll_is_answered_when_there_is_something(desk: Desk) -> None:
    """Section 5.7, through a real site."""
    site = MemorySite(StreamResource(desk.service))
    site.put("/a", "old", Content_Type="text/plain")
    poll = site.send("GET", "/a?offset=now&live=long-poll")
    assert not poll.is_answered
    site.say("/a", "new")
    assert (poll.answer.status, poll.answer.headers["stream-up-to-date"]) == (200, "true")


def test_clients_that_go_away_leave_nothing(desk: Desk) -> None:
    """A follower and a poll are released when their connections end."""
    site = MemorySite(StreamResource(desk.service))
    site.put("/a", "old", Content_Type="text/plain")
    live, poll = site.get("/a?offset=-1&live=sse"), site.send("GET", "/a?offset=now&live=long-poll")
    assert not desk.is_quiet()
    live.disconnect()
    poll.disconnect()
    assert desk.is_quiet()
    site.say("/a", "new")
    desk.turn()


def test_an_application_that_stops_ends_its_followers(desk: Desk) -> None:
    """Stopping the service is enough: followers get their end, polls their 204."""
    site = MemorySite(StreamResource(desk.service))
    site.put("/a", "old", Content_Type="text/plain")
    live, poll = site.get("/a?offset=-1&live=sse"), site.send("GET", "/a?offset=now&live=long-poll")
    desk.service.stopService()
    assert live.ended
    assert poll.answer.status == 204


def test_a_body_beyond_the_limit_is_refused(desk: Desk) -> None:
    """Section 5.2: 413 with the fields that all answers have, on a site that would take any body."""
    site = MemorySite(StreamResource(desk.service, HttpSettings(limits=Limits(body_bytes=10))))
    site.put("/a", Content_Type="text/plain")
    refused = site.say("/a", "x" * 11)
    assert (refused.status, refused.json["code"]) == (413, "TOO_LARGE")
    assert refused.headers["access-control-allow-origin"] == "*"
    assert site.get("/a").body == b""


def test_no_media_type_is_made_up_for_nothing(desk: Desk) -> None:
    """twisted.web adds text/html where it finds no Content-Type; there is none where there is no body."""
    site = MemorySite(StreamResource(desk.service))
    site.put("/a", Content_Type="text/plain")
    producer = {"Producer_Id": "p", "Producer_Epoch": "0", "Producer_Seq": "0"}
    for answer in (site.say("/a", "data"), site.say("/a", "data", **producer), site.ask("DELETE", "/a")):
        assert answer.status in (200, 204)
        assert "content-type" not in answer.headers


class Crowded(StreamResource):
    """Tells the connection's back-pressure to whatever produces the body, as a channel does."""

    def render(self, request: Any) -> int:
        register = request.registerProducer

        def registered(producer: IPushProducer, streaming: bool) -> None:
            self.producer = producer
            register(producer, streaming)

        request.registerProducer = registered
        return super().render(request)


def test_back_pressure_reaches_the_follower(desk: Desk) -> None:
    """A full connection is not written to; what it missed comes when it has drained."""
    resource = Crowded(desk.service)
    site = MemorySite(resource)
    site.put("/a", Content_Type="text/plain")
    live = site.get("/a?offset=now&live=sse")
    resource.producer.pauseProducing()
    for word in ("one ", "two ", "three"):
        site.say("/a", word)
        desk.turn()
    assert live.data == []
    resource.producer.resumeProducing()
    assert "".join(live.data) == "one two three"
