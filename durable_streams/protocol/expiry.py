"""Time-to-live and absolute expiry (Sections 5.1 and 4.2). Times are seconds since 1970, UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from durable_streams.errors import MalformedField
from durable_streams.protocol.integers import parse_integer

_RFC3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(\.\d+)?(?:[Zz]|([+-])(\d{2}):(\d{2}))",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_10000 = 253_402_300_800
_REQUIREMENT = "must be an RFC 3339 timestamp with a time zone, such as 2030-01-31T12:00:00Z"


def parse_ttl(value: str) -> int:
    """The seconds of a Stream-TTL. Raises ``MalformedField``."""
    return parse_integer(value, "Stream-TTL")


def parse_expires_at(value: str) -> float:
    """The time of a Stream-Expires-At, to the microsecond. Raises ``MalformedField``."""
    parts = _RFC3339.fullmatch(value)
    if parts is None:
        raise MalformedField("Stream-Expires-At", _REQUIREMENT)
    date, hour, minute, second, fraction, sign, zone_hour, zone_minute = parts.groups()
    leap_second = second == "60"
    try:
        moment = datetime.fromisoformat(f"{date}T{hour}:{minute}:{'59' if leap_second else second}+00:00")
        zone = timedelta(hours=int(zone_hour or 0), minutes=int(zone_minute or 0))
        if zone >= timedelta(hours=24) or int(zone_minute or 0) > 59:
            raise ValueError
        moment = moment + zone if sign == "-" else moment - zone
    except (ValueError, OverflowError):
        raise MalformedField("Stream-Expires-At", _REQUIREMENT) from None
    microseconds = int((fraction or ".")[1:7].ljust(6, "0"))
    seconds = (moment - _EPOCH).total_seconds() + leap_second + microseconds / 1_000_000
    if seconds >= _YEAR_10000:
        raise MalformedField("Stream-Expires-At", _REQUIREMENT)
    return seconds


def format_expires_at(moment: float) -> str:
    """A time as RFC 3339 in UTC, with milliseconds, or microseconds where it has them."""
    text = _EPOCH + timedelta(seconds=moment)
    precision = "milliseconds" if text.microsecond % 1000 == 0 else "microseconds"
    return text.isoformat(timespec=precision).replace("+00:00", "Z")
