"""A chat in the terminal: what you type is appended, what anybody appends is shown.

Start a server with ``twistd -n durable-streams``, then run this in two terminals::

    python examples/client_chat.py ada
    python examples/client_chat.py bob

Ctrl-D ends it. A lost connection, or a restart of the server, is only a pause.
"""

import os
import sys

from twisted.internet.defer import Deferred
from twisted.internet.stdio import StandardIO
from twisted.internet.task import react
from twisted.protocols.basic import LineOnlyReceiver

from durable_streams.client import StreamHandle

ROOT = os.environ.get("STREAM_URL", "http://127.0.0.1:4437/v1/stream/")


class Keyboard(LineOnlyReceiver):
    """Hands each line to a producer."""

    delimiter = b"\n"

    def __init__(self, name, producer):
        self.name = name
        self.producer = producer
        self.ended = Deferred()

    def lineReceived(self, line):
        self.producer.append_json({"from": self.name, "text": line.decode()})

    def connectionLost(self, reason=None):
        self.ended.callback(None)


def show(batch):
    for message in batch.data:
        print(f"{message['from']}: {message['text']}", flush=True)


async def main(reactor, name):
    chat = StreamHandle(ROOT + "chat")
    await chat.create(content_type="application/json", ttl=3600)
    reading = chat.read_json(live="auto")
    shown = reading.deliver(show)
    keyboard = Keyboard(name, chat.producer(f"chat-{name}", auto_claim=True))
    StandardIO(keyboard)
    await keyboard.ended
    await keyboard.producer.detach()
    reading.close()
    await shown


if __name__ == "__main__":
    react(lambda reactor, name: Deferred.fromCoroutine(main(reactor, name)), sys.argv[1:2] or ["somebody"])
