"""Explaining discounts at the till: what was asked for, what the till took off, and why it gave nothing."""

from pathlib import Path
from typing import Final

import pytest

from tests.conftest import Database
from tests.flow.conftest import Pipeline, apply_skyways, iso87, make_pipeline
from tests.flow.test_explain import explain

FOLDER: Final = Path(__file__).parents[2] / "examples" / "programmes" / "till-discounts"


@pytest.fixture
def riviera(database: Database) -> Pipeline:
    """Build a pipeline under the programme with discounts at the till."""
    apply_skyways(database, folder=FOLDER)
    return make_pipeline(database)


def told(pipeline: Pipeline, mti: str, cents: int) -> list[str]:
    """Send one message of a purchase at the fashion store, and return its explanation, which must be reproduced."""
    fields = {"response_code": "00"} if mti == "0110" else {}
    message = iso87(
        mti, bank="ligure", acquirer="712345", acceptor="RVMODE000000001", amount=f"{cents:012d}", mcc="5651", **fields
    )
    (answer,) = pipeline.send(message)
    found = explain(pipeline, answer)
    assert found.reproduced, found
    return list(found.sentences)


@pytest.mark.parametrize(
    ("approved", "said"),
    [
        (
            108_00,
            "Rule mode-ten takes 10 % off at the till: of 120.00 EUR asked for, the till took off 12.00 EUR, and 12.00",
        ),
        (120_00, "Rule mode-ten gives its discount at the till, and nothing confirms that the till gave it."),
        (99_00, "Rule mode-ten gives its discount at the till, and nothing confirms that the till gave it."),
    ],
)
def test_an_outcome_says_what_it_confirms(riviera: Pipeline, approved: int, said: str) -> None:
    """The quote and the outcome are explained from what was stored, to the unit."""
    quoted = told(riviera, "0100", 120_00)
    assert any("Rule mode-ten takes 10 % off at the till: 120.00 EUR are asked for" in line for line in quoted), quoted
    sentences = told(riviera, "0110", approved)
    assert any(line.startswith(said) for line in sentences), sentences
