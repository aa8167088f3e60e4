"""cobrand submit against servers that fail: refusals, pauses, broken connections; nothing is lost and nothing leaks.

The servers here stand for failures alone; ``test_live.py`` submits to the real one.
"""

import io
import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest

from processor.cli.message_file import MessageLine, read_json_lines
from processor.cli.message_stream import Connection, StreamTerms
from processor.v1.card_network_pb2 import (
    OUTCOME_ACCEPTED,
    OUTCOME_REJECTED,
    OUTCOME_UNAVAILABLE,
    Award,
    Decision,
    ExchangeRequest,
    ExchangeResponse,
    MessageAnswer,
)
from processor.v1.card_network_pb2_grpc import CardNetworkServiceServicer, add_CardNetworkServiceServicer_to_server
from tests.cli.conftest import Run

ECHOED = b"a card number"


class Server(CardNetworkServiceServicer):
    """Accepts messages, after each was unavailable ``unavailable`` times; breaks the stream at chosen frames."""

    def __init__(self, *, unavailable: int = 0, breaks: tuple[int, ...] = (), rejected: tuple[str, ...] = ()) -> None:
        self.unavailable = unavailable
        self.breaks = set(breaks)
        self.rejected = rejected
        self.seen: Counter[str] = Counter()
        self.taken: list[tuple[str, str]] = []
        self.frames: list[int] = []
        self.lock = threading.Lock()

    def Exchange(  # noqa: N802 - gRPC's name.
        self, request_iterator: Iterator[ExchangeRequest], context: Any
    ) -> Iterator[ExchangeResponse]:
        """Answer frames as they come, or fail."""
        for frame in request_iterator:
            with self.lock:
                self.frames.append(len(frame.messages))
                if len(self.frames) in self.breaks:
                    context.abort(grpc.StatusCode.UNAVAILABLE, "the worker stops")
                answers = [self._answer(message.caller_id, context.peer()) for message in frame.messages]
            yield ExchangeResponse(answers=answers)

    def _answer(self, caller_id: str, peer: str) -> MessageAnswer:
        self.seen[caller_id] += 1
        if caller_id in self.rejected:
            return MessageAnswer(
                caller_id=caller_id, outcome=OUTCOME_REJECTED, reason="UNDECODABLE", problem="field 4 is not digits"
            )
        if self.seen[caller_id] <= self.unavailable:
            return MessageAnswer(caller_id=caller_id, outcome=OUTCOME_UNAVAILABLE, reason="OVERLOADED")
        self.taken.append((peer, caller_id))
        award = Award(rule="base", unit="SKY", pending_change=5, granted=5)
        return MessageAnswer(
            caller_id=caller_id,
            outcome=OUTCOME_ACCEPTED,
            reason="EARNED",
            iso8583=ECHOED,
            decision=Decision(explanation="accounts/1/decisions/2-1", partner="freshmart", awards=[award]),
        )


@contextmanager
def serving(server: Server) -> Iterator[str]:
    """Serve on a port of its own for the length of a block."""
    grpc_server = grpc.server(ThreadPoolExecutor(8))
    add_CardNetworkServiceServicer_to_server(server, grpc_server)
    port = grpc_server.add_insecure_port("127.0.0.1:0")
    grpc_server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        grpc_server.stop(grace=None).wait()


def _lines(count: int, streams: int = 1) -> bytes:
    lines = [
        {"bank": "alpha", "dialect": "iso87-ascii", "message": "30", "stream": number % streams, "id": f"m{number}"}
        for number in range(count)
    ]
    return "\n".join(json.dumps(line) for line in lines).encode()


def _submit(run: Run, server: Server, content: bytes, *options: str) -> Any:
    with serving(server) as address:
        return run("submit", "-", "--server", address, *options, stdin=content)


def test_every_message_is_answered_and_counted(run: Run) -> None:
    """A file goes out in frames of the size asked for, and its outcomes are counted."""
    server = Server()
    result = _submit(run, server, _lines(130), "--frame", "50", "--json")
    document = orjson.loads(result.stdout)
    assert 0 == result.exit_code
    assert [{"outcome": "ACCEPTED", "reason": "EARNED", "messages": 130}] == document["outcomes"]
    assert [50, 50, 30] == server.frames


def test_streams_keep_to_a_connection_in_order(run: Run) -> None:
    """Messages of one stream arrive over one connection, in the order of the file; streams spread over several."""
    server = Server()
    assert 0 == _submit(run, server, _lines(400, streams=4), "--connections", "2", "--frame", "7").exit_code
    streams: dict[int, list[tuple[str, int]]] = {}
    for peer, caller_id in server.taken:
        streams.setdefault((int(caller_id) - 1) % 4, []).append((peer, int(caller_id)))
    assert {1} == {len({peer for peer, _ in taken}) for taken in streams.values()}
    assert 2 == len({peer for peer, _ in server.taken})
    assert all(taken == sorted(taken, key=lambda entry: entry[1]) for taken in streams.values())


