"""Refusals as HTTP: one table from domain errors to statuses, and their bodies as problem details (RFC 9457)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from durable_streams import errors
from durable_streams.protocol.offsets import offset_of
from durable_streams.web.request import HeaderList, Response

CONTENT_TYPE = (b"Content-Type", b"application/problem+json")
NO_STORE = (b"Cache-Control", b"no-store")


class Problem(Exception):
    """A refusal that exists in HTTP only.

    ``code`` is a stable word for programs, ``detail`` one sentence for people, ``field`` the header or parameter at
    fault, ``members`` what else the body tells programs.
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str,
        field: str | None = None,
        headers: HeaderList | None = None,
        members: dict[str, str] | None = None,
    ) -> None:
        super().__init__(status, code, title, detail, field)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.field = field
        self.headers = headers or []
        self.members = members or {}

    def response(self) -> Response:
        members: dict[str, str | int] = {
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            **self.members,
        }
        if self.field is not None:
            members["field"] = self.field
        return Response(self.status, [CONTENT_TYPE, NO_STORE, *self.headers], msgspec.json.encode(members) + b"\n")


def bad_request(field: str, requirement: str) -> Problem:
    """A header or parameter is not written as it must be."""
    return Problem(400, "INVALID_REQUEST", "Invalid request", f"{field} {requirement}.", field)


def malformed() -> Problem:
    """What came is no HTTP request."""
    return Problem(400, "MALFORMED_REQUEST", "Malformed request", "This is not HTTP as RFC 9112 defines it.")


def not_found() -> Problem:
    """No route leads there."""
    return Problem(404, "NOT_FOUND", "Not found", "Nothing is at this address.")


def method_not_allowed(methods: bytes) -> Problem:
    """The route knows only ``methods``."""
    detail = f"Only {methods.decode('ascii')} are known here."
    return Problem(405, "METHOD_NOT_ALLOWED", "Method not allowed", detail, headers=[(b"Allow", methods)])


def too_slow() -> Problem:
    """A head or a body takes too long to arrive."""
    return Problem(408, "TOO_SLOW", "Request timeout", "The rest of the request did not arrive in time.")


def too_large(limit: int) -> Problem:
    """A body goes beyond ``limit`` bytes."""
    return Problem(413, "TOO_LARGE", "Body too large", f"A body may have at most {limit} bytes.")


def target_too_long(limit: int) -> Problem:
    """A request target goes beyond ``limit`` bytes."""
    return Problem(414, "TARGET_TOO_LONG", "URI too long", f"A request target may have at most {limit} bytes.")


def wrong_version() -> Problem:
    """A request of another HTTP than 1.0 and 1.1."""
    return Problem(505, "VERSION_NOT_SUPPORTED", "HTTP version not supported", "HTTP/1.1 is spoken here.")


def internal_error() -> Problem:
    """The service has a bug, of which its log tells."""
    return Problem(500, "INTERNAL_ERROR", "Internal error", "The service failed; its log says why.")


def encoded_body() -> Problem:
    """A body has a content coding that is not known here, and would be kept as if it were the content."""
    return Problem(
        415,
        "ENCODED_BODY",
        "Content coding is not supported",
        "Content-Encoding must be absent, identity or gzip.",
        "Content-Encoding",
        [(b"Accept-Encoding", b"gzip, identity")],
    )


def head_too_large(limit: int, count: int) -> Problem:
    """A head goes beyond ``limit`` bytes or ``count`` fields."""
    return Problem(
        431,
        "HEAD_TOO_LARGE",
        "Request header fields too large",
        f"A request head may have at most {limit} bytes and {count} fields.",
    )


def problem_of(error: errors.StreamError) -> Problem:
    """The problem that tells a client of a domain error."""
    for kind in type(error).__mro__:
        if kind in _PROBLEMS:
            return _PROBLEMS[kind](error)
    raise error


def _number(value: int) -> bytes:
    return b"%d" % value


def _conflict(error: errors.StreamConflict) -> Problem:
    if "soft-deleted" in error.differing:
        detail = f"The stream at {error.path} was deleted, but its forks still need its data."
        return Problem(409, "STREAM_SOFT_DELETED", "Stream is deleted", detail)
    detail = f"The stream at {error.path} differs in {', '.join(error.differing)}."
    return Problem(409, "STREAM_CONFLICT", "Stream exists with another configuration", detail, error.differing[0])


def _closed(error: errors.StreamIsClosed) -> Problem:
    return Problem(
        409,
        "STREAM_CLOSED",
        "Stream is closed",
        "The stream accepts no more appends.",
        headers=[(b"Stream-Closed", b"true"), (b"Stream-Next-Offset", offset_of(error.tail).encode())],
    )


