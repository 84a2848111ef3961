"""The bytes of one stream in memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from durable_streams.storage.byte_log import CHUNK, ByteLog

PIECES = st.lists(st.sampled_from([1, 100, CHUNK - 1, CHUNK, CHUNK + 7, 3 * CHUNK]), max_size=8)


def _filled(sizes: list[int], start: int) -> tuple[ByteLog, bytes]:
    log = ByteLog(start)
    parts = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    for part in parts:
        log.append(part)
    return log, b"".join(parts)


@given(PIECES, st.integers(0, 5), st.integers(0, 12 * CHUNK), st.integers(CHUNK // 4, 5 * CHUNK))
def test_who_reads_on_from_where_the_last_read_ended_gets_everything(
    sizes: list[int], start: int, skipped: int, limit: int
) -> None:
    """Whatever the sizes of appends and reads: no read is longer than asked for, or empty before the end."""
    log, content = _filled(sizes, start)
    begin = position = min(start + skipped, log.end)
    read = b""
    while position < log.end:
        data = log.read(position, position + limit)
        assert 0 < len(data) <= limit
        read += data
        position += len(data)
    assert read == content[begin - start :]
    assert log.read(log.end, log.end + limit) == b""


@given(PIECES, st.integers(0, 12 * CHUNK), st.integers(CHUNK // 4, 5 * CHUNK))
def test_what_was_dropped_leaves_the_rest_as_it_was(sizes: list[int], dropped: int, limit: int) -> None:
    log, content = _filled(sizes, 0)
    log.drop_before(dropped)
    assert log.start == min(dropped, len(content))
    read = b""
    while log.start + len(read) < log.end:
        read += log.read(log.start + len(read), log.start + len(read) + limit)
    assert read == content[dropped:]


def test_a_large_append_is_read_as_it_came() -> None:
    """Without a copy, when it is most of what is asked for and more follows anyway."""
    log = ByteLog(0)
    large = bytes(3 * CHUNK)
    log.append(large)
    log.append(bytes(CHUNK))
    log.append(b"the tail")
    assert log.read(0, 4 * CHUNK) is large
    assert len(log.read(0, log.end)) == log.end
    assert len(log.read(0, 7 * CHUNK)) == 4 * CHUNK + 8
    assert len(log.read(0, 2 * CHUNK)) == 2 * CHUNK
    assert len(log.read(1, 4 * CHUNK)) == 4 * CHUNK - 1
