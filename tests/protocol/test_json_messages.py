"""JSON mode: messages, their boundaries and their bytes (Section 9.1)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_streams.errors import InvalidMessages
from durable_streams.protocol.json_messages import (
    SEPARATOR,
    array_of,
    beginning_of_last,
    end_of_message,
    messages_of,
    stored_form,
    whole_messages,
)

VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        # Surrogates included: JavaScript may cut a string in the middle of a pair, and escapes what is left.
        st.text(alphabet=st.characters()),
        st.text(alphabet=st.sampled_from('\ud800\udbff\udc00\udfff\x1e\\"u,[]{} 😀')),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=4)),
    max_leaves=12,
)
BLANKS = st.text(alphabet=" \t\r\n", max_size=3)
JSON_PIECES = [b"[", b"]", b"{", b"}", b",", b":", b'"', b"1", b"-", b".5", b"e9", b" ", b"null", b"a"]
BROKEN_PIECES = [
    b"\\",
    b"\\u",
    b"d800",
    b"\\udC00",
    b"tru",
    b"NaN",
    b"\x1e",
    b"\x00",
    b"\xc3",
    b"\xa9",
    b"\xed\xa0\x80",
]
FRAGMENTS = st.lists(st.sampled_from([*JSON_PIECES, *BROKEN_PIECES]), max_size=10).map(b"".join)


def refuse_constant(name: str) -> None:
    raise ValueError(name)


def strict_json(text: bytes) -> Any:
    """What the standard library reads, without the constants that JSON does not know."""
    return json.loads(text.decode("utf-8"), parse_constant=refuse_constant)


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        (b'{"event": "created"}', [b'{"event": "created"}']),
        (b'[{"event": "a"}, {"event": "b"}]', [b'{"event": "a"}', b'{"event": "b"}']),
        (b"[[1,2], [3,4]]", [b"[1,2]", b"[3,4]"]),
        (b"[[[1,2,3]]]", [b"[[1,2,3]]"]),
        (b"[[]]", [b"[]"]),
        (b"[[],[[]]]", [b"[]", b"[[]]"]),
        (b'"text"', [b'"text"']),
        (b"0", [b"0"]),
        (b"null", [b"null"]),
        (b" [ 1 ,\r\n\t2 ] ", [b"1", b"2"]),
        (b"[]", []),
        (b" [ ] ", []),
    ],
)
def test_one_level_of_an_array_is_flattened(body: bytes, messages: list[bytes]) -> None:
    """Section 9.1.2: each element is a message; anything but an array is one message."""
    assert messages_of(stored_form(body)) == messages


@pytest.mark.parametrize(
    "message",
    [
        b'{"a": 1,  "a" :2}',
        b"1.0",
        b"1E400",
        b"-0",
        b"123456789012345678901234567890",
        b'"\\u00e9\\/"',
        b'"\xc3\xa9\xf0\x9f\x98\x80"',
        b'"\\ud83d\\ude00"',
        b'"\\ud83d"',
        b'{"\\uDE00": "\\\\ud83d"}',
        b'"\x7f"',
    ],
)
@pytest.mark.parametrize("frame", [b"%b", b"[%b]", b"[1, %b ,[]]"])
def test_a_message_keeps_its_bytes(message: bytes, frame: bytes) -> None:
    """Section 9.1.1: messages are preserved, in every spelling that JSON allows (RFC 8259)."""
    assert message in messages_of(stored_form(frame % message))


def test_messages_that_differ_in_half_a_surrogate_pair_only_stay_apart() -> None:
    """Section 9.1.1: message boundaries are preserved where strings hold escaped halves of pairs, too."""
    messages = [b'"\\ud800"', b'"\\udc00"', b'"\\u0041"', b'"\\ud800"']
    assert messages_of(stored_form(b"[" + b" , ".join(messages) + b"]")) == messages


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n",
        b"{",
        b"[1,2",
        b"[1,]",
        b"[,1]",
        b"1 2",
        b"[1] x",
        b"[1]\x00",
        b"tru",
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"01",
        b".5",
        b"1.",
        b"+1",
        b"'a'",
        b"{a:1}",
        b'{"a":1,}',
        b'"open',
        b'"\\x"',
        b'"\\u12"',
        b'"\\ud8"',
        b'["\\ud800", x]',
        b'"\x01"',
        b'"\n"',
        b'"\x1e"',
        b'"\xc3\xa9\x1e"',
        b'{"\\ud800\x1e": 1}',
        b"1\x1e2",
        b"\xef\xbb\xbf{}",
        b'"\xc3"',
        b'"\xed\xa0\x80"',
        b'"\xc0\xaf"',
        b'"\xf4\x90\x80\x80"',
        b"/* comment */ 1",
        b"[" * 100_000 + b"]" * 100_000,
        b'["\\ud800", ' + b"[" * 100_000,
    ],
)
def test_what_is_not_json_is_refused_with_a_reason(body: bytes) -> None:
    """Section 9.1.4: appended data is validated, and the error has an appropriate message."""
    with pytest.raises(InvalidMessages) as refusal:
        stored_form(body)
    assert refusal.value.reason


@given(st.lists(VALUES, max_size=5), BLANKS, st.booleans())
def test_every_array_comes_back_as_it_was(values: list[Any], blank: str, ascii_only: bool) -> None:
    """Sections 9.1.2 and 9.1.5: what a client posts as an array is what a read returns, lone surrogates included."""
    separators = (f"{blank},{blank}", f"{blank}:{blank}")
    text = json.dumps(values, ensure_ascii=ascii_only, separators=separators)
    # A lone surrogate has no UTF-8; a program that writes characters as they are has to escape it.
    body = f"{blank}{text}{blank}".encode("utf-8", "backslashreplace")
    stored = stored_form(body)
    assert strict_json(array_of(stored)) == strict_json(body)
    assert [strict_json(message) for message in messages_of(stored)] == strict_json(body)


@given(VALUES.filter(lambda value: not isinstance(value, list)))
def test_every_other_value_is_one_message(value: Any) -> None:
    """Section 9.1.2: a body that is no array stores one message, byte for byte."""
    body = json.dumps(value).encode("ascii")
    assert messages_of(stored_form(body)) == [body]


@given(FRAGMENTS)
def test_exactly_what_json_allows_is_taken(body: bytes) -> None:
    """Section 9.1.4: the same bodies are valid as for the standard library, and they mean the same."""
    try:
        value = strict_json(body)
    except ValueError:
        with pytest.raises(InvalidMessages):
            stored_form(body)
        return
    expected = value if isinstance(value, list) else [value]
    assert strict_json(array_of(stored_form(body))) == expected


@given(st.lists(VALUES, min_size=1, max_size=4), st.lists(VALUES, min_size=1, max_size=4))
def test_what_was_appended_apart_is_read_as_one_array(first: list[Any], second: list[Any]) -> None:
    """Section 9.1.1: a read returns all messages of its range, whichever requests brought them."""
    bodies = [json.dumps(values).encode("ascii") for values in (first, second)]
    stored = b"".join([stored_form(body) for body in bodies])
    assert strict_json(array_of(stored)) == strict_json(bodies[0]) + strict_json(bodies[1])


def test_no_messages_are_an_empty_array() -> None:
    """Section 9.1.5: a range without messages is ``[]``."""
    assert array_of(b"") == b"[]"
    assert messages_of(b"") == []


@given(st.lists(VALUES, max_size=4), st.integers(min_value=0))
def test_a_cut_is_moved_back_to_the_last_whole_message(values: list[Any], at: int) -> None:
    """Section 9.1.1: a chunk ends between messages, and only an unfinished message is left over."""
    stored = stored_form(json.dumps(values).encode())
    part = stored[: at % (len(stored) + 1)]
    length = whole_messages(part)
    whole, rest = part[:length], part[length:]
    assert messages_of(whole) == messages_of(stored)[: len(messages_of(whole))]
    assert whole.endswith(SEPARATOR) or not whole
    assert SEPARATOR not in rest


@given(st.lists(VALUES, max_size=4), st.integers(min_value=0, max_value=6))
def test_messages_are_counted_exactly(values: list[Any], count: int) -> None:
    """Section 4.2: the sub-offset of a JSON stream is a number of flattened messages; more than there are is none."""
    stored = stored_form(json.dumps(values).encode())
    end = end_of_message(stored, count)
    if count > len(values):
        assert end is None
    else:
        assert messages_of(stored[:end]) == messages_of(stored)[:count]


@given(st.lists(st.integers(min_value=0, max_value=10**9), max_size=20), st.integers(0, 22), st.integers(1, 40))
def test_the_last_messages_are_found_by_reading_back_in_steps(values: list[int], count: int, step: int) -> None:
    """Wherever the steps end: within a message, behind one, or before all."""
    stored = stored_form(json.dumps(values).encode()) if values else b""
    end, behind, begins = len(stored), 0, None
    while begins is None and end > 0:
        start = max(0, end - step)
        found, behind = beginning_of_last(stored[start:end], count, behind)
        begins, end = (None if found is None else start + found), start
    last = values[max(0, len(values) - count) :]
    assert [int(message) for message in messages_of(stored[begins or 0 :])] == last
