"""An account's own statement day: what it changes of a revision, and that a purchase keeps the day it was made with."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from random import Random
from typing import Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.cap import Cap, CapPeriod, CounterKey
from processor.core.due import day_to_post
from processor.core.event import event_of
from processor.core.message import CardMessage
from processor.core.person import Fact, FactKind, statement_day_at
from processor.core.programme import CardProduct, Enrolment, Programme
from processor.core.programme_document import parse_programme
from processor.core.ripening import statement_day_of
from processor.core.rule import Benefit, Funder
from processor.core.timing import Moment, Timing
from processor.flow.decision_detail import decision_detail
from processor.flow.explain import is_reproduced, recompute
from processor.store.operations import DecisionRow
from processor.store.purchase_state import decode_purchase, encode_purchase
from settlement.counters import counters_of, decided_purchases
from tests.core.strategies import (
    FIRST,
    START,
    Books,
    Histories,
    authorized,
    eur,
    histories,
    link,
    presented,
    ratio,
    refunded,
    reversed_,
    rule,
)
from tests.core.test_laws import LAW, RANDOM, shuffled

AT: Final = int(START.timestamp())
RULE: Final = rule("points", Benefit.MILES, {"EUR": ratio(1, 100)}, funder=Funder.OWNER)
CAP: Final = Cap(
    id="few",
    rules=frozenset({"points"}),
    period=CapPeriod.BILLING_PERIOD,
    limit=100,
    currency=None,
    statement_day=15,
)
PRODUCT: Final = CardProduct(
    id="classic", bank="alpha", name="Classic", card_ranges=(), enrolment=Enrolment.AUTOMATIC, statement_day=15
)
CAPPED: Final = replace(FIRST, rules=(RULE,), caps=(CAP,), products={"classic": PRODUCT}, own_statement_days=True)
POSTED: Final = replace(CAPPED, rules=(replace(RULE, timing=Timing(moment=Moment.STATEMENT)),), caps=())


def day(value: int, since: int, number: int = 1) -> Fact:
    """Return a statement day of the account that is in force from some seconds after the start on."""
    return Fact(number, FactKind.STATEMENT_DAY, str(value), AT + since)


@pytest.mark.parametrize(
    ("at", "expected"),
    [(-1, None), (0, 20), (9, 20), (10, 3), (99, 3)],
)
def test_the_day_in_force_counts(at: int, expected: int | None) -> None:
    """Before the first there is none of the account's own, and of two the later one counts from its moment on."""
    assert expected == statement_day_at((day(20, 0), day(3, 10, 2)), at=AT + at)


def test_a_revision_is_read_with_the_account_s_day() -> None:
    """Products and caps by billing period have the account's day; without one the revision is itself."""
    own = CAPPED.of_statement_day(20)
    assert (20, [20], {"classic": 20}) == (
        own.account_day,
        [cap.statement_day for cap in own.caps],
        {name: product.statement_day for name, product in own.products.items()},
    )
    assert own is CAPPED.of_statement_day(20)
    assert CAPPED is CAPPED.of_statement_day(None)
    plain = replace(CAPPED, own_statement_days=False)
    assert plain is plain.of_statement_day(20)
    assert (None, {FactKind.STATEMENT_DAY}) == (plain.asked, CAPPED.asked and set(CAPPED.asked.kinds()))


def test_an_account_s_day_holds_whatever_its_product_is() -> None:
    """A card of a product that the purchase's revision does not know yet goes by the account's day all the same."""
    assert [15, 20, 31, 20] == [
        statement_day_of(read, product)
        for product in ("classic", "new")
        for read in (CAPPED, CAPPED.of_statement_day(20))
    ]


def take(books: Books, purchase: int, said: CardMessage, seconds: int, number: int) -> None:
    """Take a message that was sent some seconds after the start, of which the local day is 28 November 2026."""
    sent = replace(
        said,
        message_id=bytes([number]) * 16,
        transmitted_at=datetime.fromtimestamp(AT + seconds, UTC),
        local_date=date(2026, 11, 28),
    )
    books.take(bytes([purchase]) * 16, event_of(sent, link(), "classic"))


def test_a_change_begins_a_period_of_its_own() -> None:
    """80 of 100 miles before the change, 100 of 150 behind it, and what is refunded goes back where it was taken."""
    books = Books(revisions=(CAPPED,), facts=(day(20, 10),))
    take(books, 1, presented("1", eur(80_00)), 5, 1)
    take(books, 2, presented("2", eur(150_00)), 12, 2)
    assert {("few", "S2026-12-15"): 80, ("few", "S2026-12-20"): 100} == books.used
    take(books, 1, refunded("1", eur(80_00)), 20, 3)
    assert {("few", "S2026-12-15"): 0, ("few", "S2026-12-20"): 100} == books.used
    assert [None, 20] == [purchase.statement_day for purchase in books.purchases.values()]


