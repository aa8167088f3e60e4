"""A bank's authorization host and its clearing desk: they number what happens and write it as ISO 8583.

A sale is one buy with the references that all its messages share; the functions here turn it into elements by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from random import Random
from typing import Final

from examples.traffic.outlets import Outlet, converted
from examples.traffic.portfolio import Card, check_digit
from examples.traffic.skyways import currency_of, dialects, links
from processor.core.money import NUMERIC_CODE_OF_CURRENCY
from processor.wire.encode import encode_message

PURCHASE: Final = "000000"
CASH_WITHDRAWAL: Final = "010000"
REFUND: Final = "200000"

_TRACE_NUMBERS: Final = 999_999
_LETTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_APPROVAL_CODES: Final = len(_LETTERS) ** 6
_APPROVAL_STEP: Final = 1_000_000_007
"""A prime that does not divide the number of approval codes, so that no code comes twice."""
_SEQUENCES: Final = 10**11
_NOTHING: Final = "0" * 12
_NO_FEES: Final = "C00000000" * 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """How a card got into a terminal: the codes of ISO 8583:1987 and of clearing records, and what it leaves behind."""

    mode: str
    condition: str
    clearing: str
    track: bool
    chip: bool


CHIP: Final = Entry(mode="051", condition="00", clearing="510101511344", track=True, chip=True)
CONTACTLESS: Final = Entry(mode="071", condition="00", clearing="A10101A11344", track=True, chip=True)
SWIPE: Final = Entry(mode="901", condition="00", clearing="210101B00140", track=True, chip=False)
ECOMMERCE: Final = Entry(mode="812", condition="59", clearing="100550S00110", track=False, chip=False)
PREAUTHORIZED: Final = Entry(mode="051", condition="06", clearing="510101511344", track=True, chip=True)

_PRESENT: Final = (CHIP, CONTACTLESS, CONTACTLESS, SWIPE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """One buy: the card, the outlet, when, how much, and the references its messages share.

    ``at`` is the transmission time of its first message, aware UTC; ``billed_minor`` is ``amount_minor`` in the bank's
    currency at the day's ``rate`` (millionths).
    """

    card: Card
    outlet: Outlet
    entry: Entry
    at: datetime
    processing_code: str
    amount_minor: int
    billed_minor: int
    rate: int
    trace_number: str
    retrieval_reference: str
    approval_code: str
    lifecycle_id: str


def letters(number: int, width: int) -> str:
    """Return a number in digits and capital letters."""
    written = ""
    for _ in range(width):
        number, digit = divmod(number, len(_LETTERS))
        written = _LETTERS[digit] + written
    return written


class Host:
    """One bank's host; everything it numbers begins at a place that the seed decides."""

    def __init__(self, bank: str, random: Random, *, dialect: str = "") -> None:
        self.bank = bank
        self.dialect = dialects()[dialect or links()[bank].dialect]
        self.packs_digits = self.dialect.message_type_length == 2
        self.currency = currency_of(bank)
        self.institution = f"{600_001 + list(links()).index(bank)}"
        self._random = random
        self._traces = random.randrange(_TRACE_NUMBERS)
        self._sales = random.randrange(_APPROVAL_CODES)
        self._sequence = random.randrange(_SEQUENCES)

    def trace_number(self) -> str:
        """Return the next system trace audit number; it begins anew after 999999 and is never zero."""
        self._traces = self._traces % _TRACE_NUMBERS + 1
        return f"{self._traces:06d}"

    def sale(
        self, *, card: Card, outlet: Outlet, entry: Entry | None, at: datetime, processing_code: str, amount_minor: int
    ) -> Sale:
        """Return a sale with new references; without ``entry``, one that suits the outlet."""
        trace_number = self.trace_number()
        billed_minor, rate = converted(amount_minor, outlet.place.currency, self.currency, at.date())
        self._sales += 1
        return Sale(
            card=card,
            outlet=outlet,
            entry=entry or (ECOMMERCE if outlet.remote else self._random.choice(_PRESENT)),
            at=at,
            processing_code=processing_code,
            amount_minor=amount_minor,
            billed_minor=billed_minor,
            rate=rate,
            trace_number=trace_number,
            retrieval_reference=f"{at.year % 10}{at:%j%H}{trace_number}",
            approval_code=letters(self._sales * _APPROVAL_STEP % _APPROVAL_CODES, 6),
            lifecycle_id=f"1{self.bank[:3].upper()}{letters(self._sales, 12)}",
        )

    def acquirer_reference(self, sale: Sale, day: date) -> str:
        """Return a new acquirer reference: mixed use, acquirer, year and day, sequence and check digit."""
        self._sequence = (self._sequence + 1) % _SEQUENCES
        digits = f"7{sale.outlet.acquirer[:6]}{day.year % 10}{day:%j}{self._sequence:011d}"
        return digits + check_digit(digits)

    def mac(self) -> str:
        """Return what stands for a message authentication code: eight bytes that differ with every writing."""
        return f"{self._random.getrandbits(64):016X}"

    def encode(self, mti: str, elements: Mapping[str, str]) -> bytes:
        """Return a message's bytes in the bank's dialect."""
        return encode_message(self.dialect, mti, elements)

    def elements(self, sale: Sale, *, at: datetime | None = None, trace_number: str = "") -> dict[str, str]:
        """Return the elements that every message of a sale carries, sent at ``at`` under its own trace number."""
        outlet, place = sale.outlet, sale.outlet.place
        at = at or sale.at
        local = at.astimezone(place.zone)
        written = {
            "pan": sale.card.pan.clear(),
            "processing_code": sale.processing_code,
            "amount": str(sale.amount_minor),
            "transmission_date_time": f"{at:%m%d%H%M%S}",
            "trace_number": trace_number or sale.trace_number,
            "local_time": f"{local:%H%M%S}",
            "local_date": f"{local:%m%d}",
            "expiry_date": sale.card.expiry,
            "mcc": outlet.mcc,
            "acquirer_country": place.number,
            "entry_mode": sale.entry.mode,
            "condition_code": sale.entry.condition,
            "acquirer": outlet.acquirer,
            "forwarder": self.institution,
            "retrieval_reference": sale.retrieval_reference,
            "terminal": outlet.terminal,
            "acceptor": outlet.acceptor,
            "acceptor_name": f"{outlet.name:<25.25}{place.city:<13.13}{place.country}",
            "currency": NUMERIC_CODE_OF_CURRENCY[place.currency],
            "lifecycle_id": sale.lifecycle_id,
            "mac": self.mac(),
        }
        if place.currency != self.currency:
            written |= self._billing(sale.billed_minor, sale.rate)
        return written

    def secrets(self, sale: Sale) -> dict[str, str]:
        """Return what a terminal reads from the card and the processor must drop: track 2, chip data, a PIN block."""
        written: dict[str, str] = {}
        if sale.entry.track:
            separator = "D" if self.packs_digits else "="  # Packed digits know no equals sign.
            written["track_2"] = f"{sale.card.pan.clear()}{separator}{sale.card.expiry}2010000012300000"
        if sale.entry.chip:
            written["chip_data"] = f"9F2608{self.mac()}9F2701809F3602{self._random.getrandbits(16):04X}"
        if sale.entry is CHIP:
            written["pin_block"] = self.mac()
        return written

    def presentment(self, sale: Sale, *, amount_minor: int, day: date, card: Card) -> dict[str, str]:
        """Return a clearing record's elements, all but its number in its file."""
        outlet, place = sale.outlet, sale.outlet.place
        written = {
            "pan": card.pan.clear(),
            "processing_code": sale.processing_code,
            "amount": str(amount_minor),
            "local_date_time": f"{sale.at.astimezone(place.zone):%y%m%d%H%M%S}",
            "expiry_date": card.expiry,
            "entry_mode": sale.entry.clearing,
            "function_code": "200",
            "mcc": outlet.mcc,
            "acquirer_reference": self.acquirer_reference(sale, day),
            "acquirer": outlet.acquirer,
            "forwarder": self.institution,
            "retrieval_reference": sale.retrieval_reference,
            "approval_code": sale.approval_code,
            "terminal": outlet.terminal,
            "acceptor": outlet.acceptor,
            "acceptor_name": f"{outlet.name}\\MARKET STREET 1\\{place.city}\\10000     {place.letters}",
            "currency": NUMERIC_CODE_OF_CURRENCY[place.currency],
            "lifecycle_id": sale.lifecycle_id,
        }
        if place.currency != self.currency:
            written |= self._billing(*converted(amount_minor, place.currency, self.currency, day))
        return written

    def original_data(self, sale: Sale) -> str:
        """Return the data element that names a sale's first message (ISO 8583:1987, element 90)."""
        named = f"0100{sale.trace_number}{sale.at:%m%d%H%M%S}"
        return f"{named}{sale.outlet.acquirer:0>11}{self.institution:0>11}"

    def _billing(self, billed_minor: int, rate: int) -> dict[str, str]:
        # Element 10 leads with the number of decimals.
        return {
            "billing_amount": str(billed_minor),
            "billing_currency": NUMERIC_CODE_OF_CURRENCY[self.currency],
            "billing_rate": f"6{rate:07d}",
        }


def replacement_amounts(amount_minor: int) -> str:
    """Return the data element that says what remains (ISO 8583:1987, element 95): amount, no settlement, no fees."""
    return f"{amount_minor:012d}{_NOTHING}{_NO_FEES}"
