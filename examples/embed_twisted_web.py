"""Streams in a twisted.web tree, without Klein.

Run it with ``python examples/embed_twisted_web.py [PORT]``, then::

    curl -X PUT http://127.0.0.1:8080/streams/notes -H 'Content-Type: text/plain' -d 'first note'
    curl http://127.0.0.1:8080/streams/notes
"""

import sys

from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data

from durable_streams.service import StreamService
from durable_streams.storage.memory import MemoryStorage
from durable_streams.web.resource import StreamResource


def main(port):
    streams = StreamService(MemoryStorage(reactor))
    streams.startService()
    reactor.addSystemEventTrigger("before", "shutdown", streams.stopService)
    root = Resource()
    root.putChild(b"", Data(b"This page is the application's own.\n", "text/plain"))
    root.putChild(b"streams", StreamResource(streams))
    listening = reactor.listenTCP(port, Site(root, parsePOSTFormSubmission=False), interface="127.0.0.1")
    print(f"listening on http://127.0.0.1:{listening.getHost().port}/", flush=True)
    reactor.run()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8080)