def _fenced(error: errors.ProducerFenced) -> Problem:
    return Problem(
        403,
        "PRODUCER_FENCED",
        "Producer is fenced",
        f"Epoch {error.current_epoch} of this producer is active.",
        "Producer-Epoch",
        [(b"Producer-Epoch", _number(error.current_epoch))],
    )


def _gap(error: errors.ProducerSequenceGap) -> Problem:
    return Problem(
        409,
        "PRODUCER_SEQUENCE_GAP",
        "Producer sequence gap",
        f"Sequence number {error.expected} is expected, {error.received} was received.",
        "Producer-Seq",
        [(b"Producer-Expected-Seq", _number(error.expected)), (b"Producer-Received-Seq", _number(error.received))],
    )


def _trimmed(error: errors.OffsetTrimmed) -> Problem:
    earliest = offset_of(error.earliest)
    return Problem(
        410,
        "OFFSET_TRIMMED",
        "Offset is no longer retained",
        f"The stream at {error.path} begins at {earliest} now; what was before it was dropped.",
        "offset",
        [(b"Stream-Earliest-Offset", earliest.encode())],
        {"earliestOffset": earliest},
    )


def _unavailable(error: errors.StorageUnavailable) -> Problem:
    return Problem(
        503,
        "UNAVAILABLE",
        "Service unavailable",
        f"{error.reason}. Nothing was changed.",
        headers=[(b"Retry-After", _number(error.retry_after))],
    )


_PROBLEMS: dict[type, Callable[[Any], Problem]] = {
    errors.MalformedField: lambda e: bad_request(e.field, e.requirement),
    errors.StreamNotFound: lambda e: Problem(
        404, "STREAM_NOT_FOUND", "Stream not found", f"There is no stream at {e.path}."
    ),
    errors.StreamGone: lambda e: Problem(
        410, "STREAM_GONE", "Stream is deleted", f"The stream at {e.path} was deleted; only its forks can be read."
    ),
    errors.StreamConflict: _conflict,
    errors.StreamIsClosed: _closed,
    errors.ContentTypeMismatch: lambda e: Problem(
        409,
        "CONTENT_TYPE_MISMATCH",
        "Content type mismatch",
        f"The stream has {e.expected}, the request {e.received}.",
        "Content-Type",
    ),
    errors.StreamSeqRegression: lambda e: Problem(
        409,
        "STREAM_SEQ_REGRESSION",
        "Stream-Seq did not grow",
        f"{e.received!r} must be greater than {e.last!r}.",
        "Stream-Seq",
    ),
    errors.PreconditionFailed: lambda e: Problem(
        412,
        "PRECONDITION_FAILED",
        "Precondition failed",
        f"The stream has changed: its state is {e.etag} now.",
        "If-Match",
        [(b"ETag", e.etag.encode())],
    ),
    errors.EmptyAppend: lambda e: Problem(
        400, "EMPTY_APPEND", "Nothing to append", "The body is empty, and Stream-Closed: true is not given."
    ),
    errors.InvalidMessages: lambda e: Problem(
        400, "INVALID_JSON", "Invalid JSON", f"The body is not valid JSON: {e.reason}."
    ),
    errors.ProducerFenced: _fenced,
    errors.ProducerSequenceGap: _gap,
    errors.ProducerEpochStart: lambda e: bad_request("Producer-Seq", "must be 0 at the beginning of a new epoch"),
    errors.OffsetBeyondTail: lambda e: bad_request("offset", f"lies beyond the stream's tail {offset_of(e.tail)}"),
    errors.OffsetTrimmed: _trimmed,
    errors.OffsetInsideMessage: lambda e: bad_request("offset", "must be an offset returned by this service"),
    errors.ForkSourceGone: lambda e: Problem(
        409, "FORK_SOURCE_GONE", "Fork source is deleted", f"The stream at {e.path} was deleted.", "Stream-Forked-From"
    ),
    errors.ForkBeyondTail: lambda e: bad_request(
        "Stream-Fork-Offset", f"lies beyond the source's tail {offset_of(e.tail)}"
    ),
    errors.ForkInsideMessage: lambda e: bad_request("Stream-Fork-Offset", "must be an offset returned by this service"),
    errors.ForkSubOffsetBeyond: lambda e: bad_request(
        "Stream-Fork-Sub-Offset", "must not go beyond the data that follows Stream-Fork-Offset in the source"
    ),
    errors.StorageUnavailable: _unavailable,
    errors.StorageFailed: lambda e: Problem(
        503,
        "STORAGE_FAILED",
        "Storage failed",
        "The storage accepts no more writes until an operator has restarted the service.",
        headers=[(b"Retry-After", b"60")],
    ),
}
