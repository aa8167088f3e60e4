"""Pulling the plug on a server under every feature, under a velocity limit, and while miles leave for their owner."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import grpc

from processor.flow.submission import IncomingMessage
from processor.v1 import accrual_pb2 as accrual_pb
from processor.v1 import card_network_pb2 as pb
from processor.v1.accrual_pb2_grpc import AccrualServiceStub
from processor.v1.card_network_pb2_grpc import CardNetworkServiceStub
from tests.conftest import TODAY, Database
from tests.flow.audit import assert_books_agree, count
from tests.flow.conftest import iso87
from tests.flow.everything_ground import assert_everything_holds, later_named, name_cards, open_ground, tell_all
from tests.flow.test_budgets import bought
from tests.flow.test_velocity import held, watched
from tests.flow.test_velocity_streams import counted
from tests.rpc.live import Server, start_server, to_proto
from tests.rpc.test_kill import on_streams
from tests.settlement.owner_ledger import (
    BANK,
    CARD,
    OTHER_CARD,
    OwnerDesk,
    all_accepted,
    name_of,
    open_desk,
    response_file,
)

CLOCK: Final = f"{TODAY}T12:00:00+0000"
STREAMS: Final = 4
MOST: Final = 7
"""How many awards of a day are not held."""
PARENT: Final = f"programmes/skyways/banks/{BANK}"


def frames_of(part: Sequence[pb.CardMessage], window: threading.Semaphore) -> Iterator[pb.ExchangeRequest]:
    """Yield frames of two messages, each as soon as the window lets it out."""
    for start in range(0, len(part), 2):
        window.acquire()
        yield pb.ExchangeRequest(messages=part[start : start + 2])


@contextmanager
def until_it_dies(address: str, *, ends: bool = False) -> Iterator[grpc.Channel]:
    """Give a channel for calls that go on until the server is no more, and assert that this is how they end.

    ``ends`` says that they may also come to their end before it dies.
    """
    with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            yield channel
        except grpc.RpcError as error:
            ended = code_of(error)
        else:
            ended = grpc.StatusCode.OK
    assert ended is grpc.StatusCode.UNAVAILABLE or (ends and ended is grpc.StatusCode.OK)


def send(address: str, part: Sequence[pb.CardMessage], answers: threading.Semaphore, enough: threading.Event) -> None:
    """Send a stream, two frames ahead of its answers and no further once it is enough, until the server dies."""
    window = threading.Semaphore(2)
    with until_it_dies(address, ends=True) as channel:
        for _ in CardNetworkServiceStub(channel).Exchange(frames_of(part, window)):
            answers.release()
            if not enough.is_set():
                window.release()
    window.release(len(part))


def code_of(error: Any) -> grpc.StatusCode:
    """Return how a call failed."""
    code = error.code()
    assert isinstance(code, grpc.StatusCode)
    return code


def kill_within(
    server: Server,
    streams: Sequence[Sequence[pb.CardMessage]],
    *,
    frames: int,
    reached: Callable[[], bool] = lambda: True,
) -> None:
    """Send streams at once, and end every process of the server once so many frames are answered and it is so."""
    answers, enough = threading.Semaphore(0), threading.Event()
    with ThreadPoolExecutor(len(streams)) as pool:
        sending = [pool.submit(send, server.address, part, answers, enough) for part in streams]
        for _ in range(frames):
            assert answers.acquire(timeout=60)
        enough.set()
        deadline = time.monotonic() + 60
        while not reached() and time.monotonic() < deadline:
            time.sleep(0.01)
        server.kill()
        for stream in sending:
            stream.result()


def carried(message: IncomingMessage) -> pb.CardMessage:
    """Return a message as the contract carries it."""
    return pb.CardMessage(
        caller_id=message.caller_id,
        bank=message.bank,
        dialect=message.dialect,
        iso8583=message.iso8583,
        iso8583_response=message.iso8583_response,
    )


def test_everything_holds_after_a_kill(database: Database, tmp_path: Path) -> None:
    """Under every feature, a kill -9 in the middle of four streams leaves nothing out and nothing twice."""
    ground = open_ground(database, ledger="here", messages=150, seed=11)
    streams = [[to_proto(message) for message in part] for part in on_streams(list(ground.traffic.messages))]

    kill_within(start_server(database.urls.service_url, tmp_path, workers=2, clock=CLOCK), streams, frames=24)
    interrupted = count(database, "message")
    assert_books_agree(ground.pipeline)
    tell_all(ground.pipeline, ground.said())
    name_cards(ground.pipeline, later_named(ground))

    assert 0 < interrupted < len(ground.traffic.messages) * 2 // 3
    assert_everything_holds(ground)


def test_velocity_holds_exactly_after_a_kill(database: Database, tmp_path: Path) -> None:
    """All but the first seven awards of an account are held, though the server dies between them and all come again."""
    pipeline = watched(database, f"{{id: burst, rules: [base], awards: {MOST}, within: {{hours: 24}}}}")
    purchases = [[bought(100 * stream + number, 1) for number in range(12)] for stream in range(1, STREAMS + 1)]
    streams = [[carried(message) for message in part] for part in purchases]

    kill_within(start_server(database.urls.service_url, tmp_path, workers=2, clock=CLOCK), streams, frames=8)
    interrupted = count(database, "message")
    assert MOST < interrupted < 12 * STREAMS
    assert (interrupted - MOST, interrupted) == (len(held(database)), counted(database))
    pipeline.send(*(message for part in purchases for message in part))

    assert (12 * STREAMS - MOST, 12 * STREAMS) == (len(held(database)), counted(database))
    assert_books_agree(pipeline)


def paid(number: int) -> IncomingMessage:
    """Build a purchase that earns at once, of one of two members."""
    return iso87(
        "0220",
        caller_id=str(number),
        bank=BANK,
        dialect="iso87-bcd",
        pan=(CARD, OTHER_CARD)[number % 2],
        amount=f"{10_00 + number:012d}",
        trace_number=f"{number:06d}",
        retrieval_reference=f"{number:012d}",
        response_code="00",
    )


def send_accruals(address: str, desk: OwnerDesk) -> None:
    """Make files and answer them, again and again, until the server dies."""
    with until_it_dies(address) as channel:
        stub = AccrualServiceStub(channel)
        for _ in range(10_000):
            stub.MakeAccrualFiles(accrual_pb.MakeAccrualFilesRequest(parent=PARENT), timeout=60)
            for sequence in published(desk):
                content = response_file(all_accepted(desk.details(sequence)), reference=f"R-{sequence}")
                request = accrual_pb.SubmitAccrualResponseRequest(parent=PARENT, content=content, actor="owner")
                stub.SubmitAccrualResponse(request, timeout=60)


def published(desk: OwnerDesk) -> list[int]:
    """Return the numbers of the accrual files that are there."""
    return sorted(int(path.stem[-6:]) for path in desk.root.glob("**/accruals-*.csv") if ".making" not in str(path))


def test_no_mile_is_lost_to_its_owner_or_sent_twice_after_kills(database: Database, tmp_path: Path) -> None:
    """Servers die while files are made and answered: each accrual is in one file, and all are accepted in the end."""
    desk = open_desk(database, tmp_path / "settlement")
    desk.name_members(CARD, OTHER_CARD)
    purchases = [[paid(100 * stream + number) for number in range(20)] for stream in (1, 2)]
    streams = [[carried(message) for message in part] for part in purchases]

    for files, frames in ((1, 4), (2, 14)):
        server = start_server(database.urls.service_url, tmp_path, workers=2, clock=CLOCK)
        with ThreadPoolExecutor(1) as pool:
            leaving = pool.submit(send_accruals, server.address, desk)
            kill_within(server, streams, frames=frames, reached=lambda: len(published(desk)) >= files)  # noqa: B023
            leaving.result()
        assert files <= len(published(desk))
        assert [] == desk.differences()
    assert 0 < len(desk.accruals()) < 40
    desk.pipeline.send(*(message for part in purchases for message in part))
    desk.make()
    for sequence in published(desk):
        desk.answer(all_accepted(desk.details(sequence)), reference=f"R-{sequence}")

    sequences = published(desk)
    left = [detail["accrual"] for sequence in sequences for detail in desk.details(sequence)]
    assert list(range(1, len(sequences) + 1)) == sequences
    assert sorted(name_of(row) for row in desk.accruals()) == sorted(left)
    assert (40, {"member/available": desk.states()["accepted"]}) == (len(left), desk.places())
    assert {"accepted"} == set(desk.states())
    assert [] == desk.differences()
