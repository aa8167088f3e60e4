"""The business date of a moment: cut-off in local time, weekends and holidays, clocks that change."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.business_calendar import (
    LONGEST_CLOSURE,
    business_date,
    is_business_day,
    next_business_day,
    public_holidays,
)
from processor.core.programme import BankCalendar


def calendar(
    cut_off: str = "23:00", zone: str = "Europe/Vienna", country: str | None = "AT", weekend: tuple[int, ...] = (6, 7)
) -> BankCalendar:
    """Return a bank's calendar."""
    return BankCalendar(
        cut_off=time.fromisoformat(cut_off),
        time_zone=ZoneInfo(zone),
        holidays=country,
        weekend=frozenset(weekend),
    )


calendars = st.builds(
    calendar,
    cut_off=st.times().map(lambda moment: f"{moment:%H:%M}"),
    zone=st.sampled_from(
        ["Europe/Vienna", "America/New_York", "Asia/Beirut", "Pacific/Apia", "Australia/Lord_Howe", "UTC"]
    ),
    country=st.sampled_from(["AT", "US", "NO", "AU", None]),
    weekend=st.sampled_from([(6, 7), (5, 6), (7,), ()]),
)
moments = st.datetimes(min_value=datetime(2011, 1, 1), max_value=datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone.


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        ("2026-11-18T12:00:00", "2026-11-18"),
        ("2026-11-18T22:59:59", "2026-11-18"),
        ("2026-11-18T23:00:00", "2026-11-19"),
        ("2026-11-19T00:00:00", "2026-11-19"),
        ("2026-11-20T22:59:59", "2026-11-20"),
        ("2026-11-20T23:00:00", "2026-11-23"),
        ("2026-11-21T10:00:00", "2026-11-23"),
        ("2026-11-22T23:30:00", "2026-11-23"),
        ("2026-12-07T23:00:00", "2026-12-09"),  # The 8th is the Immaculate Conception in Austria.
        ("2026-12-24T23:00:00", "2026-12-28"),  # Christmas, St Stephen's Day on a Saturday, Sunday.
        ("2026-12-31T23:00:00", "2027-01-04"),
    ],
)
def test_business_date_in_vienna(local: str, expected: str) -> None:
    """After the cut-off, at weekends and on holidays the next business day counts."""
    moment = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo("Europe/Vienna"))
    assert date.fromisoformat(expected) == business_date(calendar(), moment)


@pytest.mark.parametrize(
    ("country", "weekend", "expected"),
    [
        ("AT", (6, 7), "2026-12-09"),
        (None, (6, 7), "2026-12-08"),
        ("US", (6, 7), "2026-12-08"),
        (None, (2,), "2026-12-09"),
    ],
)
def test_each_bank_has_its_own_days(country: str | None, weekend: tuple[int, ...], expected: str) -> None:
    """Holidays are the country's and the weekend is the bank's."""
    moment = datetime(2026, 12, 7, 22, 30, tzinfo=UTC)
    assert date.fromisoformat(expected) == business_date(calendar(country=country, weekend=weekend), moment)


@pytest.mark.parametrize(
    ("utc", "expected"),
    [
        ("2026-03-28T01:29:59", "2026-03-28"),
        ("2026-03-28T01:30:00", "2026-03-29"),
        ("2026-03-29T01:29:59", "2026-03-29"),  # 02:30 does not exist on this night: it falls on 03:30 summer time.
        ("2026-03-29T01:30:00", "2026-03-30"),
        ("2026-10-25T00:29:59", "2026-10-25"),
        ("2026-10-25T00:30:00", "2026-10-26"),  # The first of two 02:30.
        ("2026-10-25T01:15:00", "2026-10-26"),  # 02:15 for the second time, after the cut-off.
    ],
)
def test_a_cut_off_while_clocks_change(utc: str, expected: str) -> None:
    """A cut-off that the night skips or repeats still happens exactly once."""
    nightly = calendar(cut_off="02:30", country=None, weekend=())
    assert date.fromisoformat(expected) == business_date(nightly, datetime.fromisoformat(utc).replace(tzinfo=UTC))


@given(calendars, moments, moments)
def test_a_later_moment_never_has_an_earlier_date(bank: BankCalendar, first: datetime, second: datetime) -> None:
    """The business date is monotone."""
    earlier, later = sorted((first, second))
    assert business_date(bank, earlier) <= business_date(bank, later)


@given(calendars, moments, st.integers(0, 120))
def test_monotone_within_hours(bank: BankCalendar, moment: datetime, minutes: int) -> None:
    """The business date is monotone also in the hour when clocks change."""
    assert business_date(bank, moment) <= business_date(bank, moment + timedelta(minutes=minutes))


@given(calendars, moments)
def test_the_date_is_a_business_day(bank: BankCalendar, moment: datetime) -> None:
    """No business date falls on a weekend or a holiday, and no business day is passed over."""
    found = business_date(bank, moment)
    first = moment.astimezone(bank.time_zone).date() - timedelta(days=1)
    cut_off = datetime.combine(found, bank.cut_off, tzinfo=bank.time_zone)
    assert is_business_day(bank, found)
    assert moment < cut_off.astimezone(UTC)
    for ahead in range((found - first).days):
        passed = first + timedelta(days=ahead)
        cut_off = datetime.combine(passed, bank.cut_off, tzinfo=bank.time_zone)
        assert not is_business_day(bank, passed) or moment >= cut_off.astimezone(UTC)


@given(calendars, moments, st.integers(-14, 14))
def test_the_zone_of_the_moment_does_not_matter(bank: BankCalendar, moment: datetime, hours: int) -> None:
    """One moment written in any zone, the bank's own included, has one business date."""
    expected = business_date(bank, moment)
    assert expected == business_date(bank, moment.astimezone(timezone(timedelta(hours=hours))))
    assert expected == business_date(bank, moment.astimezone(bank.time_zone))


def test_holidays_of_the_next_year_count() -> None:
    """A roll over the turn of the year asks for the holidays of both years."""
    assert date(2027, 1, 7) == next_business_day(calendar(), date(2027, 1, 6))
    assert date(2027, 1, 4) == next_business_day(calendar(), date(2027, 1, 1))


def test_public_holidays_include_moved_ones() -> None:
    """Independence Day on a Saturday is kept on the Friday before."""
    assert {date(2026, 7, 3), date(2026, 7, 4)} <= public_holidays("US", 2026)


def test_a_calendar_that_never_opens_is_an_error() -> None:
    """The search for a business day is bounded."""

    def always(_country: str, year: int) -> frozenset[date]:
        return frozenset(date(year, 1, 1) + timedelta(days=day) for day in range(366))

    with pytest.raises(ValueError, match=f"no business day in the {LONGEST_CLOSURE} days from 2026-11-18"):
        business_date(calendar(), datetime(2026, 11, 18, 12, tzinfo=UTC), always)
