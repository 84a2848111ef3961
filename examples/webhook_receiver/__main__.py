"""A receiver of webhooks. Start the service so that it may call this machine, then the receiver::

    twistd -n durable-streams --allow-loopback-webhooks
    python -m examples.webhook_receiver

Then order something::

    ORDERS=http://127.0.0.1:4437/v1/stream/orders
    curl -X PUT  $ORDERS/eve -H 'Content-Type: application/json'
    curl -X POST $ORDERS/eve -H 'Content-Type: application/json' -d '{"item": "teapot"}'

Stop the receiver and order more: the service tries again, and what was ordered meanwhile comes in one call.
"""

import os
import sys

from klein import Klein
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater, react
from twisted.logger import Logger
from twisted.web.server import Site

from durable_streams.client import ClientError, SignatureRejected, StreamDirectory, WakeSession, WebhookVerifier

URL = os.environ.get("STREAM_URL", "http://127.0.0.1:4437/v1/stream/")
SUBSCRIPTION = "invoices"
LEASE_SECONDS = 10

log = Logger()


class Receiver:
    app = Klein()

    def __init__(self, directory):
        self.directory = directory
        self.verifier = WebhookVerifier(f"{directory.root}__ds/jwks.json", subscription_ids={SUBSCRIPTION})

    @app.route("/hook", methods=["POST"])
    async def hook(self, request):
        # The body as it came: the signature is for these very bytes.
        body = request.content.read()
        try:
            wake = await self.verifier.verify(body, request.getHeader("webhook-signature"))
        except SignatureRejected as reason:
            request.setResponseCode(401)
            return f"{reason}\n"
        except ClientError:
            request.setResponseCode(503)
            return "the keys cannot be fetched now\n"
        # The work goes on after the answer; the session calls back, and keeps the lease alive until it is done.
        lease = self.verifier.lease(wake, LEASE_SECONDS)
        working = WakeSession(lease, self.directory, self.write_invoices, reactor).run()
        working.addErrback(lambda failure: log.failure("this wake comes again", failure))
        request.setResponseCode(202)
        return b""

    async def write_invoices(self, work):
        for order in work.messages:
            await deferLater(reactor, 0.1)
            print(f"invoice for {work.stream.removeprefix('orders/')}: {order['item']}", flush=True)


async def main(port):
    directory = StreamDirectory(URL)
    listening = reactor.listenTCP(port, Site(Receiver(directory).app.resource()), interface="127.0.0.1")
    hook = f"http://127.0.0.1:{listening.getHost().port}/hook"
    subscription = directory.subscription(SUBSCRIPTION)
    await subscription.create_webhook(hook, pattern="orders/*", lease_ttl_ms=LEASE_SECONDS * 1000)
    print(f"called at {hook}", flush=True)
    await deferLater(reactor, float("1e9"))


react(lambda _: ensureDeferred(main(int(sys.argv[1]) if len(sys.argv) > 1 else 9000)))
