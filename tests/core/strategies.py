"""What the tests of the pure core share: a small programme, messages in words, books kept by hand, random histories.

The programme has every benefit, base, rounding, funder and cap period, in two revisions that differ in all of them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from hypothesis import strategies as st

from processor.core.account_terms import AccountTerms
from processor.core.awarding import Award, Carried
from processor.core.budget import Headroom
from processor.core.cap import Cap, CapPeriod, CounterKey
from processor.core.conditions import Conditions
from processor.core.decision import Decision, decide
from processor.core.event import Event, event_of
from processor.core.kept_purchase import Purchase
from processor.core.message import CardMessage, Direction, MessageKind
from processor.core.money import Miles, Money, Rounding
from processor.core.person import Fact
from processor.core.posting import Posting
from processor.core.programme import (
    FinancialMeaning,
    Link,
    LinkMode,
    Merchant,
    MilePrice,
    Partner,
    Party,
    PartyRole,
    Programme,
)
from processor.core.rule import AmountBase, Benefit, Funder, Ratio, Rule
from processor.core.spent import Balance, Kept
from processor.core.withdrawal import Withdrawal, withdraw

BANK: Final = "alpha"
OWNER: Final = "skyways"
UNIT: Final = "SKY"
START: Final = datetime(2026, 11, 28, tzinfo=UTC)
"""When histories begin: two days before the second revision, three days before a new month."""
TICK: Final = timedelta(hours=12)
ACCEPTORS: Final[Mapping[str, tuple[str, str]]] = {
    "corner": ("CORNER 1", "5999"),
    "grocer": ("GROCER 1", "5411"),
    "fashion": ("FASHION 1", "5651"),
    "hotel": ("HOTEL 1", "7011"),
}
"""Card acceptor id and MCC of each place; no merchant line names the corner."""


def rule(  # noqa: D103 - the dataclass it fills says what it is.
    name: str,
    benefit: Benefit,
    rates: Mapping[str, Ratio],
    *,
    funder: Funder,
    rounding: Rounding = Rounding.DOWN,
    base: AmountBase = AmountBase.BILLING,
    partners: Iterable[str] = (),
    products: Iterable[str] = (),
) -> Rule:
    return Rule(
        id=name,
        benefit=benefit,
        base=base,
        rates=rates,
        rounding=rounding,
        funder=funder,
        when=Conditions(partners=frozenset(partners), products=frozenset(products)),
    )


def ratio(numerator: int, denominator: int) -> Ratio:
    """Return a ratio of two integers."""
    return Ratio(numerator=numerator, denominator=denominator)


def _party(name: str, role: PartyRole, price: MilePrice | None, currency: str = "EUR") -> Party:
    return Party(id=name, name=name, role=role, currency=currency, mile_price=price)


def _price(numerator: int, denominator: int, rounding: Rounding, currency: str = "EUR") -> MilePrice:
    return MilePrice(ratio=ratio(numerator, denominator), currency=currency, rounding=rounding)


def _cap(name: str, rules: Iterable[str], period: CapPeriod, limit: int, currency: str | None = None) -> Cap:
    return Cap(id=name, rules=frozenset(rules), period=period, limit=limit, currency=currency)


FIRST: Final = Programme(
    id="skyways",
    name="Skyways Miles",
    revision=1,
    effective_from=datetime(2026, 1, 1, tzinfo=UTC),
    unit=UNIT,
    unit_name="Skyways mile",
    decimals=0,
    owner=OWNER,
    parties={
        OWNER: _party(OWNER, PartyRole.OWNER, None),
        BANK: _party(BANK, PartyRole.BANK, _price(4, 5, Rounding.HALF_EVEN)),
        "fresh-foods": _party("fresh-foods", PartyRole.RETAILER, _price(11, 10, Rounding.HALF_UP)),
        "moda-group": _party("moda-group", PartyRole.RETAILER, None),
        "harbor-hotels": _party("harbor-hotels", PartyRole.RETAILER, _price(13, 10, Rounding.UP, "USD"), "USD"),
    },
    links=(),
    calendars={},
    products={},
    partners={
        "grocer": Partner(id="grocer", name="Grocer", sector="grocery", retailer="fresh-foods"),
        "fashion": Partner(id="fashion", name="Fashion", sector="fashion", retailer="moda-group"),
        "hotel": Partner(id="hotel", name="Hotel", sector="hotels", retailer="harbor-hotels"),
    },
    merchants={
        ("412345", ACCEPTORS[partner][0]): (
            Merchant(acquirer="412345", acceptor=ACCEPTORS[partner][0], terminal=None, mcc=None, partner=partner),
        )
        for partner in ("grocer", "fashion", "hotel")
    },
    excluded_mccs=frozenset({"6011"}),
    excluded_processing_codes=frozenset({"01"}),
    rules=(
        rule("base", Benefit.MILES, {"EUR": ratio(1, 200), "USD": ratio(1, 220)}, funder=Funder.BANK),
        rule("premium", Benefit.MILES, {"EUR": ratio(1, 400)}, funder=Funder.OWNER, products={"gold"}),
        rule(
            "bonus",
            Benefit.MILES,
            {"EUR": ratio(1, 100), "USD": ratio(3, 220)},
            funder=Funder.PARTNER,
            rounding=Rounding.HALF_UP,
            base=AmountBase.TRANSACTION,
            partners={"grocer", "hotel"},
        ),
        rule(
            "five-off",
            Benefit.DISCOUNT,
            {"*": ratio(1, 20)},
            funder=Funder.PARTNER,
            rounding=Rounding.HALF_EVEN,
            base=AmountBase.TRANSACTION,
            partners={"fashion"},
        ),
        rule("bank-off", Benefit.DISCOUNT, {"*": ratio(1, 50)}, funder=Funder.BANK, partners={"hotel"}),
        rule(
            "owner-off",
            Benefit.DISCOUNT,
            {"*": ratio(1, 100)},
            funder=Funder.OWNER,
            rounding=Rounding.UP,
            partners={"fashion", "hotel"},
        ),
    ),
    caps=(
        _cap("monthly", {"base", "premium"}, CapPeriod.MONTH, 250),
        _cap("yearly", {"base", "bonus"}, CapPeriod.YEAR, 700),
        _cap("daily", {"bonus"}, CapPeriod.DAY, 300),
        _cap("single", {"bonus"}, CapPeriod.PURCHASE, 200),
        _cap("fashion-monthly", {"five-off", "owner-off"}, CapPeriod.MONTH, 20_00, "EUR"),
    ),
)

SECOND: Final = replace(
    FIRST,
    revision=2,
    effective_from=datetime(2026, 11, 30, tzinfo=UTC),
    parties={
        **FIRST.parties,
        BANK: _party(BANK, PartyRole.BANK, _price(9, 10, Rounding.DOWN)),
        "fresh-foods": _party("fresh-foods", PartyRole.RETAILER, _price(3, 2, Rounding.HALF_UP, "USD")),
    },
    partners={
        **FIRST.partners,
        "hotel": Partner(id="hotel", name="Hotel", sector="hotels", retailer="fresh-foods"),
    },
    rules=(
        rule("base", Benefit.MILES, {"EUR": ratio(1, 150), "USD": ratio(1, 160)}, funder=Funder.OWNER),
        *(entry for entry in FIRST.rules if entry.id not in {"base", "premium", "bank-off"}),
        rule("extra", Benefit.MILES, {"EUR": ratio(1, 300)}, funder=Funder.BANK, rounding=Rounding.UP),
    ),
    caps=(
        _cap("monthly", {"base", "extra"}, CapPeriod.MONTH, 180),
        _cap("daily", {"bonus"}, CapPeriod.DAY, 300),
        _cap("fashion-monthly", {"five-off"}, CapPeriod.MONTH, 20_00, "EUR"),
    ),
)

CAPPED: Final = (FIRST, SECOND)
UNCAPPED: Final = (replace(FIRST, caps=()), replace(SECOND, caps=()))


def link(financial: FinancialMeaning = FinancialMeaning.AWAITS_CLEARING) -> Link:
    """Return the terms of a link on which financial messages have this meaning."""
    return Link(
        bank=BANK, dialect="iso87-ascii", mode=LinkMode.COPY, financial=financial, answers=False, quote_seconds=600
    )


def eur(amount_minor: int) -> Money:
    """Return cents of euros."""
    return Money(amount_minor=amount_minor, currency="EUR")


def usd(amount_minor: int) -> Money:
    """Return cents of dollars."""
    return Money(amount_minor=amount_minor, currency="USD")


def message(
    kind: MessageKind, direction: Direction = Direction.RESPONSE, response_code: str = "00", place: str = "corner"
) -> CardMessage:
    """Return a message of one kind from one place, at the start and without an amount."""
    acceptor, mcc = ACCEPTORS[place]
    return CardMessage(
        message_id=bytes(16),
        content=bytes(16),
        bank=BANK,
        dialect="iso87-ascii",
        mti="",
        kind=kind,
        direction=direction,
        card=None,
        transmitted_at=START,
        response_code=response_code,
        acquirer="412345",
        acceptor=acceptor,
        mcc=mcc,
    )


def authorized(trace: str, amount: Money, billing: Money | None = None, place: str = "corner") -> CardMessage:
    """Return an approved answer to an authorization request."""
    approved = message(MessageKind.AUTHORIZATION, place=place)
    return replace(approved, trace=trace, amount=amount, billing=billing)


def advised(trace: str, original: str, amount: Money, billing: Money | None = None) -> CardMessage:
    """Return an approved advice that completes an earlier authorization."""
    return replace(
        authorized(trace, amount, billing), direction=Direction.ADVICE, original_trace=original, response_code=""
    )


def declined(trace: str, amount: Money) -> CardMessage:
    """Return a declined answer to an authorization request."""
    return replace(authorized(trace, amount), response_code="05")


def requested(trace: str, amount: Money, place: str = "corner") -> CardMessage:
    """Return an authorization request, which nobody decided yet."""
    return replace(authorized(trace, amount, place=place), direction=Direction.REQUEST, response_code="")


def financial(trace: str, amount: Money, original: str | None = None, place: str = "corner") -> CardMessage:
    """Return an approved financial message; the link says whether it is final."""
    return replace(message(MessageKind.FINANCIAL, place=place), trace=trace, amount=amount, original_trace=original)


def given_back(trace: str, amount: Money, original: str | None = None) -> CardMessage:
    """Return an approved financial message that pays the holder."""
    return replace(financial(trace, amount, original), credit=True, processing_code="200000")


def reversed_(
    trace: str,
    original: str,
    remaining: Money | None = None,
    amount: Money | None = None,
    billing: Money | None = None,
) -> CardMessage:
    """Return a reversal advice; a partial one says what remains of which amount."""
    return replace(
        message(MessageKind.REVERSAL, Direction.ADVICE, ""),
        trace=trace,
        original_trace=original,
        replacement=remaining,
        amount=amount,
        billing=billing,
    )


def presented(
    reference: str,
    amount: Money,
    billing: Money | None = None,
    part: tuple[int, int] | None = None,
    place: str = "corner",
) -> CardMessage:
    """Return a clearing record of a purchase."""
    record = message(MessageKind.PRESENTMENT, Direction.ADVICE, "", place)
    return replace(record, acquirer_reference=reference, amount=amount, billing=billing, clearing_part=part)


def refunded(reference: str, amount: Money, billing: Money | None = None) -> CardMessage:
    """Return a clearing record of a refund."""
    return replace(presented(reference, amount, billing), credit=True, processing_code="200000")


def taken_back(reference: str, amount: Money, part: tuple[int, int] | None = None) -> CardMessage:
    """Return a clearing record that takes a presentment back."""
    return replace(presented(reference, amount, part=part), kind=MessageKind.PRESENTMENT_REVERSAL)


def disputed(kind: MessageKind, reference: str, amount: Money, part: tuple[int, int] | None = None) -> CardMessage:
    """Return a clearing record of one stage of a dispute, or of its reversal."""
    return replace(presented(reference, amount, part=part), kind=kind)


def expired() -> CardMessage:
    """Return the processor's word that what was authorized until now is no longer awaited."""
    return message(MessageKind.EXPIRY, Direction.ADVICE, "")


