"""A Klein application with its own routes, streams mounted beside them, and a password in front of the streams.

Run it with ``python examples/embed_klein.py [PORT]``, then::

    curl -X POST http://127.0.0.1:8080/greet/ada
    curl -u reader:secret http://127.0.0.1:8080/streams/greetings
"""

import sys
from base64 import b64encode

from klein import Klein
from twisted.internet import reactor
from twisted.web.resource import IResource, Resource
from twisted.web.server import Site
from zope.interface import implementer

from durable_streams.service import StreamService
from durable_streams.storage.memory import MemoryStorage
from durable_streams.web.resource import StreamResource

EXPECTED = b"Basic " + b64encode(b"reader:secret")


@implementer(IResource)
class Guarded(Resource):
    """Lets a request pass to another resource when it brings the password."""

    isLeaf = True

    def __init__(self, guarded):
        super().__init__()
        self.guarded = guarded

    def render(self, request):
        if request.getHeader(b"authorization") == EXPECTED:
            return self.guarded.render(request)
        request.setResponseCode(401)
        request.setHeader(b"www-authenticate", b'Basic realm="streams"')
        return b""


class Application:
    app = Klein()

    def __init__(self, streams):
        self.streams = streams
        self.mounted = Guarded(StreamResource(streams))

    @app.route("/")
    def index(self, request):
        return "This page is the application's own.\n"

    @app.route("/greet/<name>", methods=["POST"])
    async def greet(self, request, name):
        await self.streams.create("greetings", content_type="application/json")
        appended = await self.streams.append_json("greetings", {"hello": name})
        return appended.next_offset + "\n"

    @app.route("/streams/", branch=True)
    def all_streams(self, request):
        return self.mounted


def main(port):
    streams = StreamService(MemoryStorage(reactor))
    streams.startService()
    reactor.addSystemEventTrigger("before", "shutdown", streams.stopService)
    listening = reactor.listenTCP(port, Site(Application(streams).app.resource()), interface="127.0.0.1")
    print(f"listening on http://127.0.0.1:{listening.getHost().port}/", flush=True)
    reactor.run()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8080)
