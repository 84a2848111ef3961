"""The service without HTTP, step by step: create, append, read, wait for more, JSON mode, close, and a restart.

Run it from the root of the repository with ``python -m examples.simple_demo``. It keeps nothing.
"""

import json
from tempfile import TemporaryDirectory

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from durable_streams.errors import StreamIsClosed
from durable_streams.service import StreamService
from durable_streams.storage.local import local_storage


async def bytes_and_offsets(streams):
    """A stream is an append-only log; an offset is a place in it to read on from."""
    print("1. Create a stream, append to it, read it")
    created = await streams.create("log", content_type="text/plain")
    print("   created:", created.created, created.stream.content_type)
    first = await streams.append("log", b"Hello, ")
    await streams.append("log", b"world!")
    print("   all of it:", (await streams.read("log")).data)
    print("   from the first append's offset on:", (await streams.read("log", first.next_offset)).data)


async def waiting(streams, reactor):
    """Long-poll: whoever is at the tail waits until there is more, or until the time is up."""
    print("2. Wait for what is not there yet")
    tail = (await streams.read("log")).next_offset
    reactor.callLater(0.2, streams.append, "log", b" And then?")
    print("   waited for:", (await streams.read_live("log", tail, timeout=10)).data)
    print("   waited in vain:", (await streams.read_live("log", timeout=0.2)).data)


async def json_mode(streams):
    """A JSON stream keeps messages: none is ever cut in two, and each keeps its own bytes."""
    print("3. JSON mode")
    await streams.create("scores", content_type="application/json", ttl=3600)
    await streams.append_json("scores", {"team": "red", "goals": 1}, {"team": "blue", "goals": 0})
    await streams.append("scores", b'[{"team": "red", "goals": 2}]')
    found = await streams.read("scores")
    for message in found.each_message():
        print("  ", json.loads(message.data), "then", message.next_offset)


async def the_end(streams):
    """Closing tells every reader that nothing can follow."""
    print("4. Close")
    await streams.append_json("scores", {"whistle": "final"}, close=True)
    try:
        await streams.append_json("scores", {"team": "blue", "goals": 9})
    except StreamIsClosed as refusal:
        print("   too late:", refusal)
    async for part in streams.follow("scores"):
        print("   followed to the end:", len(part.messages), "messages, closed:", part.at_end)


async def after_a_restart(streams):
    """An append was on disk before its Deferred fired."""
    print("5. After a restart")
    print("   still there:", (await streams.read("log")).data)
    listed = (await streams.list_streams()).streams
    print("   streams:", [(stream.path, "closed" if stream.closed else "open") for stream in listed])


async def main(reactor):
    with TemporaryDirectory() as directory:
        streams = StreamService(local_storage(directory, reactor))
        streams.startService()
        await bytes_and_offsets(streams)
        await waiting(streams, reactor)
        await json_mode(streams)
        await the_end(streams)
        await streams.stopService()

        streams = StreamService(local_storage(directory, reactor))
        streams.startService()
        await after_a_restart(streams)
        await streams.stopService()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
