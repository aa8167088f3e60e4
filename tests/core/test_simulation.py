"""Simulation: a file of transactions through the pure decision, its laws, and its errors by line."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from processor.core.located_document import DocumentError
from processor.core.outcome import Reason
from processor.core.posting import MEMBER_AVAILABLE, MEMBER_PENDING
from processor.core.programme import Programme
from processor.core.programme_document import parse_programme
from processor.core.simulation import ClosingBalance, Obligation, Simulation, simulate, simulation_as_data
from processor.core.transaction_file import MAX_LINE_CHARACTERS, transaction_schema

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "skyways"
DOCUMENT = (EXAMPLE / "programme.yaml").read_text(encoding="utf-8")
MERCHANTS = (EXAMPLE / "merchants.csv").read_text(encoding="utf-8")
TRANSACTIONS = (EXAMPLE / "transactions.jsonl").read_text(encoding="utf-8")


def compiled(document: str, revision: int = 1) -> Programme:
    """Return a programme that compiles."""
    parsed = parse_programme(
        document, merchants={"merchants.csv": MERCHANTS}, source="programme.yaml", revision=revision
    )
    assert isinstance(parsed, Programme), "\n".join(map(str, parsed))
    return parsed


SKYWAYS = compiled(DOCUMENT)
UNCAPPED = compiled(DOCUMENT[: DOCUMENT.index("\ncaps:")])


def run(text: str, *revisions: Programme) -> Simulation:
    """Return the simulation of a file without errors."""
    simulated = simulate(revisions or (SKYWAYS,), text, source="transactions.jsonl")
    assert isinstance(simulated, Simulation), "\n".join(map(str, simulated))
    return simulated


def lines(*transactions: dict[str, Any]) -> str:
    """Return transactions as a file; what all have in common is filled in."""
    common = {"at": "2026-11-02T12:00:00+01:00", "account": "anna", "product": "alpha-classic"}
    return "\n".join(json.dumps({**common, **transaction}) for transaction in transactions)


def eur(kind: str, name: str, amount: str, **others: Any) -> dict[str, Any]:
    """Return a transaction of euros."""
    return {"id": name, "type": kind, "amount": amount, "currency": "EUR", **others}


@pytest.mark.parametrize(
    ("transactions", "reasons", "pending", "available"),
    [
        ([eur("authorization", "a", "10.00")], ["EARNED"], 5, 0),
        ([eur("authorization", "a", "10.00", approved=False)], ["DECLINED"], 0, 0),
        ([eur("authorization", "a", "1.99")], ["BELOW_ONE_UNIT"], 0, 0),
        ([eur("authorization", "a", "0.00")], ["ZERO_AMOUNT"], 0, 0),
        ([eur("authorization", "a", "10.00", mcc="6011")], ["EXCLUDED"], 0, 0),
        ([eur("authorization", "a", "10.00", processing_code="01")], ["EXCLUDED"], 0, 0),
        (
            [{"id": "a", "type": "authorization", "amount": "10.00", "currency": "GBP"}],
            ["CURRENCY_NOT_RATED"],
            0,
            0,
        ),
        ([eur("authorization", "a", "10.00", at="2025-06-01T00:00:00Z")], ["NO_PROGRAMME"], 0, 0),
        ([eur("financial", "a", "10.00")], ["EARNED"], 5, 0),
        ([eur("clearing", "c", "10.00")], ["EARNED"], 0, 5),
        ([eur("refund", "r", "10.00")], ["TAKEN_BACK"], 0, -5),
        (
            [eur("authorization", "a", "10.00"), eur("clearing", "c", "9.00", purchase="a")],
            ["EARNED", "TAKEN_BACK"],
            0,
            4,
        ),
        ([eur("authorization", "a", "10.00"), eur("authorization", "b", "5.00", purchase="a")], ["EARNED"] * 2, 7, 0),
        (
            [eur("authorization", "a", "10.00"), {"id": "r", "type": "reversal", "original": "a"}],
            ["EARNED", "TAKEN_BACK"],
            0,
            0,
        ),
        (
            [eur("authorization", "a", "10.00"), {"id": "r", "type": "reversal", "original": "a", "remaining": "6.00"}],
            ["EARNED", "TAKEN_BACK"],
            3,
            0,
        ),
        (
            [{"id": "r", "type": "reversal", "original": "a"}, eur("authorization", "a", "10.00")],
            ["AWAITING_ORIGINAL", "REVERSED"],
            0,
            0,
        ),
        (
            [eur("clearing", "c", "10.00"), {"id": "r", "type": "clearing-reversal", "original": "c"}],
            ["EARNED", "TAKEN_BACK"],
            0,
            0,
        ),
        (
            [
                eur("authorization", "a", "10.00"),
                eur("clearing", "c1", "6.00", purchase="a", part=[1, 2]),
                eur("clearing", "c2", "6.00", purchase="a", part=[2, 2]),
                eur("refund", "r", "2.00", purchase="a"),
            ],
            ["EARNED", "EARNED", "EARNED", "TAKEN_BACK"],
            0,
            5,
        ),
    ],
)
def test_what_each_type_does(
    transactions: list[dict[str, Any]], reasons: list[str], pending: int, available: int
) -> None:
    """One mile for 2.00 EUR is promised, posted and taken back as messages say, and every result has its reason."""
    simulated = run(lines(*transactions))
    (balance,) = simulated.balances
    assert reasons == [result.reason.name for result in simulated.transactions]
    assert (pending, available) == (balance.pending, balance.available)


def test_a_final_link_posts_at_once() -> None:
    """A financial message posts where its link says final, and is a promise where it awaits clearing."""
    document = DOCUMENT.replace(
        "        answers: true\n",
        "        answers: true\n      - {dialect: ipm93-ebcdic, mode: copy, financial: final}\n",
    )
    text = lines(eur("financial", "a", "10.00"), eur("financial", "b", "20.00", dialect="ipm93-ebcdic"))
    simulated = run(text, compiled(document))
    assert (ClosingBalance(account="anna", pending=5, available=10, discounts={}),) == simulated.balances


def test_a_partial_reversal_scales_the_billing_amount() -> None:
    """What remains in the transaction currency remains in proportion in the billing currency."""
    paid = {"billing_amount": "50.00", "billing_currency": "EUR", "amount": "60.00", "currency": "USD"}
    text = lines(
        {"id": "a", "type": "authorization", **paid},
        {"id": "r", "type": "reversal", "original": "a", "remaining": "30.00"},
    )
    assert 12 == run(text).balances[0].pending


def test_a_partner_stands_for_its_first_merchant() -> None:
    """The shortcut matches as the merchant's own fields do, terminal and MCC included."""
    for partner, merchant in (
        ("bluefuel", {"acquirer": "523456", "acceptor": "BLUEFUEL0001", "mcc": "5541"}),
        ("trattoria-uno", {"acquirer": "967890", "acceptor": "TRATTORIA UNO 1"}),
        ("harbor-grill", {"acquirer": "74567890123", "acceptor": "HARBOR NYC 1", "terminal": "REST0001"}),
    ):
        short, long = (
            run(lines(eur("authorization", "a", "33.00", **where))).transactions[0]
            for where in ({"partner": partner}, merchant)
        )
        assert (partner, partner) == (short.partner, long.partner)
        assert short.awards == long.awards


