"""A worker for the subscription ``packing``. Start the service, then as many workers as you like, each in a terminal::

    twistd -n durable-streams
    python -m examples.worker ada
    python -m examples.worker bob

Then order something; every customer has a stream, and one of the workers packs::

    ORDERS=http://127.0.0.1:4437/v1/stream/orders
    curl -X PUT  $ORDERS/eve -H 'Content-Type: application/json'
    curl -X POST $ORDERS/eve -H 'Content-Type: application/json' -d '{"item": "teapot"}'

Stop a worker with Ctrl-C, or kill it while it packs: another one goes on with the order.
"""

import os
import sys

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater, react

from durable_streams.client import PullWakeWorker, StreamDirectory

URL = os.environ.get("STREAM_URL", "http://127.0.0.1:4437/v1/stream/")
SECONDS_TO_PACK = float(os.environ.get("SECONDS_TO_PACK", "1"))


async def main(name):
    async def pack(work):
        customer = work.stream.removeprefix("orders/")
        for order in work.messages:
            print(f"{name}: packing {order['item']} for {customer}", flush=True)
            await deferLater(reactor, SECONDS_TO_PACK)
            print(f"{name}: packed", flush=True)

    shop = StreamDirectory(URL)
    await shop.stream("wakes/packing").create(content_type="application/json")
    await shop.subscription("packing").create_pull_wake("wakes/packing", pattern="orders/*", lease_ttl_ms=5000)
    worker = PullWakeWorker(shop, "wakes/packing", pack, subscriptions=["packing"], worker=name)
    worker.startService()
    reactor.addSystemEventTrigger("before", "shutdown", worker.stopService)
    print(f"{name}: waiting for orders", flush=True)
    # Until Ctrl-C; what is being packed then is finished first.
    await deferLater(reactor, float("1e9"))


react(lambda _: ensureDeferred(main(sys.argv[1] if len(sys.argv) > 1 else f"worker-{os.getpid()}")))
