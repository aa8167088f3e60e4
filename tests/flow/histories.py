"""Random histories of a card: what happens to its purchases, as messages that are not yet in any order of arrival."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from fractions import Fraction
from hashlib import blake2b
from random import Random
from typing import Any, Final

from hypothesis import strategies as st

from processor.core.card import CardReference
from processor.core.message import CardMessage, Direction, MessageKind
from processor.core.money import Money
from processor.core.programme import Enrolment
from processor.store.schema import id_of_day
from tests.core.strategies import message as plain_message
from tests.flow.conftest import NOW

START: Final = NOW - timedelta(days=20)
LONGEST_HOURS: Final = 24 * 12
PLACES: Final = (
    ("12345678", "NOBODY000000001", "5411"),
    ("512345", "ELSEWHERE", "5732"),
    ("523456", "BLUEFUEL0001", "5541"),
    ("634567", "MODA-MILANO-01", "5691"),
    ("634567", "MODA-MILANO-01", "6011"),
)
"""Acquirer, card acceptor and MCC of each place; the last one gives out cash, which the programme excludes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """A bank of the programme: over which link its host speaks, and what its cards are billed in."""

    id: str
    dialect: str
    billed_in: str


BANKS: Final = (
    Bank(id="alpha", dialect="iso87-ascii", billed_in="EUR"),
    Bank(id="beta", dialect="iso87-bcd", billed_in="USD"),
)
"""One whose host tells what it decided, and waits for clearing; one whose host asks first, and is final."""
AUTHORIZATION, FINANCIAL, REVERSAL = MessageKind.AUTHORIZATION, MessageKind.FINANCIAL, MessageKind.REVERSAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One message of a history, before it has a card: what it does, to which slot, with which references, when.

    ``slot`` names one of three authorizations or clearing records; ``hours`` is the time after the start; ``about``
    are the places of other messages that an event of operations is about.
    ``currency`` is the merchant's and ``rate`` what one of it is billed as; nothing stands for the card's own currency.
    ``stated`` tells whether a refund, a dispute or a partial reversal says what is billed, too; ``part`` is that of a
    presentment in several.
    ``shares`` tells whether a reversal bears one trace with others of its slot, as a request and its answer do, and
    whether a refund bears its purchase's reference; ``nameless`` whether a clearing record bears none.
    ``card`` is the place of the card among those of the account.
    ``days_behind`` is how far the card acceptor's date lies behind, None where the message does not say it.
    """

    action: str
    slot: int
    amount_minor: int
    hours: int
    place: int
    lifecycle: str
    approval: str
    retrieval: str
    about: tuple[int, int]
    part: tuple[int, int] | None
    currency: str
    rate: Fraction
    stated: bool
    shares: bool
    nameless: bool
    card: int
    days_behind: int | None

    @property
    def sent(self) -> datetime:
        """When the message is sent."""
        return START + timedelta(hours=self.hours)

    @property
    def local_date(self) -> date | None:
        """The date at the card acceptor."""
        return None if self.days_behind is None else self.sent.date() - timedelta(days=self.days_behind)

    def charged(self, billed_in: str) -> Money:
        """Return what the merchant charges."""
        return Money(amount_minor=self.amount_minor, currency=self.currency or billed_in)

    def billed(self, amount: Money, billed_in: str) -> Money | None:
        """Return what the card is billed for an amount, None where that is the amount itself."""
        if amount.currency == billed_in:
            return None
        return Money(amount_minor=int(amount.amount_minor * self.rate), currency=billed_in)


def _reversed(step: Step, said: CardMessage, original: str) -> CardMessage:
    trace = f"v{step.slot}" if step.shares else said.trace
    told = replace(said, kind=REVERSAL, direction=Direction.ADVICE, response_code="")
    return replace(told, trace=trace, original_trace=original)


def _in_part(step: Step, said: CardMessage, original: str) -> CardMessage:
    assert said.amount is not None
    left = replace(said.amount, amount_minor=step.amount_minor // 2)
    billed = step.billed(left, said.billing.currency) if said.billing is not None and step.stated else None
    return replace(_reversed(step, said, original), replacement=left, replacement_billing=billed)


def _given(step: Step, said: CardMessage) -> CardMessage:
    """Return a message that pays the holder."""
    return replace(said, credit=True, processing_code="200000", billing=said.billing if step.stated else None)


ONLINE: Final[dict[str, Callable[[Step, CardMessage], CardMessage]]] = {
    "authorize": lambda step, said: replace(said, kind=AUTHORIZATION, trace=f"a{step.slot}"),
    "decline": lambda step, said: replace(said, kind=AUTHORIZATION, trace=f"a{step.slot}", response_code="05"),
    "request": lambda step, said: replace(
        said, kind=AUTHORIZATION, trace=f"a{step.slot}", direction=Direction.REQUEST, response_code=""
    ),
    "ask to pay": lambda step, said: replace(
        said, kind=FINANCIAL, trace=f"a{step.slot}", direction=Direction.REQUEST, response_code=""
    ),
    "estimate": lambda step, said: replace(said, kind=AUTHORIZATION, trace=f"a{step.slot}", estimated=True),
    "replace": lambda _step, said: replace(said, kind=AUTHORIZATION, supersedes=True),
    "complete": lambda step, said: replace(said, kind=FINANCIAL, original_trace=f"a{step.slot}"),
    "pay": lambda step, said: replace(said, kind=FINANCIAL, trace=f"a{step.slot}"),
    "give back": lambda step, said: replace(_given(step, said), kind=FINANCIAL, trace=f"g{step.slot}"),
    "refuse to give back": lambda step, said: replace(
        _given(step, said), kind=FINANCIAL, trace=f"g{step.slot}", response_code="05"
    ),
    "keep what was given": lambda step, said: _reversed(step, _given(step, said), f"g{step.slot}"),
    "keep a part of it": lambda step, said: _in_part(step, _given(step, said), f"g{step.slot}"),
    "reverse": lambda step, said: _reversed(step, said, f"a{step.slot}"),
    "reverse in part": lambda step, said: _in_part(step, said, f"a{step.slot}"),
}
CLEARING: Final = {
    "present": MessageKind.PRESENTMENT,
    "take back": MessageKind.PRESENTMENT_REVERSAL,
    "charge back": MessageKind.CHARGEBACK,
    "present again": MessageKind.SECOND_PRESENTMENT,
    "charge back again": MessageKind.ARBITRATION_CHARGEBACK,
    "take the chargeback back": MessageKind.CHARGEBACK_REVERSAL,
    "collect a fee": MessageKind.FEE_COLLECTION,
    "refund": MessageKind.PRESENTMENT,
    "take the refund back": MessageKind.PRESENTMENT_REVERSAL,
}
REFUNDS: Final = frozenset({"refund", "take the refund back"})
DISPUTES: Final = frozenset({"charge back", "present again", "charge back again"})
SAID: Final = {
    "confirm": MessageKind.LINK_CONFIRMED,
    "break": MessageKind.LINK_BROKEN,
    "expire": MessageKind.EXPIRY,
}


def step(choose: Callable[[Sequence[Any]], Any], number: Callable[[int, int], int]) -> Step:
    """Return a step of choices from lists and of numbers between bounds."""
    return Step(
        action=choose([*ONLINE, *CLEARING, *CLEARING, "present", *SAID]),
        slot=choose([0, 0, 0, 1, 2]),
        amount_minor=choose([100_00, 40_00, number(0, 300_00)]),
        hours=choose([0, number(0, LONGEST_HOURS)]),
        place=choose([0, 0, 0, 1, 2, 3, 3, 4]),
        lifecycle=choose(["", "", "L1", "L2"]),
        approval=choose(["", "", "A1", "A2"]),
        retrieval=choose(["", "", "", "R1"]),
        about=(number(0, 11), number(0, 11)),
        part=choose([None, None, None, (1, 2), (2, 2), (2, 3)]),
        currency=choose(["", "", "EUR", "CHF"]),
        rate=choose([Fraction(11, 10), Fraction(113, 100), Fraction(1)]),
        stated=choose([True, False]),
        shares=choose([True, False]),
        nameless=choose([False, False, False, True]),
        card=number(0, 1),
        days_behind=choose([None, 0, 1]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """How the processor comes to know an account's cards.

    ``named_after`` has a card file for each card: after how much of the history, in percent, it names it.
    An account whose cards enrol by themselves may have one card, which no file names.
    """

    bank: Bank
    enrolment: Enrolment
    named_after: tuple[int, ...]


def holding(choose: Callable[[Sequence[Any]], Any], number: Callable[[int, int], int]) -> Holding:
    """Return how an account's cards become known: by themselves, before all messages, or in the middle of them."""
    one, other = number(0, 100), number(0, 100)
    named = [(0, 0), (one,), (one, one), (one, other)]
    enrolment = choose(list(Enrolment))
    return Holding(
        bank=choose(BANKS),
        enrolment=enrolment,
        named_after=choose([(), (), *named] if enrolment is Enrolment.AUTOMATIC else named),
    )


