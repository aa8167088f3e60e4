"""The worker: frames become batches, every frame is answered once, and what one message does stops no other."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
import structlog

from processor.core.message import CardMessage
from processor.core.outcome import Outcome, Reason
from processor.flow import answer as answering
from processor.flow import intake
from processor.flow import worker as working
from processor.flow.batch import BatchDecider
from processor.flow.submission import Answer, IncomingMessage
from processor.flow.worker import DrainingError, QueueFullError
from processor.wire.card_message import to_card_message
from processor.wire.decode import Decoded, decode
from processor.wire.encode import encode_answer
from tests.flow.audit import assert_books_agree, count, said, totals
from tests.flow.conftest import DIALECTS, Pipeline, iso87

EARNED: Final = (Outcome.ACCEPTED, Reason.EARNED)
UNDECODABLE: Final = (Outcome.REJECTED, Reason.UNDECODABLE)
PATIENCE_S: Final = 30.0


@pytest.fixture(autouse=True)
def log() -> Iterator[list[Any]]:
    """Keep what is logged."""
    with structlog.testing.capture_logs() as entries:
        yield entries


@dataclass(slots=True, kw_only=True)
class Receiver:
    """Takes the answers of frames, and waits for them."""

    frames: list[list[Answer]] = field(default_factory=list)
    _arrived: threading.Condition = field(default_factory=threading.Condition)

    def __call__(self, answers: list[Answer]) -> None:
        """Take one frame's answers."""
        with self._arrived:
            self.frames.append(answers)
            self._arrived.notify_all()

    def wait(self, frames: int) -> list[list[Answer]]:
        """Return the frames once so many have arrived."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.frames) >= frames, PATIENCE_S)
            return self.frames


@pytest.fixture
def running(pipeline: Pipeline) -> Iterator[Pipeline]:
    """Give a test a pipeline whose worker runs."""
    pipeline.worker.start()
    yield pipeline
    pipeline.worker.stop()


def approved(number: int, **fields: str) -> IncomingMessage:
    """Build an approved authorization of 100.00 EUR, a purchase of its own."""
    values = {"trace_number": f"{number:06d}", "retrieval_reference": f"{number:012d}", **fields}
    return iso87("0110", caller_id=f"m{number}", response_code="00", **values)


def held(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> tuple[Callable[[], None], list[int]]:
    """Make every batch wait until it is let go, and note its size; return what lets go, and the sizes."""
    gate, sizes = threading.Event(), list[int]()
    decide = BatchDecider.decide

    def wait_and_decide(decider: BatchDecider, submissions: Any) -> Any:
        sizes.append(len(submissions))
        assert gate.wait(PATIENCE_S)
        return decide(decider, submissions)

    monkeypatch.setattr(BatchDecider, "decide", wait_and_decide)
    return gate.set, sizes


def _wait_until(met: Callable[[], bool]) -> None:
    waited = threading.Event()
    for _ in range(3000):
        if met():
            return
        waited.wait(0.01)
    raise AssertionError("it never came to that")


def test_frames_become_batches_and_are_answered_in_order(running: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """What arrives while a batch is decided becomes the next one, in whole frames up to the largest batch."""
    monkeypatch.setattr(working, "LARGEST_BATCH", 4)
    release, sizes = held(running, monkeypatch)
    receiver = Receiver()
    frames = [[1], [2, 3], [4, 5], [6], [7, 8, 9, 10, 11], [12]]
    running.worker.submit([approved(1)], receiver)
    _wait_until(lambda: sizes == [1])
    for frame in frames[1:]:
        running.worker.submit([approved(number) for number in frame], receiver)
    assert 11 == running.worker.queued
    release()

    answered = receiver.wait(len(frames))

    assert [[f"m{number}" for number in frame] for frame in frames] == [
        [answer.caller_id for answer in answers] for answers in answered
    ]
    assert [1, 4, 1, 5, 1] == sizes
    assert 0 == running.worker.queued
    assert (12 * 75, 0) == totals(running.database)
    assert_books_agree(running)


def test_a_full_queue_takes_nothing_more(running: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its bound the queue refuses a frame whole; an empty one takes a frame of any size."""
    monkeypatch.setattr(working, "LARGEST_QUEUE", 3)
    release, sizes = held(running, monkeypatch)
    receiver = Receiver()
    running.worker.submit([approved(1)], receiver)
    _wait_until(lambda: sizes == [1])
    running.worker.submit([approved(number) for number in range(2, 7)], receiver)

    with pytest.raises(QueueFullError):
        running.worker.submit([approved(7)], receiver)
    release()

    assert [1, 5] == [len(answers) for answers in receiver.wait(2)]
    running.worker.submit([approved(7)], receiver)
    receiver.wait(3)
    assert (7 * 75, 0) == totals(running.database)


