"""What a rule may ask for: each condition at its edges, and the first that is not met by its name."""

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from processor.core.circumstances import Circumstances
from processor.core.conditions import AmountRange, Conditions, Kinds, Unmet

SATURDAY = date(2026, 11, 28)
AT = Circumstances(
    partner="corner",
    sector="grocery",
    product="blue",
    mcc="5411",
    acquirer="412345",
    acceptor="SHOP",
    channel="e-commerce",
    currency="EUR",
    local_date=SATURDAY,
    local_time="2000",
    country="UA",
    instant=int(datetime(2026, 11, 28, 19, 0, tzinfo=UTC).timestamp()),
)


@pytest.mark.parametrize(
    ("asked", "differs", "unmet"),
    [
        ({"partners": frozenset({"corner"})}, {"partner": None}, Unmet.PARTNERS),
        ({"products": frozenset({"blue"})}, {"product": "black"}, Unmet.PRODUCTS),
        ({"mccs": frozenset({"5411"})}, {"mcc": ""}, Unmet.MCCS),
        ({"sectors": frozenset({"grocery"})}, {"sector": ""}, Unmet.SECTORS),
        ({"merchants": frozenset({("412345", "SHOP")})}, {"acquirer": "412346"}, Unmet.MERCHANTS),
        ({"countries": frozenset({"UA"})}, {"country": ""}, Unmet.COUNTRIES),
        ({"countries": frozenset({"UA"})}, {"country": "AT"}, Unmet.COUNTRIES),
        ({"channels": frozenset({"e-commerce"})}, {"channel": ""}, Unmet.CHANNELS),
        ({"currencies": frozenset({"EUR"})}, {"currency": "USD"}, Unmet.CURRENCIES),
        ({"dates": (SATURDAY, SATURDAY)}, {"local_date": date(2026, 11, 29)}, Unmet.DATES),
        ({"dates": (SATURDAY, SATURDAY)}, {"local_date": date(2026, 11, 27)}, Unmet.DATES),
        ({"weekdays": frozenset({6})}, {"local_date": date(2026, 11, 29)}, Unmet.WEEKDAYS),
        ({"hours": ("2000", "2001")}, {"local_time": "2001"}, Unmet.HOURS),
        ({"hours": ("2000", "0200")}, {"local_time": "0200"}, Unmet.HOURS),
        ({"hours": ("2000", "0200")}, {"local_time": "1959"}, Unmet.HOURS),
        ({"hours": ("0000", "2359")}, {"local_time": ""}, Unmet.HOURS),
    ],
)
def test_a_condition(asked: dict[str, Any], differs: dict[str, Any], unmet: Unmet) -> None:
    """Each is met by the purchase that has it, and not by the one beside it."""
    conditions = Conditions(**asked)
    assert conditions.unmet(AT) is None
    assert unmet is conditions.unmet(AT._replace(**differs))


def test_hours_go_over_midnight() -> None:
    """From the evening into the night: both sides of midnight are within."""
    night = Conditions(hours=("2000", "0200"))
    assert [None, None, None] == [night.unmet(AT._replace(local_time=time)) for time in ("2000", "2359", "0159")]


@pytest.mark.parametrize(
    ("wanted", "holds"),
    [
        (AmountRange(lowest=100, highest=200), {99: False, 100: True, 200: True, 201: False, -150: True, -99: False}),
        (AmountRange(lowest=0, highest=200), {0: True, 200: True, 201: False}),
        (AmountRange(lowest=100, highest=None), {99: False, 10**12: True}),
    ],
)
def test_an_amount_range(wanted: AmountRange, holds: dict[int, bool]) -> None:
    """Both ends are within; what is paid back is measured as it was paid."""
    assert holds == {amount: wanted.holds(amount) for amount in holds}


@pytest.mark.parametrize(
    ("zone", "asked", "met"),
    [
        ("Asia/Tokyo", {"dates": (date(2026, 11, 29), date(2026, 11, 29))}, True),
        ("Asia/Tokyo", {"weekdays": frozenset({6})}, False),
        ("Asia/Tokyo", {"hours": ("0400", "0401")}, True),
        ("Europe/Kyiv", {"hours": ("2100", "2101")}, True),
        ("Europe/Kyiv", {"hours": ("2000", "2001")}, False),
        ("America/New_York", {"weekdays": frozenset({6}), "hours": ("1400", "1401")}, True),
    ],
)
def test_a_zone_tells_its_own_time(zone: str, asked: dict[str, Any], met: bool) -> None:
    """The instant of a purchase is another date and hour elsewhere."""
    assert met is (Conditions(zone=ZoneInfo(zone), **asked).unmet(AT) is None)


def test_a_clearing_record_alone_has_no_instant() -> None:
    """Its local date and time count, whatever the zone."""
    evening = Conditions(zone=ZoneInfo("Asia/Tokyo"), hours=("2000", "2001"))
    assert evening.unmet(AT._replace(instant=None)) is None


def test_kinds_differ_by_what_conditions_name() -> None:
    """Two instants of one local minute differ only where a zone lies between, and countries only where one is named."""
    later = AT._replace(instant=(AT.instant or 0) + 3600)
    abroad = AT._replace(country="AT")
    plain = Kinds([Conditions(hours=("2000", "2100"))])
    zoned = Kinds([Conditions(zone=ZoneInfo("Asia/Tokyo"), hours=("0400", "0500"))])
    named = Kinds([Conditions(countries=frozenset({"UA"}))])
    assert [True, False] == [kinds.of(AT) == kinds.of(later) for kinds in (plain, zoned)]
    assert [True, False] == [kinds.of(AT) == kinds.of(abroad) for kinds in (plain, named)]