@st.composite
def _drawn(draw: st.DrawFn, build: Callable[..., Any]) -> Any:
    return build(lambda options: draw(st.sampled_from(options)), lambda low, high: draw(st.integers(low, high)))


def of_one_purchase(history: list[Step]) -> list[Step]:
    """Return a history whose messages have in common what their first one has, so that most are of one purchase.

    Where its records bear no reference all are whole and of one amount, which tells what their reversals take back.
    """
    first = history[0]
    return [
        replace(
            entry,
            lifecycle="L1",
            approval="A1",
            place=first.place,
            currency=first.currency,
            nameless=first.nameless,
            part=None if first.nameless else entry.part,
            amount_minor=first.amount_minor if first.nameless else entry.amount_minor,
        )
        for entry in history
    ]


_STEPS: Final = st.lists(_drawn(step), min_size=1, max_size=12)
HISTORIES: Final = _STEPS | _STEPS.map(of_one_purchase)
HOLDINGS: Final = _drawn(holding)


def random_history(random: Random) -> list[Step]:
    """Return a random history."""
    history = [step(random.choice, random.randint) for _ in range(random.randint(1, 14))]
    return of_one_purchase(history) if random.choice([True, False]) else history


def random_holding(random: Random) -> Holding:
    """Return a random way in which the cards become known."""
    return holding(random.choice, random.randint)