def events(
    *messages: CardMessage, financial: FinancialMeaning = FinancialMeaning.FINAL, product: str = "classic"
) -> tuple[Event, ...]:
    """Return the events of messages that were sent a second apart, in this order."""
    return tuple(
        event_of(
            replace(entry, message_id=bytes(15) + bytes([number]), transmitted_at=START + timedelta(seconds=number)),
            link(financial),
            product,
        )
        for number, entry in enumerate(messages)
    )


@dataclass(slots=True, kw_only=True)
class Books:
    """One account's books, kept by hand from what the decisions say."""

    revisions: tuple[Programme, ...] = CAPPED
    used: dict[CounterKey, int] = field(default_factory=dict)
    reserved: dict[CounterKey, int] = field(default_factory=dict)
    purchases: dict[bytes, Purchase] = field(default_factory=dict)
    postings: list[Posting] = field(default_factory=list)
    awards: list[tuple[bytes, Award]] = field(default_factory=list)
    carried: dict[bytes, tuple[Carried, ...]] = field(default_factory=dict)
    kept: dict[bytes, tuple[Kept, ...]] = field(default_factory=dict)
    budgets: Headroom | None = None
    facts: tuple[Fact, ...] = ()

    def terms(self) -> AccountTerms:
        """Return what a decision needs to know of this account."""
        return AccountTerms(
            bank=BANK,
            programme_at=self.programme_at,
            revision_of=lambda number: next(entry for entry in self.revisions if entry.revision == number),
            used=self.used,
            reserved=self.reserved,
            budgets=self.budgets,
            facts=self.facts,
            balance=Balance(available=self.miles()[1]) if any(entry.keeps_spent for entry in self.revisions) else None,
        )

    def programme_at(self, at: int) -> Programme | None:
        """Return the revision in force at an instant."""
        return next((entry for entry in reversed(self.revisions) if entry.effective_from.timestamp() <= at), None)

    def take(self, purchase_id: bytes, event: Event, *, quote: bool = False) -> Decision:
        """Decide an event and enter what it changes."""
        purchase = self.purchases.get(purchase_id) or Purchase(id=purchase_id)
        carried = () if quote else self.carried.pop(purchase_id, ())
        kept = () if quote else self.kept.pop(purchase_id, ())
        decision = decide(purchase, event, self.terms(), quote=quote, carried=carried, kept=kept)
        assert decision is not None
        self.purchases[purchase_id] = decision.purchase
        self.postings.extend(decision.postings)
        if not quote:
            self.awards.extend((purchase_id, award) for award in decision.awards)
        return decision

    def merge(self, gone: bytes, survivor: bytes) -> Withdrawal:
        """Withdraw one purchase and hand its events to another, which is decided with the next event."""
        moved = self.purchases[gone].events
        withdrawal = withdraw(self.purchases[gone], survivor, self.terms())
        self.purchases[gone] = withdrawal.purchase
        self.carried[survivor] = (*self.carried.get(survivor, ()), *withdrawal.earned)
        self.kept[survivor] = (*self.kept.get(survivor, ()), *withdrawal.kept)
        self.postings.extend(withdrawal.postings)
        self.awards.extend((gone, award) for award in withdrawal.awards)
        taker = self.purchases.get(survivor) or Purchase(id=survivor)
        self.purchases[survivor] = replace(taker, events=(*taker.events, *moved))
        return withdrawal

    def balances(self) -> dict[tuple[str, str], int]:
        """Return every ledger account's credits minus its debits by unit, the settled ones left out."""
        return balances_of(self.postings)

    def miles(self) -> tuple[Miles, Miles]:
        """Return what the member holds: pending and available."""
        balances = self.balances()
        return Miles(balances.get(("member/pending", UNIT), 0)), Miles(balances.get(("member/available", UNIT), 0))


