"""The durable storage: a journal, a base store, and the recent past in memory.

What it offers is loaded when it is asked for: the checkpointer, which is a module of this package too, starts without
all that a service needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from durable_streams.storage.local.assembly import local_storage
    from durable_streams.storage.local.settings import LocalSettings
    from durable_streams.storage.local.storage import LocalStorage
    from durable_streams.storage.local.workers import RealWorkers
else:
    _MODULES = {
        "LocalSettings": "settings",
        "LocalStorage": "storage",
        "RealWorkers": "workers",
        "local_storage": "assembly",
    }

    def __getattr__(name):
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)

    def __dir__():
        return sorted({*globals(), *__all__})


__all__ = ["LocalSettings", "LocalStorage", "RealWorkers", "local_storage"]
