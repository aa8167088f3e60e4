"""Caps in money on miles, in the ledger: what funders pay is bounded, undo gives it back, and explanations name it."""

from processor.flow.join_accounts import join_account
from processor.store.directory import CardAddress, bucket_of
from tests.conftest import Database
from tests.flow.audit import assert_books_agree, rows
from tests.flow.conftest import BUCKETS, SKYWAYS, Pipeline, apply_skyways, make_pipeline
from tests.flow.test_budgets import bought, each, given, undone
from tests.flow.test_explain import explain
from tests.flow.test_quotes import beta


def capped(database: Database, currency: str = "EUR", products: str = "alpha-gold") -> Pipeline:
    """Give a pipeline whose base rule costs 1.00 a month: a purchase's 50 miles cost 0.40 EUR or 0.45 USD."""
    text = (SKYWAYS / "programme.yaml").read_text()
    cap = f'  - {{id: cost, rules: [base], period: month, amount: "1.00", currency: {currency}}}\n'
    text = text.replace("products: all", f"products: [{products}]", 1)
    apply_skyways(database, document=text.replace("\ncaps:\n", f"\ncaps:\n{cap}"))
    return make_pipeline(database)


def counted(pipeline: Pipeline) -> list[int]:
    """Return what each account has used of the cap."""
    found = rows(pipeline.database, "SELECT used FROM limit_counter WHERE cap = 'cost/own' AND used > 0 ORDER BY used")
    return [int(used) for (used,) in found]


def test_a_cap_in_money_bounds_what_a_funder_pays(database: Database) -> None:
    """1.00 EUR buys 125 miles: two purchases of 50, and 25; undo gives its part to later purchases."""
    pipeline = capped(database)

    assert [50, 50, 25, 0] == given(each(pipeline, *(bought(number, 1) for number in range(1, 5))))
    assert [100] == counted(pipeline)
    assert [-50, 50, 0] == given(each(pipeline, undone(1, 1), bought(5, 1), bought(6, 1)))
    assert [50] == given(each(pipeline, bought(7, 7)))
    assert [40, 100] == counted(pipeline)
    assert_books_agree(pipeline)


def test_a_quote_holds_what_it_would_cost(database: Database) -> None:
    """A second quote finds what the first would cost held; a decline gives it back."""
    pipeline = capped(database, "USD", "beta-platinum, beta-blue")

    def quoted(number: int) -> int:
        return given(pipeline.send(beta("0100", number)))[0]

    assert [50, 50, 11, 0] == [quoted(number) for number in range(1, 5)]
    pipeline.send(beta("0110", 1, response_code="51"))
    assert [50] == [quoted(5)]
    assert [50] == given(pipeline.send(beta("0110", 5, response_code="00")))
    assert [45] == counted(pipeline)
    assert_books_agree(pipeline)


def test_joined_accounts_share_a_cap_in_money(database: Database) -> None:
    """What two accounts were given is decided afresh for the survivor, within one cap."""
    pipeline = capped(database)
    assert [50, 50, 50] == given(each(pipeline, bought(1, 1), bought(2, 2), bought(3, 2)))
    accounts = [bytes(account) for (account,) in rows(database, "SELECT id FROM account ORDER BY id")]

    one, other = (CardAddress(account=account, bucket=bucket_of(account, BUCKETS)) for account in accounts)
    join_account(pipeline.decider, pipeline.intake, one, other)

    assert [100] == counted(pipeline)
    assert_books_agree(pipeline)


def test_an_explanation_names_the_cap_and_the_money(database: Database) -> None:
    """Why an award was cut is said in words, and computing it again gives the same."""
    pipeline = capped(database)
    *_, cut = each(pipeline, *(bought(number, 1) for number in range(1, 4)))

    explained = explain(pipeline, cut)

    assert explained.reproduced
    assert "Cap cost, 1.00 EUR a month of the funder's money, cut rule base by 25 SKY." in explained.sentences
    less = "The offer has only so much to give in a month, so that 25 x Skyways mile less were given."
    assert less in explained.for_member