def balances_of(postings: Iterable[Posting]) -> dict[tuple[str, str], int]:
    """Return every ledger account's credits minus its debits by unit, the settled ones left out."""
    balances: Counter[tuple[str, str]] = Counter()
    for posting in postings:
        balances[posting.debit, posting.unit] -= posting.amount
        balances[posting.credit, posting.unit] += posting.amount
    return {key: amount for key, amount in balances.items() if amount}


def decided(
    *messages: CardMessage,
    revisions: tuple[Programme, ...] = CAPPED,
    financial: FinancialMeaning = FinancialMeaning.FINAL,
    product: str = "classic",
) -> Books:
    """Return the books after one purchase's messages, sent and taken in this order."""
    books = Books(revisions=revisions)
    for event in events(*messages, financial=financial, product=product):
        books.take(bytes(16), event)
    return books


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What one step of a random history says.

    ``trace`` names one of two authorizations, ``own`` the message itself, ``slot`` one of two clearing records.
    """

    trace: str
    own: str
    slot: int
    way: int
    amount: Money
    billing: Money | None
    place: str

    @property
    def half(self) -> Money:
        """What remains of the amount when half of it is reversed."""
        return replace(self.amount, amount_minor=self.amount.amount_minor // 2)


_ACTIONS: Final[Mapping[str, Callable[[_Said], CardMessage]]] = {
    "authorize": lambda said: authorized(said.trace, said.amount, said.billing, said.place),
    "authorize more": lambda said: authorized(said.own, said.amount, said.billing, said.place),
    "request": lambda said: requested(said.trace, said.amount, said.place),
    "decline": lambda said: declined(said.trace, said.amount),
    "advise": lambda said: advised(said.own, said.trace, said.amount, said.billing),
    "complete": lambda said: financial(said.own, said.amount, said.trace, said.place),
    "pay at once": lambda said: financial(said.trace, said.amount, place=said.place),
    "reverse": lambda said: reversed_(said.own, said.trace),
    "reverse in part": lambda said: reversed_(said.own, said.trace, said.half, said.amount, said.billing),
    "present": lambda said: presented(
        f"r{said.slot}", said.amount, said.billing, place=said.place if said.way else "corner"
    ),
    "present in parts": lambda said: presented(
        f"r{said.slot}", said.amount, said.billing, part=(1 + said.way % 2, 2), place=said.place
    ),
    "take back": lambda said: taken_back(f"r{said.slot}", said.amount, None if said.way == 2 else (1 + said.way, 2)),
    "refund": lambda said: refunded(f"c{said.slot}", said.amount, said.billing),
    "give back": lambda said: given_back(f"f{said.slot}", said.amount),
    "reverse the giving back": lambda said: replace(
        reversed_(said.own, f"f{said.slot}"), credit=True, processing_code="200000"
    ),
    "estimate": lambda said: replace(authorized(said.trace, said.amount, said.billing, said.place), estimated=True),
    "replace": lambda said: replace(authorized(said.own, said.amount, said.billing, said.place), supersedes=True),
    "complete further": lambda said: financial(said.own, said.amount, f"s{said.slot}", said.place),
    "reverse a completion": lambda said: reversed_(said.own, f"s{said.slot}"),
    "charge back": lambda said: disputed(MessageKind.CHARGEBACK, f"r{said.slot}", said.amount),
    "present again": lambda said: disputed(MessageKind.SECOND_PRESENTMENT, f"r{said.slot}", said.amount),
    "charge back again": lambda said: disputed(MessageKind.ARBITRATION_CHARGEBACK, f"r{said.slot}", said.amount),
    "take the chargeback back": lambda said: disputed(MessageKind.CHARGEBACK_REVERSAL, f"r{said.slot}", said.amount),
    "expire": lambda said: expired(),
}
"""What a step of a random history can do."""

Step = tuple[str, int, int, int, int]
"""Action, which of two authorizations or records, amount in minor units, ticks after the start, one of three ways."""
Plan = tuple[str, str, str, list[Step]]
"""Place, product, currency, steps."""
Histories = tuple[tuple[Event, ...], ...]
"""Each purchase's events."""

