"""The day on which pending miles are expected: told of every award that clears by itself, and of none that is held."""

from processor.core.due import expected_in
from processor.store.purchase_state import decode_purchase
from tests.conftest import Database
from tests.flow.audit import rows
from tests.flow.conftest import SKYWAYS, Pipeline, apply_skyways, make_pipeline
from tests.flow.test_batch import approved
from tests.flow.test_explain import explain


def watched(database: Database, more: str) -> Pipeline:
    """Give a pipeline whose programme posts everything as soon as it clears, four days after the purchase."""
    text = (SKYWAYS / "programme.yaml").read_text() + f"\npurchases: {{clearing_days: 4}}\n{more}"
    apply_skyways(database, document=text)
    return make_pipeline(database)


def shown(pipeline: Pipeline) -> dict[str, str]:
    """Return the days that are told by `cobrand purchases show` of the purchase that was made last."""
    found = rows(pipeline.database, "SELECT id, state::text FROM purchase")
    purchases = [decode_purchase(bytes(id_), state) for id_, state in found]
    last = max(purchases, key=lambda purchase: purchase.events[0].order)
    terms = pipeline.snapshots.current.latest("skyways")
    return {rule: day.isoformat() for rule, day in expected_in(terms, last).items()}


def test_what_posts_as_soon_as_it_clears_is_expected_then(database: Database) -> None:
    """A programme that says nothing of posting tells the day in the answer, in the explanation and of the purchase."""
    pipeline = watched(database, "")

    (answer,) = pipeline.send(approved(1))

    assert [("base", "2026-11-24"), ("premium", "2026-11-24")] == [
        (line.rule, line.expected_date) for line in answer.awards
    ]
    assert {"base": "2026-11-24", "premium": "2026-11-24"} == shown(pipeline)
    found = explain(pipeline, answer)
    assert found.reproduced
    assert "What rule base has pending is expected to be posted on 2026-11-24." in found.sentences
    assert "75 x Skyways mile of it are still to come, expected on 24 November 2026." in found.for_member
