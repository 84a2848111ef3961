"""Which URLs webhooks may go to, in every spelling (Sections 6.2 and 12.8)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_streams.subscriptions.errors import WebhookUrlRejected
from durable_streams.subscriptions.webhook_url import webhook_target

PUBLIC = [
    "https://worker.example/hooks",
    "https://worker.example",
    "https://worker.example:8443/hooks?a=b&c=%20d",
    "https://WORKER.example/",
    "https://xn--bcher-kva.example/",
    "https://my_service.example/",
    "https://93.184.216.34/",
    "https://[2606:2800:220:1:248:1893:25c8:1946]/hook",
    "https://[64:ff9b::93.184.216.34]/",
    "https://[::ffff:93.184.216.34]/",
]

NOT_FROM_HERE = {
    "loopback": ["127.0.0.1", "127.1.2.3", "[::1]"],
    "unspecified": ["0.0.0.0", "0.1.2.3", "[::]"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "[fc00::1]", "[fd12:3456::1]"],
    "link-local": ["169.254.0.1", "[fe80::1]", "[febf::1]"],
    "site-local": ["[fec0::1]"],
    "metadata services": ["169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "[fd00:ec2::254]"],
    "carriers": ["100.64.0.1", "100.127.255.255"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "[2001:db8::1]", "[3fff::1]"],
    "benchmarks": ["198.18.0.1", "198.19.255.255"],
    "multicast and broadcast": ["224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "[ff02::1]"],
    "mapped": ["[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:10.0.0.1]", "[0:0:0:0:0:ffff:a9fe:a9fe]"],
    "compatible": ["[::127.0.0.1]", "[::10.0.0.1]"],
    "translated": ["[::ffff:0:127.0.0.1]"],
    "NAT64": ["[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b::10.0.0.1]", "[64:ff9b:1::1]"],
    "6to4": ["[2002:7f00:1::]", "[2002:a9fe:a9fe::1]", "192.88.99.1"],
    "Teredo": ["[2001:0:4136:e378:8000:63bf:3fff:fdd2]"],
    "ISATAP": ["[2606:2800::5efe:10.0.0.1]", "[2606:2800::200:5efe:10.0.0.1]"],
    "names of this machine": ["localhost", "LOCALHOST", "a.localhost"],
}

NOT_A_USUAL_SPELLING = [
    "2130706433",  # 127.0.0.1 as one number
    "0x7f000001",
    "017700000001",
    "0x7f.1",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "127.1",
    "127.0.1",
    "010.0.0.1",
    "10.0.0.1.",
    "1",
    "worker.0x1",
    "256.1.1.1",
    "127.0.0.1.5",
    "[::1%25lo]",
    "[fe80::1%25eth0]",
    "[fe80::1%eth0]",
    "[::1",
    "[1::2::3]",
    "[127.0.0.1]",
    "[v1.a]",
    "\uff11\uff12\uff17.\uff10.\uff10.\uff11",
    "\u2460\u2461\u2466.0.0.1",
    "127\u30020\u30020\u30021",
    "localhost.",
    "worker.example.",
    "worker%2eexample",
    "%6cocalhost",
    "-worker.example",
    "",
    ".",
]

NOT_AN_ADDRESS_OF_A_RECEIVER = [
    "",
    "worker.example",
    "//worker.example/",
    "ftp://worker.example/",
    "file:///etc/passwd",
    "gopher://worker.example/",
    "https:/worker.example",
    "https:worker.example",
    "https:///worker.example",
    "HTTPS://worker.example/",
    " https://worker.example/",
    "https://worker.example/\n",
    "https://worker.example/\r\nX: y",
    "https://worker.example/a b",
    "https://worker.example/ä",
    "https://worker.example/#fragment",
    "https://worker.example\\@10.0.0.1/",
    "https://user@worker.example/",
    "https://user:password@worker.example/",
    "https://worker.example@10.0.0.1/",
    "https://:@worker.example/",
    "https://worker.example:/",
    "https://worker.example:0/",
    "https://worker.example:65536/",
    "https://worker.example:-1/",
    "https://worker.example:443x/",
    "https://worker.example/" + "a" * 2048,
]


def rejected(url: str, allow_loopback: bool = False) -> str:
    """What the refusal asks for."""
    with pytest.raises(WebhookUrlRejected) as refusal:
        webhook_target(url, allow_loopback)
    assert refusal.value.url == url
    return refusal.value.requirement


@pytest.mark.parametrize("url", PUBLIC)
def test_public_https_urls_are_taken(url: str) -> None:
    """6.2: production URLs use https."""
    target = webhook_target(url, allow_loopback=False)
    assert (target.host == target.host.lower(), target.loopback) == (True, False)


@pytest.mark.parametrize("host", [host for hosts in NOT_FROM_HERE.values() for host in hosts])
@pytest.mark.parametrize("allow_loopback", [False, True])
def test_local_targets_are_refused(host: str, allow_loopback: bool) -> None:
    """6.2, 12.8: RFC 1918, link-local, loopback, metadata and all that leads there; https is no way around it."""
    assert rejected(f"https://{host}/", allow_loopback) == "must lead to a public address"


@pytest.mark.parametrize("host", NOT_A_USUAL_SPELLING)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_addresses_have_one_spelling(scheme: str, host: str) -> None:
    """12.8: numbers that some resolvers take for an address, zones, dots at the end, characters beyond ASCII."""
    rejected(f"{scheme}://{host}/", allow_loopback=True)


@pytest.mark.parametrize("url", NOT_AN_ADDRESS_OF_A_RECEIVER)
def test_anything_else_is_refused(url: str) -> None:
    """6.2: other schemes, users and passwords, fragments, controls, ports that are none."""
    rejected(url)


class TestLoopback:
    """6.2: the exception for development, which an operator must ask for."""

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2", "[::1]", "hooks.localhost"])
    def test_http_to_this_machine_only_when_allowed(self, host: str) -> None:
        """6.2: http://localhost and http://127.0.0.x."""
        url = f"http://{host}:9000/hook"
        assert rejected(url) == "must use https"
        assert webhook_target(url, allow_loopback=True)[1:] == (9000, True)

    @pytest.mark.parametrize("host", ["worker.example", "93.184.216.34", "10.0.0.1", "169.254.169.254", "[fe80::1]"])
    def test_http_to_anywhere_else_never(self, host: str) -> None:
        """6.2: production uses https."""
        assert rejected(f"http://{host}/", allow_loopback=True) == "must use https"

    def test_a_name_of_this_machine_admits_nothing_but_loopback(self) -> None:
        """12.8: whatever a resolver says of localhost."""
        target = webhook_target("http://localhost/", allow_loopback=True)
        assert [target.admits(found) for found in ("127.0.0.1", "::1", "10.0.0.1", "93.184.216.34")] == [
            True,
            True,
            False,
            False,
        ]


