"""What a rule may ask for: each condition at its edges, and the first that is not met by its name."""

from datetime import date
from typing import Any

import pytest

from processor.core.conditions import AmountRange, Circumstances, Conditions, Unmet

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
)


@pytest.mark.parametrize(
    ("asked", "differs", "unmet"),
    [
        ({"partners": frozenset({"corner"})}, {"partner": None}, Unmet.PARTNERS),
        ({"products": frozenset({"blue"})}, {"product": "black"}, Unmet.PRODUCTS),
        ({"mccs": frozenset({"5411"})}, {"mcc": ""}, Unmet.MCCS),
        ({"sectors": frozenset({"grocery"})}, {"sector": ""}, Unmet.SECTORS),
        ({"merchants": frozenset({("412345", "SHOP")})}, {"acquirer": "412346"}, Unmet.MERCHANTS),
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
