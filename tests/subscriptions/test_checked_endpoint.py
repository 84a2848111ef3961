"""Connections go to the addresses that were checked, whatever a name stands for a moment later (Section 12.8)."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectingCancelledError, ConnectionRefusedError
from twisted.internet.interfaces import IHostnameResolver, IOpenSSLClientConnectionCreator, IResolutionReceiver
from twisted.internet.ssl import optionsForClientTLS
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from durable_streams.subscriptions.errors import WebhookUrlRejected
from durable_streams.subscriptions.webhook import Webhooks
from tests.subscriptions.world import error_of, result_of

PUBLIC = "93.184.216.34"
OTHER = "93.184.216.35"
PUBLIC_6 = "2606:2800:220:1:248:1893:25c8:1946"
HOOK = "https://Worker.example:8443/hook?x=1"


@implementer(IHostnameResolver)
class Names:
    """Answers each question with the next list of addresses."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def resolveHostName(self, receiver: IResolutionReceiver, hostName: str, portNumber: int = 0, *_: Any) -> Any:
        self.asked.append(hostName)
        receiver.resolutionBegan(None)  # type: ignore[arg-type]  # nobody looks at it
        for address in self.answers.pop(0):
            kind: Any = IPv6Address if ":" in address else IPv4Address
            receiver.addressResolved(kind("TCP", address, portNumber))
        receiver.resolutionComplete()


@implementer(IPolicyForHTTPS)
class Policy:
    """Notes for which host certificates are wanted."""

    def __init__(self) -> None:
        self.hosts: list[tuple[bytes, int]] = []

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        self.hosts.append((hostname, port))
        return optionsForClientTLS(hostname.decode())


class Network(MemoryReactorClock):
    """Connections that are asked for, none of which is made; and the answers of name servers."""

    def __init__(self, *answers: list[str]) -> None:
        super().__init__()
        self.names = Names(*answers)
        self.installNameResolver(self.names)
        self.policy = Policy()
        self.webhooks = Webhooks(self, https_policy=self.policy)

    @property
    def asked(self) -> list[tuple[str, int]]:
        return [(host, port) for host, port, *_ in self.tcpClients]

    def send(self, url: str = HOOK) -> list[Any]:
        """The outcomes of a request, as they come."""
        outcomes: list[Any] = []
        self.webhooks.send(url, b"{}", b"t=1,kid=k,ed25519=s", 30).addBoth(outcomes.append)
        return outcomes

    def refuse(self) -> None:
        """The connection that was asked for last cannot be made."""
        factory = self.tcpClients[-1][2]
        factory.clientConnectionFailed(self.connectors[-1], Failure(ConnectionRefusedError()))


def end(network: Network, outcomes: list[Any]) -> Any:
    network.advance(30)
    [failure] = outcomes
    return failure.value


def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    """12.8: the name is resolved once for each request, and never by the connection itself."""
    network = Network([PUBLIC])
    outcomes = network.send()
    assert (network.asked, network.names.asked) == ([(PUBLIC, 8443)], ["worker.example"])
    assert isinstance(end(network, outcomes), ConnectingCancelledError)


def test_the_certificate_must_be_one_of_the_name() -> None:
    """12.8: the address is fixed, TLS still asks for the receiver's name."""
    network = Network([PUBLIC])
    outcomes = network.send()
    assert network.policy.hosts == [(b"worker.example", 8443)]
    end(network, outcomes)


@pytest.mark.parametrize("answer", [["10.0.0.1"], [PUBLIC, "127.0.0.1"], ["fe80::1%eth0"], ["::ffff:169.254.169.254"]])
def test_a_name_that_leads_inside_is_not_called(answer: list[str]) -> None:
    """12.8: one bad address among good ones is enough, for the next answer might be that one alone."""
    network = Network(answer)
    assert network.send()[0].check(WebhookUrlRejected)
    assert network.asked == []


def test_a_name_that_changes_after_the_check_is_not_called() -> None:
    """12.8: DNS rebinding: public when the subscription is created, private when it is delivered."""
    network = Network([PUBLIC], ["169.254.169.254"])
    result_of(network.webhooks.check(HOOK))
    assert network.send()[0].check(WebhookUrlRejected)
    assert network.asked == []


def test_a_name_that_leads_inside_is_refused_at_creation() -> None:
    """6.2: so that the owner is told."""
    network = Network(["169.254.169.254"])
    assert error_of(network.webhooks.check("https://metadata.example/"), WebhookUrlRejected).url


def test_a_name_that_nobody_knows_may_be_known_later() -> None:
    """6.2: it is taken, and checked at each delivery."""
    network = Network([], [])
    result_of(network.webhooks.check(HOOK))
    assert network.send()[0].getErrorMessage().count("no address is known for worker.example")


def test_addresses_are_tried_one_after_the_other() -> None:
    """A receiver with several addresses is reached as long as one of them answers."""
    network = Network([PUBLIC_6, PUBLIC, OTHER])
    outcomes = network.send()
    network.refuse()
    network.refuse()
    assert network.asked == [(PUBLIC_6, 8443), (PUBLIC, 8443), (OTHER, 8443)]
    network.refuse()
    assert isinstance(outcomes[0], Failure)


def test_an_address_that_does_not_answer_is_left_after_ten_seconds() -> None:
    """So that the others have their turn."""
    network = Network([PUBLIC, OTHER])
    outcomes = network.send()
    network.advance(9)
    assert len(network.asked) == 1
    assert network.tcpClients[0][3] == 10
    end(network, outcomes)


def test_a_request_that_is_given_up_leaves_no_connection() -> None:
    """7.1: the time limit covers name, connection, TLS, and answer."""
    network = Network([PUBLIC])
    outcomes = network.send()
    factory = network.tcpClients[0][2]
    assert factory.buildProtocol(IPv4Address("TCP", PUBLIC, 8443)) is not None
    network.advance(30)
    assert len(outcomes) == 1
    assert network.getDelayedCalls() == []
