"""The notifier within one process keeps the promises of its interface."""

from __future__ import annotations

from durable_streams.interfaces import INotifier
from durable_streams.notifier.local import LocalNotifier
from durable_streams.testing.notifier_suite import NotifierSuite


class TestLocalNotifier(NotifierSuite):
    def make_notifier(self) -> INotifier:
        return LocalNotifier()
