"""Budgets: never exceeded, exactly exhausted, exactly given back, wherever their units lie."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.core.budget import HOLDERS, AtEdge, Budget, Headroom, Taken
from processor.core.budget_grant import left_by, within_draws
from processor.core.budget_shares import Change, Pool, Share, collect, settle, step
from processor.core.cap import CapPeriod, CounterKey
from processor.core.contest import Entitlement
from processor.core.draw import Counts, Draw
from processor.core.grant import Grant, regrant, release
from processor.core.money import Rounding
from processor.core.programme import MilePrice
from processor.core.rule import Ratio
from tests.core.strategies import FIRST, UNIT

DAY: Final = date(2026, 11, 30)
LAUNCH: Final = Budget(
    id="launch",
    rules=frozenset({"base"}),
    period=CapPeriod.MONTH,
    limit=100,
    currency=None,
    at_edge=AtEdge.PARTIAL,
    holders=None,
)
MONTH: Final = ("launch", "2026-11")
PLACES: Final = (f"launch{HOLDERS}", "2026-11")
BANK: Final = next(party for party in FIRST.parties.values() if party.mile_price is not None)


def granted(
    budget: Budget,
    totals: Sequence[tuple[int, int]],
    headroom: Headroom,
    accounts: dict[int, dict[CounterKey, int]],
) -> dict[int, Grant]:
    """Entitle purchases to totals in turn, each a purchase and an account of that number; return their grants."""
    programme = replace(FIRST, caps=(), budgets=(budget,))
    grants: dict[int, Grant] = {}
    for purchase, total in totals:
        entitlement = Entitlement(programme.rule("base"), UNIT, total, total)
        grants[purchase], _ = regrant(
            programme,
            grants.get(purchase, Grant(rule="base", unit=UNIT)),
            entitlement,
            occurred_on=DAY,
            purchase_id=bytes([purchase]) * 16,
            used=accounts.setdefault(purchase % 3, {}),
            reserved={},
            budgets=headroom,
            funder=BANK.id,
        )
    return grants


TOTALS: Final = st.lists(st.tuples(st.integers(0, 5), st.integers(-40, 90)), max_size=12)
BUDGETS: Final = st.builds(
    lambda limit, edge, holders, money: replace(
        LAUNCH,
        limit=limit,
        at_edge=edge,
        holders=holders,
        currency=BANK.mile_price.currency if money and BANK.mile_price else None,
    ),
    st.integers(1, 150),
    st.sampled_from(AtEdge),
    st.none() | st.integers(1, 3),
    st.booleans(),
)


@settings(max_examples=200, deadline=None)
@given(BUDGETS, TOTALS)
def test_a_budget_is_what_its_grants_hold_and_is_never_exceeded(budget: Budget, totals: list[tuple[int, int]]) -> None:
    """However purchases rise and fall, what was taken is what grants hold, and undo gives all back."""
    headroom, accounts = Headroom(untouched=True), dict[int, dict[CounterKey, int]]()

    grants = granted(budget, totals, headroom, accounts)

    held = [taken for grant in grants.values() for taken in grant.budgets]
    assert headroom.taken.get(MONTH, 0) == sum(units for pool, _, units in held if pool == "launch")
    assert 0 <= headroom.taken.get(MONTH, 0) <= (budget.limit or 0)
    assert headroom.taken.get(PLACES, 0) == sum(used.get(PLACES, 0) > 0 for used in accounts.values())
    assert headroom.taken.get(PLACES, 0) <= (budget.holders or 0)
    for purchase, grant in grants.items():
        release(replace(FIRST, caps=()), (grant,), DAY, bytes(16), accounts[purchase % 3], headroom)
    assert {0} >= set(headroom.taken.values())


@pytest.mark.parametrize(
    ("edge", "expected"),
    [(AtEdge.PARTIAL, [60, 40, 0, 0]), (AtEdge.REFUSE, [60, 0, 40, 0])],
)
def test_what_the_edge_gives(edge: AtEdge, expected: list[int]) -> None:
    """Partial gives what is left at once; refuse leaves it to an award that fits."""
    grants = granted(replace(LAUNCH, at_edge=edge), [(0, 60), (1, 50), (2, 40), (3, 1)], Headroom(untouched=True), {})
    assert expected == [grant.granted for grant in grants.values()]


def test_a_rise_that_does_not_fit_keeps_what_was_granted() -> None:
    """An increment that a budget refuses takes nothing from the purchase that it is of."""
    grants = granted(replace(LAUNCH, at_edge=AtEdge.REFUSE), [(0, 60), (0, 110)], Headroom(untouched=True), {})
    assert Grant("base", UNIT, 110, 60, 60, budgets=(Taken("launch", "2026-11", 60),)) == grants[0]


def test_a_budget_that_is_not_scarce_gives_all_that_is_asked() -> None:
    """What is not known to be scarce is taken freely; whoever settles the shares finds out."""
    headroom = Headroom()
    grants = granted(LAUNCH, [(0, 90), (1, 90)], headroom, {})
    assert ([90, 90], {MONTH: 180}) == ([grant.granted for grant in grants.values()], headroom.taken)


SHARES: Final = st.builds(
    lambda used, held, free, fresh: Share(
        size=1000 if fresh else 900, reserved=used + held + free, used=used, held=held
    ),
    st.integers(0, 50),
    st.integers(0, 20),
    st.integers(0, 50),
    st.booleans(),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(SHARES, st.integers(-1, 1), st.integers(0, 60)), min_size=1, max_size=5))
def test_settling_moves_reserves_and_makes_none(parts: list[tuple[Share, int, int]]) -> None:
    """A batch's shares end with the same reserve together and none over it, or lack what would make them so."""
    shares = {bucket: share for bucket, (share, _, _) in enumerate(parts)}
    changes = {
        bucket: Change(used=units if sign > 0 else -min(units, share.used) if sign < 0 else 0)
        for bucket, (share, sign, units) in enumerate(parts)
    }

    settled = settle(shares, changes, 1000)

    if isinstance(settled, int):
        assert settled > 0
        assert sum(change.units for change in changes.values()) > 0
        return
    assert sum(share.reserved for share in shares.values()) == sum(share.reserved for share in settled.values())
    assert all(share.free >= 0 for share in settled.values())
    assert {bucket: shares[bucket].used + change.used for bucket, change in changes.items()} == {
        bucket: share.used for bucket, share in settled.items()
    }


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.integers(0, 5), SHARES, max_size=5),
    st.integers(-80, 40),
    st.sampled_from([300, 1000, 1700]),
    st.integers(0, 120),
    st.sets(st.integers(0, 5)),
)
def test_a_rebalance_keeps_the_size(
    shares: dict[int, Share], remaining: int, size: int, units: int, leased: set[int]
) -> None:
    """Pool and reserves are the new size, what is used stays, and a bucket has what it lacks if that is there."""
    pool = Pool(size=1000, remaining=remaining)
    total = size - 1000 + remaining + sum(share.reserved for share in shares.values())

    left, after = collect(pool, shares, size, bucket=2, units=units, leased=leased - {2})

    assert total == left.remaining + sum(share.reserved for share in after.values())
    assert {key: (share.used, share.held) for key, share in shares.items()} == {
        key: (share.used, share.held) for key, share in after.items() if key in shares
    }
    assert all(share.free >= 0 for share in after.values())
    if after[2].free < units:
        assert left.remaining <= 0
        assert all(share.free == 0 for key, share in after.items() if key not in {2, *leased})
    if left.remaining < 0:
        assert not any(share.size == size for share in after.values())


