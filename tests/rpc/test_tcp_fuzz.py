"""Bad input on raw TCP links: a hundred thousand mutated messages and pieces, and valid neighbours among them.

The mutations are seeded, so that a failure can be had again.
"""

import random
import resource
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import text

from examples.traffic import history
from processor.core.message import MessageKind
from processor.core.outcome import Reason
from processor.flow.submission import IncomingMessage, Refusal, Submission
from processor.wire.decode import DecodeFailure, decode
from processor.wire.encode import EncodeFailure, encode_answer
from processor.wire.framing import FrameReader, Framing, LengthEncoding, write_frame
from processor.wire.network_management import is_network_management, is_response
from tests.conftest import TODAY
from tests.flow.conftest import DIALECTS, Pipeline
from tests.rpc.tcp_host import LINK, Host, counts, fields_of, listening, network, purchase, until

pytestmark = [pytest.mark.xdist_group("tcp"), pytest.mark.timeout(180)]

MESSAGES = 80_000
PIECES = 40_000
OVER_SOCKETS = 3_000
LARGEST_GROWTH_KIB = 128 * 1024
FRAMINGS = [
    Framing(length=LengthEncoding.BINARY_2, largest_message_bytes=4096),
    Framing(length=LengthEncoding.BINARY_4, counts_itself=True, largest_message_bytes=4096),
    Framing(length=LengthEncoding.ASCII_4, keep_alive=True, largest_message_bytes=4096),
    Framing(length=LengthEncoding.BCD_2, header_bytes=5, largest_message_bytes=4096),
]
SPECIAL = (b"\x00", b"\xff", b"\x1c", b"F", b"9999", b"\x00\x00\x00\x00", b"=", b"D", b"-1", b"+5", b"1_0", b" ")


def seeds() -> list[tuple[str, str, bytes]]:
    """Return (bank, dialect, message) of sound messages of every kind."""
    traffic = [
        (one.bank, one.dialect, one.message)
        for one in history(5, 20, 400, TODAY)
        if _decodes(one.dialect, one.message)  # A history holds a few broken ones of its own.
    ]
    return [*traffic, *[("alpha", "iso87-ascii", network(code)) for code in ("001", "002", "301")]]


def _decodes(dialect: str, raw: bytes) -> bool:
    try:
        decode(DIALECTS[dialect], raw)
    except DecodeFailure:
        return False
    return True


def mutated(raw: bytes, chance: random.Random) -> bytes:
    """Return a message with one to four things wrong."""
    data = bytearray(raw)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        kind = chance.randrange(7)
        if kind == 0 and data:
            data[min(at, len(data) - 1)] = chance.randrange(256)
        elif kind == 1 and data:
            data[min(at, len(data) - 1)] ^= 1 << chance.randrange(8)
        elif kind == 2:
            data[at:at] = chance.choice(SPECIAL)
        elif kind == 3:
            del data[at : at + chance.randint(1, 8)]
        elif kind == 4:
            del data[at:]
        elif kind == 5:
            data[at:at] = data[: chance.randint(1, 40)]
        else:
            data[:20] = chance.randbytes(20)
    return bytes(data) or b"\x00"


def test_mutated_messages_are_answered_or_kept(held: Pipeline) -> None:
    """Each reads as a message that has its answer, or as bytes that are kept; valid ones among them are read."""
    chance = random.Random(1987)
    snapshot = held.snapshots.current
    sound = seeds()
    found = Counter[str]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(MESSAGES):
        bank, dialect, raw = sound[number % len(sound)]
        valid = number % 10 == 0
        message = raw if valid else mutated(raw, chance)
        incoming = IncomingMessage(caller_id="", bank=bank, dialect=dialect, iso8583=message)
        read = held.intake.read(incoming, snapshot, held.now)
        if isinstance(read, Refusal):
            assert not valid, read.problem
            assert read.undecodable is not None or read.reason is Reason.TOO_LARGE
            found["kept"] += 1
        else:
            assert _has_answer(read, message)
            found["answered"] += 1
    assert MESSAGES == found.total()
    assert found["kept"] > MESSAGES // 3
    assert found["answered"] > MESSAGES // 8
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < LARGEST_GROWTH_KIB


