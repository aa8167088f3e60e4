"""Several who pay together: parts of what is posted, exact in sum and in undo, and mistakes in a split."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.funding import parts_of
from processor.core.grant import Grant
from processor.core.programme_document import parse_programme
from processor.core.rule import Benefit, Funder
from tests.core.strategies import (
    BANK,
    FIRST,
    OWNER,
    SECOND,
    UNIT,
    Books,
    Histories,
    authorized,
    eur,
    events,
    histories,
    presented,
    ratio,
    refunded,
    rule,
    taken_back,
)

ONE: Final = bytes(16)
BASE: Final = rule("base", Benefit.MILES, {"EUR": ratio(1, 100)}, funder=Funder.BANK)
SHARED: Final = replace(
    FIRST, rules=(replace(BASE, split=((Funder.BANK, 67), (Funder.OWNER, 33))),), caps=(), groups={}
)
FOLDER: Final = Path(__file__).parents[2] / "examples" / "programmes" / "coalition"
DOCUMENT: Final = (FOLDER / "programme.yaml").read_text(encoding="utf-8")
MERCHANTS: Final = {"merchants.csv": (FOLDER / "merchants.csv").read_text(encoding="utf-8")}


@given(st.integers(-10_000, 10_000), st.integers(1, 98))
def test_parts_come_to_the_whole_and_mirror_around_nothing(units: int, percent: int) -> None:
    """Nothing is lost or gained, the others' parts round towards nothing, and paid back is what was paid."""
    payers = (("a", 99 - percent), ("b", percent), ("c", 1))
    parts = dict(parts_of(Grant("r", UNIT, units, units, units), "a", payers))
    mirrored = dict(parts_of(Grant("r", UNIT, -units, -units, -units), "a", payers))

    assert units == sum(part.available for part in parts.values())
    assert {party: -part.available for party, part in parts.items()} == {
        party: part.available for party, part in mirrored.items()
    }
    assert abs(parts["b"].available) == abs(units) * percent // 100
    assert all(part.pending == 0 for part in parts.values())


def issued(books: Books) -> dict[str, int]:
    """Return the miles that each party has issued."""
    return {
        account.split("/")[1]: -units
        for (account, unit), units in books.balances().items()
        if unit == UNIT and account.startswith("party/")
    }


def test_each_pays_its_part_of_what_is_posted() -> None:
    """Of 100 miles the owner pays 33, the bank the rest; a refund of half leaves 16 and 34; undone, it is as before."""
    books = Books(revisions=(SHARED,))
    sent = events(
        authorized("a", eur(100_00)),
        presented("p", eur(100_00)),
        refunded("r", eur(50_00)),
        replace(taken_back("r", eur(50_00)), credit=True),
    )
    stages = []
    for event in sent:
        books.take(ONE, event)
        stages.append(issued(books))

    assert [{}, {BANK: 67, OWNER: 33}, {BANK: 34, OWNER: 16}, {BANK: 67, OWNER: 33}] == stages


def test_another_split_makes_the_old_parties_whole() -> None:
    """A late authorization of a day before brings in another revision: its parties pay, and those before do not."""
    later = replace(SHARED, rules=(replace(BASE, split=((Funder.OWNER, 90), (Funder.BANK, 10))),), revision=2)
    later = replace(later, effective_from=SECOND.effective_from)
    books = Books(revisions=(SHARED, later))
    (cleared,) = events(presented("p", eur(100_00)))
    at = int(SECOND.effective_from.timestamp()) + 3600
    books.take(ONE, cleared._replace(at=at, local_date=SECOND.effective_from.date()))
    first = issued(books)
    (early,) = events(authorized("a", eur(100_00)))
    books.take(ONE, early._replace(message_id=b"\x01" * 16))

    assert ({OWNER: 90, BANK: 10}, {BANK: 67, OWNER: 33}) == (first, issued(books))


@given(histories())
def test_who_pays_is_as_exact_as_what_is_paid(history: Histories) -> None:
    """For any history the parties have issued just what the member has, each its part of every purchase."""
    books = Books(revisions=(SHARED,))
    for number, sent in enumerate(history):
        for event in sent:
            books.take(bytes([number]) * 16, event)
    owner = bank = 0
    for purchase in books.purchases.values():
        for grant in purchase.grants:
            parts = dict(parts_of(grant, BANK, ((BANK, 67), (OWNER, 33))))
            bank, owner = bank + parts[BANK].available, owner + parts[OWNER].available
    assert {name: units for name, units in ((BANK, bank), (OWNER, owner)) if units} == issued(books)


SPLIT: Final = "    split: {partner: 70, bank: 30}\n"


@pytest.mark.parametrize(
    ("old", "new", "path", "problem"),
    [
        (SPLIT, SPLIT.replace("70", "60"), "earning[4].split", "is a split of 90 percent"),
        (SPLIT, SPLIT.replace("partner: 70", "owner: 70"), "earning[4].split", "leaves out the funder 'partner'"),
        (SPLIT, SPLIT.replace("70", "100"), "earning[4].split.partner", "from 1 to 99"),
        (SPLIT, SPLIT.replace(", bank: 30", ""), "earning[4].split", "fewer than 2"),
        (SPLIT, SPLIT.replace("bank", "issuer"), "earning[4].split.issuer", "is no known key"),
        (SPLIT, SPLIT + "    spent: write-off\n", "earning[4].split", "does not go with spent: write-off"),
        (
            "rules: [first-class-gift], period: day, miles: 300",
            'rules: [first-class-gift], period: day, amount: "5.00", currency: CHF',
            "caps[0].rules[0]",
            "is paid for by several",
        ),
        (
            "    rounding: down\n    funder: bank\n",
            "    rounding: down\n    funder: bank\n    split: {bank: 50, partner: 50}\n",
            "earning[0].split",
            "gives the partner a part",
        ),
    ],
)
def test_a_mistake_is_said_at_its_place(old: str, new: str, path: str, problem: str) -> None:
    """One mistake gives one error, which names the value and says what to write."""
    assert 1 == DOCUMENT.count(old)
    found = parse_programme(DOCUMENT.replace(old, new), merchants=MERCHANTS, source="programme.yaml", revision=1)

    assert isinstance(found, tuple)
    assert [path] == [error.path for error in found]
    assert problem in f"{found[0].problem} {found[0].expected}"


def test_a_party_that_pays_a_part_states_its_price() -> None:
    """A bank that pays for a part of miles must say what it pays for a mile."""
    text = DOCUMENT.replace('    mile_price: "0.0048"\n', "")
    found = parse_programme(text, merchants=MERCHANTS, source="programme.yaml", revision=1)

    assert isinstance(found, tuple)
    assert ["earning[0].funder", "earning[4].funder"] == [error.path for error in found]
