"""Where the latest features meet: households, cards, conversions, cycles, statement days, tiers and what is held.

Whatever is decided in one go is what an explanation settles step by step, and every counter is what purchases hold.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from random import Random
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from processor.core.accrual import circumstances_of, entitle_amounts, has_amounts
from processor.core.budget import Headroom
from processor.core.cap import Cap, CapHolder, CapPeriod
from processor.core.conditions import AmountRange, Conditions
from processor.core.decision import Decision
from processor.core.event import Event
from processor.core.exchange import Quotation, Quote, RateSource
from processor.core.household import household_in
from processor.core.money import Rounding
from processor.core.person import Fact, FactKind, Person
from processor.core.programme import Programme
from processor.core.qualification import Measure, Qualification, Qualifying
from processor.core.rule import AmountBase, Benefit, Best, Convert, Funder, Multiplication, Rule, Stacking
from processor.core.timing import Moment, Timing
from settlement.counters import counters_of, decided_purchases
from tests.core.strategies import BANK, CAPPED, START, UNIT, Books, Histories, histories, ratio, rule
from tests.core.test_cycles import RULES as CYCLES
from tests.core.test_cycles import VISIT
from tests.core.test_laws import LAW
from tests.core.test_together import SEEDS, assert_reproduced, shuffled, together, words

AT: Final = int(START.timestamp())
SOURCE: Final = RateSource(
    id="ecb",
    name="ECB",
    base="EUR",
    quotation=Quotation.INDIRECT,
    days=7,
    quotes={"USD": (Quote(date(2026, 11, 27), "USD", Decimal("1.1")), Quote(date(2026, 12, 1), "USD", Decimal("1.3")))},
)


def _rules() -> Iterable[Rule]:
    """Yield rules that convert, are multiplied and compete, and that ask for tiers and what is held."""
    converted = rule(
        "converted", Benefit.MILES, {"EUR": ratio(1, 70)}, funder=Funder.OWNER, rounding=Rounding.HALF_EVEN
    )
    middle = Conditions(amounts={"EUR": AmountRange(lowest=30_00, highest=250_00)})
    yield replace(
        converted,
        base=AmountBase.TRANSACTION,
        rounding=Rounding.HALF_EVEN,
        convert=Convert(to="EUR", by="ecb"),
        when=middle,
    )
    more = replace(rule("more", Benefit.MILES, {}, funder=Funder.BANK), exclusive="more")
    yield replace(more, multiplication=Multiplication(rules=frozenset({"converted"}), by=ratio(7, 3)))
    yield replace(more, id="instead", fixed={UNIT: 41})
    silver = Conditions(person=Person(tier_from="silver"))
    yield replace(rule("silver", Benefit.MILES, {"EUR": ratio(1, 90)}, funder=Funder.BANK), when=silver)
    holder = Conditions(person=Person(holds=frozenset({"visit"})))
    yield replace(rule("holder", Benefit.DISCOUNT, {"*": ratio(1, 30)}, funder=Funder.BANK), when=holder)
    statement = rule("statement", Benefit.MILES, {"EUR": ratio(1, 130)}, funder=Funder.BANK)
    yield replace(statement, timing=Timing(moment=Moment.STATEMENT))


def _cap(name: str, rules: set[str], limit: int, per: CapHolder, currency: str | None = None) -> Cap:
    return Cap(id=name, rules=frozenset(rules), period=CapPeriod.MONTH, limit=limit, currency=currency, per=per)


CAPS: Final = (
    _cap("family", {"base", "sum", "converted", "more"}, 120, CapHolder.HOUSEHOLD),
    _cap("family-cost", {"points", "steps", "twice"}, 150, CapHolder.HOUSEHOLD, "EUR"),
    _cap("family-off", {"five-off", "forties"}, 7_00, CapHolder.HOUSEHOLD, "EUR"),
    _cap("card-cost", {"either", "silver"}, 30, CapHolder.CARD, "EUR"),
    replace(_cap("billed", {"statement", "instead"}, 60, CapHolder.ACCOUNT), period=CapPeriod.BILLING_PERIOD),
)
REACHED: Final = (
    Qualification(
        tier="silver",
        measure=Measure(counts=Qualifying.MILES, period=CapPeriod.YEAR, rules=frozenset({"base", "sum", "points"})),
        least=60,
    ),
)


def meeting(revision: Programme) -> Programme:
    """Return a revision with everything, of which hotels earn nothing."""
    whole = together(revision)
    return replace(
        whole,
        rules=(*whole.rules, *_rules(), *CYCLES),
        caps=(*whole.caps, *CAPS),
        rewards={"visit": VISIT},
        groups={**whole.groups, "more": Best.FUNDER},
        stacking=Stacking.COMPOUND,
        rate_sources={"ecb": SOURCE},
        mark_ups={BANK: ratio(50, 51)},
        own_statement_days=True,
        tiers={"basic": "Basic", "silver": "Silver"},
        qualifications=REACHED,
        excluded_mccs=frozenset({"7011"}),
    )


MEETING: Final = tuple(meeting(revision) for revision in CAPPED)
STATED: Final = st.sampled_from(
    [
        (FactKind.HOUSEHOLD, "H-1"),
        (FactKind.HOUSEHOLD, "H-2"),
        (FactKind.TIER, "silver"),
        (FactKind.STATEMENT_DAY, "29"),
        (FactKind.HOLDS, "visit/2026-12-01"),
    ]
)


def _assert_settled_alike(decision: Decision) -> None:
    """Assert that what lost is told beside the same entitlements, and that nothing of it was remembered wrongly."""
    folded, programme = decision.folded, decision.programme
    excluded = folded.anchor is None or folded.anchor.mcc in programme.excluded_mccs
    if folded.anchor is None or excluded or not has_amounts(folded):
        return
    at = circumstances_of(folded.anchor, decision.partner, decision.member, folded.product_codes)
    for read in (programme, replace(programme)):
        at_once = entitle_amounts(read, folded, partner=decision.partner, at=at)
        assert at_once == entitle_amounts(read, folded, partner=decision.partner, at=at, lost=[])
        weighed = {(award.rule, award.grant.unit) for award in decision.considered}
        assert {(entry.rule.id, entry.unit) for entry in at_once.entitlements} <= weighed | {
            (refused, UNIT) for refused in decision.refused
        }


def _assert_counted(books: Books) -> None:
    """Assert that an account's counters are what the verification adds up, and a household's what grants hold."""
    purchases = [purchase for purchase in books.purchases.values() if purchase.merged_into is None]
    decided = decided_purchases(purchases, "skyways", lambda _, number: MEETING[number - 1])
    held = {key: units for key, units in counters_of(decided).items() if units}
    for pool, period, units in (taken for each in purchases for grant in each.grants for taken in grant.budgets):
        if household_in(pool):
            held[pool, period] = held.get((pool, period), 0) + units
    assert held == {key: units for key, units in books.used.items() if units}


@LAW
@given(histories(), SEEDS, st.lists(st.tuples(STATED, st.integers(-100_000, 500_000)), max_size=5))
def test_what_meets_is_counted_and_explained(
    history: Histories, seed: int, stated: list[tuple[tuple[FactKind, str], int]]
) -> None:
    """After each message, in any order: counters, explanations and what is remembered of rules all agree."""
    random = Random(seed)
    facts = tuple(Fact(number, *said, AT + since) for number, (said, since) in enumerate(stated, start=1))
    books = Books(revisions=MEETING, budgets=Headroom(untouched=True), facts=facts)
    for purchase, event in shuffled(words(history, random), random):
        decision = books.take(purchase, _with_card(event, random))
        assert_reproduced(decision, purchase)
        _assert_settled_alike(decision)
        _assert_counted(books)


def _with_card(event: Event, random: Random) -> Event:
    return event._replace(card=random.choice(["one", "other"]))
