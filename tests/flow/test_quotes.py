"""Inline links: a request is answered with an estimate that books nothing and holds capped headroom for a while."""

from datetime import timedelta
from typing import Any, Final

import pytest

from processor.core.outcome import Outcome, Reason
from processor.flow.submission import Answer, IncomingMessage
from tests.conftest import Database
from tests.flow.audit import assert_books_agree, count, rows, said, totals
from tests.flow.conftest import SKYWAYS, Pipeline, apply_skyways, iso87, make_pipeline

QUOTED: Final = (Outcome.ACCEPTED, Reason.QUOTED)
EARNED: Final = (Outcome.ACCEPTED, Reason.EARNED)
CARDS: Final = ("5413330000000019", "5413330000000027", "5413330000000035", "5413330000000043", "5413330000000050")


def beta(mti: str, number: int, usd: int = 110, **fields: str) -> IncomingMessage:
    """Build a message of the bank that asks first; 110 dollars earn 50 miles and half as many again."""
    values = {
        "pan": CARDS[0],
        "amount": f"{usd * 100:012d}",
        "currency": "840",
        "trace_number": f"{number:06d}",
        "retrieval_reference": f"{number:012d}",
        **fields,
    }
    return iso87(mti, bank="beta", dialect="iso87-bcd", **values)


def capped(database: Database, miles: int) -> Pipeline:
    """Apply the example programme with another monthly cap on what the banks' miles grant."""
    document = (SKYWAYS / "programme.yaml").read_text()
    assert 1 == document.count("miles: 5000")
    apply_skyways(database, document=document.replace("miles: 5000", f"miles: {miles}"))
    return make_pipeline(database)


@pytest.fixture
def sixty(database: Database) -> Pipeline:
    """Give a test a pipeline whose cap leaves sixty miles a month."""
    return capped(database, 60)


def promised(answers: list[Answer]) -> list[int]:
    """Return how many miles each answer gives or promises."""
    return [sum(line.pending_change + line.posted_change for line in answer.awards) for answer in answers]


def reservations(database: Database) -> int:
    """Return how many miles quotes hold, expired ones included."""
    found = rows(database, "SELECT r ->> 3 FROM account, json_array_elements(reservations) r")
    return sum(int(units) for (units,) in found)


def test_a_request_is_quoted_and_books_nothing(pipeline: Pipeline) -> None:
    """The answer is an estimate of what approval would earn; only the message, its decision and its purchase stay."""
    answers = pipeline.send(beta("0100", 1))
    again = pipeline.send(beta("0100", 1), beta("0101", 1))

    assert [QUOTED] == said(answers)
    assert [(Outcome.DUPLICATE, Reason.QUOTED)] * 2 == said(again)
    assert [75, 75, 75] == promised(answers + again)
    assert all(answer.quote for answer in answers + again)
    assert (0, 0) == totals(pipeline.database)
    booked = {table: count(pipeline.database, table) for table in ("award", "posting", "limit_counter")}
    assert {"award": 0, "posting": 0, "limit_counter": 0} == booked
    assert (1, 1, 1) == tuple(count(pipeline.database, table) for table in ("message", "decision", "purchase"))
    assert_books_agree(pipeline)


def test_a_host_that_tells_afterwards_gets_no_quote(pipeline: Pipeline) -> None:
    """On a copy link a request is noted, and holds nothing."""
    (answer,) = pipeline.send(iso87("0100"))

    assert (Outcome.ACCEPTED, Reason.UNDECIDED) == (answer.outcome, answer.reason)
    assert (False, ()) == (answer.quote, answer.awards)
    assert 0 == reservations(pipeline.database)


def test_quotes_together_promise_no_more_than_a_cap(sixty: Pipeline) -> None:
    """In one batch and in several, what is quoted and not yet decided is left out of the next quote."""
    answers = sixty.send(beta("0100", 1, usd=66), beta("0100", 2)) + sixty.send(beta("0100", 3))

    assert [QUOTED] * 3 == said(answers)
    assert [45, 15, 0] == promised(answers)
    assert 60 == reservations(sixty.database)


def test_what_a_quote_holds_nobody_else_is_granted(sixty: Pipeline) -> None:
    """A purchase that was not quoted gets what is left; the quoted one gets what it was promised."""
    sixty.send(beta("0100", 1, usd=66))

    answers = sixty.send(beta("0110", 2, response_code="00"), beta("0110", 1, usd=66, response_code="00"))

    assert [15, 45] == promised(answers)
    assert (60, 0) == totals(sixty.database)
    assert_books_agree(sixty)


def test_a_reservation_expires(sixty: Pipeline) -> None:
    """After the link's ten minutes the headroom is free again, without anybody giving it back."""
    sixty.send(beta("0100", 1))
    sixty.now += timedelta(seconds=599)
    early = sixty.send(beta("0100", 2))
    sixty.now += timedelta(seconds=1)
    late = sixty.send(beta("0100", 3))

    assert [0, 60] == promised(early + late)
    assert 60 == reservations(sixty.database)


def test_an_outcome_after_the_reservation_expired_gets_what_is_left(sixty: Pipeline) -> None:
    """A promise that ran out is no longer kept: another purchase took the headroom meanwhile."""
    sixty.send(beta("0100", 1))
    sixty.now += timedelta(seconds=600)

    answers = sixty.send(
        beta("0110", 2, usd=66, response_code="00"),
        beta("0110", 1, response_code="00"),
    )

    assert [45, 15] == promised(answers)
    assert_books_agree(sixty)


