"""What can go wrong between a client and a stream, as data: read the fields, do not parse the text."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from msgspec import Struct

_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class Problem(Struct, frozen=True):
    """What the server says of a refusal (RFC 9457), as far as it says it.

    ``code`` is a stable word for programs, ``field`` the header or parameter at fault, ``detail`` one sentence for
    people; where the server sends plain text, that is the detail.
    """

    type: str = "about:blank"
    title: str = ""
    detail: str = ""
    code: str = ""
    field: str = ""


@dataclass(eq=False)
class InvalidArgument(ValueError):
    """A caller's argument cannot be meant: nothing was sent. ``parameter`` is its name in Python."""

    parameter: str
    requirement: str

    def __str__(self) -> str:
        return f"{self.parameter} {self.requirement}"


@dataclass(eq=False)
class ClientError(Exception):
    """Every failure of a request. ``url`` is the stream's."""

    url: str


@dataclass(eq=False)
class ConnectionFailed(ClientError):
    """No whole answer came: refused, reset, cut short, garbled, or silent for too long.

    ``sent`` says whether the server may have received the request all the same. ``permanent`` says that another attempt
    would fail likewise (a certificate that is not trusted).
    """

    reason: str
    sent: bool = True
    permanent: bool = False

    def __str__(self) -> str:
        return f"{self.url}: connection failed: {self.reason}"


@dataclass(eq=False)
class TimedOut(ConnectionFailed):
    """The server was silent for longer than ``Timeouts`` allows."""


@dataclass(eq=False)
class ParseError(ClientError):
    """An answer came whole but is not what the protocol promises. Asking again would give the same."""

    reason: str

    def __str__(self) -> str:
        return f"{self.url}: cannot read the answer: {self.reason}"


@dataclass(eq=False)
class ResponseError(ClientError):
    """The server refused, with an HTTP status."""

    status: int
    problem: Problem

    @property
    def code(self) -> str:
        """The server's word for the problem, or an empty string."""
        return self.problem.code

    def __str__(self) -> str:
        said = self.problem.detail or self.problem.title
        return f"{self.url}: {self.status} {_PHRASES.get(self.status, 'Unknown')}" + (f": {said}" if said else "")


@dataclass(eq=False)
class BadRequest(ResponseError):
    """400: something in the request is malformed; ``problem.field`` says what."""


@dataclass(eq=False)
class Unauthorized(ResponseError):
    """401: who is asking?"""


@dataclass(eq=False)
class Forbidden(ResponseError):
    """403: not for this caller."""


@dataclass(eq=False)
class ProducerFenced(Forbidden):
    """403: a newer epoch of the producer is active (Section 5.2.1)."""

    current_epoch: int


@dataclass(eq=False)
class StreamNotFound(ResponseError):
    """404: never created, deleted, or expired."""


@dataclass(eq=False)
class StreamGone(ResponseError):
    """410: soft-deleted; or, as ``OffsetTrimmed``, the offset lies before what is retained."""


@dataclass(eq=False)
class OffsetTrimmed(StreamGone):
    """410: what is asked for was dropped by the stream's retention; it begins at ``earliest_offset`` now."""

    earliest_offset: str


@dataclass(eq=False)
class Conflict(ResponseError):
    """409: the stream exists with another configuration, or has another content type."""


@dataclass(eq=False)
class StreamClosed(Conflict):
    """409: nothing can be appended any more; the stream ended at ``final_offset``."""

    final_offset: str | None


@dataclass(eq=False)
class StreamSeqConflict(Conflict):
    """409: ``Stream-Seq`` did not grow (Section 5.2)."""


@dataclass(eq=False)
class ProducerSequenceGap(Conflict):
    """409: an earlier batch of the producer has not arrived (Section 5.2.1)."""

    expected: int
    received: int


@dataclass(eq=False)
class PreconditionFailed(ResponseError):
    """412: the stream is no longer as ``if_match`` names it; ``etag`` is its state now, where the server tells."""

    etag: str | None


@dataclass(eq=False)
class PayloadTooLarge(ResponseError):
    """413: the body exceeds what the server takes."""


@dataclass(eq=False)
class TooManyRequests(ResponseError):
    """429: slow down. ``retry_after`` is in seconds, where the server named a time."""

    retry_after: float | None


@dataclass(eq=False)
class ServerFailure(ResponseError):
    """5xx. ``retry_after`` is in seconds, where the server named a time."""

    retry_after: float | None


@dataclass(eq=False)
class UnexpectedStatus(ResponseError):
    """A status that the protocol does not know here."""


@dataclass(eq=False)
class ProducerStopped(ClientError):
    """The producer takes nothing more: it was closed or detached, or a batch failed and is the ``__cause__``."""

    reason: str

    def __str__(self) -> str:
        return f"{self.url}: the producer takes no more data: {self.reason}"
