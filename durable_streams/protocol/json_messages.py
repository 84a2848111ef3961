"""JSON mode: messages in, one array out, their bytes untouched (Section 9.1).

A stream keeps every message as its own raw bytes followed by one record separator (RFC 7464), a byte that no JSON
text can contain. So boundaries are found without parsing, a position is exact, and an answer is made by one
replacement.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from durable_streams.errors import InvalidMessages

SEPARATOR = b"\x1e"

_WHITE_SPACE = b" \t\r\n"
_ESCAPE = re.compile(rb"\\(?:(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL)
_decode_array: Callable[[bytes], list[Any]] = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_value = msgspec.json.Decoder(msgspec.Raw).decode


def stored_form(body: bytes) -> bytes:
    """What a stream keeps of a body: an array's elements, or the one value. Empty for an empty array.

    Raises ``InvalidMessages``.
    """
    text = body.strip(_WHITE_SPACE)
    _check_characters(text)
    try:
        messages = _split(text)
    except msgspec.DecodeError as error:
        messages = _split_with_surrogates(text, error)
    except RecursionError:
        raise InvalidMessages("nested too deeply") from None
    # The empty one lets the last message end with a separator too.
    messages.append(b"")
    return SEPARATOR.join(messages)


def _split(text: bytes) -> list[bytes | msgspec.Raw]:
    return _decode_array(text) if text.startswith(b"[") else [_decode_value(text)]


def _split_with_surrogates(text: bytes, refusal: msgspec.DecodeError) -> list[bytes | msgspec.Raw]:
    """Split text in which JavaScript has escaped half of a surrogate pair: valid JSON that the scanner refuses.

    The scanner is shown letters of the same length instead, and its spans are cut from the original.
    """
    shown = _ESCAPE.sub(_without_surrogate, text)
    if shown == text:
        raise InvalidMessages(str(refusal)) from None
    try:
        spans = _split(shown)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidMessages(str(error)) from None
    messages: list[bytes | msgspec.Raw] = []
    end = 0
    for span in spans:
        start = shown.index(bytes(span), end)
        end = start + len(bytes(span))
        messages.append(text[start:end])
    return messages


def _without_surrogate(escape: re.Match[bytes]) -> bytes:
    return rb"\u0041" if escape[1] else escape[0]


def _check_characters(text: bytes) -> None:
    """Refuse what the JSON scanner lets pass inside strings."""
    if not text:
        raise InvalidMessages("the body holds no JSON value")
    try:
        text.isascii() or text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidMessages(f"not UTF-8 at byte {error.start}") from None
    if SEPARATOR in text:
        raise InvalidMessages(f"control character at byte {text.index(SEPARATOR)}")


def array_of(stored: bytes) -> bytes:
    """The JSON array of whole stored messages."""
    return b"[%b]" % stored[:-1].replace(SEPARATOR, b",")


def messages_of(stored: bytes) -> list[bytes]:
    """The raw bytes of each stored message."""
    return stored.split(SEPARATOR)[:-1]


def whole_messages(stored: bytes) -> int:
    """The length of the part of ``stored`` that ends with a message; 0 when not one message is whole."""
    return stored.rfind(SEPARATOR) + 1


def end_of_message(stored: bytes, count: int) -> int | None:
    """The length of the first ``count`` messages, or None when there are fewer."""
    end = 0
    for _ in range(count):
        end = stored.find(SEPARATOR, end) + 1
        if not end:
            return None
    return end


def beginning_of_last(stored: bytes, count: int, behind: int) -> tuple[int | None, int]:
    """Where the last ``count`` messages begin in ``stored``, and how many messages end in it or behind it.

    ``behind`` is how many messages end behind ``stored``. None when the message before them does not end in it: they
    begin further ahead, or at the very beginning of the stream.
    """
    ends = behind + stored.count(SEPARATOR)
    if ends <= count:
        return None, ends
    at = len(stored)
    for _ in range(count + 1 - behind):
        at = stored.rfind(SEPARATOR, 0, at)
    return at + 1, ends
