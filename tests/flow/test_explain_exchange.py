"""Explaining conversions: the rate, its day and its source are named, and what was stored gives the same again."""

from pathlib import Path
from typing import Final

import pytest

from processor.core.outcome import Reason
from tests.conftest import Database
from tests.flow.audit import assert_books_agree
from tests.flow.conftest import apply_skyways, iso87, make_pipeline
from tests.flow.test_explain import explain

FOREIGN: Final = Path(__file__).parents[2] / "examples" / "programmes" / "foreign-currencies"
PUBLISHED: Final = "1 EUR = 1.0835 USD of 2026-11-10 by euro reference rates (ecb)."

NONE: Final = "euro reference rates (ecb) has none of 2026-11-10 or 3 days before."


@pytest.mark.parametrize(
    ("fields", "reason", "said"),
    [
        (
            {"amount": "000000012000"},
            Reason.EARNED,
            f"Rule base converts 120.00 USD to 110.75 EUR, which the rule counts unrounded, at {PUBLISHED}",
        ),
        ({"amount": "000000010835"}, Reason.EARNED, f"Rule large converts 108.35 USD to 100.00 EUR at {PUBLISHED}"),
        (
            {"amount": "000000012000"},
            Reason.EARNED,
            "Rule base gives 1 FXM for each 2.00 EUR paid, rounded down: 120.00 USD entitle to 55 FXM",
        ),
        (
            {"amount": "000000010834"},
            Reason.EARNED,
            f"Rule large converts 108.34 USD to 99.99 EUR, which the rule counts unrounded, at {PUBLISHED}",
        ),
        (
            {"currency": "826"},
            Reason.CURRENCY_NOT_RATED,
            f"Rule base applies but gives nothing: it has no rate for GBP, and {NONE}",
        ),
    ],
)
def test_a_conversion_is_explained(database: Database, fields: dict[str, str], reason: Reason, said: str) -> None:
    """A conversion is computed again from the amount, the day and the revision's own rates."""
    apply_skyways(database, folder=FOREIGN)
    pipeline = make_pipeline(database)
    values = {"currency": "840", "local_date": "1110", "transmission_date_time": "1110170000", "mcc": "5661"}
    message = iso87("0110", bank="delta", **{"response_code": "00", "retrieval_reference": "", **values, **fields})
    (answer,) = pipeline.send(message)
    explanation = explain(pipeline, answer)
    assert (reason, True) == (explanation.reason, explanation.reproduced)
    assert [] == [text for text in [said] if not any(text in sentence for sentence in explanation.sentences)]
    assert_books_agree(pipeline)