def test_each_purchase_is_decided_under_the_revision_in_force() -> None:
    """A later clearing of an earlier purchase keeps the earlier terms; a later purchase has the later ones."""
    doubled = replace(
        compiled(DOCUMENT.replace('rate: {miles: 1, per: {EUR: "2.00"', 'rate: {miles: 2, per: {EUR: "2.00"'), 2),
        effective_from=datetime(2026, 12, 1, tzinfo=UTC),
    )
    text = lines(
        eur("authorization", "a", "10.00", at="2026-11-30T12:00:00Z"),
        eur("clearing", "c", "10.00", at="2026-12-02T12:00:00Z", purchase="a"),
        eur("clearing", "d", "10.00", at="2026-12-02T12:00:00Z"),
    )
    simulated = run(text, doubled, SKYWAYS)
    assert 5 + 10 == simulated.balances[0].available
    assert 2 == simulated.programme.revision


EXAMPLE_LINES = [line for line in TRANSACTIONS.split("\n") if line]


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(random: Random) -> None:
    """Without caps, any order of arrival closes with the same balances and obligations."""
    expected = run(TRANSACTIONS, UNCAPPED)
    shuffled = run("\n".join(random.sample(EXAMPLE_LINES, len(EXAMPLE_LINES))), UNCAPPED)
    assert sorted(expected.balances, key=str) == sorted(shuffled.balances, key=str)
    assert expected.obligations == shuffled.obligations


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False))
def test_caps_hold_in_any_order(random: Random) -> None:
    """Whatever arrives first, no account is ever granted more than a cap allows in its period."""
    simulated = run("\n".join(random.sample(EXAMPLE_LINES, len(EXAMPLE_LINES))))
    granted: dict[tuple[str, str], int] = {}
    for result in simulated.transactions:
        for award in result.awards:
            if award.rule in {"base", "premium", "moda-five"}:
                key = (result.transaction.account, award.grant.unit)
                granted[key] = granted.get(key, 0) + award.pending_change + award.available_change
                assert granted[key] <= {"SKY": 5000, "EUR": 2000}[award.grant.unit]


amounts = st.integers(1, 10_000_00).map(lambda minor: f"{minor / 100:.2f}")


