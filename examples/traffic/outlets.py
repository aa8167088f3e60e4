"""Where example cards are used: the merchants of the programme's partners, and shops that belong to no partner.

A partner's outlets come from the merchant file; what their receipts look like comes from the tables below.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cache
from random import Random
from typing import Final
from zoneinfo import ZoneInfo

from examples.traffic.skyways import programme
from processor.core.money import Rounding, divide
from processor.core.programme import Merchant


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an outlet stands; ``country`` is ISO 3166, ``number`` and ``letters`` are its other two codes."""

    city: str
    country: str
    number: str
    letters: str
    zone: ZoneInfo
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """What an outlet sells: its merchant category and the range of its receipts in minor units."""

    mcc: str
    least_minor: int
    most_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlet:
    """One card acceptor's terminal; ``partner`` is None where it belongs to no partner."""

    name: str
    acquirer: str
    acceptor: str
    terminal: str
    mcc: str
    place: Place
    trade: Trade
    remote: bool
    partner: str | None

    def receipt(self, random: Random) -> int:
        """Return a likely amount in minor units; small receipts are more frequent than large ones."""
        least, most = self.trade.least_minor, self.trade.most_minor
        return min(random.randint(least, most), random.randint(least, most))


def _place(city: str, country: str, number: str, letters: str, zone: str, currency: str) -> Place:
    return Place(city=city, country=country, number=number, letters=letters, zone=ZoneInfo(zone), currency=currency)


_WIEN: Final = _place("WIEN", "AT", "040", "AUT", "Europe/Vienna", "EUR")
_MUENCHEN: Final = _place("MÜNCHEN", "DE", "276", "DEU", "Europe/Berlin", "EUR")
_MILANO: Final = _place("MILANO", "IT", "380", "ITA", "Europe/Rome", "EUR")
_NEW_YORK: Final = _place("NEW YORK", "US", "840", "USA", "America/New_York", "USD")

_PLACE_OF_ACQUIRER: Final = {
    "523456": _MUENCHEN,
    "634567": _MILANO,
    "74567890123": _NEW_YORK,
    "856789": _MUENCHEN,
    "967890": _MILANO,
}
"""Acquirers that are not listed work in Vienna."""

GROCERY: Final = Trade(mcc="5411", least_minor=3_00, most_minor=140_00)
FUEL: Final = Trade(mcc="5541", least_minor=20_00, most_minor=98_00)
FASHION: Final = Trade(mcc="5651", least_minor=19_00, most_minor=260_00)
HOTEL: Final = Trade(mcc="7011", least_minor=90_00, most_minor=780_00)
DINING: Final = Trade(mcc="5812", least_minor=9_00, most_minor=140_00)
ELECTRONICS: Final = Trade(mcc="5732", least_minor=15_00, most_minor=1400_00)
CASH: Final = Trade(mcc="6011", least_minor=50_00, most_minor=400_00)

_TRADE_OF_SECTOR: Final = {
    "grocery": GROCERY,
    "fuel": FUEL,
    "fashion": FASHION,
    "hotels": HOTEL,
    "dining": DINING,
    "electronics": ELECTRONICS,
}

_REMOTE_WORDS: Final = ("WEB", "ONLINE")


def _elsewhere(
    name: str, acquirer: str, acceptor: str, place: Place, trade: Trade, *, remote: bool = False, terminal: str = ""
) -> Outlet:
    return Outlet(
        name=name,
        acquirer=acquirer,
        acceptor=acceptor,
        terminal=terminal or f"T{acceptor[-7:]}",
        mcc=trade.mcc,
        place=place,
        trade=trade,
        remote=remote,
        partner=None,
    )


