"""Cycles of money and soft rewards in a programme document: what they compile to, and what is said of mistakes."""

from pathlib import Path
from typing import Final

import pytest

from processor.core.cap import CapPeriod
from processor.core.programme import Programme
from processor.core.programme_document import parse_programme
from processor.core.tally import Cycle

FOLDER: Final = Path(__file__).parents[2] / "examples" / "programmes" / "spend-and-get"
DOCUMENT: Final = (FOLDER / "programme.yaml").read_text(encoding="utf-8")
MERCHANTS: Final = {"merchants.csv": (FOLDER / "merchants.csv").read_text(encoding="utf-8")}
BACK: Final = '    amounts: {EUR: "15.00"}\n    every: {amount: {EUR: "300.00"}, over: month}\n'
GROUP: Final = "exclusive:\n  - {id: one, best: holder}\n\ndiscounts:\n"


def parse(*changes: tuple[str, str]) -> Programme | list[str]:
    """Parse the example with changes; the errors as text where there are any."""
    text = DOCUMENT
    for old, new in changes:
        assert 1 == text.count(old), old
        text = text.replace(old, new)
    parsed = parse_programme(text, merchants=MERCHANTS, source="p.yaml", revision=1)
    return parsed if isinstance(parsed, Programme) else [str(error) for error in parsed]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([(BACK, BACK + "    mode: at-the-till\n")], "discounts[0].mode: is at-the-till, and what purchases come to"),
        (
            [(BACK, BACK.replace('amounts: {EUR: "15.00"}', 'percent: "5"\n    rounding: down'))],
            "discounts[0].every: has 'every' without 'amounts'",
        ),
        (
            [("discounts:\n", GROUP), (BACK, BACK + "    exclusive: one\n")],
            "discounts[0].exclusive: is a group of which one rule counts for each purchase, and every looks",
        ),
        ([(BACK, BACK.replace('{EUR: "15.00"}', '{EUR: "15.00", USD: "16"}'))], "amounts: gives in 2 currencies"),
        (
            [(BACK, BACK.replace('{EUR: "15.00"}', '{USD: "15.00"}'))],
            "discounts[0].amounts.USD: is USD, and 'fjord' credits its holders in EUR",
        ),
        (
            [(BACK, BACK.replace('"15.00"', '"300.01"'))],
            "discounts[0].amounts.EUR: '300.01' is more than the '300.00' that must be spent for it; write 300.00 or",
        ),
        (
            [(BACK, BACK.replace('amount: {EUR: "300.00"}', 'amount: {USD: "300.00"}'))],
            "discounts[0].every.amount: has no amount for EUR, in which cards of 'fjord' are billed",
        ),
        (
            [("partners: [polar-food, polar-home]", "partners: [polar-food, tide-cafe]")],
            "discounts[0].funder: is the partner, and polar-stores and tide-cafes would pay for cycles",
        ),
        ([("over: week}", "over: billing-period}")], "discounts[1].every.over: is 'billing-period'"),
        ([("every: {purchases: 3, over: week}", "every: {over: week}")], "has neither purchases nor amount"),
        ([("every: {purchases: 3, over: year, times: 4}", "every: {purchases: 0, over: year}")], "is the number 0"),
        (
            [('every: {amount: {EUR: "1000.00"}', 'every: {amount: {EUX: "1000.00"}')],
            "rewards[1].every.amount.EUX: 'EUX' is no currency",
        ),
        (
            [('every: {amount: {EUR: "1000.00"}', 'every: {amount: {EUR: "1000.001"}')],
            "rewards[1].every.amount.EUR: '1000.001' is no whole number",
        ),
        ([('amount: "45.00", currency', 'amount: "14.00", currency')], "caps[0].amount: '14.00' is less than what"),
    ],
)
def test_a_mistake_is_said_at_its_place(changes: list[tuple[str, str]], said: str) -> None:
    """One mistake in a sound document is refused, and the text says what is wrong there."""
    errors = parse(*changes)
    assert isinstance(errors, list)
    assert any(said in error for error in errors), errors


def test_a_cycle_knows_what_it_gives() -> None:
    """Money is counted in minor units of its currency, a reward in its own unit."""
    programme = parse()
    assert isinstance(programme, Programme)
    back, visit = programme.tallies["fifteen-back"], programme.tallies["third-large"]
    assert (Cycle(every=300_00, gives=15_00, times=None), "EUR", CapPeriod.MONTH) == (
        back.cycle,
        back.unit,
        back.period,
    )
    assert (Cycle(every=3, gives=1, times=4), "lounge", {}) == (visit.cycle, visit.unit, visit.scale)
