"""Cycles that give money or soft rewards: what purchases hold together is what their progress is worth, exactly."""

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from random import Random
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from processor.core.cap import Cap, CapPeriod
from processor.core.event import event_of
from processor.core.holding import Holding, draw, settled, usable
from processor.core.message import CardMessage
from processor.core.posting import party_settlement
from processor.core.programme import Programme
from processor.core.reward import Price, SoftReward
from processor.core.rule import Benefit, Funder, Rule
from processor.core.tally import Cycle, Tally
from tests.core.strategies import (
    BANK,
    CAPPED,
    START,
    Books,
    Histories,
    arrivals,
    authorized,
    eur,
    histories,
    link,
    presented,
    refunded,
    reversed_,
    rule,
    usd,
)
from tests.core.test_laws import LAW, RANDOM, counted, kept, posted_money, shuffled
from tests.core.test_tally import assert_worth

FORTIES: Final = Tally(
    period=CapPeriod.MONTH, scale={"EUR": 5, "USD": 4}, cycle=Cycle(every=200_00, gives=3_00, times=None), unit="EUR"
)
"""3.00 EUR for every 40.00 EUR or 50.00 USD."""
PAIRS: Final = Tally(period=CapPeriod.YEAR, cycle=Cycle(every=2, gives=2, times=3), unit="visit")
VISIT: Final = SoftReward(id="visit", name="Visit", counted=True, price=Price(amount_minor=18_00, currency="EUR"))


def money_back(name: str, tally: Tally, funder: Funder, *partners: str) -> Rule:
    """Return a discount that gives by a cycle."""
    given = rule(name, Benefit.DISCOUNT, {}, funder=funder, partners=partners)
    return replace(given, fixed={"EUR": 3_00}, tally=tally)


def reward(name: str, tally: Tally, funder: Funder) -> Rule:
    """Return a rule that gives visits by a cycle."""
    given = rule(name, Benefit.REWARD, {}, funder=funder)
    return replace(given, fixed={"visit": 2}, entitlement="visit", tally=tally)


RULES: Final = (
    money_back("forties", FORTIES, Funder.PARTNER, "grocer"),
    money_back("anywhere", replace(FORTIES, period=CapPeriod.WEEK), Funder.OWNER),
    money_back("own", replace(PAIRS, unit="EUR"), Funder.BANK),
    reward("pairs", PAIRS, Funder.BANK),
)
PLAIN: Final = tuple(
    replace(revision, rules=(*revision.rules, *RULES), rewards={"visit": VISIT}, caps=()) for revision in CAPPED
)
LIMITED: Final = tuple(
    replace(
        revision,
        caps=(
            Cap(id="back", rules=frozenset({"forties", "own"}), period=CapPeriod.MONTH, limit=5_00, currency="EUR"),
            Cap(id="few", rules=frozenset({"pairs"}), period=CapPeriod.YEAR, limit=3, currency=None),
        ),
    )
    for revision in PLAIN
)


def audit(books: Books) -> None:
    """Assert that rewards, money and counters are what purchases were granted, and nothing besides."""
    grants = [(purchase, grant) for purchase in books.purchases.values() for grant in purchase.grants]
    balances = books.balances()
    visits = [grant for _, grant in grants if grant.unit == "visit"]
    assert sum(grant.available for grant in visits) == balances.get(("member/rewards", "visit"), 0)
    assert sum(grant.pending for grant in visits) == balances.get(("member/rewards-pending", "visit"), 0)
    assert 0 == sum(units for (_, unit), units in balances.items() if unit == "visit")
    assert charged(books) == {account: units for account, units in balances.items() if "settlement" in account[0]}
    assert counted(books) == {key: units for key, units in books.used.items() if units}
    assert_worth(books)


def charged(books: Books) -> dict[tuple[str, str], int]:
    """Return what purchases' charges leave each party owing, or owed."""
    owed: Counter[tuple[str, str]] = Counter()
    for purchase in books.purchases.values():
        for key, amount in purchase.charges.items():
            owed[party_settlement(key.debtor), key.currency] -= amount
            owed[party_settlement(key.creditor), key.currency] += amount
    return {key: amount for key, amount in owed.items() if amount}


@LAW
@given(histories(), RANDOM, st.sampled_from([PLAIN, LIMITED]))
def test_what_was_given_is_what_progress_is_worth(
    history: Histories, random: Random, revisions: tuple[Programme, ...]
) -> None:
    """In any order and under caps, money, rewards and counters add up to what purchases hold."""
    audit(kept(shuffled(history, random), revisions))


@LAW
@given(histories(), RANDOM)
def test_the_order_of_purchases_does_not_matter(history: Histories, random: Random) -> None:
    """Without caps, any order of messages ends with the same money and rewards for what has cleared."""
    one, other = kept(arrivals(history), PLAIN), kept(shuffled(history, random), PLAIN)

    def cleared(books: Books) -> dict[tuple[str, str], int]:
        sums: Counter[tuple[str, str]] = Counter()
        for purchase in books.purchases.values():
            for grant in purchase.grants:
                sums[grant.rule, grant.unit] += grant.available
        return {key: units for key, units in sums.items() if units}

    assert cleared(one) == cleared(other)


