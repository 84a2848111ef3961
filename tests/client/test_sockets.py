"""The client on real sockets: pooling, back-pressure, closing, TLS, proxies."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IAddress
from twisted.internet.ssl import trustRootFromCertificates
from twisted.web.client import BrowserLikePolicyForHTTPS, ProxyAgent
from twisted.web.http import HTTPFactory
from twisted.web.proxy import Proxy, ProxyRequest

from durable_streams.client import ConnectionFailed, Connections, InvalidArgument, Reading, RetryPolicy, StreamHandle
from tests.client.socket_server import SocketServer, reactor, self_signed, soon

LIVE_MODES: list[Any] = ["long-poll", "sse", "auto"]


@pytest_twisted.async_yield_fixture
async def server() -> AsyncGenerator[SocketServer]:
    server = SocketServer()
    yield server
    await server.stop()


async def text_on(server: SocketServer) -> StreamHandle:
    stream = server.directory().stream("text")
    await stream.create(content_type="text/plain")
    return stream


@pytest_twisted.ensureDeferred
async def test_requests_share_pooled_connections(server: SocketServer) -> None:
    """One after the other, they need only one."""
    stream = await text_on(server)
    for _ in range(20):
        await stream.append("x")
        await stream.head()
        await stream.read().collect()
    assert server.site.made == 1


@pytest.mark.parametrize("live", LIVE_MODES)
@pytest_twisted.ensureDeferred
async def test_live_reads(server: SocketServer, live: Any) -> None:
    """What is appended arrives, to the end."""
    stream = await text_on(server)
    seen: list[str] = []
    ended = stream.read_text(live=live).deliver(lambda batch: seen.append(batch.data))
    for word in ("one ", "two ", "€"):
        await stream.append(word)
        await soon()
    await stream.close()
    await ended
    assert "".join(seen) == "one two €"


@pytest.mark.parametrize("live", LIVE_MODES)
@pytest_twisted.ensureDeferred
async def test_leaving_a_loop_closes_its_connection(server: SocketServer, live: Any) -> None:
    """The server loses the reader at once; pooled connections that are idle stay."""
    stream = await text_on(server)
    await stream.append("x")

    async def first() -> str:
        async for batch in stream.read_text(live=live):
            if batch.data:
                return batch.data
        raise AssertionError("nothing came")

    assert await first() == "x"
    idle = stream.read_text("now", live)
    waiting = idle.deliver(lambda batch: None)
    await soon()
    idle.close()
    await waiting
    await server.connections.close()
    await server.until_live(0)


@pytest_twisted.ensureDeferred
async def test_cancelling_a_request_closes_its_connection(server: SocketServer) -> None:
    """Also before its answer has begun."""
    stream = await text_on(server)
    waiting = stream.read_text("now", "long-poll").next_batch()
    await soon()
    waiting.addErrback(lambda failure: None)
    waiting.cancel()
    await waiting
    await server.connections.close()
    await server.until_live(0)


@pytest_twisted.ensureDeferred
async def test_a_slow_consumer_pauses_the_socket(server: SocketServer) -> None:
    """The server's feed leaves the slow reader behind instead of buffering; nothing is lost."""
    stream = await text_on(server)
    reading: Reading[bytes] = stream.read("now", "sse")
    await reading.next_batch()
    producer = stream.producer("p")
    for _ in range(30):
        producer.append(b"x" * 1_000_000)
    await producer.flush()
    await soon()
    total = 0
    while total < 30_000_000:
        batch = await reading.next_batch()
        assert batch is not None
        total += len(batch.data)
    assert total == 30_000_000
    reading.close()


@pytest_twisted.ensureDeferred
async def test_tls_with_a_trusted_certificate(tmp_path: Path) -> None:
    """Requests and live reads; leaving closes the connection there too."""
    certificate = self_signed(tmp_path)
    server = SocketServer(certificate)
    connections = Connections(reactor, BrowserLikePolicyForHTTPS(trustRootFromCertificates([certificate])))
    stream = server.directory(connections.treq).stream("text")
    await stream.create(content_type="text/plain", data="secret")
    reading = stream.read_text(live="sse")
    batch = await reading.next_batch()
    assert batch is not None
    assert batch.data == "secret"
    for _ in range(10):
        await stream.append("x" * 1_000_000)
    reading.close()
    await connections.close()
    await server.until_live(0)
    await server.stop()


@pytest_twisted.ensureDeferred
async def test_a_certificate_that_is_not_trusted_is_an_error_at_once(tmp_path: Path) -> None:
    """No retry would make it better."""
    server = SocketServer(self_signed(tmp_path))
    stream = server.directory(retry=RetryPolicy(max_retries=1000)).stream("text")
    with pytest.raises(ConnectionFailed, match="certificate") as failure:
        await stream.head()
    assert failure.value.permanent
    await server.stop()


@pytest.mark.filterwarnings("ignore:twisted.web.http.HTTPClient:DeprecationWarning")
@pytest_twisted.ensureDeferred
async def test_through_a_proxy(server: SocketServer) -> None:
    """Any treq client will do, here one around Twisted's ProxyAgent."""
    asked: list[bytes] = []

    class Asking(ProxyRequest):
        def process(self) -> None:
            asked.append(self.uri)
            super().process()

    class Proxying(Proxy):
        requestFactory = Asking

    class ProxyFactory(HTTPFactory):
        def buildProtocol(self, addr: IAddress | None) -> Any:
            proxying = Proxying()
            proxying.factory = self
            return proxying

        def log(self, request: Any) -> None:
            """No access log."""

    factory = ProxyFactory()
    proxy = reactor.listenTCP(0, factory, interface="127.0.0.1")
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", proxy.getHost().port)
    stream = server.directory(HTTPClient(ProxyAgent(endpoint, reactor))).stream("text")
    await stream.create(content_type="text/plain", data="via proxy")
    assert await stream.read_text().collect() == "via proxy"
    assert {uri.partition(b"?")[0] for uri in asked} == {stream.url.encode()}
    await proxy.stopListening()
    await server.until_live(0)


@pytest_twisted.ensureDeferred
async def test_another_scheme_is_refused(server: SocketServer) -> None:
    """Only http and https can be spoken."""
    with pytest.raises(InvalidArgument, match="url"):
        await server.directory().stream("x").sibling("ftp://127.0.0.1/x").head()


@pytest_twisted.ensureDeferred
async def test_a_server_that_is_away_for_a_moment() -> None:
    """A reader and a producer live through a restart on the same port."""
    server = SocketServer()
    stream = await text_on(server)
    seen: list[str] = []
    ended = stream.read_text(live="sse").deliver(lambda batch: seen.append(batch.data))
    producer = stream.producer("p")
    producer.append("before ")
    await producer.flush()
    await server.port.stopListening()
    server.service.release_waiters()
    server.cut()
    producer.append("during ")
    flushed: Deferred[None] = producer.flush()
    await soon()
    server.port = reactor.listenTCP(server.number, server.site, interface="127.0.0.1")
    await flushed
    await producer.close("after")
    await ended
    assert "".join(seen) == "before during after"
    await server.stop()
