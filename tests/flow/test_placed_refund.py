"""Refunds without a reference: they count against purchases at the brand, the newest first, whatever arrives when."""

from collections import Counter
from collections.abc import Sequence
from itertools import permutations
from typing import Any, Final

import pytest
from sqlalchemy import text

from examples.traffic.portfolio import card_number
from examples.traffic.skyways import product_of
from processor.core.outcome import Outcome, Reason
from processor.core.programme import Enrolment
from processor.flow.link_review import rule_on_link
from processor.flow.submission import Answer, IncomingMessage
from processor.store.purchases import LinkReviewRow
from tests.conftest import Database
from tests.flow.audit import assert_books_agree
from tests.flow.conftest import SKYWAYS, Pipeline, apply_skyways, iso87, make_pipeline
from tests.flow.test_link_review import BREAK, CONFIRM, messages_of, state_of

PAN: Final = "5413330000000019"


def harbor() -> dict[str, str]:
    """Return where a purchase at the hotel brand happens, from the example's merchant list."""
    lines = (SKYWAYS / "merchants.csv").read_text().splitlines()
    columns = lines[0].split(",")
    line = next(dict(zip(columns, row.split(","), strict=True)) for row in lines[1:] if row.endswith(",harbor-hotel"))
    return {"acquirer": line["acquirer_id"], "acceptor": line["card_acceptor_id"], "mcc": line["mcc"] or "7011"}


def message(
    number: int,
    day: str,
    minor: int,
    *,
    refund: bool = False,
    place: dict[str, str] | None = None,
    pan: str = PAN,
    code: str = "000000",
    **fields: str,
) -> IncomingMessage:
    """Return a final purchase or refund of one card; each names nothing but itself."""
    values: dict[str, Any] = {"currency": "840", **(place or harbor()), **fields}
    return iso87(
        "0220",
        bank="beta",
        dialect="iso87-bcd",
        pan=pan,
        processing_code="200000" if refund else code,
        amount=str(minor),
        trace_number=f"{number:06d}",
        retrieval_reference="",
        transmission_date_time=f"{day}12{number:02d}00",
        local_date=day,
        response_code="00",
        **values,
    )


@pytest.fixture
def placing(database: Database) -> Pipeline:
    """Build a pipeline whose programme lets refunds reach 30 days back, with caps that never bind."""
    document = (SKYWAYS / "programme.yaml").read_text()
    document = document.replace("excluded:\n", "purchases:\n  refund_days: 30\n\nexcluded:\n", 1)
    apply_skyways(database, document=document.replace("miles: 5000", "miles: 999999999"))
    return make_pipeline(database)


def balances(pipeline: Pipeline) -> tuple[int, int]:
    """Return the account's pending and available miles."""
    with pipeline.database.service.connect() as connection:
        pending, available = connection.execute(text("SELECT pending, available FROM account")).one()
    return pending, available


def told(pipeline: Pipeline, messages: Sequence[IncomingMessage]) -> list[Answer]:
    """Send messages one by one."""
    return [answer for sent in messages for answer in pipeline.send(sent)]


def test_a_refund_counts_against_the_newest_purchase_at_its_brand(placing: Pipeline) -> None:
    """It takes back what the newest purchase earned, to the mile, and what is over from the one before."""
    older, newer = message(1, "1101", 10_000), message(2, "1110", 7_000)
    told(placing, [older, newer])
    _, earned = balances(placing)
    (answer,) = placing.send(message(3, "1115", 9_000, refund=True))
    _, left = balances(placing)

    assert (Outcome.ACCEPTED, Reason.TAKEN_BACK) == (answer.outcome, answer.reason)
    assert left - earned == sum(line.posted_change + line.pending_change for line in answer.awards)
    fresh_state = states(placing)
    assert [(2_000, 7_000)] == [
        tuple(sorted(part[1][0] for part in state["placed"])) for state in fresh_state if "placed" in state
    ]
    assert [] == [state for state in fresh_state if "placed" in state and state.get("grants")]
    assert_books_agree(placing)


def states(pipeline: Pipeline) -> list[dict[str, Any]]:
    """Return every purchase's stored state."""
    with pipeline.database.service.connect() as connection:
        return list(connection.execute(text("SELECT state FROM purchase ORDER BY id")).scalars())


