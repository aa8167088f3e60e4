"""All features of a programme at once: what each promises alone holds when they meet in one purchase."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from random import Random
from typing import Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.budget import HOLDERS, AtEdge, Budget, Headroom
from processor.core.cap import Cap, CapPeriod
from processor.core.decision import Decision
from processor.core.event import Event, event_of
from processor.core.message import CardMessage, Direction, MessageKind
from processor.core.outcome import Reason
from processor.core.programme import CardProduct, Enrolment, Programme
from processor.core.qualification import Measure, Qualification, Qualifying
from processor.core.rule import (
    AmountBase,
    Benefit,
    Best,
    Clawback,
    Funder,
    Multiplication,
    Rule,
    Spent,
    Stacking,
)
from processor.core.tally import Cycle
from processor.core.timing import Moment, Timing
from processor.core.velocity import Velocity
from processor.flow.decision_detail import decision_detail
from processor.flow.explain import is_reproduced, recompute
from processor.store.operations import DecisionRow
from settlement.counters import counters_of, decided_purchases
from tests.core.strategies import (
    BANK,
    CAPPED,
    START,
    TICK,
    UNIT,
    Books,
    Histories,
    arrivals,
    authorized,
    eur,
    histories,
    link,
    message,
    presented,
    ratio,
    refunded,
    requested,
    rule,
)
from tests.core.test_laws import LAW, charged_money, counted, posted_money, undoing
from tests.core.test_tally import HUNDREDS, RULES, tally_rule

PRODUCTS: Final = {
    name: CardProduct(id=name, bank=BANK, name=name, card_ranges=(), enrolment=Enrolment.AUTOMATIC, statement_day=15)
    for name in ("classic", "gold")
}
SEEDS: Final = st.integers(0, 10**6)
RELEASE: Final = Timing(moment=Moment.RELEASE)
LATER: Final = Timing(moment=Moment.AFTER_DAYS, days=1)


def _extra() -> tuple[Rule, ...]:
    """Return rules that take back in proportion, post later, multiply, compete, or give at the till."""
    base = rule("points", Benefit.MILES, {"EUR": ratio(1, 90)}, funder=Funder.PARTNER, partners={"grocer", "hotel"})
    return (
        replace(base, clawback=Clawback.PROPORTIONAL, timing=LATER, spent=Spent.WRITE_OFF),
        replace(
            rule("twice", Benefit.MILES, {}, funder=Funder.OWNER),
            multiplication=Multiplication(rules=frozenset({"points"}), by=ratio(2, 1)),
            timing=LATER,
        ),
        replace(rule("either", Benefit.MILES, {"EUR": ratio(1, 80)}, funder=Funder.BANK), exclusive="one"),
        replace(rule("or", Benefit.MILES, {}, funder=Funder.OWNER), fixed={UNIT: 60}, exclusive="one"),
        replace(
            rule("till", Benefit.DISCOUNT, {"*": ratio(1, 10)}, funder=Funder.PARTNER, partners={"fashion"}),
            base=AmountBase.TRANSACTION,
            at_till=True,
        ),
        replace(tally_rule("late", replace(HUNDREDS, cycle=Cycle(every=50_00, gives=40, times=3))), timing=LATER),
        replace(
            tally_rule("brand", HUNDREDS, Funder.PARTNER), spent=Spent.WRITE_OFF, timing=Timing(moment=Moment.RELEASE)
        ),
    )


def _budget(
    name: str, rules: Iterable[str], limit: int | None, currency: str | None, edge: AtEdge, holders: int | None
) -> Budget:
    """Return a monthly budget."""
    return Budget(
        id=name,
        rules=frozenset(rules),
        period=CapPeriod.MONTH,
        limit=limit,
        currency=currency,
        at_edge=edge,
        holders=holders,
    )


BUDGETS: Final = (
    _budget("pool", {"base", "late", "sum", "either"}, 150, None, AtEdge.PARTIAL, None),
    _budget("purse", {"points", "bonus", "steps", "twice"}, 90, "EUR", AtEdge.REFUSE, None),
    _budget("places", {"visits", "till", "first"}, None, None, AtEdge.PARTIAL, 1),
    _budget("off", {"till", "five-off"}, 30_00, "EUR", AtEdge.PARTIAL, None),
)
WATCHED: Final = (
    Velocity(id="fast", rules=frozenset({"base", "thirties", "points"}), awards=1, units=None, hours=24, days=None),
    Velocity(id="much", rules=frozenset({"either", "visits"}), awards=None, units=70, hours=None, days=2),
)
CAPS: Final = (
    Cap(id="few", rules=frozenset({"sum", "steps"}), period=CapPeriod.MONTH, limit=40, currency=None),
    Cap(id="late-most", rules=frozenset({"late"}), period=CapPeriod.MONTH, limit=90, currency=None),
    Cap(id="once", rules=frozenset({"points"}), period=CapPeriod.MONTH, limit=1, currency=None, purchases=True),
)


def together(programme: Programme, *, limits: bool = True, tallies: bool = True) -> Programme:
    """Return a revision with everything that a programme can state."""
    rules = (*programme.rules, *RULES, *_extra())
    return replace(
        programme,
        rules=tuple(entry for entry in rules if tallies or entry.tally is None),
        caps=(*programme.caps, *CAPS) if limits else (),
        budgets=BUDGETS if limits else (),
        velocity=WATCHED if limits else (),
        groups={"one": Best.HOLDER},
        stacking=Stacking.ADD,
        products=PRODUCTS,
    )


TOGETHER: Final = tuple(together(revision) for revision in CAPPED)
WITHOUT_TALLIES: Final = tuple(together(revision, tallies=False) for revision in CAPPED)


def words(history: Histories, random: Random) -> Histories:
    """Add what the processor and operations say about some purchases: days that come, releases and refusals."""
    result: list[tuple[Event, ...]] = []
    for index, said in enumerate(history):
        more: list[Event] = []
        for number, kind in enumerate((MessageKind.DUE, MessageKind.AWARD_RELEASED, MessageKind.AWARD_REFUSED)):
            if random.random() < (0.7, 0.5, 0.15)[number]:
                word = replace(
                    message(kind, Direction.ADVICE, ""),
                    message_id=bytes([index] * 8 + [100 + number] * 8),
                    transmitted_at=START + TICK * random.randrange(2, 14),
                    refers_to=tuple(event.message_id for event in said),
                    rules=() if random.random() < 0.6 else ("base", "late", "points"),
                )
                more.append(event_of(word, link(), said[0].product))
        result.append((*said, *more))
    return tuple(result)


def run(arrived: Sequence[tuple[bytes, Event]], revisions: Sequence[Programme] = TOGETHER) -> Books:
    """Return the books after messages, and after every one assert that they are sound."""
    books = Books(revisions=tuple(revisions), budgets=Headroom(untouched=True))
    for purchase, event in arrived:
        books.take(purchase, event)
        audit_all(books)
    return books


def audit_all(books: Books) -> None:
    """Assert that postings, purchases, counters, windows and budgets say the same."""
    purchases = [purchase for purchase in books.purchases.values() if purchase.merged_into is None]
    grants = [(purchase, grant) for purchase in purchases for grant in purchase.grants]
    pending = sum(grant.pending for _, grant in grants if grant.unit == UNIT)
    available = sum(grant.available for _, grant in grants if grant.unit == UNIT)
    kept = sum(entry.units for purchase in purchases for entry in purchase.kept)
    assert (pending, available + kept) == books.miles()
    assert charged_money(books) == posted_money(books)
    used = counted(books)
    pools: Counter[tuple[str, str]] = Counter()
    for _, grant in grants:
        assert grant.available <= max(grant.granted, 0) or grant.granted < 0
        for pool, period, units in grant.budgets:
            if "/" in pool:
                used[pool, period] = used.get((pool, period), 0) + units
            else:
                pools[pool, period] += units
    held_places = {(pool, period): 1 for (pool, period), units in used.items() if pool.endswith(HOLDERS) and units > 0}
    assert {key: units for key, units in used.items() if units} == {k: u for k, u in books.used.items() if u}
    assert books.budgets is not None
    taken = {key: units for key, units in books.budgets.taken.items() if units}
    assert {**{k: u for k, u in pools.items() if u}, **held_places} == taken
    sizes = {budget.id: budget.limit for programme in books.revisions for budget in programme.budgets}
    for (pool, _), units in taken.items():
        assert 0 <= units <= (sizes.get(pool) or 1)


def shuffled(history: Histories, random: Random) -> list[tuple[bytes, Event]]:
    """Return the events in another order of arrival."""
    arrived = arrivals(history)
    random.shuffle(arrived)
    return arrived


@LAW
@given(histories(), SEEDS)
def test_the_books_balance(history: Histories, seed: int) -> None:
    """After each message, in any order, postings, counters, windows and budgets say what purchases hold."""
    random = Random(seed)
    run(shuffled(words(history, random), random))


@LAW
@given(histories(), SEEDS, st.sampled_from([WITHOUT_TALLIES]))
def test_undoing_everything_leaves_nothing(history: Histories, seed: int, revisions: tuple[Programme, ...]) -> None:
    """Once all is reversed and withdrawn, no mile, money, headroom, window or budget is left."""
    random = Random(seed)
    undone = tuple((*said, *undoing(said)) for said in words(history, random))
    books = run(shuffled(undone, random), revisions)
    assert {} == {key: units for key, units in books.used.items() if units}
    assert books.budgets is not None
    assert {} == {key: units for key, units in books.budgets.taken.items() if units}
    kept = sum(entry.units for purchase in books.purchases.values() for entry in purchase.kept)
    assert (0, kept) == books.miles()


@LAW
@given(histories(), SEEDS)
def test_a_merge_keeps_the_books(history: Histories, seed: int) -> None:
    """A purchase that hands over its events leaves counters, windows and budgets as its survivor holds them."""
    random = Random(seed)
    books = run(shuffled(words(history, random), random))
    ids = sorted(books.purchases)
    if len(ids) < 2:
        return
    gone, survivor = random.sample(ids, 2)
    books.merge(gone, survivor)
    quiet = replace(presented("9", eur(0)), message_id=bytes(15) + b"\xff", transmitted_at=START)
    books.take(survivor, event_of(quiet, link(), "classic"))
    audit_all(books)


@LAW
@given(histories(), SEEDS)
def test_every_decision_is_reproduced(history: Histories, seed: int) -> None:
    """What is stored of each decision gives its grants again, whatever features and limits met in it."""
    random = Random(seed)
    books = Books(revisions=TOGETHER, budgets=Headroom(untouched=True))
    for purchase, event in shuffled(words(history, random), random):
        assert_reproduced(books.take(purchase, event), purchase)


def assert_reproduced(decision: Decision, purchase: bytes) -> None:
    """Assert that what is stored of a decision gives its grants again."""
    detail = orjson.loads(orjson.dumps(decision_detail(decision)))
    moment = decision.folded.anchor or decision.purchase.events[-1]
    stored = DecisionRow(
        attempt=1,
        outcome=1,
        reason=int(decision.reason),
        detail="",
        decided_at=datetime.combine(moment.local_date, time(), UTC),
        purchase_id=purchase,
        account=b"",
    )
    assert is_reproduced(decision.programme, stored, detail, recompute(decision.programme, detail))


def booked(revisions: tuple[Programme, ...], *steps: tuple[int, CardMessage, int]) -> Books:
    """Return the books after messages: of which purchase each is, and how many seconds after the start it was sent."""
    books = Books(revisions=revisions, budgets=Headroom(untouched=True))
    for number, (purchase, said, seconds) in enumerate(steps):
        take(books, purchase, said, seconds, number)
    return books


def take(books: Books, purchase: int, said: CardMessage, seconds: int, number: int) -> None:
    """Take one more message."""
    sent = replace(said, message_id=bytes([number + 1]) * 16, transmitted_at=START + timedelta(seconds=seconds))
    books.take(bytes([purchase]) * 16, event_of(sent, link(), "classic"))


def test_a_budget_in_money_gets_back_what_another_party_pays_for_after_all() -> None:
    """The authorization that arrives late was made at a brand whose retailer pays in dollars: the euros are free."""
    points = rule("points", Benefit.MILES, {"EUR": ratio(1, 100)}, funder=Funder.PARTNER, partners={"grocer", "hotel"})
    purse = _budget("purse", {"points"}, 100_00, "EUR", AtEdge.PARTIAL, None)
    programme = replace(CAPPED[0], rules=(points,), caps=(), budgets=(purse,))
    grocer, hotel = presented("1", eur(60_00), place="grocer"), authorized("a", eur(60_00), place="hotel")
    assert booked((programme,), (1, grocer, 5)).budgets == Headroom(untouched=True, taken={("purse", "2026-11"): 66})
    books = booked((programme,), (1, grocer, 5), (1, hotel, 1))
    assert books.budgets == Headroom(untouched=True, taken={("purse", "2026-11"): 0})


TO_SECOND: Final = int(timedelta(days=2).total_seconds())
PLAIN: Final = rule("hundreds", Benefit.MILES, {"EUR": ratio(1, 200)}, funder=Funder.OWNER)


@pytest.mark.parametrize(("rules", "left"), [((), 0), ((PLAIN,), 30)])
def test_a_purchase_moves_to_a_revision_without_its_tally(rules: tuple[Rule, ...], left: int) -> None:
    """What others earned because of it is still its debt, beside what another rule of that name gives, or none."""
    first = replace(CAPPED[0], rules=rules, caps=())
    second = replace(CAPPED[1], rules=(tally_rule("hundreds", HUNDREDS),), caps=())
    one, other = presented("1", eur(60_00)), presented("2", eur(60_00))
    steps = [(1, one, TO_SECOND + 5), (2, other, TO_SECOND + 6), (1, authorized("a", eur(60_00)), 1)]
    assert (0, 50) == booked((first, second), *steps[:2]).miles()
    books = booked((first, second), *steps)
    assert (0, left) == books.miles()
    take(books, 1, refunded("1", eur(60_00)), TO_SECOND + 7, 9)
    assert (0, 0) == books.miles()
    books.merge(bytes([1]) * 16, bytes([3]) * 16)
    take(books, 3, presented("9", eur(0)), TO_SECOND + 8, 10)
    assert (0, 0) == books.miles()
    audit_all(books)


TEN_AT_MOST: Final = Cap(id="ten", rules=frozenset({"hundreds"}), period=CapPeriod.MONTH, limit=10, currency=None)


@pytest.mark.parametrize(
    ("caps", "budgets"), [((TEN_AT_MOST,), ()), ((), (_budget("ten", {"hundreds"}, 10, None, AtEdge.PARTIAL, None),))]
)
def test_a_refund_takes_back_no_more_than_limits_let_others_have(
    caps: tuple[Cap, ...], budgets: tuple[Budget, ...]
) -> None:
    """Of a step of 50 miles 10 were granted: the refund that takes the step takes 10, and all ends at nothing."""
    programme = replace(CAPPED[0], rules=(tally_rule("hundreds", HUNDREDS),), caps=caps, budgets=budgets)
    one, other = presented("1", eur(60_00)), presented("2", eur(60_00))
    steps = [(1, one, 1), (2, other, 2), (1, refunded("1", eur(60_00)), 3), (2, refunded("2", eur(60_00)), 4)]
    assert [0, 10, 0, 0] == [booked((programme,), *steps[:end]).miles()[1] for end in (1, 2, 3, 4)]
    audit_all(booked((programme,), *steps))


def test_miles_owed_for_a_purchase_that_is_excluded_after_all_count_towards_tiers() -> None:
    """The authorization says late that the first purchase was cash: the step of the second one becomes its debt."""
    miles = Measure(counts=Qualifying.MILES, period=CapPeriod.YEAR)
    programme = replace(
        CAPPED[0],
        rules=(tally_rule("hundreds", HUNDREDS),),
        caps=(),
        qualifications=(Qualification(tier="silver", measure=miles, least=50),),
        excluded_mccs=frozenset({"7011"}),
    )
    cash = authorized("a", eur(60_00), place="hotel")
    steps = [(1, presented("1", eur(60_00)), 5), (2, presented("2", eur(60_00)), 6), (1, cash, 1)]
    for end, left in ((2, 50), (3, 0)):
        books = booked((programme,), *steps[:end])
        assert (left, left) == (books.miles()[1], books.used.get((miles.counter, "2026"), 0))
        decided = decided_purchases(books.purchases.values(), programme.id, lambda _, __: programme)
        assert {key: units for key, units in counters_of(decided).items() if units} == {
            key: units for key, units in books.used.items() if units
        }


def test_a_quote_behind_a_refusal_says_what_is_refused() -> None:
    """A further request on a purchase of which an award was refused is offered nothing of it, and is reproduced."""
    fast = Velocity(id="fast", rules=frozenset({"base"}), awards=0, units=None, hours=24, days=None)
    programme = replace(CAPPED[0], caps=(), velocity=(fast,))
    books = booked((programme,), (1, authorized("a", eur(60_00)), 1))
    (held,) = books.purchases[bytes([1]) * 16].events
    refusal = replace(message(MessageKind.AWARD_REFUSED, Direction.ADVICE, ""), refers_to=(held.message_id,))
    take(books, 1, refusal, 2, 1)
    further = replace(requested("b", eur(40_00)), message_id=bytes([3]) * 16, transmitted_at=START + TICK)
    quoted = books.take(bytes([1]) * 16, event_of(further, link(), "classic"), quote=True)
    assert (Reason.QUOTED, ("base",)) == (quoted.reason, quoted.refused)
    assert_reproduced(quoted, bytes([1]) * 16)