@pytest.mark.parametrize("hosts", NOT_FROM_HERE.values(), ids=NOT_FROM_HERE)
def test_what_a_name_stands_for_is_judged_alike(hosts: list[str]) -> None:
    """12.8: a public name for an internal address."""
    target = webhook_target("https://worker.example/", allow_loopback=True)
    for host in hosts:
        if host[0] in "[0123456789":
            assert not target.admits(host.strip("[]")), host


def test_a_zone_does_not_hide_an_address() -> None:
    """12.8: resolvers return link-local addresses with the name of an interface."""
    target = webhook_target("https://worker.example/", allow_loopback=False)
    assert not target.admits("fe80::1%eth0")
    assert not target.admits("::1%lo")


@given(st.integers(0, 2**32 - 1))
def test_ipv4_agrees_with_the_registry(number: int) -> None:
    """12.8: nothing is admitted that IANA's registry of special addresses has, as far as Python knows it."""
    address = IPv4Address(number)
    target = webhook_target("https://worker.example/", allow_loopback=False)
    if target.admits(str(address)):
        assert address.is_global
        assert not address.is_multicast
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        assert target.admits(str(IPv6Address(int(ip_address(prefix)) + number))) == target.admits(str(address))


@given(st.integers(0, 2**128 - 1) | st.integers(2 << 124, (4 << 124) - 1))
def test_ipv6_agrees_with_the_registry(number: int) -> None:
    """12.8: the same for IPv6."""
    address = IPv6Address(number)
    if webhook_target("https://worker.example/", allow_loopback=False).admits(str(address)):
        assert address.is_global
        assert not address.is_multicast