AMOUNTS: Final = st.sampled_from([100_00, 40_00, 200_00]) | st.integers(0, 400_00)
"""Some amounts are drawn again and again, so that what one message gives another takes back exactly."""
STEPS: Final = st.tuples(
    st.sampled_from(list(_ACTIONS)), st.integers(0, 1), AMOUNTS, st.integers(0, 9), st.integers(0, 2)
)
PLANS: Final = st.tuples(
    st.sampled_from(sorted(ACCEPTORS)),
    st.sampled_from(["gold", "classic"]),
    st.sampled_from(["EUR", "USD"]),
    st.lists(STEPS, min_size=1, max_size=6),
)


def _message_of(step: Step, number: int, place: str, currency: str) -> CardMessage:
    """Return the message of one step; a foreign one is billed at one of two rates, or does not say what is billed."""
    action, slot, amount_minor, _, way = step
    billing = None if currency == "EUR" or way == 2 else eur(amount_minor * (9 - way) // 10)
    said = _Said(
        trace=f"a{slot}",
        own=f"s{number}",
        slot=slot,
        way=way,
        amount=Money(amount_minor=amount_minor, currency=currency),
        billing=billing,
        place=place,
    )
    return _ACTIONS[action](said)


def _identity(entry: CardMessage) -> object:
    """Return what makes a clearing record one; its like never comes twice."""
    return entry.kind, entry.acquirer_reference, entry.clearing_part


def _events(index: int, plan: Plan) -> tuple[Event, ...]:
    """Return the events of one plan; a clearing record that repeats another is left out, as it is on its way in."""
    place, product, currency, steps = plan
    result: list[Event] = []
    seen: set[object] = set()
    for number, step in enumerate(steps):
        entry = _message_of(step, number, place, currency)
        if entry.acquirer_reference and _identity(entry) in seen:
            continue
        seen.add(_identity(entry))
        entry = replace(entry, message_id=bytes([index] * 8 + [number] * 8), transmitted_at=START + TICK * step[3])
        result.append(event_of(entry, link(FinancialMeaning.FINAL), product))
    return tuple(result)


def histories(purchases: int = 3) -> st.SearchStrategy[Histories]:
    """Return random histories of up to this many purchases."""
    return st.lists(PLANS, min_size=1, max_size=purchases).map(
        lambda plans: tuple(_events(index, plan) for index, plan in enumerate(plans))
    )


def purchase_id(index: int) -> bytes:
    """Return the id of a history's purchase."""
    return bytes([index + 1] * 16)


def arrivals(history: Histories) -> list[tuple[bytes, Event]]:
    """Return every event with its purchase, one purchase after the other."""
    return [(purchase_id(index), event) for index, events_of in enumerate(history) for event in events_of]