def test_what_purchases_do_not_cover_is_a_negative_award(placing: Pipeline) -> None:
    """A purchase of another brand, one after the refund and one too long before it are not touched."""
    elsewhere = {"acquirer": "599999", "acceptor": "ELSEWHERE", "mcc": "5999"}
    told(placing, [message(1, "1001", 5_000), message(2, "1110", 5_000, place=elsewhere), message(4, "1118", 5_000)])
    _, earned = balances(placing)
    placing.send(message(3, "1115", 4_000, refund=True))
    _, left = balances(placing)

    assert [] == [state for state in states(placing) if "placed" in state or "refunded" in state]
    assert left < earned
    assert_books_agree(placing)


def history(pan: str) -> list[IncomingMessage]:
    """Return purchases and refunds of one card whose refunds reach two purchases each."""
    return [
        message(1, "1101", 10_000, pan=pan),
        message(2, "1110", 7_000, pan=pan),
        message(3, "1115", 9_000, refund=True, pan=pan),
        message(4, "1116", 6_000, refund=True, pan=pan),
        message(5, "1117", 2_000, pan=pan),
    ]


def test_any_order_of_arrival_ends_alike(placing: Pipeline) -> None:
    """Refunds before their purchases, a purchase between them that comes last, everything twice: the same ledger."""
    orders = list(permutations(range(5)))[::4]
    for number, order in enumerate(orders):
        items = history(card_number(product_of("beta", Enrolment.AUTOMATIC), 900 + number).clear())
        told(placing, [items[place] for place in (*order, *reversed(order))])

    with placing.database.service.connect() as connection:
        held = connection.execute(text("SELECT pending, available FROM account")).all()
    parts = [
        tuple(sorted(part[1][0] for part in state["refunded"])) for state in states(placing) if "refunded" in state
    ]
    assert len(orders) == len(held)
    assert 1 == len(set(held))
    assert {(7_000,): len(orders), (2_000, 6_000): len(orders)} == Counter(parts)
    assert_books_agree(placing)


def test_a_refund_that_a_broken_link_frees_is_placed_again(placing: Pipeline) -> None:
    """Linked to a purchase elsewhere and parted from it, it counts against the purchase at its brand as before."""
    elsewhere = {"acquirer": "599999", "acceptor": "ELSEWHERE", "mcc": "5999"}
    bought, given = message(1, "1101", 5_000, place=elsewhere), message(3, "1115", 4_000, refund=True)
    told(placing, [bought, message(2, "1110", 7_000), given])
    before = state_of(placing)
    key, messages = messages_of(placing)
    pair = min(messages), max(messages)
    assert isinstance(rule_on_link(placing.decider, key, pair, CONFIRM), LinkReviewRow)
    assert before != state_of(placing)
    assert isinstance(rule_on_link(placing.decider, key, pair, BREAK), LinkReviewRow)
    assert before == state_of(placing)
    assert_books_agree(placing)


def test_a_refund_does_not_count_against_cash(placing: Pipeline) -> None:
    """Cash at the brand earned nothing, so the refund of the goods takes back what the goods earned before it."""
    told(placing, [message(1, "1101", 5_000), message(2, "1102", 5_000, code="010000")])
    assert balances(placing)[1] > 0
    told(placing, [message(3, "1103", 5_000, refund=True)])
    assert (0, 0) == balances(placing)
    assert_books_agree(placing)


def test_a_whole_refund_at_another_rate_undoes_exactly(placing: Pipeline) -> None:
    """The purchase gives up what it was billed, the refund what it was: neither leaves a mile behind."""
    bought: dict[str, Any] = {"currency": "978", "billing_amount": "11000", "billing_currency": "840"}
    given: dict[str, Any] = {"currency": "978", "billing_amount": "12345", "billing_currency": "840"}
    told(placing, [message(1, "1110", 9_900, **bought)])
    assert balances(placing)[1] > 0
    told(placing, [message(2, "1112", 9_900, refund=True, **given)])
    assert (0, 0) == balances(placing)
    assert_books_agree(placing)
