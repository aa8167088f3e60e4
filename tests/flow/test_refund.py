"""Refunds that overtake the clearing of their purchase."""

from sqlalchemy import text

from tests.flow.conftest import Pipeline, iso87

PURCHASE = {"trace_number": "000001", "retrieval_reference": "000000000001"}
ORIGINAL = "0100000001112011300000012345678" + "0" * 11


def test_a_refund_before_the_clearing_is_kept_with_its_purchase(pipeline: Pipeline) -> None:
    """A whole refund of what is still open leaves nothing in all; its pending and posted parts stay in the purchase."""
    pipeline.send(
        iso87("0110", bank="beta", dialect="iso87-bcd", pan="5413330000000019", response_code="00", **PURCHASE)
    )
    pipeline.send(
        iso87(
            "0220",
            bank="beta",
            dialect="iso87-bcd",
            pan="5413330000000019",
            processing_code="200000",
            trace_number="000002",
            retrieval_reference="000000000002",
            original_data=ORIGINAL,
            response_code="00",
        )
    )

    with pipeline.database.service.connect() as connection:
        state = connection.execute(text("SELECT state FROM purchase")).scalar_one()
        pending, available = connection.execute(text("SELECT pending, available FROM account")).one()
    assert pending > 0
    assert -pending == available
    assert pending == sum(granted - posted for _, _, _, granted, posted in state["grants"])
    assert available == sum(posted for _, _, _, _, posted in state["grants"])
