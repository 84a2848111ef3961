"""``--storage memory``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.plugin import IPlugin
from zope.interface import implementer

from durable_streams.interfaces import IStorage, IStorageMaker
from durable_streams.storage.memory import MemoryStorage


@implementer(IPlugin, IStorageMaker)
class MemoryStorageMaker:
    """Makes ``MemoryStorage``."""

    name = "memory"
    help = "in this process's memory; nothing survives its end"

    def make(self, argument: str, options: Mapping[str, Any], clock: IReactorTime) -> IStorage:
        if argument:
            raise ValueError("memory takes no argument")
        return MemoryStorage(clock)


memory = MemoryStorageMaker()
