"""Postings between parties for the tests of settlement, written straight into the tables."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import blake2b
from typing import Any

from sqlalchemy import Connection

from processor.core.posting import Template, party_settlement
from processor.store.schema import id_of_day
from processor.store.settlement import CycleKey
from processor.store.tables import award, posting

FRIDAY = date(2026, 11, 20)
"""The business date that the tests close."""
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
NIGHT = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
"""When the tests close it."""
PARTIES = ("alpha", "fresh-foods", "moda-group", "skyways")
"""The owner skyways, its bank alpha, and two retailers."""


def cycle_key(day: date = FRIDAY) -> CycleKey:
    """Return the key of alpha's cycle of a day."""
    return CycleKey(bank="alpha", programme="skyways", business_date=day)


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A charge to be booked; ``name`` gives it ids of its own, the same in every run."""

    name: str
    debtor: str
    creditor: str
    amount: int
    currency: str = "EUR"
    template: Template = Template.MILES_CHARGED
    partner: str | None = None
    bank: str = "alpha"
    day: date = FRIDAY
    booked_at: datetime = NOON

    @property
    def message_id(self) -> bytes:
        """The id of the message that caused it."""
        return id_of_day(self.day) + blake2b(self.name.encode(), digest_size=13).digest()

    @property
    def id(self) -> bytes:
        """The posting's id: its award is the message's first, the charge its second."""
        return self.message_id + b"\x00\x02"

    @property
    def bucket(self) -> int:
        """A bucket, so that charges spread over several."""
        return self.id[5] % 7

    @property
    def common(self) -> dict[str, Any]:
        """What its award and its posting share."""
        return {
            "bucket": self.bucket,
            "message_id": self.message_id,
            "account": b"a" * 16,
            "purchase_id": self.message_id,
            "programme": "skyways",
            "booked_at": self.booked_at,
        }


def book(connection: Connection, charges: Iterable[Charge]) -> None:
    """Append each charge and the award it comes with."""
    charges = list(charges)
    connection.execute(award.insert(), [_award(charge) for charge in charges])
    connection.execute(posting.insert(), [_posting(charge) for charge in charges])


def _award(charge: Charge) -> dict[str, Any]:
    return {
        **charge.common,
        "id": charge.message_id + b"\x00\x01",
        "revision": 1,
        "rule": "base",
        "benefit": "miles",
        "partner": charge.partner,
        "funder": charge.debtor,
        "unit": "SKY",
        "pending_change": 0,
        "available_change": 10,
    }


def _posting(charge: Charge) -> dict[str, Any]:
    return {
        **charge.common,
        "id": charge.id,
        "bank": charge.bank,
        "template": int(charge.template),
        "debit": party_settlement(charge.debtor),
        "credit": party_settlement(charge.creditor),
        "unit": charge.currency,
        "amount": charge.amount,
        "rule": "",
        "between_parties": True,
        "business_date": charge.day,
    }


def example_charges() -> list[Charge]:
    """Return six charges: two funders of miles, a discount, its return, another currency, one of the day before."""
    return [
        Charge(name="flight", debtor="alpha", creditor="skyways", amount=44),
        Charge(name="groceries", debtor="fresh-foods", creditor="skyways", amount=1210, partner="freshmart"),
        Charge(
            name="shoes",
            debtor="moda-group",
            creditor="alpha",
            amount=795,
            template=Template.DISCOUNT_CHARGED,
            partner="moda-milano",
        ),
        Charge(
            name="shoes returned",
            debtor="alpha",
            creditor="moda-group",
            amount=300,
            template=Template.DISCOUNT_RETURNED,
            partner="moda-milano",
        ),
        Charge(
            name="souvenir",
            debtor="moda-group",
            creditor="alpha",
            amount=250,
            currency="JPY",
            template=Template.DISCOUNT_CHARGED,
            partner="moda-milano",
        ),
        Charge(
            name="late",
            debtor="alpha",
            creditor="skyways",
            amount=8,
            day=date(2026, 11, 19),
            booked_at=datetime(2026, 11, 19, 21, 59, 59, 999_999, tzinfo=UTC),
        ),
    ]
