"""What every notifier must do: a suite for pytest, to be inherited by the tests of a provider."""

from __future__ import annotations

from typing import Any

import pytest
from zope.interface.verify import verifyObject

from durable_streams.interfaces import INotifier


class NotifierSuite:
    """The promises of ``INotifier``."""

    def make_notifier(self) -> INotifier:
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _made_notifier(self) -> None:
        self.notifier = self.make_notifier()
        self.calls: list[str] = []

    def test_it_provides_the_interface(self) -> None:
        verifyObject(INotifier, self.notifier)

    def test_the_subscribers_of_a_stream_are_called(self) -> None:
        self.notifier.subscribe("a", lambda: self.calls.append("first"))
        self.notifier.subscribe("a", lambda: self.calls.append("second"))
        self.notifier.subscribe("b", lambda: self.calls.append("other"))
        self.notifier.notify("a")
        assert sorted(self.calls) == ["first", "second"]

    def test_an_ended_subscription_is_silent(self) -> None:
        end = self.notifier.subscribe("a", lambda: self.calls.append("called"))
        end()
        end()
        self.notifier.notify("a")
        assert self.calls == []

    def test_nothing_is_kept_of_those_who_left(self) -> None:
        ends = [self.notifier.subscribe("a", lambda: None) for _ in range(100)]
        assert list(self.notifier.followed()) == ["a"]
        for end in ends:
            end()
        assert list(self.notifier.followed()) == []

    def test_a_subscriber_may_leave_while_it_is_called(self) -> None:
        ends: list[Any] = []

        def leave() -> None:
            self.calls.append("called")
            for end in ends:
                end()

        ends += [self.notifier.subscribe("a", leave), self.notifier.subscribe("a", leave)]
        self.notifier.notify("a")
        assert self.calls == ["called"]

    def test_a_subscriber_that_fails_harms_no_other(self) -> None:
        def fail() -> None:
            raise RuntimeError("a broken follower")

        self.notifier.subscribe("a", fail)
        self.notifier.subscribe("a", lambda: self.calls.append("called"))
        self.notifier.notify("a")
        assert self.calls == ["called"]
