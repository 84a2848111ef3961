"""The stream service by itself: create, append, read, wait, fork, close, describe, list, delete.

Run it with ``python examples/without_http.py``.
"""

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from durable_streams.errors import StreamIsClosed
from durable_streams.service import StreamService
from durable_streams.storage.memory import MemoryStorage


async def tour(reactor):
    streams = StreamService(MemoryStorage(reactor))
    streams.startService()

    await streams.create("chat", content_type="application/json", ttl=3600)
    appended = await streams.append_json("chat", {"text": "hello"}, {"text": "world"})
    print("appended up to", appended.next_offset)
    print("all messages:", (await streams.read("chat")).messages)

    waiting = streams.read_live("chat", appended.next_offset, timeout=10)
    await streams.append_json("chat", {"text": "live"})
    print("waited for:", (await waiting).messages)

    await streams.fork("chat", "another end", offset=appended.next_offset)
    await streams.append_json("another end", {"text": "or not"})
    print("the fork:", (await streams.read("another end")).messages)

    await streams.close("chat")
    try:
        await streams.append_json("chat", "too late")
    except StreamIsClosed as closed:
        print("closed at position", closed.tail)

    async for part in streams.follow("chat"):
        print("followed:", len(part.messages), "messages")
    print("described:", (await streams.describe("chat")).content_type)
    print("listed:", [stream.path for stream in (await streams.list_streams()).streams])
    await streams.delete("another end")
    await streams.delete("chat")
    await streams.stopService()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(tour(reactor)))