@settings(max_examples=100, deadline=None)
@given(amounts, st.sampled_from([None, "bluefuel", "freshmart", "moda-milano", "volt", "harbor-hotel"]), st.booleans())
def test_undoing_everything_leaves_nothing(amount: str, partner: str | None, authorized: bool) -> None:
    """A purchase that is refunded in whole, under any caps, leaves no miles, no discount and no obligation."""
    where = {} if partner is None else {"partner": partner}
    authorization = [eur("authorization", "p", amount, **where)] if authorized else []
    link = {"purchase": "p"} if authorized else {}
    cleared = eur("clearing", "c", amount, at="2026-11-04T12:00:00Z", **where, **link)
    refund = eur("refund", "r", amount, at="2026-11-09T12:00:00Z", purchase="p" if authorized else "c")
    simulated = run(lines(*authorization, cleared, refund))
    assert (ClosingBalance(account="anna", pending=0, available=0, discounts={}),) == simulated.balances
    assert () == simulated.obligations


def test_balances_are_the_sum_of_the_postings() -> None:
    """What an account holds is what its postings moved into it."""
    simulated = run(TRANSACTIONS)
    for balance in simulated.balances:
        postings = [
            posting
            for result in simulated.transactions
            if result.transaction.account == balance.account
            for posting in result.postings
        ]
        for side, held in ((MEMBER_PENDING, balance.pending), (MEMBER_AVAILABLE, balance.available)):
            credited = sum(posting.amount for posting in postings if posting.credit == side)
            debited = sum(posting.amount for posting in postings if posting.debit == side)
            assert held == credited - debited


def test_obligations_net_what_two_parties_owe_each_other() -> None:
    """A charge and its return leave the difference, owed by whom it is owed."""
    text = lines(
        eur("clearing", "c", "100.00", partner="moda-milano"),
        eur("refund", "r", "40.00", partner="moda-milano", purchase="c"),
    )
    assert (
        Obligation(debtor="alpha", creditor="skyways", currency="EUR", amount_minor=24),
        Obligation(debtor="moda-group", creditor="alpha", currency="EUR", amount_minor=300),
    ) == tuple(sorted(run(text).obligations, key=lambda owed: owed.debtor))


def errors_of(text: str) -> tuple[DocumentError, ...]:
    """Return the errors of a file that has some."""
    simulated = simulate([SKYWAYS], text, source="transactions.jsonl")
    assert isinstance(simulated, tuple)
    return simulated


PAID = {"id": "b", "type": "authorization", "amount": "1.00", "currency": "EUR"}


