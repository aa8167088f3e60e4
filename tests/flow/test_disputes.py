"""Disputes recorded by hand: each stage moves what is due, once per request, as its clearing record would."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import orjson
import pytest

from processor.core.message import MessageKind
from processor.core.money import Money
from processor.core.outcome import Outcome
from processor.flow.disputes import DisputeStage, RecordedDispute, record_dispute
from processor.flow.event_message import EventNotBookedError, EventRefusal, EventRefused
from processor.store.card_side import Key
from processor.store.directory import bucket_of
from tests.flow.audit import assert_books_agree, count, rows, totals
from tests.flow.clearing_records import clear, presentment
from tests.flow.conftest import BUCKETS, NOW, Pipeline, iso87


def paid(pipeline: Pipeline) -> tuple[Key, bytes]:
    """Clear a purchase of 100.00 EUR, which earns 75 miles; return its account and the presentment."""
    (verdict,) = clear(pipeline, presentment())
    _, account, _, decision = verdict.explanation.split("/")
    key = bucket_of(bytes.fromhex(account), BUCKETS), bytes.fromhex(account)
    return key, bytes.fromhex(decision.partition("-")[0])


def stage_of(message: bytes, kind: MessageKind, minor: int, number: int = 1) -> DisputeStage:
    """Return a stage under a request id of its own."""
    return DisputeStage(
        presentment=message,
        kind=kind,
        amount=Money(amount_minor=minor, currency="EUR"),
        reason="Case 4711",
        actor="maria",
        request_id=UUID(int=number),
    )


def record(pipeline: Pipeline, key: Key, stage: DisputeStage) -> RecordedDispute:
    """Record a stage that is taken."""
    done = record_dispute(pipeline.decider, key, stage)
    assert isinstance(done, RecordedDispute), done
    return done


def test_each_stage_moves_what_is_due(pipeline: Pipeline) -> None:
    """A chargeback takes the miles, a second presentment gives them back, an arbitration takes a part for good."""
    key, message = paid(pipeline)
    seen = [totals(pipeline.database)]
    for number, (kind, minor) in enumerate(
        (
            (MessageKind.CHARGEBACK, 100_00),
            (MessageKind.SECOND_PRESENTMENT, 100_00),
            (MessageKind.ARBITRATION_CHARGEBACK, 40_00),
        )
    ):
        record(pipeline, key, stage_of(message, kind, minor, number))
        seen.append(totals(pipeline.database))
    assert [(0, 75), (0, 0), (0, 75), (0, 45)] == seen
    assert_books_agree(pipeline)


def test_one_request_is_recorded_once(pipeline: Pipeline) -> None:
    """The same request on another day changes nothing and gets the stored decision; the audit says who and why."""
    key, message = paid(pipeline)
    stage = stage_of(message, MessageKind.CHARGEBACK, 100_00)
    first = record(pipeline, key, stage)
    pipeline.now = NOW + timedelta(days=3)
    again = record(pipeline, key, stage)
    assert (first.message_id, False, True) == (again.message_id, first.duplicate, again.duplicate)
    assert (Outcome.DUPLICATE, first.verdict.reason) == (again.verdict.outcome, again.verdict.reason)
    ((actor, reason, detail),) = rows(pipeline.database, "SELECT actor, reason, detail::text FROM audit")
    assert ("maria", "Case 4711", "CHARGEBACK") == (actor, reason, orjson.loads(detail)["stage"])
    assert 2 == count(pipeline.database, "message")


def test_another_stage_under_the_same_request_is_refused(pipeline: Pipeline) -> None:
    """A request id stands for one stage; with another amount it is an error and changes nothing."""
    key, message = paid(pipeline)
    record(pipeline, key, stage_of(message, MessageKind.CHARGEBACK, 100_00))
    done = record_dispute(pipeline.decider, key, stage_of(message, MessageKind.CHARGEBACK, 50_00))
    assert isinstance(done, EventRefused)
    assert EventRefusal.REQUEST_ID_REUSED == done.refusal
    assert (0, 0) == totals(pipeline.database)


def test_a_call_that_was_cut_off_is_repeated(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off behind the audit, the repeat books what was asked for first, also on a later day."""
    key, message = paid(pipeline)
    stage = stage_of(message, MessageKind.CHARGEBACK, 100_00)
    with monkeypatch.context() as patched:

        def cut_off(*_: object) -> None:
            raise EventNotBookedError

        patched.setattr("processor.flow.disputes.decide_event", cut_off)
        with pytest.raises(EventNotBookedError):
            record_dispute(pipeline.decider, key, stage)
    pipeline.now = NOW + timedelta(days=3)
    done = record(pipeline, key, stage)
    assert (False, (0, 0)) == (done.duplicate, totals(pipeline.database))
    assert 1 == count(pipeline.database, "audit")


def test_what_cannot_be_disputed_is_refused(pipeline: Pipeline) -> None:
    """Unknown accounts and messages, messages that present nothing, and amounts that do not fit are refused."""
    key, message = paid(pipeline)
    (answer,) = pipeline.send(iso87("0110", response_code="00"))
    authorization = bytes.fromhex(answer.explanation.rpartition("/")[2].partition("-")[0])
    fits = stage_of(message, MessageKind.CHARGEBACK, 100_00)
    table = [
        ((key[0], bytes(16)), fits, EventRefusal.ACCOUNT_NOT_FOUND),
        (key, replace(fits, presentment=message[:3] + bytes(13)), EventRefusal.MESSAGE_NOT_FOUND),
        (key, replace(fits, presentment=authorization), EventRefusal.NOT_PRESENTED),
        (key, replace(fits, amount=Money(amount_minor=100_01, currency="EUR")), EventRefusal.DISPUTE_AMOUNT_WRONG),
        (key, replace(fits, amount=Money(amount_minor=100_00, currency="USD")), EventRefusal.DISPUTE_AMOUNT_WRONG),
    ]
    for where, stage, refusal in table:
        done = record_dispute(pipeline.decider, where, stage)
        assert isinstance(done, EventRefused)
        assert refusal == done.refusal
    assert 0 == count(pipeline.database, "audit")