def messages_of(history: Sequence[Step], bank: Bank, cards: Sequence[CardReference]) -> list[CardMessage]:
    """Return a history's messages; a clearing record that repeats another's identity is left out, as on its way in."""
    found: list[CardMessage] = []
    seen: set[object] = set()
    for number, entry in enumerate(history):
        about = [other for other in found if other.card]
        if entry.action in SAID and len(about) < 2:
            continue
        built = _message(entry, number, bank, cards[entry.card % len(cards)], about)
        named = built.kind, built.credit, built.acquirer_reference, built.clearing_part
        identity = named if built.acquirer_reference else number
        if identity not in seen:
            seen.add(identity)
            found.append(built)
    return found


def _message(entry: Step, number: int, bank: Bank, card: CardReference, before: Sequence[CardMessage]) -> CardMessage:
    name = blake2b(card.token + bytes([number]), digest_size=13).digest()
    amount = entry.charged(bank.billed_in)
    acquirer, acceptor, mcc = PLACES[entry.place]
    said = replace(
        plain_message(AUTHORIZATION),
        message_id=id_of_day(entry.sent.date()) + name,
        content=name + bytes(3),
        bank=bank.id,
        dialect=bank.dialect,
        card=card,
        transmitted_at=entry.sent,
        local_date=entry.local_date,
        trace=f"s{number}",
        amount=amount,
        billing=entry.billed(amount, bank.billed_in),
        lifecycle_id=entry.lifecycle,
        approval_code=entry.approval,
        retrieval_reference=entry.retrieval,
        acquirer=acquirer,
        acceptor=acceptor,
        mcc=mcc,
    )
    if entry.action in ONLINE:
        return ONLINE[entry.action](entry, said)
    cleared = replace(said, trace="", direction=Direction.ADVICE, response_code="")
    if entry.action in CLEARING:
        return _recorded(entry, cleared)
    return _said(entry, cleared, before)


def _recorded(entry: Step, cleared: CardMessage) -> CardMessage:
    """Return a clearing record; a refund may bear the reference of its purchase, and a record none at all."""
    record = _given(entry, cleared) if entry.action in REFUNDS else cleared
    own = "c" if entry.action in REFUNDS and not entry.shares else "r"
    return replace(
        record,
        kind=CLEARING[entry.action],
        acquirer_reference="" if entry.nameless else f"{own}{entry.slot}",
        billing=None if entry.action in DISPUTES and not entry.stated else record.billing,
        clearing_part=entry.part,
    )


def _said(entry: Step, cleared: CardMessage, before: Sequence[CardMessage]) -> CardMessage:
    """Return what operations say about two messages, or the processor about one that expires."""
    places = entry.about[:1] if entry.action == "expire" else entry.about
    about = {before[place % len(before)].message_id for place in places}
    bare: dict[str, Any] = dict.fromkeys(("lifecycle_id", "approval_code", "retrieval_reference", "dialect"), "")
    bare |= {"amount": None, "billing": None, "card": None}
    return replace(cleared, kind=SAID[entry.action], refers_to=tuple(sorted(about)), **bare)
