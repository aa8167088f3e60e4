"""Cashback and surcharges: what counts is what would count had they not been paid, whatever comes first or later."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.core.programme import Programme
from processor.core.programme_document import parse_programme
from processor.core.simulation import Simulation, simulate

FOLDER: Final = Path(__file__).parents[2] / "examples" / "programmes" / "what-counts"
DOCUMENT: Final = (FOLDER / "programme.yaml").read_text(encoding="utf-8")
MERCHANTS: Final = {"merchants.csv": (FOLDER / "merchants.csv").read_text(encoding="utf-8")}
COMPILED: Final = parse_programme(DOCUMENT, merchants=MERCHANTS, source="p", revision=1)
assert isinstance(COMPILED, Programme)
PROGRAMME: Final = COMPILED
INCLUDING: Final = replace(PROGRAMME, parts_included=frozenset({"cashback", "surcharges"}))
CENTS: Final = Decimal("0.01")


def line(name: str, kind: str, minute: int, amount: int, **fields: Any) -> dict[str, Any]:
    """Return one line of a simulation, for so many cents of euros."""
    return {
        "id": name,
        "type": kind,
        "at": f"2026-11-18T12:{minute:02d}:00+01:00",
        "account": "ada",
        "product": "plain",
        "amount": str(amount * CENTS),
        "currency": "EUR",
        "mcc": "5411",
        **fields,
    }


def balance(programme: Programme, lines: list[dict[str, Any]]) -> tuple[int, int]:
    """Return the pending and available miles after all lines."""
    result = simulate([programme], "\n".join(map(json.dumps, lines)), source="t")
    assert isinstance(result, Simulation), result
    return result.balances[0].pending, result.balances[0].available


def bought(goods: int, cash: int, fee: int, back: int, *, stated: bool) -> list[dict[str, Any]]:
    """Return an authorization, what clears of it and a refund, with cash and a fee on top where they are stated."""
    whole = goods + (cash + fee if stated else 0)
    parts = {"cashback": str(cash * CENTS), "surcharge": str(fee * CENTS)} if stated else {}
    return [
        line("buy", "authorization", 1, whole, **parts),
        line("clear", "clearing", 2, whole, purchase="buy", **parts),
        line("back", "refund", 3, back, purchase="buy"),
    ]


@settings(max_examples=60, deadline=None)
@given(
    goods=st.integers(1, 20_000),
    cash=st.integers(0, 10_000),
    fee=st.integers(0, 500),
    back=st.integers(1, 20_000),
    order=st.permutations(range(3)),
)
def test_what_is_not_for_goods_counts_for_nothing(goods: int, cash: int, fee: int, back: int, order: list[int]) -> None:
    """Whatever comes first, a purchase with cash earns what one of the goods alone earns; so does what is paid back."""
    back = min(back, goods)
    with_cash = bought(goods, cash, fee, back, stated=True)
    without = bought(goods, cash, fee, back, stated=False)
    assert balance(PROGRAMME, without) == balance(PROGRAMME, [with_cash[place] for place in order])


@given(goods=st.integers(1, 20_000), cash=st.integers(0, 10_000), fee=st.integers(0, 500))
def test_what_a_programme_includes_earns(goods: int, cash: int, fee: int) -> None:
    """A programme that includes both measures the whole amount."""
    with_cash = bought(goods, cash, fee, 1, stated=True)[:2]
    whole = bought(goods + cash + fee, 0, 0, 1, stated=False)[:2]
    assert balance(PROGRAMME, whole) == balance(INCLUDING, with_cash)


UNDONE: Final = line("undone", "clearing-reversal", 3, 0, original="clear")


@pytest.mark.parametrize(
    ("after", "left"),
    [
        ([], (0, 20)),
        ([line("back", "refund", 3, 7000, purchase="buy")], (0, 0)),
        ([UNDONE], (20, 0)),
        ([UNDONE, line("half", "reversal", 4, 0, original="buy", remaining="35.00")], (10, 0)),
    ],
)
def test_undoing_is_exact(after: list[dict[str, Any]], left: tuple[int, int]) -> None:
    """A refund of the whole amount takes back what the goods earned and no more; half of it has half of the goods."""
    for entry in after:
        if entry["type"].endswith("reversal"):
            for key in ("amount", "currency"):
                entry.pop(key, None)
    lines = bought(2000, 5000, 0, 1, stated=True)[:2]
    assert left == balance(PROGRAMME, [*lines, *after])


def test_nothing_but_cash_earns_nothing() -> None:
    """A purchase of which all is cash is no purchase of goods."""
    result = simulate([PROGRAMME], json.dumps(line("cash", "authorization", 1, 5000, cashback="50.00")), source="t")
    assert isinstance(result, Simulation)
    assert ("EXCLUDED", ()) == (result.transactions[0].reason.name, result.transactions[0].awards)


def test_more_than_the_amount_is_refused() -> None:
    """A part that is more than the amount is refused at its key."""
    result = simulate([PROGRAMME], json.dumps(line("cash", "authorization", 1, 5000, cashback="50.01")), source="t")
    assert isinstance(result, tuple)
    assert "is more than the amount" in str(result[0])
