"""``--storage local``, the default."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
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
        from durable_streams.storage.local import LocalSettings, LocalStorage, RealWorkers

        directory = Path(argument or options["data-dir"]).absolute()
        settings = LocalSettings(hot_bytes=options["hot-bytes"])
        return LocalStorage(directory, clock, RealWorkers(clock), settings)


local = LocalStorageMaker()