@LAW
@given(
    st.lists(st.tuples(st.integers(1, 150_00), st.booleans(), st.booleans()), min_size=1, max_size=6),
    st.sampled_from([PLAIN, LIMITED]),
)
def test_undoing_every_purchase_leaves_nothing(
    purchases: list[tuple[int, bool, bool]], revisions: tuple[Programme, ...]
) -> None:
    """Whatever cleared and is refunded, or was promised and is reversed, leaves no money, no visit and no progress."""
    books = Books(revisions=revisions)
    undo: list[tuple[int, CardMessage]] = []
    for number, (minor, cleared, dollars) in enumerate(purchases):
        amount = usd(minor) if dollars else eur(minor)
        made = presented("1", amount, place="grocer") if cleared else authorized("A", amount, place="grocer")
        take(books, number, 0, made)
        undo.append((number, refunded("1", amount) if cleared else reversed_("B", "A")))
    for number, said in undo:
        take(books, number, 1, said)
    audit(books)
    assert {} == books.balances()
    assert {0} >= {units for (counter, _), units in books.used.items() if "~" in counter}


def take(books: Books, purchase: int, place: int, said: CardMessage) -> None:
    """Take one message of a purchase."""
    sent = replace(said, message_id=bytes([1, purchase, place]) + bytes(13), transmitted_at=START)
    books.take(bytes([purchase]) + bytes(15), event_of(sent, link(), "classic"))


def test_the_retailer_that_paid_has_it_back() -> None:
    """Of two purchases that completed a cycle one turns out to be made elsewhere: the retailer is repaid."""
    books = Books(revisions=(replace(CAPPED[0], rules=(RULES[0],), caps=()),))
    for number in (1, 2):
        take(books, number, 0, presented(str(number), eur(25_00), place="grocer"))
    assert {("fresh-foods", BANK, "EUR"): 3_00} == posted_money(books)
    take(books, 1, 1, replace(authorized("A", eur(25_00), place="corner"), acquirer_reference="1"))
    assert {} == posted_money(books)


def test_a_cycle_of_another_unit_counts_anew() -> None:
    """A revision that gives something else for the same cycle begins with it at nothing."""
    assert PAIRS.counter("rule", date(2026, 1, 1)) != replace(PAIRS, unit="lounge").counter("rule", date(2026, 1, 1))


TODAY: Final = date(2026, 11, 20)


def held(purchase: int, granted: int, used: int, days: int, cycle: str = "c") -> Holding:
    """Return what a purchase was granted of visits, valid for some days from today."""
    last_day = TODAY + timedelta(days=days)
    return Holding(bytes([purchase]), "pairs", "visit", 0, granted, used, last_day, cycle)


def lefts(*holdings: Holding) -> list[int]:
    """Return what is left of holdings once their cycles are settled."""
    return [holding.left for holding in settled(holdings)]


def test_what_a_cycle_takes_back_is_taken_where_it_is_valid_longest() -> None:
    """The refund of a third purchase takes the reward that the cycle gave last, and leaves the first."""
    assert [1, 0, 0] == lefts(held(1, 1, 0, 10), held(2, 1, 0, 20), held(3, -1, 0, 0))
    assert [0, 0, 0] == lefts(held(1, 1, 0, 10), held(2, 1, 1, 20), held(3, -1, 0, 0))
    assert [0, 0, -1] == lefts(held(1, 1, 1, 10), held(2, 1, 1, 20), held(3, -1, 0, 0))
    assert [1, -1] == lefts(held(1, 1, 0, 10, "a"), held(3, -1, 0, 0, "b"))
    assert [1, -1] == lefts(held(1, 1, 0, 10, ""), held(3, 0, 1, 0, ""))


def test_what_expired_unused_is_not_owed() -> None:
    """The reward that was taken back has expired since: the next one of the kind can be used."""
    holdings = settled([held(1, 1, 0, -5), held(2, -1, 0, -5), held(3, 1, 0, 30, "d")])
    assert 1 == usable(holdings, "visit", TODAY)
    assert [bytes([3])] == [drawn.holding.purchase_id for drawn in draw(holdings, "visit", 1, TODAY)]


@LAW
@given(
    st.lists(
        st.tuples(st.integers(-3, 3), st.integers(0, 3), st.integers(-9, 9), st.sampled_from(["", "a", "b"])),
        max_size=6,
    )
)
def test_settling_moves_nothing_out_of_a_cycle(stated: list[tuple[int, int, int, str]]) -> None:
    """What is left of each cycle in all is unchanged, and none has both something left and something missing."""
    before = [held(number, granted, used, days, cycle) for number, (granted, used, days, cycle) in enumerate(stated)]
    after = settled(before)
    for cycle in ("a", "b"):
        lefts_after = [entry.left for entry in after if entry.cycle == cycle]
        assert sum(entry.left for entry in before if entry.cycle == cycle) == sum(lefts_after)
        assert not (min(lefts_after, default=0) < 0 < max(lefts_after, default=0))
    assert [entry for entry in before if not entry.cycle] == [entry for entry in after if not entry.cycle]