@pytest.mark.parametrize(
    ("wrong", "path", "problem"),
    [
        ({}, "document", "lacks the key 'id'"),
        ({**PAID, "id": "a b"}, "id", "is 'a b'"),
        ({**PAID, "id": "a"}, "id", "'a' is taken by line 1"),
        ({**PAID, "amuont": "1"}, "amuont", "is no known key"),
        ({**PAID, "type": "purchase"}, "type", "is 'purchase'"),
        ({"id": "b", "type": "clearing"}, "document", "lacks the key 'amount'"),
        ({"id": "b", "type": "reversal"}, "document", "lacks the key 'original'"),
        ({**PAID, "amount": 1.10}, "amount", "is the number 1.1"),
        ({**PAID, "amount": "-1"}, "amount", "is '-1'"),
        ({**PAID, "amount": "1.001"}, "amount", "'1.001' is no whole number of the minor unit of EUR"),
        ({**PAID, "currency": "EUX"}, "currency", "'EUX' is no currency"),
        ({**PAID, "currency": "JPY", "amount": "1.5"}, "amount", "'1.5' is no whole number of the minor unit of JPY"),
        ({**PAID, "billing_amount": "1.00"}, "billing_amount", "has 'billing_amount' without 'billing_currency'"),
        (
            {**PAID, "billing_amount": "1.001", "billing_currency": "USD"},
            "billing_amount",
            "'1.001' is no whole number of the minor unit of USD",
        ),
        ({**PAID, "at": "2026-11-02"}, "at", "is '2026-11-02'"),
        ({**PAID, "at": "2026-02-30T00:00:00Z"}, "at", "'2026-02-30T00:00:00Z' is no such time"),
        ({**PAID, "product": "alpha-glod"}, "product", "'alpha-glod' is no product"),
        (
            {**PAID, "product": "beta-blue"},
            "product",
            "'beta-blue' is of bank 'beta', and line 1 has the account at 'alpha'",
        ),
        ({**PAID, "partner": "blufuel"}, "partner", "'blufuel' is no partner"),
        ({**PAID, "partner": "volt", "mcc": "5541"}, "partner", "stands beside a merchant's own fields"),
        ({**PAID, "acceptor": "A"}, "acceptor", "has 'acceptor' without 'acquirer'"),
        ({**PAID, "purchase": "x"}, "purchase", "no line has the id 'x'"),
        ({**PAID, "purchase": "c"}, "purchase", "'c' begins no purchase"),
        ({**PAID, "purchase": "other"}, "purchase", "'other' is of another account"),
        ({"id": "b", "type": "reversal", "original": "c"}, "original", "'c' is of type 'clearing'"),
        ({"id": "b", "type": "clearing-reversal", "original": "a"}, "original", "'a' is of type 'authorization'"),
        (
            {"id": "b", "type": "reversal", "original": "a", "remaining": "1.001"},
            "remaining",
            "'1.001' is no whole number of the minor unit of EUR",
        ),
        ({**PAID, "remaining": "1"}, "remaining", "means nothing for 'authorization'"),
        ({**PAID, "original": "a"}, "original", "'a' is of type 'authorization'"),
        ({**PAID, "dialect": "iso87-ascii"}, "dialect", "means nothing for 'authorization'"),
        ({**PAID, "type": "financial", "dialect": "iso87-bcd"}, "dialect", "'iso87-bcd' is no link of 'alpha'"),
        ({**PAID, "type": "clearing", "approved": False}, "approved", "means nothing for 'clearing'"),
        ({**PAID, "part": [1, 2]}, "part", "means nothing for 'authorization'"),
        ({**PAID, "type": "clearing", "part": [1]}, "part", "has fewer than 2"),
    ],
)
def test_each_error_has_its_line_and_path(wrong: dict[str, Any], path: str, problem: str) -> None:
    """A wrong transaction in line 40 is reported at line 40 with its path."""
    good = [
        eur("authorization", "a", "10.00"),
        eur("clearing", "c", "10.00", purchase="a"),
        eur("clearing", "other", "10.00", account="ben"),
        *(eur("clearing", f"c{number}", "1.00") for number in range(4, 40)),
    ]
    found = [(error.line, error.path, error.problem) for error in errors_of(f"{lines(*good, wrong)}\n")]
    assert (40, path, problem) in found
    assert {40} == {line for line, _, _ in found}
    assert wrong == {} or len(found) == 1


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "is not JSON: Expecting property name enclosed in double quotes in column 2"),
        ('{"id": "a", "id": "b"}', "has the key 'id' twice"),
        ("[" * 4000, "nests too deeply"),
        (" " * MAX_LINE_CHARACTERS + "1", f"is longer than {MAX_LINE_CHARACTERS} characters"),
        ("[]", "is a list"),
        ("NaN", "is the number NaN"),
    ],
)
def test_a_line_that_is_no_transaction(line: str, problem: str) -> None:
    """What is not one JSON object in one line is refused with its line; blank lines are skipped."""
    (error,) = errors_of(f"\n{line}\n")
    assert (2, "document", problem) == (error.line, error.path, error.problem)


@given(st.text())
def test_any_text_gives_a_simulation_or_errors(text: str) -> None:
    """No text raises."""
    simulated = simulate([SKYWAYS], text, source="transactions.jsonl")
    assert isinstance(simulated, Simulation) == (not text.removeprefix("\ufeff").strip())


def test_an_error_reads_like_one_of_a_programme() -> None:
    """An error says file, line, path, what is wrong and what to write."""
    (error,) = errors_of(lines(eur("authorization", "a", "1.00", partner="blufuel")))
    assert (
        "transactions.jsonl:1:1 partner: 'blufuel' is no partner; "
        "did you mean 'bluefuel'? write the identifier of one of the programme's partners"
    ) == str(error)


def test_the_schema_is_valid_and_documented() -> None:
    """docs/programme.md explains every key of a transaction, and the schema describes each."""
    schema = transaction_schema()
    Draft202012Validator.check_schema(schema)
    text = (ROOT / "docs" / "programme.md").read_text(encoding="utf-8").split("\n## Simulation\n")[1]
    documented = set(re.findall(r"(?m)^\| `([a-z_]+)` \|", text.split("| type |")[0]))
    assert set(schema["properties"]) == documented
    assert all(described["description"] for described in schema["properties"].values())


def test_the_documented_line_is_what_comes_out() -> None:
    """The line of the result that docs/programme.md shows is one award of the example's result."""
    text = (ROOT / "docs" / "programme.md").read_text(encoding="utf-8").split("\n## Simulation\n")[1]
    shown = json.loads(text.split("```json\n")[1].split("```")[0])
    full = simulation_as_data(run(TRANSACTIONS))["transactions"][1]
    assert {**full, "awards": [award for award in full["awards"] if award["rule"] == "fuel-bonus"]} == shown
    assert Reason[shown["reason"]] is Reason.EARNED