def test_a_worker_that_stops_decides_what_is_queued(running: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that was taken goes unanswered, and nothing more is taken."""
    release, sizes = held(running, monkeypatch)
    receiver = Receiver()
    running.worker.submit([approved(1)], receiver)
    _wait_until(lambda: sizes == [1])
    running.worker.submit([approved(2)], receiver)
    stopping = threading.Thread(target=running.worker.stop)
    stopping.start()

    def refused() -> bool:
        try:
            running.worker.submit([], receiver)
        except DrainingError:
            return True
        return False

    _wait_until(refused)
    release()
    stopping.join(PATIENCE_S)

    assert [[EARNED], [EARNED]] == [said(answers) for answers in receiver.frames if answers]


def test_many_streams_are_all_answered(running: Pipeline) -> None:
    """Frames from many threads are each answered once, with their own messages."""
    receivers = [Receiver() for _ in range(5)]

    def send(stream: int) -> list[list[str]]:
        frames = [[stream * 100 + frame * 10 + number for number in range(1 + frame % 3)] for frame in range(1, 7)]
        for frame in frames:
            running.worker.submit([approved(number) for number in frame], receivers[stream])
        return [[f"m{number}" for number in frame] for frame in frames]

    with ThreadPoolExecutor(5) as threads:
        sent = list(threads.map(send, range(5)))

    for stream, receiver in enumerate(receivers):
        assert sent[stream] == [[answer.caller_id for answer in answers] for answers in receiver.wait(6)]
    assert (5 * 12 * 75, 0) == totals(running.database)


def test_a_stream_that_is_gone_takes_nobody_along(running: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the answers of one frame cannot be delivered, the frames beside it and after it are answered."""
    release, sizes = held(running, monkeypatch)
    receiver = Receiver()

    def gone(answers: list[Answer]) -> None:
        raise RuntimeError("Event loop is closed")

    running.worker.submit([approved(1)], receiver)
    _wait_until(lambda: sizes == [1])
    running.worker.submit([approved(2)], gone)
    running.worker.submit([approved(3)], receiver)
    release()
    receiver.wait(2)
    running.worker.submit([approved(4)], receiver)

    assert [[EARNED]] * 3 == [said(answers) for answers in receiver.wait(3)]
    assert (4 * 75, 0) == totals(running.database)


def test_bytes_that_the_processor_fails_on_take_nobody_along(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, log: list[Any]
) -> None:
    """A fault of ours in reading one message costs no other: it is kept as undecodable, and its neighbours are decided.

    The log says where, and nothing of what the message held.
    """

    def fail(decoded: Decoded, **arguments: Any) -> CardMessage:
        if decoded.fields["trace_number"] == "000002":
            raise ValueError(f"invalid literal for int(): {decoded.pan.clear() if decoded.pan else ''}")
        return to_card_message(decoded, **arguments)

    monkeypatch.setattr(intake, "to_card_message", fail)

    answers = pipeline.send(approved(1), approved(2), approved(3))

    assert [EARNED, UNDECODABLE, EARNED] == said(answers)
    assert 1 == count(pipeline.database, "undecodable")
    assert (2 * 75, 0) == totals(pipeline.database)
    assert "ValueError" in str(log)
    assert "4000000000000002" not in str(log)


def test_an_answer_that_cannot_be_written_leaves_the_decision(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, log: list[Any]
) -> None:
    """A fault of ours in writing one answer costs its bytes alone; the decision and its neighbours' answers stand."""

    def fail(dialect: Any, raw: bytes, **arguments: Any) -> bytes:
        if b"000072" in raw:
            raise KeyError(raw)
        return encode_answer(dialect, raw, **arguments)

    monkeypatch.setattr(answering, "encode_answer", fail)

    answers = pipeline.send(approved(71), approved(72), approved(73))

    assert [EARNED] * 3 == said(answers)
    assert [True, False, True] == [bool(answer.iso8583) for answer in answers]
    assert "the decision is durable" in answers[1].problem
    assert "4000000000000002" not in str(log) + answers[1].problem


def test_network_management_is_answered_and_books_nothing(pipeline: Pipeline) -> None:
    """A sign-on between two purchases is acknowledged by itself; only the purchases are kept."""
    absent = dict.fromkeys(("pan", "processing_code", "amount", "currency"), "")
    sign_on = iso87("0800", caller_id="m2", network_code="001", trace_number="000002", **absent)

    answers = pipeline.send(approved(1), sign_on, approved(3))

    assert [EARNED, (Outcome.ACCEPTED, Reason.NETWORK_MANAGEMENT), EARNED] == said(answers)
    acknowledged = decode(DIALECTS["iso87-ascii"], answers[1].iso8583)
    assert ("0810", "00", "001") == (
        acknowledged.mti,
        acknowledged.fields["response_code"],
        acknowledged.fields["network_code"],
    )
    assert "" == answers[1].explanation
    assert 2 == count(pipeline.database, "message")


def test_an_administrative_message_without_a_card_is_answered_and_books_nothing(pipeline: Pipeline) -> None:
    """A text of the network's is acknowledged as a sign-on is, not refused for the card that it cannot have."""
    absent = dict.fromkeys(("pan", "processing_code", "amount", "currency", "response_code"), "")
    text = iso87("0620", caller_id="m1", trace_number="000002", **absent)

    (answer,) = pipeline.send(text)

    assert (Outcome.ACCEPTED, "0630") == (answer.outcome, decode(DIALECTS["iso87-ascii"], answer.iso8583).mti)
    assert 0 == count(pipeline.database, "message")


def test_what_was_carried_is_counted(pipeline: Pipeline) -> None:
    """Each link counts its own; names that a peer invents grow no table."""
    broken = IncomingMessage(caller_id="b", bank="alpha", dialect="iso87-ascii", iso8583=b"0110")
    invented = [approved(10 + number, bank=f"bank-{number}") for number in range(3)]

    pipeline.send(approved(1), approved(1), broken, *invented)

    counts = pipeline.worker.counts
    assert (6, Counter(ACCEPTED=1, DUPLICATE=1, REJECTED=4)) == (counts.messages, counts.outcomes)
    assert [("alpha", "iso87-ascii")] == list(counts.links)
    link = counts.links["alpha", "iso87-ascii"]
    assert (3, 1, pipeline.now) == (link.messages, link.undecodable, link.last_at)