def test_unavailable_messages_are_sent_again(run: Run) -> None:
    """A message that is unavailable twice is sent a third time, and counts once."""
    server = Server(unavailable=2)
    result = _submit(run, server, _lines(20), "--json")
    assert (0, 20) == (result.exit_code, orjson.loads(result.stdout)["answered"])
    assert {3} == set(server.seen.values())


def test_a_message_that_stays_unavailable_is_given_up(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    """After a bounded number of tries a message counts as unavailable, and the command ends with 1."""
    monkeypatch.setattr(StreamTerms, "pause", lambda *_: 0.001)
    server = Server(unavailable=99)
    result = _submit(run, server, _lines(3), "--json")
    document = orjson.loads(result.stdout)
    assert (1, 3) == (result.exit_code, document["refused"])
    assert {"outcome": "UNAVAILABLE", "reason": "OVERLOADED", "messages": 3} in document["outcomes"]
    assert {StreamTerms().tries} == set(server.seen.values())


def test_a_broken_connection_loses_nothing(run: Run) -> None:
    """When the stream breaks twice in the middle, what was not answered is sent again over a new connection."""
    server = Server(breaks=(2, 5))
    result = _submit(run, server, _lines(100), "--frame", "10", "--json")
    assert (0, 100) == (result.exit_code, orjson.loads(result.stdout)["answered"])
    assert {str(number) for number in range(1, 101)} == {caller_id for _, caller_id in server.taken}


def test_a_server_that_only_breaks_is_given_up(run: Run) -> None:
    """A connection that never brings an answer ends the command with 3."""
    result = _submit(run, Server(breaks=tuple(range(1, 99))), _lines(5))
    assert (3, "") == (result.exit_code, result.stdout)


def test_refused_messages_are_named_by_line(run: Run) -> None:
    """The table names what was not taken by line and problem, lines that were never sent among them."""
    content = _lines(3) + b'\n{"bank": "alpha"}\n'
    result = _submit(run, Server(rejected=("2",)), content, "--json")
    expected = [
        {"line": 2, "reason": "UNDECODABLE", "problem": "field 4 is not digits"},
        {"line": 4, "reason": "UNREADABLE_LINE", "problem": "lacks dialect"},
    ]
    assert (1, expected) == (result.exit_code, orjson.loads(result.stdout)["refusals"])


def test_the_table_shows_outcomes_and_refusals(run: Run) -> None:
    """People see the same as a table."""
    result = _submit(run, Server(rejected=("2",)), _lines(3))
    assert "ACCEPTED" in result.stdout
    assert "Messages not taken (1 of 1)" in result.stdout
    assert "field 4 is not digits" in result.stdout


def test_answers_are_written_without_their_bytes(run: Run, tmp_path: Path) -> None:
    """--answers keeps every answer by line and id, but not the ISO 8583 bytes, which repeat the card number."""
    target = tmp_path / "answers.jsonl"
    assert 0 == _submit(run, Server(), _lines(30), "--answers", str(target)).exit_code
    content = target.read_bytes()
    answers = [orjson.loads(line) for line in content.splitlines()]
    assert [(number + 1, f"m{number}") for number in range(30)] == sorted(
        (entry["line"], entry["id"]) for entry in answers
    )
    assert {"freshmart"} == {entry["decision"]["partner"] for entry in answers}
    assert ECHOED not in content
    assert ECHOED.hex().encode() not in content


def test_messages_in_flight_are_bounded() -> None:
    """A connection has no more messages without an answer than its terms allow, however many wait."""
    terms = StreamTerms(frame=10, in_flight=20)
    held = threading.Event()
    most = 0

    class Slow(Server):
        def _answer(self, caller_id: str, peer: str) -> MessageAnswer:
            nonlocal most
            most = max(most, int(caller_id) - len(self.taken))
            held.wait(0.001)
            return super()._answer(caller_id, peer)

    answered: list[int] = []
    with serving(Slow()) as address:
        connection = Connection(address, terms, lambda entry, _: answered.append(entry.line))
        for line in read_json_lines(io.BytesIO(_lines(200))):
            assert isinstance(line, MessageLine)
            connection.offer(line)
        connection.complete()
        connection.join()
    assert list(range(1, 201)) == answered
    assert most <= terms.in_flight
