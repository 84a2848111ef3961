"""``--storage local``, the default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.plugin import IPlugin
from zope.interface import implementer

from durable_streams.interfaces import IStorage, IStorageMaker


@implementer(IPlugin, IStorageMaker)
class LocalStorageMaker:
    """Makes ``LocalStorage``; its argument, or ``--data-dir``, is the directory."""

    name = "local"
    help = "durable, in a directory of this machine (--data-dir)"

    def make(self, argument: str, options: Mapping[str, Any], clock: IReactorTime) -> IStorage:
        from durable_streams.storage.local import LocalSettings, local_storage

        return local_storage(argument or options["data-dir"], clock, LocalSettings(hot_bytes=options["hot-bytes"]))


local = LocalStorageMaker()