def test_the_outcome_takes_the_place_of_the_reservation(sixty: Pipeline) -> None:
    """What was reserved becomes granted, and what the outcome does not need is free for the next quote."""
    sixty.send(beta("0100", 1))

    outcome = sixty.send(beta("0110", 1, usd=44, response_code="10"))
    following = sixty.send(beta("0100", 2))

    assert [EARNED, QUOTED] == said(outcome + following)
    assert [30, 30] == promised(outcome + following)
    assert 30 == reservations(sixty.database)
    assert (30, 0) == totals(sixty.database)
    assert_books_agree(sixty)


def test_a_decline_gives_the_headroom_back(sixty: Pipeline) -> None:
    """A declined request holds nothing any more, and earns nothing."""
    sixty.send(beta("0100", 1))

    declined = sixty.send(beta("0110", 1, response_code="51"))
    following = sixty.send(beta("0100", 2))

    assert [(Outcome.ACCEPTED, Reason.DECLINED), QUOTED] == said(declined + following)
    assert [0, 60] == promised(declined + following)
    assert (0, 0) == totals(sixty.database)


def test_a_reversal_without_an_outcome_gives_the_headroom_back(sixty: Pipeline) -> None:
    """A host that gave up reverses its request; nothing was booked, and the headroom is free."""
    sixty.send(beta("0100", 1))

    original = f"0100{1:06d}1120113000{'12345678':0>11}{'0':0>11}"
    reversed_ = sixty.send(beta("0420", 9, original_data=original))
    following = sixty.send(beta("0100", 2))

    assert [0, 60] == promised(reversed_ + following)


def test_a_quote_counts_what_is_reserved_once(sixty: Pipeline) -> None:
    """A second request for the same purchase replaces what the first one holds."""
    sixty.send(beta("0100", 1, usd=66, lifecycle_id="LIFE000000000001"))

    again = sixty.send(beta("0100", 2, usd=66, lifecycle_id="LIFE000000000001"))
    following = sixty.send(beta("0100", 3))

    assert 60 == reservations(sixty.database)
    assert [60, 0] == promised(again + following)


def test_an_outcome_that_joins_purchases_gets_what_its_quote_held(database: Database) -> None:
    """The reservation was made for one of the purchases that become one; it must not stand in the way of the whole.

    Whichever of the two survives, which their ids decide, the purchase is granted up to the cap.
    """
    pipeline = capped(database, 90)
    for number, card in enumerate(CARDS, start=1):
        life = f"LIFE{number:012d}"
        pipeline.send(beta("0120", 100 + number, usd=44, pan=card, lifecycle_id=life, response_code="00"))
        quote = pipeline.send(beta("0100", number, pan=card))
        outcome = pipeline.send(beta("0110", number, pan=card, lifecycle_id=life, response_code="00"))

        assert [60] == promised(quote)
        assert [EARNED] == said(outcome)
        whole, part = rows(
            database,
            "SELECT json_array_length(state -> 'events'), id = (SELECT min(id) FROM purchase p"
            " WHERE p.account = purchase.account) FROM purchase WHERE account = (SELECT id FROM account"
            " ORDER BY updated_at DESC LIMIT 1) ORDER BY 1 DESC",
        )
        assert (3, True) == whole
        assert (0, False) == part
        assert [(90,)] == rows(database, "SELECT pending FROM account ORDER BY updated_at DESC LIMIT 1")
        pipeline.now += timedelta(seconds=1)
    assert 0 == reservations(database)
    assert_books_agree(pipeline)


def test_a_late_request_that_joins_purchases_takes_nothing_away(database: Database) -> None:
    """A request that arrives after what it began, and shows that two purchases are one, leaves them what is due."""
    pipeline = capped(database, 5000)
    for number, card in enumerate(CARDS, start=1):
        life = f"LIFE{number:012d}"
        original = f"0100{number:06d}1120113000{'12345678':0>11}{'0':0>11}"
        pipeline.send(beta("0120", 100 + number, usd=44, pan=card, lifecycle_id=life, response_code="00"))
        pipeline.send(beta("0420", 200 + number, pan=card, original_data=original))
        pipeline.send(beta("0100", number, pan=card, lifecycle_id=life))

    found = rows(database, "SELECT pending FROM account")
    assert [(30,)] * len(CARDS) == found
    assert_books_agree(pipeline)


def test_a_late_request_that_says_where_a_purchase_happened_is_booked(pipeline: Pipeline) -> None:
    """A refund came before the request that it belongs to: it is of the request's brand, whichever arrives first."""
    life: dict[str, Any] = {"lifecycle_id": "LIFE000000000001"}
    grocer: dict[str, Any] = {"acquirer": "412345", "acceptor": "FRESHMART000101"}
    for card, reverse in ((CARDS[0], False), (CARDS[1], True)):
        request = beta("0100", 1, pan=card, **life)
        refund = beta("0220", 2, pan=card, processing_code="200000", response_code="00", **life, **grocer)
        for sent in (refund, request) if reverse else (request, refund):
            pipeline.send(sent)

    assert [(0, -75), (0, -75)] == rows(pipeline.database, "SELECT pending, available FROM account")
    assert_books_agree(pipeline)
