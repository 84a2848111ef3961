"""For the tests of others: a server without sockets, and the suites that storages and notifiers must pass.

``storage_suite`` and ``notifier_suite`` need pytest and are imported by those names.
"""

from durable_streams.testing.memory_server import ROOT, MemoryServer

__all__ = ["ROOT", "MemoryServer"]