@given(st.integers(0, 10_000), SHARES, st.integers(0, 200))
def test_a_step_leaves_the_pool_for_others(remaining: int, share: Share, units: int) -> None:
    """A share gets what it lacks and at most a thirty-second of the pool instead, and none where the pool is short."""
    stepped = step(Pool(size=1000, remaining=remaining), share, units)
    lacking = max(0, units - share.free)
    assert (stepped is None) == (remaining < lacking)
    if stepped is not None:
        pool, after = stepped
        assert remaining + share.reserved == pool.remaining + after.reserved
        assert after.free >= units
        assert remaining - pool.remaining <= max(lacking, -(-remaining // 32))


@pytest.mark.parametrize("wanted", [56, 255, 273])
def test_a_refused_rise_is_explained_however_far_caps_let_it_come(wanted: int) -> None:
    """55 miles at 1.10 EUR stand, and a rise is refused: the rest that follows refuses it, whatever caps left of it."""
    price = MilePrice(ratio=Ratio(numerator=11, denominator=10), currency="EUR", rounding=Rounding.HALF_UP)
    draws = [Draw("purse", ("purse", "2026-11"), 90, Counts.UNITS, price, refuses=True)]

    left = left_by(draws, "purse", granted=55)

    assert left is not None
    again = within_draws(draws, held=55, wanted=wanted, before=(), used={}, reserved={}, headroom=Headroom(left=left))
    assert (55, "purse") == (again.granted, again.cut_by)