def test_an_earlier_message_moves_a_purchase_to_the_day_of_then() -> None:
    """The authorization arrives behind the clearing record, and was made before the change."""
    books = Books(revisions=(CAPPED,), facts=(day(20, 10),))
    take(books, 1, presented("1", eur(80_00)), 12, 1)
    assert {("few", "S2026-12-20"): 80} == books.used
    take(books, 1, authorized("a", eur(80_00)), 5, 2)
    assert {("few", "S2026-12-20"): 0, ("few", "S2026-12-15"): 80} == books.used


def test_a_purchase_without_its_original_has_no_day() -> None:
    """A reversal that nothing precedes says not when its purchase happened, however late it comes itself."""
    books = Books(revisions=(CAPPED,), facts=(day(20, 10),))
    take(books, 1, reversed_("b", "a"), 12, 1)
    assert [None] == [purchase.statement_day for purchase in books.purchases.values()]


@pytest.mark.parametrize(("seconds", "due"), [(5, date(2026, 12, 15)), (12, date(2026, 12, 20))])
def test_a_statement_date_is_kept(seconds: int, due: date) -> None:
    """What cleared before the change is due by the old day, what cleared behind it by the new one."""
    books = Books(revisions=(POSTED,), facts=(day(20, 10),))
    take(books, 1, presented("1", eur(80_00)), seconds, 1)
    purchase = books.purchases[bytes([1]) * 16]
    assert purchase == decode_purchase(purchase.id, encode_purchase(purchase))
    assert None is day_to_post(POSTED, purchase, date(2026, 12, 14))
    found = day_to_post(POSTED, purchase, date(2027, 1, 1))
    assert found is not None
    assert due == found.day


BOTH: Final = replace(
    CAPPED,
    rules=(RULE, replace(RULE, id="late", timing=Timing(moment=Moment.STATEMENT))),
    caps=(CAP, replace(CAP, id="late-few", rules=frozenset({"late"}), limit=70)),
    products={name: replace(PRODUCT, id=name) for name in ("classic", "gold")},
)


@LAW
@given(histories(), RANDOM, st.lists(st.tuples(st.integers(1, 31), st.integers(-50_000, 500_000)), max_size=3))
def test_counters_are_what_purchases_hold(history: Histories, random: Random, changes: list[tuple[int, int]]) -> None:
    """Whatever days were in force when, after any order of messages each counter holds what its purchases used."""
    facts = tuple(day(value, since, number) for number, (value, since) in enumerate(changes))
    books = Books(revisions=(BOTH,), facts=facts)
    for purchase, event in shuffled(history, random):
        decision = books.take(purchase, event)
        detail = orjson.loads(orjson.dumps(decision_detail(decision)))
        stored = DecisionRow(
            attempt=1,
            outcome=1,
            reason=int(decision.reason),
            detail="",
            decided_at=datetime.combine((decision.folded.anchor or event).local_date, time(), UTC),
            purchase_id=purchase,
            account=b"",
        )
        read = BOTH.of_statement_day(detail["inputs"].get("statement_day"))
        assert is_reproduced(read, stored, detail, recompute(read, detail))
    decided = decided_purchases(books.purchases.values(), BOTH.id, lambda _, __: BOTH)
    counted: Counter[CounterKey] = Counter(counters_of(decided))
    assert {key: units for key, units in counted.items() if units} == {k: u for k, u in books.used.items() if u}


@LAW
@given(histories(), RANDOM, st.tuples(st.integers(1, 31), st.integers(-50_000, 500_000)))
def test_the_order_within_a_purchase_does_not_matter(
    history: Histories, random: Random, change: tuple[int, int]
) -> None:
    """Each purchase alone ends with the same statement day and the same grants in any order of its messages."""
    uncapped = replace(BOTH, caps=())
    for said in history:
        ends = set()
        for order in (said, tuple(random.sample(said, len(said)))):
            books = Books(revisions=(uncapped,), facts=(day(*change),))
            for event in order:
                books.take(b"p" * 16, event)
            purchase = books.purchases[b"p" * 16]
            ends.add((purchase.statement_day, frozenset(grant for grant in purchase.grants if grant.granted)))
        assert 1 == len(ends)


FOLDER: Final = Path(__file__).parents[2] / "examples" / "programmes"


def test_a_bank_without_statements_has_no_days_of_accounts() -> None:
    """The key is refused where nothing goes by statements, and compiles where something does."""
    for name, refused in (("milestones", True), ("returns", False)):
        folder = FOLDER / name
        text = (folder / "programme.yaml").read_text(encoding="utf-8")
        if refused:
            text = text.replace("    mile_price: ", "    account_statement_days: true\n    mile_price: ", 1)
        merchants = {"merchants.csv": (folder / "merchants.csv").read_text(encoding="utf-8")}
        parsed = parse_programme(text, merchants=merchants, source="p.yaml", revision=1)
        if not refused:
            assert isinstance(parsed, Programme)
            assert parsed.by_statement
            continue
        assert not isinstance(parsed, Programme)
        assert ["banks[0].account_statement_days"] == [error.path for error in parsed]
        assert "means nothing" in parsed[0].problem
