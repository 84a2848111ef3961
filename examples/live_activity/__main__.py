"""A Klein site with streams mounted in it, and a page that updates by itself.

Run it from the root of the repository with ``python -m examples.live_activity [PORT [DIRECTORY]]``.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.web.server import Site

from durable_streams.live import InProcess, LiveListener
from durable_streams.service import StreamService
from durable_streams.storage.local import local_storage

from .board import Board
from .website import ACTIVITY, Website


async def main(reactor: Any, port: str = "8080", directory: str = "live-activity-data") -> None:
    streams = StreamService(local_storage(directory, reactor))
    streams.startService()
    reactor.addSystemEventTrigger("before", "shutdown", streams.stopService)
    await streams.create(ACTIVITY, content_type="application/json")

    board = Board()
    # It reads the stream from its beginning, so the board is the same after a restart.
    listener = LiveListener(InProcess(streams), on_data=board.take)
    listener.listen(ACTIVITY)
    reactor.addSystemEventTrigger("before", "shutdown", listener.stop_listening)

    site = Site(Website(streams, board, listener).app.resource())
    listening = reactor.listenTCP(int(port), site, interface="127.0.0.1")
    print(f"listening on http://127.0.0.1:{listening.getHost().port}/", flush=True)
    await Deferred()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:3])
