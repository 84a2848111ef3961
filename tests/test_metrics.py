"""GET /metrics: an extension for those who enable it."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.request import Request, urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from twisted.python.usage import UsageError

from durable_streams.measures import Durations
from durable_streams.tap import Options, settings_from
from tests.running_service import running_service
from tests.web.desk import Desk
from tests.web.memory_site import MemorySite

Samples = dict[tuple[str, tuple[str, ...]], float]


def samples_in(text: str) -> Samples:
    """Values by name and label values."""
    families = text_string_to_metric_families(text)
    return {(s.name, tuple(s.labels.values())): s.value for family in families for s in family.samples}


@pytest.fixture
def watched() -> Iterator[Desk]:
    desk = Desk(metrics=True)
    yield desk
    desk.stop()


def figures(desk: Desk) -> Samples:
    return samples_in(MemorySite(desk.application.resource()).get("/metrics").body.decode())


def figure(desk: Desk, name: str) -> float:
    return figures(desk)["durable_streams_" + name, ()]


def test_nobody_reads_figures_unless_that_is_enabled() -> None:
    """They tell strangers how much goes on."""
    desk = Desk()
    assert MemorySite(desk.application.resource()).get("/metrics").status == 404
    desk.stop()


def test_it_is_never_kept_by_caches(watched: Desk) -> None:
    """In the text format that every scraper reads, HEAD without a body."""
    site = MemorySite(watched.application.resource())
    answer = site.get("/metrics")
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert site.ask("HEAD", "/metrics").body == b""
    assert site.ask("POST", "/metrics").status == 405


def test_requests_are_counted_by_method_and_status(watched: Desk) -> None:
    """Refusals too; methods that nobody knows are one, so that strangers cannot fill the memory with them."""
    watched.text_stream("a")
    watched.say("a", "x")
    watched.say("a", "y")
    watched.get("none")
    for method in ("BREW", "PROPFIND"):
        assert watched.ask(method, "a").status == 405
    found = figures(watched)
    name = "durable_streams_requests_total"
    assert found[name, ("PUT", "201")] == 1
    assert found[name, ("POST", "204")] == 2
    assert found[name, ("GET", "404")] == 1
    assert found[name, ("other", "405")] == 2
    assert (name, ("BREW", "405")) not in found


def test_what_streams_go_through_is_counted(watched: Desk) -> None:
    """Created, appended to, deleted, expired; what was refused or repeated is not."""
    watched.text_stream("a")
    watched.text_stream("a")
    producer = {"Producer_Id": "p", "Producer_Epoch": "0", "Producer_Seq": "0"}
    for _ in range(2):
        watched.say("a", "four", **producer)
    watched.say("none", "refused")
    watched.text_stream("brief", Stream_TTL="1")
    watched.clock.pump([1.0, 1.0])
    watched.ask("DELETE", "a")
    found = figures(watched)
    told = ("streams_created", "appends", "appended_bytes", "streams_deleted", "streams_expired")
    assert [found[f"durable_streams_{name}_total", ()] for name in told] == [2, 1, 4, 1, 1]


def test_those_who_wait_are_shown_while_they_do(watched: Desk) -> None:
    """Live readers and long-polls."""
    watched.text_stream("a")
    reader = watched.connect("a?offset=now&live=sse")
    poll = watched.waiting("GET", "a?offset=now&live=long-poll")
    assert (figure(watched, "sse_readers"), figure(watched, "waiters")) == (1, 1)
    reader.disconnect()
    poll.disconnect()
    assert (figure(watched, "sse_readers"), figure(watched, "waiters")) == (0, 0)


def test_durations_are_counted_up_to_each_bound() -> None:
    """A bound belongs to what is below it."""
    durations = Durations((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7.0):
        durations.add(seconds)
    assert (durations.counts, durations.seconds) == ([2, 1, 1], 7.65)


@pytest.mark.parametrize("channel", ["lean", "stock"])
def test_the_real_service_tells_of_its_journal_and_its_process(channel: str) -> None:
    """Commits as a histogram, whose last bucket has all of them."""
    with running_service("--metrics", "--http-channel", channel) as service:
        fields = {"Content-Type": "text/plain"}
        urlopen(Request(f"{service.url}a", data=b"first", headers=fields, method="PUT")).close()
        urlopen(Request(f"{service.url}a", data=b"second", headers=fields, method="POST")).close()
        with urlopen(f"{service.origin}/metrics") as answer:
            found = samples_in(answer.read().decode())
    name = "durable_streams_commit_seconds"
    assert found[name + "_count", ()] == found[name + "_bucket", ("+Inf",)] == 2
    assert 0 < found[name + "_sum", ()] < 60
    assert found["durable_streams_journal_bytes_total", ()] > len(b"firstsecond")
    assert found["durable_streams_hot_bytes", ()] > 0
    assert found["durable_streams_resident_streams", ()] == 1
    assert found["durable_streams_journal_segments_waiting", ()] == 0
    assert found["durable_streams_healthy", ()] == 1
    assert found["process_open_fds", ()] > 0


def test_the_option_is_off_by_default() -> None:
    """And leaves the path to the streams when they have all of them."""
    options = Options()
    options.parseOptions(["--storage", "memory"])
    assert not settings_from(options).metrics
    with pytest.raises(UsageError, match="--metrics needs a --prefix"):
        Options().parseOptions(["--metrics", "--prefix", "/"])


def test_a_missing_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that brings it."""
    monkeypatch.setattr("durable_streams.tap.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"durable-streams-twisted\[metrics\]"):
        Options().parseOptions(["--metrics"])
