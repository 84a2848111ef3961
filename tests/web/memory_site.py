"""A resource tree behind a real twisted.web site and a real Agent, over connections in memory."""

from __future__ import annotations

import json
from typing import Any

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer
from twisted.web.resource import IResource
from zope.interface import implementer

from tests.web.desk import events_in


@implementer(IBodyProducer)
class WholeBody:
    """A request's body, sent at once."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.length = len(content)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._content)
        return succeed(None)

    def pauseProducing(self) -> None:
        """All is sent."""

    def resumeProducing(self) -> None:
        """All is sent."""

    def stopProducing(self) -> None:
        """All is sent."""


class ReceivedBody(Protocol):
    """Collects a body as it comes."""

    def __init__(self) -> None:
        self.received = b""
        self.ended = False

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended = True


class SiteAnswer:
    """A response, and what has come of its body; ``headers`` has lower-case names, repeated fields joined."""

    def __init__(self, site: MemorySite, response: Any) -> None:
        self._site = site
        self.status: int = response.code
        fields = response.headers.getAllRawHeaders()
        self.headers = {name.decode().lower(): b", ".join(values).decode() for name, values in fields}
        self._body = ReceivedBody()
        response.deliverBody(self._body)

    @property
    def body(self) -> bytes:
        self._site.flush()
        return self._body.received

    @property
    def ended(self) -> bool:
        self._site.flush()
        return self._body.ended

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> list[str]:
        return [data for kind, data in events_in(self.body) if kind == "data"]

    def disconnect(self) -> None:
        transport: Any = self._body.transport
        transport.loseConnection()
        self._site.flush()


class Pending:
    """A request without an answer yet."""

    def __init__(self, site: MemorySite, deferred: Deferred[Any]) -> None:
        self._site = site
        self._deferred = deferred
        self._outcomes: list[SiteAnswer | Failure] = []
        deferred.addCallback(lambda response: SiteAnswer(site, response)).addBoth(self._outcomes.append)

    @property
    def is_answered(self) -> bool:
        self._site.flush()
        return bool(self._outcomes)

    @property
    def answer(self) -> SiteAnswer:
        assert self.is_answered, "no answer yet"
        outcome = self._outcomes[0]
        assert isinstance(outcome, SiteAnswer), outcome
        return outcome

    def disconnect(self) -> None:
        self._deferred.cancel()
        self._site.flush()


class MemorySite:
    """Asks ``resource``, at ``http://streams.example``. Paths are sent as they are."""

    def __init__(self, resource: IResource) -> None:
        self._agent = RequestTraversalAgent(resource)

    def flush(self) -> None:
        self._agent.flush()

    def send(self, method: str, path: str, body: bytes | str = b"", **headers: str) -> Pending:
        """``_`` in header names is ``-``."""
        fields = Headers({name.replace("_", "-"): [value] for name, value in headers.items()})
        content = body.encode() if isinstance(body, str) else body
        producer = WholeBody(content) if content else None
        uri = b"http://streams.example" + path.encode("latin-1")
        return Pending(self, self._agent.request(method.encode(), uri, fields, producer))

    def ask(self, method: str, path: str, body: bytes | str = b"", **headers: str) -> SiteAnswer:
        """A request that is answered at once."""
        return self.send(method, path, body, **headers).answer

    def get(self, path: str, **headers: str) -> SiteAnswer:
        return self.ask("GET", path, **headers)

    def put(self, path: str, body: bytes | str = b"", **headers: str) -> SiteAnswer:
        return self.ask("PUT", path, body, **headers)

    def say(self, path: str, body: bytes | str, **headers: str) -> SiteAnswer:
        return self.ask("POST", path, body, Content_Type="text/plain", **headers)
