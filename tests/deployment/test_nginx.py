"""docs/deployment.md: nginx in front of the service, with its cache."""

from __future__ import annotations

from pathlib import Path
from urllib.request import Request, urlopen

import pytest
import pytest_twisted
import treq
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.web.client import Agent, HTTPConnectionPool

from durable_streams.client import StreamHandle
from tests.deployment.nginx import Nginx, needs_nginx, nginx_before
from tests.running_service import running_service

pytestmark = needs_nginx
ANNOUNCEMENTS = [f"announcement {number}\n" for number in range(20)]


async def follow(url: str, seen: list[str], pool: HTTPConnectionPool) -> None:
    """Catch up, then read on by long-polls until the stream is closed."""
    stream = StreamHandle(url, treq.client.HTTPClient(Agent(reactor, pool=pool)))
    beginning = await stream.read_text().next_batch()
    assert beginning is not None
    rest = await stream.read_text(beginning.offset, live="long-poll").collect()
    seen.append(beginning.data + rest)


async def announce(stream: StreamHandle) -> None:
    """First nothing for longer than a long-poll waits, then one thing after the other."""
    await deferLater(reactor, 2.5)
    for text in ANNOUNCEMENTS:
        await stream.append(text)
        await deferLater(reactor, 0.15)
    await stream.close()


async def audience(nginx: Nginx, origin: str, name: str, clients: int) -> int:
    """Let ``clients`` follow a stream through nginx; the answer is how many requests came to the service."""
    stream_pool = HTTPConnectionPool(reactor)
    stream = StreamHandle(f"{origin}/v1/stream/{name}", treq.client.HTTPClient(Agent(reactor, pool=stream_pool)))
    await stream.create(content_type="text/plain")
    before = len(nginx.requests_to_the_service())
    pool = HTTPConnectionPool(reactor)
    pool.maxPersistentPerHost = clients
    seen: list[str] = []
    following = gatherResults(
        [Deferred.fromCoroutine(follow(f"{nginx.origin}/v1/stream/{name}", seen, pool)) for _ in range(clients)]
    )
    await announce(stream)
    await following
    await pool.closeCachedConnections()
    await stream_pool.closeCachedConnections()
    assert seen == ["".join(ANNOUNCEMENTS)] * clients
    return len(nginx.requests_to_the_service()) - before


@pytest.mark.timeout(300)
@pytest_twisted.inlineCallbacks
def test_the_service_does_not_feel_how_many_clients_follow_a_stream(tmp_path: Path):
    """Section 10.1: catch-up and long-polls of 500 clients collapse into as many requests as those of 50."""
    options = ("--storage", "memory", "--long-poll-timeout", "1")
    with running_service(*options) as service, nginx_before(service, tmp_path) as nginx:
        few = yield Deferred.fromCoroutine(audience(nginx, service.origin, "few", 50))
        many = yield Deferred.fromCoroutine(audience(nginx, service.origin, "many", 500))
    print(f"{few} requests for 50 clients, {many} for 500")
    assert max(few, many) < 3 * len(ANNOUNCEMENTS)


@pytest.mark.timeout(60)
def test_streams_keep_their_names_and_their_modes(tmp_path: Path) -> None:
    """Opaque paths and SSE pass through."""
    with running_service("--storage", "memory") as service, nginx_before(service, tmp_path) as nginx:
        for name, content in (("a/b", b"one"), ("a//b", b"two"), ("a%2Fb", b"three")):
            urlopen(
                Request(f"{nginx.origin}/v1/stream/{name}", content, {"Content-Type": "text/plain"}, method="PUT")
            ).close()
        assert urlopen(f"{nginx.origin}/v1/stream/a//b").read() == b"two"
        assert urlopen(f"{nginx.origin}/v1/stream/a%2Fb").read() == b"three"
        with urlopen(f"{nginx.origin}/v1/stream/a/b?live=sse&offset=-1", timeout=10) as events:
            assert events.readline() == b"event: data\n"
