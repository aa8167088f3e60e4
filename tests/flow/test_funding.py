"""Several who pay together, in the ledger: each is posted its part, undo gives it back, and explanations say so."""

from tests.conftest import Database
from tests.flow.audit import assert_books_agree, rows
from tests.flow.clearing_records import clear, presentment
from tests.flow.conftest import SKYWAYS, apply_skyways, make_pipeline
from tests.flow.test_budgets import bought, each
from tests.flow.test_explain import explain

BASE = """    rounding: down                      # 3.99 EUR earn 1 mile
    funder: bank
"""


def issued(database: Database) -> dict[str, int]:
    """Return the miles that each party has issued by the base rule."""
    found = rows(
        database,
        "SELECT account, sum(units) FROM (SELECT debit AS account, amount AS units FROM posting WHERE rule = 'base'"
        " UNION ALL SELECT credit, -amount FROM posting WHERE rule = 'base') moved"
        " WHERE account LIKE 'party/%' GROUP BY account HAVING sum(units) <> 0",
    )
    return {str(account).split("/")[1]: int(units) for account, units in found}


def test_each_party_is_posted_its_part(database: Database) -> None:
    """Of 50 miles that clear the bank issues 35 and the owner 15; when half is paid back, 18 and 7 are left."""
    text = (SKYWAYS / "programme.yaml").read_text()
    assert 1 == text.count(BASE)
    apply_skyways(database, document=text.replace(BASE, BASE + "    split: {bank: 70, owner: 30}\n"))
    pipeline = make_pipeline(database)

    each(pipeline, bought(1))
    assert {} == issued(database)
    clear(pipeline, presentment())
    assert {"alpha": 35, "skyways": 15} == issued(database)
    back = {"processing_code": "200000", "acquirer_reference": f"7123456{1:016d}", "amount": "000000005000"}
    back["local_date_time"] = "261121113000"
    clear(pipeline, presentment(2, **back))
    assert {"alpha": 18, "skyways": 7} == issued(database)
    assert_books_agree(pipeline)


def test_an_explanation_says_who_pays(database: Database) -> None:
    """The sentences on a rule name the parts of its payers, and computing it again gives the same."""
    text = (SKYWAYS / "programme.yaml").read_text()
    apply_skyways(database, document=text.replace(BASE, BASE + "    split: {bank: 70, owner: 30}\n"))
    pipeline = make_pipeline(database)
    (answer,) = pipeline.send(bought(1))

    told = explain(pipeline, answer)

    assert "What rule base gives is paid 70 % by the bank, 30 % by the owner." in told.sentences
    assert told.reproduced