def _has_answer(read: Submission, message: bytes) -> bool:
    dialect = DIALECTS[read.message.dialect]
    try:
        answer = encode_answer(dialect, message, award="OC008ACCEPTED", decoded=read.decoded)
    except EncodeFailure as failure:
        return failure.problem.endswith("has no answer")
    if read.message.kind is MessageKind.NETWORK_MANAGEMENT:
        assert is_network_management(dialect, message)
    return decode(dialect, answer).fields.get("trace_number", "") == read.message.trace_number


@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda framing: framing.length)
def test_mutated_pieces_give_messages_or_an_end(framing: Framing) -> None:
    """However a stream is cut and damaged, it gives messages of allowed size or fails, and holds no more than one."""
    chance = random.Random(1993)
    sound = [raw for _, _, raw in seeds()]
    reader = FrameReader(framing)
    found = Counter[str]()
    for number in range(PIECES // len(FRAMINGS)):
        header = chance.randbytes(framing.header_bytes)
        stream = b"".join(write_frame(framing, header, chance.choice(sound)) for _ in range(chance.randint(1, 4)))
        reader.feed(mutated(stream, chance) if number % 3 else stream[: chance.randint(1, len(stream))])
        for frame in reader.take(1_000):
            assert 1 <= len(frame.message) <= framing.largest_message_bytes
            found["messages"] += 1
        assert reader.unread_bytes <= framing.largest_message_bytes + framing.header_bytes + framing.length_bytes
        if reader.failure is not None or chance.random() < 0.05:
            found["ends"] += 1
            reader = FrameReader(framing)
            reader.feed(write_frame(framing, header, b"0800"))
            assert [b"0800"] == [frame.message for frame in reader.take(2)]
    assert found["messages"] > 1_000
    assert found["ends"] > 100


def test_mutated_messages_over_sockets_leave_their_neighbours_alone(held: Pipeline) -> None:
    """On one link with valid messages between: those are booked, all others are answered or kept, none is lost."""
    chance = random.Random(8583)
    held.worker.start()
    sound = [raw for bank, _, raw in seeds() if bank == "alpha"]
    silent = answered = 0
    with listening(held.worker, LINK, clock=held.clock) as found:
        for group in _groups(chance, sound):
            with Host(found.ports[0]) as host:
                host.send(*group)
                host.socket.shutdown(1)
                answered += len(host.rest())
            silent += sum(map(_gets_no_answer, group))
        until(lambda: counts(found, "connections") == [0])
        status = found.status()
        assert OVER_SOCKETS == status["messages"] == answered + status["undecodable"] + silent
        assert (0, 0, answered) == (status["unanswered"], status["closed"], status["answered"])
    with held.database.service.connect() as connection:
        statement = text("SELECT count(*) FROM message WHERE fields->>'trace_number' BETWEEN '700000' AND '799999'")
        assert OVER_SOCKETS // 10 == connection.execute(statement).scalar_one()
        assert connection.execute(text("SELECT count(*) FROM undecodable")).scalar_one() > OVER_SOCKETS // 4


def _groups(chance: random.Random, sound: list[bytes]) -> Iterator[list[bytes]]:
    """Give messages in groups, each for a connection, every tenth of them valid and of its own."""
    for start in range(0, OVER_SOCKETS, 50):
        yield [
            purchase(700_000 + number) if number % 10 == 0 else mutated(chance.choice(sound), chance)
            for number in range(start, start + 50)
        ]


def _gets_no_answer(raw: bytes) -> bool:
    """Return whether a message is a response of network management, which ends an exchange."""
    dialect = DIALECTS["iso87-ascii"]
    if not is_network_management(dialect, raw):
        return False
    try:
        return is_response(decode(dialect, raw))
    except DecodeFailure:
        return False


def test_garbage_on_sockets_ends_their_connections_alone(held: Pipeline) -> None:
    """Damaged streams of one hundred hosts cost them their own connections; a host beside them is served throughout."""
    chance = random.Random(4)
    held.worker.start()
    link = replace(LINK, limits=replace(LINK.limits, half_message_s=1))
    with listening(held.worker, link, clock=held.clock) as found, Host(found.ports[0]) as neighbour:
        for number in range(100):
            with Host(found.ports[0]) as host:
                host.socket.sendall(chance.randbytes(chance.randint(1, 2_000)))
                assert [f"{number:06d}"] == [fields_of(one)["11"] for one in neighbour.ask(network("301", number))]
        until(lambda: counts(found, "connections") == [1])
        assert ["000200"] == [fields_of(one)["11"] for one in neighbour.ask(network("301", 200))]