ELSEWHERE: Final = (
    _elsewhere("CAFE AM ECK", "410010", "CAFE00000000001", _WIEN, DINING),
    _elsewhere(
        "APOTHEKE ZUM BÄREN", "410010", "APOTHEKE0000012", _WIEN, Trade(mcc="5912", least_minor=4_00, most_minor=60_00)
    ),
    _elsewhere("NAHKAUF", "410020", "NAHKAUF00000034", _WIEN, GROCERY),
    _elsewhere(
        "BUCHHANDLUNG LINDE",
        "520030",
        "BUCH00000000056",
        _MUENCHEN,
        Trade(mcc="5942", least_minor=8_00, most_minor=90_00),
    ),
    _elsewhere("OSTERIA DEL PONTE", "630040", "OSTERIA00000078", _MILANO, DINING),
    _elsewhere(
        "RADIO TAXI", "630040", "TAXI00000000090", _MILANO, Trade(mcc="4121", least_minor=8_00, most_minor=70_00)
    ),
    _elsewhere("CORNER DINER", "740050", "DINER0000000101", _NEW_YORK, DINING),
    _elsewhere(
        "HARDWARE STORE", "740050", "HARDWARE0000112", _NEW_YORK, Trade(mcc="5251", least_minor=6_00, most_minor=220_00)
    ),
    _elsewhere(
        "FILM STREAM",
        "740060",
        "STREAM000000123",
        _NEW_YORK,
        Trade(mcc="5815", least_minor=5_99, most_minor=19_99),
        remote=True,
    ),
    _elsewhere(
        "TRAIN TICKETS",
        "410020",
        "TRAIN0000000134",
        _WIEN,
        Trade(mcc="4112", least_minor=12_00, most_minor=180_00),
        remote=True,
    ),
    # The acceptor that two partners share with others: at this terminal it is neither of them.
    _elsewhere("MARKETPLACE", "967890", "MARKETPLACE 77", _MILANO, GROCERY, terminal="STALL009"),
)
"""Outlets of no partner."""

CASH_MACHINES: Final = (
    _elsewhere("CASH MACHINE", "410010", "ATM000000000145", _WIEN, CASH),
    _elsewhere("CASH MACHINE", "740050", "ATM000000000156", _NEW_YORK, CASH),
)
"""What the programme excludes by merchant category and by processing code."""


@cache
def partner_outlets() -> tuple[Outlet, ...]:
    """Return one outlet for each line of the merchant file."""
    merchants = [merchant for listed in programme().merchants.values() for merchant in listed]
    return tuple(_partner_outlet(number, merchant) for number, merchant in enumerate(merchants, start=1))


def _partner_outlet(number: int, merchant: Merchant) -> Outlet:
    partner = programme().partners[merchant.partner]
    trade = _TRADE_OF_SECTOR[partner.sector]
    return Outlet(
        name=partner.name.upper(),
        acquirer=merchant.acquirer,
        acceptor=merchant.acceptor,
        terminal=merchant.terminal or f"P{number:07d}",
        mcc=merchant.mcc or trade.mcc,
        place=_PLACE_OF_ACQUIRER.get(merchant.acquirer, _WIEN),
        trade=trade,
        remote=any(word in merchant.acceptor for word in _REMOTE_WORDS),
        partner=partner.id,
    )


def pick_outlet(random: Random, suits: Callable[[Outlet], bool] = lambda _: True) -> Outlet:
    """Return an outlet that suits: two times in three a partner's, where one suits, else one of no partner."""
    partners = [outlet for outlet in partner_outlets() if suits(outlet)]
    others = [outlet for outlet in ELSEWHERE if suits(outlet)]
    use_partner = bool(partners) and (not others or random.randrange(3) > 0)
    return random.choice(partners if use_partner else others)


def converted(amount_minor: int, currency: str, into: str, day: date) -> tuple[int, int]:
    """Return an amount in the other currency, and the rate in millionths, at a rate that moves a little every day.

    Both currencies, EUR and USD, have two decimals.
    """
    dollars_per_euro = 1_080_000 + day.toordinal() * 37 % 150 * 100
    if currency == into:
        return amount_minor, 1_000_000
    euros_per_dollar = divide(1_000_000_000_000, dollars_per_euro, Rounding.HALF_EVEN)
    rate = dollars_per_euro if into == "USD" else euros_per_dollar
    return divide(amount_minor * rate, 1_000_000, Rounding.HALF_EVEN), rate
