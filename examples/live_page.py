"""A Klein page that shows a stream of the same process, and is always up to date.

Run it with ``python examples/live_page.py [PORT]``, then::

    curl -X POST http://127.0.0.1:8080/streams/scores -H 'Content-Type: application/json' -d '{"team":"red","goals":2}'
    curl http://127.0.0.1:8080/
"""

import sys

from klein import Klein
from twisted.application.service import MultiService
from twisted.internet import reactor
from twisted.web.server import Site

from durable_streams.live import InProcess, LiveListener
from durable_streams.service import StreamService
from durable_streams.storage.memory import MemoryStorage
from durable_streams.web.resource import StreamResource


class Scoreboard:
    """The newest score of each team, as a listener keeps it."""

    app = Klein()

    def __init__(self, streams):
        self.mounted = StreamResource(streams)
        self.goals = {}
        self.listener = LiveListener(InProcess(streams), on_data=self.update, stream="scores")

    def update(self, messages, offset):
        for message in messages:
            self.goals[message["team"]] = message["goals"]

    @app.route("/")
    def page(self, request):
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        scores = "".join(f"{team} {goals}\n" for team, goals in sorted(self.goals.items()))
        return f"{self.listener.status.value}\n{scores}"

    @app.route("/streams/", branch=True)
    def all_streams(self, request):
        return self.mounted


def main(port):
    streams = StreamService(MemoryStorage(reactor))
    board = Scoreboard(streams)
    tree = MultiService()
    streams.setServiceParent(tree)
    tree.startService()
    made = streams.create("scores", content_type="application/json")
    made.addCallback(lambda _: board.listener.setServiceParent(tree))
    listening = reactor.listenTCP(
        port, Site(board.app.resource(), parsePOSTFormSubmission=False), interface="127.0.0.1"
    )
    print(f"listening on http://127.0.0.1:{listening.getHost().port}/", flush=True)
    reactor.addSystemEventTrigger("before", "shutdown", tree.stopService)
    reactor.run()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8080)
