"""Explaining offers: what lost and to what, why a rule does not apply, and every figure computed again."""

from pathlib import Path
from typing import Final

import pytest

from processor.flow.submission import Answer
from tests.conftest import Database
from tests.flow.audit import assert_books_agree
from tests.flow.conftest import Pipeline, apply_skyways, iso87, make_pipeline
from tests.flow.test_explain import explain

CAMPAIGNS: Final = Path(__file__).parents[2] / "examples" / "programmes" / "campaigns"
BLACK: Final = "4000010000000001"


@pytest.fixture
def campaigns(database: Database) -> Pipeline:
    """Build a pipeline under the campaigns' programme."""
    apply_skyways(database, folder=CAMPAIGNS)
    return make_pipeline(database)


def bought(pipeline: Pipeline, **fields: str) -> Answer:
    """Send one approved authorization of an evening purchase for 100.00 EUR."""
    values = {
        "response_code": "00",
        "retrieval_reference": "",
        "transmission_date_time": "1119203000",
        "local_time": "203000",
        "local_date": "1119",
        **fields,
    }
    (answer,) = pipeline.send(iso87("0110", bank="gamma", **values))
    return answer


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"acquirer": "523456", "acceptor": "UNIFUEL1", "mcc": "5541"},
            (
                "Rule fuel-rate gives 3 NWC for each 1.00 EUR paid, rounded down: 100.00 EUR entitle to 300 NWC",
                "Rule gift would have given 100 NWC and lost to rule fuel-rate: ",
                "one rule of group welcome counts, that which gives most.",
                "Rule dining does not apply: it is for merchant category codes 5811, 5812, 5813, 5814.",
                "Rule triple-evening does not apply: it is for card products black.",
                "Rule double-weekend does not apply: it is for saturday, sunday.",
            ),
        ),
        (
            {"pan": BLACK, "local_date": "1121", "transmission_date_time": "1121203000"},
            (
                "Rule triple-evening multiplies base by 3, which adds 100 NWC",
                "Rule double-weekend would have given 50 NWC and lost to rule triple-evening: the highest multiplier",
            ),
        ),
        (
            {"acquirer": "412345", "acceptor": "CORNER000000001", "amount": "000000009999"},
            (
                "Rule newspaper-coupon gives 20 NWC whatever the amount",
                "Rule big-basket does not apply: it is for other amounts than this purchase's: from 100.00 EUR.",
                "Rule shop-coupon would have given 30 NWC and lost to rule newspaper-coupon: ",
                "one rule of group campaign counts, the first by priority.",
            ),
        ),
        (
            {"pan": BLACK, "local_time": "120000"},
            ("Rule triple-evening does not apply: it is for purchases from 20:00 to 02:00.",),
        ),
        (
            {"acquirer": "412345", "acceptor": "CORNER000000002"},
            ("Rule newspaper-coupon does not apply: it is for certain card acceptors.",),
        ),
        (
            {"acquirer": "412345", "acceptor": "CORNER000000002", "local_date": "1031"},
            ("Rule big-basket does not apply: it is for purchases from 2026-11-01 until 2026-11-30.",),
        ),
        (
            {"acquirer": "412345", "acceptor": "CORNERWEB"},
            ("Rule grocery-online does not apply: it is for channels e-commerce.",),
        ),
    ],
)
def test_an_explanation_names_what_lost(campaigns: Pipeline, fields: dict[str, str], said: tuple[str, ...]) -> None:
    """What an offer gave or would have given, and which condition was not met, is said and reproduced."""
    found = explain(campaigns, bought(campaigns, **fields))

    assert found.reproduced
    assert [] == [text for text in said if not any(text in sentence for sentence in found.sentences)], found.sentences
    assert_books_agree(campaigns)
