"""Tallies on a real database: counters, the books, explanations and verification, in any order and at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from processor.core.outcome import Outcome, Reason
from processor.flow.submission import Answer
from tests.conftest import Database
from tests.flow.audit import assert_books_agree
from tests.flow.conftest import Pipeline, apply_skyways, iso87, make_pipeline
from tests.flow.test_explain import explain

MILESTONES: Final = Path(__file__).parents[2] / "examples" / "programmes" / "milestones"
DOCUMENT: Final = (MILESTONES / "programme.yaml").read_text(encoding="utf-8")
AWAITS: Final = "iso87-ascii, mode: copy, financial: awaits-clearing"
FINAL: Final = DOCUMENT.replace(AWAITS, AWAITS.replace("awaits-clearing", "final"))


@pytest.fixture
def milestones(database: Database) -> Pipeline:
    """Build a pipeline under the milestones' programme, in which an approved financial message is final."""
    assert FINAL != DOCUMENT
    apply_skyways(database, folder=MILESTONES, document=FINAL)
    return make_pipeline(database)


def paid(pipeline: Pipeline, number: int, amount: int, *, mti: str = "0210", **fields: str) -> Answer:
    """Send one final message of a purchase at the market."""
    values = {
        "response_code": "00",
        "trace_number": f"{number:06d}",
        "retrieval_reference": f"{number:012d}",
        "acquirer": "412345",
        "acceptor": "MARKET000000001",
        "amount": f"{amount:012d}",
        **fields,
    }
    (answer,) = pipeline.send(iso87(mti, bank="delta", **values))
    return answer


def original(number: int) -> str:
    """Return the original data (DE90) of a message."""
    return f"0200{number:06d}1120113000{'412345':0>11}{'0':0>11}"


def changes(answer: Answer) -> dict[str, int]:
    """Return what a message changed, by rule."""
    return {award.rule: award.pending_change + award.posted_change for award in answer.awards}


def test_a_step_is_reached_taken_back_and_explained(milestones: Pipeline) -> None:
    """180 and 150 EUR pass 300 together; the reversal of the first takes the step, and every decision is reproduced."""
    first, second = paid(milestones, 1, 180_00), paid(milestones, 2, 150_00)
    undone = paid(milestones, 3, 180_00, mti="0420", original_data=original(1))

    assert {"monthly": 18, "hundreds": 50, "first-purchase": 500} == changes(first)
    assert {"monthly": 15, "growing": 26, "big-basket": 82, "hundreds": 100} == changes(second)
    assert {"monthly": -18, "growing": -26, "big-basket": -82, "hundreds": -100} == changes(undone)
    assert (Reason.EARNED, Reason.TAKEN_BACK) == (second.reason, undone.reason)
    for answer in (first, second, undone):
        assert explain(milestones, answer).reproduced
    sentences = explain(milestones, second).sentences
    stood = "they stood at 180.00 EUR and stand at 330.00 EUR now, worth 82 HRV in all, of which this purchase earns 82"
    assert any(stood in sentence for sentence in sentences), sentences
    told = explain(milestones, second).for_member
    assert (
        "An offer counts what you buy in a month together: it comes to 330.00 Euro, which gives 82 x Harvest point."
        in told
    )
    assert_books_agree(milestones)


def test_a_repeat_counts_once(milestones: Pipeline) -> None:
    """The same message again changes no tally."""
    first, again = paid(milestones, 1, 180_00), paid(milestones, 1, 180_00)
    assert (Outcome.DUPLICATE, changes(first)) == (again.outcome, changes(again))
    assert {"monthly": 1} == changes(paid(milestones, 2, 10_00))
    assert_books_agree(milestones)


def test_a_cap_of_purchases(milestones: Pipeline) -> None:
    """The first two visits earn by the capped rule, the third names the cap; undone, the first makes room again."""
    cafe = {"acceptor": "CAFE00000000001"}
    answers = [paid(milestones, number, 4_00, **cafe) for number in (1, 2, 3)]
    assert [8, 8, 0] == [changes(answer).get("early-bird", 0) for answer in answers]
    found = explain(milestones, answers[2])
    assert found.reproduced
    assert any("Cap two-visits, 2 purchases a month, cut rule early-bird" in sentence for sentence in found.sentences)
    assert "The offer is for 2 purchases in a month, so that 8 x Harvest point less were given." in found.for_member
    paid(milestones, 4, 4_00, mti="0420", original_data=original(1), **cafe)
    assert 8 == changes(paid(milestones, 5, 4_00, **cafe))["early-bird"]
    assert_books_agree(milestones)


def test_many_workers_count_in_one_tally(milestones: Pipeline) -> None:
    """Forty purchases of 25 EUR of one account, from four workers at once, earn what 1,000 EUR are worth."""
    workers = [milestones, *(make_pipeline(milestones.database) for _ in range(3))]

    def run(worker: int) -> list[Answer]:
        return [paid(workers[worker], 100 * worker + number, 25_00) for number in range(1, 11)]

    with ThreadPoolExecutor(max_workers=4) as pool:
        answers = [answer for batch in pool.map(run, range(4)) for answer in batch]
    total: dict[str, int] = {}
    for answer in answers:
        for rule, change in changes(answer).items():
            total[rule] = total.get(rule, 0) + change
    assert {"monthly": 100, "growing": 260, "big-basket": 250, "hundreds": 500, "first-purchase": 500} == total
    assert_books_agree(milestones)


def test_a_reversal_takes_no_more_than_a_cap_let_another_purchase_have(database: Database) -> None:
    """The cap leaves 10 of the second 50 points; the first purchase's reversal takes these, and is reproduced."""
    cap = "  - {id: two-visits, rules: [early-bird], period: month, purchases: 2}\n"
    capped = FINAL.replace(cap, cap + "  - {id: few, rules: [hundreds], period: month, miles: 60}\n")
    assert capped != FINAL
    apply_skyways(database, folder=MILESTONES, document=capped)
    pipeline = make_pipeline(database)
    answers = [
        paid(pipeline, 1, 160_00),
        paid(pipeline, 2, 60_00),
        paid(pipeline, 3, 160_00, mti="0420", original_data=original(1)),
        paid(pipeline, 4, 60_00, mti="0420", original_data=original(2)),
    ]
    assert [50, 10, -60, 0] == [changes(answer).get("hundreds", 0) for answer in answers]
    assert all(explain(pipeline, answer).reproduced for answer in answers)
    assert_books_agree(pipeline)
