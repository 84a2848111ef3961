"""From a refusal's status, headers and body to the error that tells of it."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import msgspec

from durable_streams.client import errors
from durable_streams.client.errors import Problem, ResponseError
from durable_streams.client.header_fields import HeaderFields
from durable_streams.client.subscription_errors import subscription_error_of

EXCERPT = 500
"""Characters of a plain-text refusal that are kept as its detail."""

_BY_STATUS: dict[int, type[ResponseError]] = {
    400: errors.BadRequest,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.StreamNotFound,
    409: errors.Conflict,
    410: errors.StreamGone,
    413: errors.PayloadTooLarge,
}
_problem_of = msgspec.json.Decoder(Problem).decode


def error_of(url: str, status: int, headers: HeaderFields, body: bytes, now: float, ordered: bool) -> ResponseError:
    """The typed error of a refusal.

    ``now`` is in seconds since 1970, for Retry-After dates. ``ordered`` says that the request had a Stream-Seq: servers
    without problem details leave the reason of a 409 to be inferred.
    """
    about_subscription = subscription_error_of(url, status, body)
    if about_subscription is not None:
        return about_subscription
    problem = _problem(headers, body)
    if status == 409:
        return _conflict(url, headers, problem, ordered)
    if status == 403 and (epoch := headers.integer("Producer-Epoch")) is not None:
        return errors.ProducerFenced(url, status, problem, epoch)
    if status == 410 and (earliest := headers.get("Stream-Earliest-Offset")):
        return errors.OffsetTrimmed(url, status, problem, earliest)
    if status == 412:
        return errors.PreconditionFailed(url, status, problem, headers.get("ETag"))
    if status == 429:
        return errors.TooManyRequests(url, status, problem, _retry_after(headers, now))
    if status >= 500:
        return errors.ServerFailure(url, status, problem, _retry_after(headers, now))
    return _BY_STATUS.get(status, errors.UnexpectedStatus)(url, status, problem)


def _conflict(url: str, headers: HeaderFields, problem: Problem, ordered: bool) -> ResponseError:
    if headers.is_true("Stream-Closed"):
        return errors.StreamClosed(url, 409, problem, headers.get("Stream-Next-Offset"))
    expected, received = headers.integer("Producer-Expected-Seq"), headers.integer("Producer-Received-Seq")
    if expected is not None and received is not None:
        return errors.ProducerSequenceGap(url, 409, problem, expected, received)
    if ordered and problem.code in ("", "STREAM_SEQ_REGRESSION"):
        return errors.StreamSeqConflict(url, 409, problem)
    return errors.Conflict(url, 409, problem)


def _problem(headers: HeaderFields, body: bytes) -> Problem:
    if "json" in (headers.get("Content-Type") or ""):
        try:
            return _problem_of(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
    return Problem(detail=body.decode("utf-8", "replace").strip()[:EXCERPT])


def _retry_after(headers: HeaderFields, now: float) -> float | None:
    """Seconds from a Retry-After of either form (RFC 9110, 10.2.3); nonsense counts as none."""
    value = headers.get("Retry-After")
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except ValueError:
        return None
