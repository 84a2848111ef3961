"""Time-to-live and absolute expiry (Section 5.1)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from durable_streams.errors import MalformedField
from durable_streams.protocol.expiry import format_expires_at, parse_expires_at, parse_ttl

MINUTES = st.integers(min_value=-24 * 60 + 1, max_value=24 * 60 - 1)
ZONES = MINUTES.map(lambda minutes: timezone(timedelta(minutes=minutes)))
# Far enough from the year 10000 that no zone and no rounding of a float leads beyond it.
MOMENTS = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=ZONES)


def test_a_ttl_is_seconds() -> None:
    """Section 5.1: a window in seconds; 0 is a non-negative integer too."""
    assert parse_ttl("3600") == 3600
    assert parse_ttl("0") == 0


@pytest.mark.parametrize("value", ["+3600", "03600", "3600.0", "3.6e3", "-1", "", "abc"])
def test_a_malformed_ttl_is_refused_by_name(value: str) -> None:
    """Section 5.1: no plus signs, leading zeros, decimal points or exponents."""
    with pytest.raises(MalformedField) as refusal:
        parse_ttl(value)
    assert refusal.value.field == "Stream-TTL"


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("1970-01-01t00:00:01z", 1.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
        ("1969-12-31T18:30:00-05:30", 0.0),
        ("1970-01-01T00:00:00-00:00", 0.0),
        ("1970-01-01T00:00:00.5Z", 0.5),
        ("1970-01-01T00:00:00.0000019Z", 0.000001),
        ("1969-12-31T23:59:59.25Z", -0.75),
        ("2016-12-31T23:59:60Z", 1483228800.0),
        ("2016-12-31T23:59:60.5Z", 1483228800.5),
        ("2024-02-29T00:00:00Z", 1709164800.0),
    ],
)
def test_rfc_3339_timestamps(value: str, moment: float) -> None:
    """Section 5.1: an RFC 3339 timestamp: zones, fractions, leap seconds, lower case."""
    assert parse_expires_at(value) == moment


@pytest.mark.parametrize(
    "value",
    [
        "",
        "tomorrow",
        "1893456000",
        "2030-01-31",
        "2030-01-31T12:00:00",
        "2030-01-31 12:00:00Z",
        "2030-01-31T12:00Z",
        "2030-01-31T12:00:00.Z",
        "2030-1-31T12:00:00Z",
        "2030-02-30T12:00:00Z",
        "2023-02-29T00:00:00Z",
        "2030-01-31T24:00:00Z",
        "2030-01-31T12:60:00Z",
        "2030-01-31T12:00:61Z",
        "2030-01-31T12:00:00+24:00",
        "2030-01-31T12:00:00+01:60",
        "2030-01-31T12:00:00+0100",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "2030-01-31T12:00:00Z\n",
        "٢٠٣٠-01-31T12:00:00Z",
    ],
)
def test_everything_else_is_malformed(value: str) -> None:
    """Section 5.1: invalid expiry is refused, dates that no calendar has and times that no year has included."""
    with pytest.raises(MalformedField) as refusal:
        parse_expires_at(value)
    assert refusal.value.field == "Stream-Expires-At"


@given(MOMENTS)
def test_any_zone_means_the_same_moment(moment: datetime) -> None:
    """RFC 3339, 4.2: an offset only says how local time is written."""
    written = moment.isoformat(timespec="microseconds")
    assert parse_expires_at(written) == parse_expires_at(moment.astimezone(UTC).isoformat(timespec="microseconds"))


@given(MOMENTS)
def test_what_is_given_back_is_what_was_given(moment: datetime) -> None:
    """Section 5.5: HEAD returns the expiry; writing and reading it loses nothing from one time to the next."""
    expires_at = parse_expires_at(moment.isoformat(timespec="microseconds"))
    written = format_expires_at(expires_at)
    assert parse_expires_at(written) == expires_at
    assert written.endswith("Z")


@pytest.mark.parametrize("value", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.9Z", "0001-01-01T00:00:00Z"])
def test_the_first_and_the_last_times_can_be_written_again(value: str) -> None:
    """Section 5.5: HEAD can return every expiry that PUT takes."""
    assert parse_expires_at(format_expires_at(parse_expires_at(value))) == parse_expires_at(value)


@pytest.mark.parametrize("value", ["9999-12-31T23:59:60Z", "9999-12-31T23:59:59.999999Z"])
def test_a_time_that_rounds_beyond_the_year_9999_is_malformed(value: str) -> None:
    """Section 5.5: what HEAD could not return is not taken (RFC 3339 has years of four digits)."""
    with pytest.raises(MalformedField):
        parse_expires_at(value)


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))
@example(datetime(2106, 3, 1, 0, 0, 0, 3753, tzinfo=UTC))
def test_microseconds_are_exact_for_centuries(moment: datetime) -> None:
    """Section 5.1: the moment is kept as it was asked for."""
    expires_at = parse_expires_at(moment.isoformat(timespec="microseconds"))
    assert datetime.fromisoformat(format_expires_at(expires_at)) == moment


@pytest.mark.parametrize(
    ("moment", "written"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1893456000.25, "2030-01-01T00:00:00.250Z"),
        (1893456000.000001, "2030-01-01T00:00:00.000001Z"),
    ],
)
def test_microseconds_are_written_only_where_there_are_some(moment: float, written: str) -> None:
    """Section 5.5: ``Stream-Expires-At`` is RFC 3339, in UTC."""
    assert format_expires_at(moment) == written
