"""From the bytes of batches to what the reader asked for."""

from __future__ import annotations

import codecs
import gc
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, NoReturn, Protocol, TypeVar

import msgspec

from durable_streams.client.batch import Batch, RawBatch

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Undecodable(Exception):
    """The data are not what they should be; the text says why."""


class Decoder(Protocol[T]):
    """Decodes the batches of one reading, in their order."""

    whole_answers: bool
    """Whether an answer must be complete to be decoded, or can be taken in pieces."""

    def decode(self, raw: RawBatch, start: str) -> Batch[T]:
        """The batch with its data decoded; ``start`` is the offset of the batch before. Raises ``Undecodable``."""

    def skip(self) -> None:
        """What comes next does not follow what came before: something is missing between them."""

    def join(self, parts: list[T]) -> T:
        """The data of many batches as one."""

    def items(self, data: T) -> Iterable[Any]:
        """The single messages in a batch's data, or the data themselves where there are none."""


class BytesDecoder:
    """Bytes as they are."""

    whole_answers = False

    def decode(self, raw: RawBatch, start: str) -> Batch[bytes]:
        parts = raw.data
        return Batch(parts[0] if len(parts) == 1 else b"".join(parts), *raw[1:])

    def skip(self) -> None:
        """Nothing is held back."""

    def join(self, parts: list[bytes]) -> bytes:
        return b"".join(parts)

    def items(self, data: bytes) -> Iterable[bytes]:
        return (data,) if data else ()


class TextDecoder:
    """UTF-8, only ever whole characters.

    While the bytes of a character are incomplete, the offset stays at the last batch that ended with a whole one,
    because resuming from a later offset would lose those bytes. Where the stream itself ends or is malformed, there
    is U+FFFD.
    """

    whole_answers = False

    def __init__(self) -> None:
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")

    def decode(self, raw: RawBatch, start: str) -> Batch[str]:
        text = "".join([self._characters.decode(part) for part in raw.data])
        if raw.closed:
            text += self._characters.decode(b"", final=True)
        is_whole = not self._characters.getstate()[0]
        return Batch(text, raw.offset if is_whole else start, *raw[2:])

    def skip(self) -> None:
        self._characters.reset()

    def join(self, parts: list[str]) -> str:
        return "".join(parts)

    def items(self, data: str) -> Iterable[str]:
        return (data,) if data else ()


class JsonDecoder(Generic[T]):
    """The messages of a JSON stream, as values of ``message_type`` (anything that msgspec decodes)."""

    whole_answers = True

    def __init__(self, message_type: Any) -> None:
        self._decode = msgspec.json.Decoder(list[message_type]).decode
        self._untyped = message_type is Any

    def decode(self, raw: RawBatch, start: str) -> Batch[list[T]]:
        with _without_collections():
            messages = [self._messages(part) for part in raw.data]
        return Batch(self.join(messages), *raw[1:])

    def _messages(self, body: bytes) -> list[T]:
        if not body:
            return []
        try:
            return self._decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if self._untyped:
                return _decode_leniently(body, error)
            raise Undecodable(str(error)) from None

    def skip(self) -> None:
        """Nothing is held back."""

    def join(self, parts: list[list[T]]) -> list[T]:
        return parts[0] if len(parts) == 1 else [message for part in parts for message in part]

    def items(self, data: list[T]) -> Iterable[T]:
        return data


@contextmanager
def _without_collections() -> Iterator[None]:
    """Keep the cyclic garbage collector out.

    Fresh messages are no garbage and have no cycles, but thousands of them at once make it walk the whole program,
    which takes longer than decoding them.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _decode_leniently(body: bytes, refusal: Exception) -> list[Any]:
    """Valid JSON that msgspec refuses: half surrogate pairs, as JavaScript writes them, and numbers beyond a float."""
    try:
        messages = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Undecodable(str(refusal)) from None
    if not isinstance(messages, list):
        raise Undecodable(str(refusal)) from None
    return messages


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
