"""Explaining what a rule asks of the message: each condition by name, computed again from what was stored."""

from pathlib import Path
from typing import Final

import pytest

from processor.flow.submission import Answer
from tests.conftest import Database
from tests.flow.audit import assert_books_agree
from tests.flow.conftest import Pipeline, apply_skyways, iso87, make_pipeline
from tests.flow.test_explain import explain

WHAT_COUNTS: Final = Path(__file__).parents[2] / "examples" / "programmes" / "what-counts"
EXPRESSION: Final = "local_time >= '11:30' && local_time < '14:00' && (weekday < 6 || amount_minor >= 5000)"
FAILING: Final = "expression: 7 / (day - 19) > 1"


def bought(pipeline: Pipeline, **fields: str) -> Answer:
    """Send one approved authorization of a meal for 100.00 EUR."""
    values = {
        "response_code": "00",
        "retrieval_reference": "",
        "mcc": "5812",
        "transmission_date_time": "1119120000",
        "local_time": "130000",
        "local_date": "1119",
        **fields,
    }
    (answer,) = pipeline.send(iso87("0110", bank="delta", **values))
    return answer


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "Rule long-lunch gives 40 CNT whatever the amount"),
        (
            {"local_time": "203000"},
            f"Rule long-lunch does not apply: it is for purchases with {EXPRESSION}.",
        ),
        ({"acquirer_country": "348", "entry_mode": "071"}, "Rule border-shopping gives 10 CNT whatever the amount"),
        ({"acquirer_country": "040"}, "Rule border-shopping does not apply: it is for countries HU, SK."),
        ({}, "Rule night-in-kyiv does not apply: it is for purchases from 2026-11-14 until 2026-11-14 in Europe/Kyiv."),
        ({"transmission_date_time": "1113223000"}, "Rule night-in-kyiv gives 30 CNT whatever the amount"),
        (
            {"currency": "840", "billing_amount": "000000010250", "billing_currency": "978"},
            "billed before the bank's mark-up of 2.5 %, rounded down: 102.50 EUR entitle to 100 CNT",
        ),
        (
            {"processing_code": "090000", "additional_amounts": "0040978D000000002500", "mcc": "5411"},
            "Cash handed out with the goods of 25.00 EUR is no purchase of goods and is taken off these amounts.",
        ),
        ({"mcc": "5541"}, "Rule motor-fuel does not apply: it is for 99 product codes."),
        ({"transaction_fee": "D00000250", "mcc": "5411"}, "97.50 EUR entitle to 97 CNT"),
        ({"local_time": "203000", "mcc": "5411"}, "Rule long-lunch does not apply: it is for merchant category codes"),
    ],
)
def test_an_expression_is_explained(database: Database, fields: dict[str, str], said: str) -> None:
    """What an expression said is computed again from what was stored, and named where it does not hold."""
    apply_skyways(database, folder=WHAT_COUNTS)
    pipeline = make_pipeline(database)
    explanation = explain(pipeline, bought(pipeline, **fields))
    assert explanation.reproduced
    assert said in " ".join(explanation.sentences)
    assert_books_agree(pipeline)


def test_an_expression_that_fails_is_explained(database: Database) -> None:
    """What cannot be evaluated is not met, parks nothing, and is said."""
    document = (WHAT_COUNTS / "programme.yaml").read_text().replace(f"expression: {EXPRESSION}", FAILING)
    assert FAILING in document
    apply_skyways(database, folder=WHAT_COUNTS, document=document)
    pipeline = make_pipeline(database)
    explanation = explain(pipeline, bought(pipeline))
    assert explanation.reproduced
    assert "7 / (day - 19) > 1, which cannot be evaluated for this one." in " ".join(explanation.sentences)
