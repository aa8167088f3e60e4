"""The day on which pending miles are expected: told of every award that clears by itself, and of none that is held."""

from dataclasses import replace
from typing import Final

from processor.core.due import expected_in
from processor.flow.release_awards import Released
from processor.flow.submission import Answer
from processor.store.purchase_state import decode_purchase
from tests.conftest import Database
from tests.flow.audit import rows
from tests.flow.conftest import SKYWAYS, Pipeline, apply_skyways, make_pipeline
from tests.flow.test_batch import approved
from tests.flow.test_explain import explain
from tests.flow.test_velocity import held, tell

BURST: Final = "velocity:\n  - {id: burst, rules: [base], awards: 1, within: {hours: 24}}\n"
LOOKED_AT: Final = "You earned much in a short time, so that somebody looks at 50 x Skyways mile before they are yours."


def watched(database: Database, more: str) -> Pipeline:
    """Give a pipeline whose programme posts everything as soon as it clears, four days after the purchase."""
    text = (SKYWAYS / "programme.yaml").read_text() + f"\npurchases: {{clearing_days: 4}}\n{more}"
    apply_skyways(database, document=text)
    return make_pipeline(database)


def shown(pipeline: Pipeline, answer: Answer) -> dict[str, str]:
    """Return the days that are told by `cobrand purchases show` of the purchase of a message."""
    found = rows(pipeline.database, "SELECT id, state::text FROM purchase")
    purchases = [decode_purchase(bytes(id_), state) for id_, state in found]
    message = bytes.fromhex(answer.explanation.split("/")[3].split("-")[0])
    (of_message,) = [one for one in purchases if message in {event.message_id for event in one.events}]
    terms = pipeline.snapshots.current.latest("skyways")
    return {rule: day.isoformat() for rule, day in expected_in(terms, of_message).items()}


def test_what_posts_as_soon_as_it_clears_is_expected_then(database: Database) -> None:
    """A programme that says nothing of posting tells the day in the answer, in the explanation and of the purchase."""
    pipeline = watched(database, "")

    (answer,) = pipeline.send(approved(1))

    assert [("base", "2026-11-24"), ("premium", "2026-11-24")] == [
        (line.rule, line.expected_date) for line in answer.awards
    ]
    assert {"base": "2026-11-24", "premium": "2026-11-24"} == shown(pipeline, answer)
    found = explain(pipeline, answer)
    assert found.reproduced
    assert "What rule base has pending is expected to be posted on 2026-11-24." in found.sentences
    assert "75 x Skyways mile of it are still to come, expected on 24 November 2026." in found.for_member


def test_what_is_held_is_expected_on_no_day(database: Database) -> None:
    """An award beyond a velocity limit has no day until it is released, and a member is not promised it."""
    pipeline = watched(database, BURST)
    pipeline.send(approved(1))

    (answer,) = pipeline.send(approved(2))

    assert {"base": "", "premium": "2026-11-24"} == {line.rule: line.expected_date for line in answer.awards}
    assert {"premium": "2026-11-24"} == shown(pipeline, answer)
    found = explain(pipeline, answer)
    assert found.reproduced
    assert "25 x Skyways mile of it are still to come, expected on 24 November 2026." in found.for_member
    assert LOOKED_AT in found.for_member


def test_what_is_released_before_it_clears_is_expected(database: Database) -> None:
    """A release gives the award its day, and neither explanation says that it is held."""
    pipeline = watched(database, BURST)
    pipeline.send(approved(1))
    (answer,) = pipeline.send(approved(2))
    (second,) = held(pipeline.database)

    told = tell(pipeline, second, refuses=False)

    assert isinstance(told, Released)
    assert {"base": "2026-11-24", "premium": "2026-11-24"} == shown(pipeline, answer)
    found = explain(pipeline, replace(answer, explanation=told.verdict.explanation))
    assert found.reproduced
    assert [] == [sentence for sentence in found.sentences if " holds what " in sentence]
    assert "75 x Skyways mile of it are still to come, expected on 24 November 2026." in found.for_member
    assert LOOKED_AT not in found.for_member
