"""Raw TCP links on real sockets: the answers, the state of a link, and what keeps neighbours from each other."""

import time
from dataclasses import replace
from typing import Any

import iso8583
import pytest
from sqlalchemy import text

from processor.flow import worker as flow_worker
from processor.flow.batch import BatchDecider
from processor.rpc.tcp import connection as tcp_connection
from processor.wire.framing import Framing, HeaderAnswer, LengthEncoding
from tests.conftest import Database
from tests.flow.conftest import DIALECTS, SKYWAYS, Pipeline, apply_skyways, make_pipeline
from tests.rpc.tcp_host import (
    FRAMING,
    LINK,
    Host,
    booked,
    counts,
    fields_of,
    link_with,
    listening,
    network,
    purchase,
    told,
    until,
)

pytestmark = pytest.mark.xdist_group("tcp")

TPDU = bytes.fromhex("6000010002")


def test_an_answer_says_what_a_message_earned(live: Pipeline) -> None:
    """A purchase over TCP is booked once, and answered in ISO 8583 as often as it comes."""
    with listening(live.worker, LINK, clock=live.clock) as found, Host(found.ports[0]) as host:
        (answer,) = host.ask(purchase(1))

        assert "0130" == fields_of(answer)["t"]
        assert ["ACCEPTED"] == told([answer])
        assert ["DUPLICATE"] == told(host.ask(purchase(1, "0121")))
    assert 1 == booked(live, 1)


@pytest.mark.parametrize(("bank", "dialect", "pan"), [
    ("alpha", "iso87-ascii", "4000000000000002"),
    ("beta", "iso87-bcd", "5413330000000001"),
])  # fmt: skip
def test_the_matching_fields_come_back_byte_for_byte(live: Pipeline, bank: str, dialect: str, pan: str) -> None:
    """What a host finds its request by is as it sent it, so that answers may come in any order."""
    link = replace(LINK, bank=bank, dialect=dialect)
    sent = [
        purchase(10 + number, dialect=dialect, bank=bank, pan=pan, acceptor="SHOP \xe9\xdf 0000001")
        for number in range(5)
    ]

    with listening(live.worker, link, clock=live.clock) as found, Host(found.ports[0]) as host:
        answers = host.ask(*sent)

    spec = DIALECTS[dialect].spec
    asked = {part["11"]["data"]: part for _, part in (iso8583.decode(message, spec) for message in sent)}
    for answer in answers:
        _, part = iso8583.decode(answer, spec)
        for number in ("2", "3", "4", "7", "11", "12", "13", "32", "37", "39", "41", "42", "49"):
            assert asked[part["11"]["data"]][number] == part[number], number


@pytest.mark.parametrize(
    ("framing", "header", "returned"),
    [
        (Framing(length=LengthEncoding.BINARY_4, largest_message_bytes=8192), b"", b""),
        (Framing(length=LengthEncoding.ASCII_4, counts_itself=True, largest_message_bytes=8192), b"", b""),
        (
            Framing(
                length=LengthEncoding.BCD_2,
                header_bytes=5,
                header_answer=HeaderAnswer.SWAP,
                largest_message_bytes=8192,
            ),
            TPDU,
            bytes.fromhex("6000020001"),
        ),
        (
            Framing(length=LengthEncoding.BINARY_2, header_bytes=12, counts_header=False, largest_message_bytes=8192),
            b"ISO026000050",
            b"ISO026000050",
        ),
    ],
)  # fmt: skip
def test_every_framing_is_served(live: Pipeline, framing: Framing, header: bytes, returned: bytes) -> None:
    """Length and header of an answer are written as the link's are, the header echoed or swapped."""
    with (
        listening(live.worker, replace(LINK, framing=framing), clock=live.clock) as found,
        Host(found.ports[0], framing) as host,
    ):
        host.send(network("301"), purchase(20), header=header)
        frames = host.frames(2)

    assert ["0810", "0130"] == [fields_of(frame.message)["t"] for frame in frames]
    assert [returned] * 2 == [frame.header for frame in frames]


def test_sign_on_sign_off_and_echo_move_the_state_of_the_link(live: Pipeline) -> None:
    """Each is answered with response code 00 at once, and operations see where the link stands."""
    with listening(live.worker, LINK, clock=live.clock) as found:
        assert [0, 0] == counts(found, "connections", "signed_on")
        with Host(found.ports[0]) as host:
            for code, seen in (("001", [1, 1, 0]), ("301", [1, 1, 0]), ("161", [1, 1, 0]), ("002", [1, 0, 1])):
                (answer,) = host.ask(network(code, int(code)))
                fields = fields_of(answer)
                assert ("0810", f"{int(code):06d}", "00", code) == tuple(fields[key] for key in ("t", "11", "39", "70"))
                assert seen == counts(found, "connections", "signed_on", "signed_off")
            assert ["127.0.0.1"] == found.status()["peers"]
            assert live.now.isoformat() == found.status()["last_echo_at"]
        until(lambda: counts(found, "connections") == [0])
        assert [4, 4] == counts(found, "messages", "answered")


def test_network_management_is_answered_while_the_worker_is_busy(held: Pipeline) -> None:
    """An echo does not wait for the card messages before it."""
    with listening(held.worker, LINK, clock=held.clock) as found, Host(found.ports[0]) as host:
        host.send(purchase(30), network("301"))
        assert ["0810"] == [fields_of(message)["t"] for message in host.receive(1)]
        held.worker.start()
        assert ["ACCEPTED"] == told(host.receive(1))


def test_a_response_of_the_host_is_never_answered(live: Pipeline) -> None:
    """An 0810 nobody asked for changes nothing, or two systems would answer each other without end."""
    with listening(live.worker, LINK, clock=live.clock) as found, Host(found.ports[0]) as host:
        host.send(network("001", 1, "0810"), purchase(31))
        assert ["ACCEPTED"] == told(host.receive(1))
        assert [0, 2, 1] == counts(found, "signed_on", "messages", "answered")


def test_a_link_that_needs_a_sign_on_takes_no_card_message_before_it(live: Pipeline) -> None:
    """What comes before it is neither booked nor answered, so the host sends it again; after a sign-off likewise."""
    link = replace(LINK, sign_on_required=True)
    with listening(live.worker, link, clock=live.clock) as found, Host(found.ports[0]) as host:
        host.send(purchase(40), network("001"), purchase(41), network("002"), purchase(42))
        answers = host.receive(3)
        host.ask(network("301"))

        assert ["0130", "0810", "0810"] == sorted(fields_of(message)["t"] for message in answers)
        assert [2] == counts(found, "refused")
    assert [0, 1, 0] == [booked(live, number) for number in (40, 41, 42)]


def test_a_silent_host_is_sent_an_echo_and_kept_while_it_answers(live: Pipeline) -> None:
    """The echo has a trace number and a time of its own; its 0810 is matched by both."""
    with (
        listening(live.worker, link_with(echo_s=0.3, echo_answer_s=0.5), clock=live.clock) as found,
        Host(found.ports[0]) as host,
    ):
        for number in (1, 2):
            (echo,) = host.receive(1)
            fields = fields_of(echo)
            expected = ("0800", f"{live.now:%m%d%H%M%S}", f"{number:06d}", "301")
            assert expected == tuple(fields[key] for key in ("t", "7", "11", "70"))
            host.send(network("301", number, "0810").replace(b"1120113000", f"{live.now:%m%d%H%M%S}".encode()))
            until(lambda: found.status()["last_echo_at"] is not None)
        assert [1, 0] == counts(found, "connections", "closed")


def test_a_host_that_does_not_answer_an_echo_is_closed(live: Pipeline) -> None:
    """A connection whose other end is gone without a word is found by its silence."""
    with (
        listening(live.worker, link_with(echo_s=0.3, echo_answer_s=0.3), clock=live.clock) as found,
        Host(found.ports[0]) as host,
    ):
        assert ["0800"] == [fields_of(message)["t"] for message in host.rest()]
        assert [0, 1] == counts(found, "connections", "closed")


@pytest.mark.parametrize(("limits", "sent"), [({"half_message_s": 0.3}, b"\x00\x40half"), ({"idle_s": 0.3}, b"")])
def test_a_host_that_lets_us_wait_is_closed(live: Pipeline, limits: dict[str, Any], sent: bytes) -> None:
    """Half a message, and silence, have their time."""
    with listening(live.worker, link_with(**limits), clock=live.clock) as found, Host(found.ports[0]) as host:
        host.socket.sendall(sent)
        began = time.monotonic()
        assert [] == host.rest()
        assert 0.2 < time.monotonic() - began < 5
        assert [1] == counts(found, "closed")


def test_a_message_in_drops_has_its_time_as_a_whole(live: Pipeline) -> None:
    """A byte now and then does not keep half a message alive."""
    with listening(live.worker, link_with(half_message_s=0.5), clock=live.clock) as found, Host(found.ports[0]) as host:
        began = time.monotonic()
        until(lambda: _drops(host) or counts(found, "closed") == [1])
        assert time.monotonic() - began < 3


def _drops(host: Host) -> bool:
    time.sleep(0.1)
    try:
        host.socket.sendall(b"\x01")
    except OSError:
        return True
    return False


def test_a_host_that_leaves_its_answers_unread_is_closed(live: Pipeline) -> None:
    """Beyond what the system's buffers hold nothing more is taken, and the connection has its time."""
    echoes = [network("301")] * 200
    with listening(live.worker, link_with(write_s=0.5), clock=live.clock) as found, Host(found.ports[0]) as host:
        host.socket.settimeout(5)
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            _send_without_end(host, echoes)
        until(lambda: counts(found, "connections", "closed") == [0, 1])
        assert found.status()["messages"] < 2000 * 200


def _send_without_end(host: Host, messages: list[bytes]) -> None:
    for _ in range(2000):
        host.send(*messages)


def test_beyond_the_messages_in_flight_nothing_is_read(held: Pipeline) -> None:
    """The host is made to wait by TCP itself, and all is answered once the worker decides."""
    with listening(held.worker, link_with(in_flight=16), clock=held.clock) as found, Host(found.ports[0]) as host:
        host.send(*[purchase(1000 + number) for number in range(200)])
        until(lambda: counts(found, "messages") == [16])
        time.sleep(0.3)
        assert ([16], 16, 1) == (counts(found, "messages"), held.worker.queued, len(held.worker._jobs))
        held.worker.start()
        assert {"ACCEPTED"} == set(told(host.receive(200)))


def test_what_one_read_delivers_is_one_submission(held: Pipeline) -> None:
    """Messages that arrive together are queued together."""
    with listening(held.worker, LINK, clock=held.clock) as found, Host(found.ports[0]) as host:
        host.send(*[purchase(1300 + number) for number in range(50)])
        until(lambda: held.worker.queued == 50)
        assert len(held.worker._jobs) <= 2
        held.worker.start()
        assert 50 == len(host.receive(50))
        assert [50, 50] == counts(found, "messages", "answered")


def test_a_link_takes_so_many_messages_a_second(live: Pipeline) -> None:
    """Beyond a second's worth at once, messages wait for their turn; none is lost."""
    link = link_with(messages_per_second=50)
    with listening(live.worker, link, clock=live.clock) as found, Host(found.ports[0]) as host:
        began = time.monotonic()
        answers = host.ask(*[network("301")] * 100)
        took = time.monotonic() - began
    assert 100 == len(answers)
    assert 0.9 < took < 5


def test_connections_beyond_the_limit_are_refused(live: Pipeline) -> None:
    """The others go on, and a place that is free again can be had."""
    with listening(live.worker, link_with(connections=2), clock=live.clock) as found:
        with Host(found.ports[0]) as first, Host(found.ports[0]) as second:
            assert 2 == len(first.ask(network("301")) + second.ask(network("301")))
            with Host(found.ports[0]) as third:
                assert [] == third.rest()
            assert 1 == len(first.ask(network("301")))
        until(lambda: counts(found, "connections") == [0])
        with Host(found.ports[0]) as again:
            assert 1 == len(again.ask(network("301")))
        assert [1] == counts(found, "refused_connections")


def test_many_connections_are_served_at_once(live: Pipeline) -> None:
    """Two hundred hosts each get their own answers."""
    with listening(live.worker, link_with(connections=256), clock=live.clock) as found:
        hosts = [Host(found.ports[0]) for _ in range(200)]
        try:
            for number, host in enumerate(hosts):
                host.send(purchase(2000 + number), network("301", number))
            for number, host in enumerate(hosts):
                answers = {fields_of(message)["t"]: fields_of(message) for message in host.receive(2)}
                assert {f"{2000 + number:06d}", f"{number:06d}"} == {answers["0130"]["11"], answers["0810"]["11"]}
            assert [200, 400, 400] == counts(found, "connections", "messages", "answered")
        finally:
            for host in hosts:
                host.socket.close()


def test_bytes_that_do_not_decode_are_kept_and_the_link_goes_on(live: Pipeline) -> None:
    """They get no answer, their place is in the database, and the messages around them are decided."""
    broken = purchase(51).replace(b"000000010000", b"0000000A0000")
    with listening(live.worker, LINK, clock=live.clock) as found, Host(found.ports[0]) as host:
        host.send(purchase(50), broken, network("301")[:-1], b"GET / HTTP/1.1", purchase(52))

        assert ["ACCEPTED"] * 2 == told(host.receive(2))
        assert [5, 2, 3, 0] == counts(found, "messages", "answered", "undecodable", "closed")
    with live.database.service.connect() as connection:
        statement = text("SELECT field FROM undecodable WHERE bank = 'alpha' ORDER BY field")
        assert ["4 amount", "70 network_code", "mti"] == list(connection.execute(statement).scalars())


def test_another_message_under_the_same_identity_is_answered_as_rejected(live: Pipeline) -> None:
    """It is kept for review, so sending it again is of no use: the award element says REJECTED."""
    with listening(live.worker, LINK, clock=live.clock) as found, Host(found.ports[0]) as host:
        assert ["ACCEPTED"] == told(host.ask(purchase(60)))
        assert ["REJECTED"] == told(host.ask(purchase(60, amount="000000090000")))


def test_a_message_that_is_not_taken_gets_no_answer(live: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence tells the host to send again; the repeat is decided as if it were the first."""

    def away(*_: object) -> None:
        raise OSError

    with listening(live.worker, LINK, clock=live.clock) as found, Host(found.ports[0]) as host:
        with monkeypatch.context() as failing:
            failing.setattr(BatchDecider, "decide", away)
            host.send(purchase(70))
            until(lambda: counts(found, "unanswered") == [1])
        assert ["ACCEPTED"] == told(host.ask(purchase(70, "0121")))
        assert [1, 1] == counts(found, "unanswered", "answered")


def test_a_full_queue_makes_the_host_wait_then_drops(held: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages wait for room for a time; what found none is not answered, and the connection goes on."""
    monkeypatch.setattr(flow_worker, "LARGEST_QUEUE", 1)
    monkeypatch.setattr(tcp_connection, "PATIENCE_S", 0.3)
    with listening(held.worker, LINK, clock=held.clock) as found, Host(found.ports[0]) as host:
        host.send(purchase(80))
        until(lambda: held.worker.queued == 1)
        host.send(purchase(81))
        until(lambda: counts(found, "unanswered") == [1])
        held.worker.start()
        assert ["000080"] == [fields_of(message)["11"] for message in host.receive(1)]
        assert ["ACCEPTED"] == told(host.ask(purchase(81, "0121")))


def test_a_link_that_no_programme_knows_answers_nothing(live: Pipeline) -> None:
    """Its network management is answered; its card messages are refused and counted."""
    with (
        listening(live.worker, replace(LINK, bank="gamma"), clock=live.clock) as found,
        Host(found.ports[0]) as host,
    ):
        host.send(purchase(90))
        until(lambda: counts(found, "refused") == [1])
        assert 1 == len(host.ask(network("301")))


def test_a_link_without_answers_is_booked_in_silence(database: Database) -> None:
    """Where the programme says that the host wants none, card messages get no answer; network management does."""
    document = (SKYWAYS / "programme.yaml").read_text()
    silent = document.replace("answers: true", "answers: false")
    assert document != silent
    apply_skyways(database, document=silent)
    pipeline = make_pipeline(database)
    pipeline.worker.start()
    with listening(pipeline.worker, LINK, clock=pipeline.clock) as found, Host(found.ports[0]) as host:
        host.send(purchase(95))
        until(lambda: booked(pipeline, 95) == 1)
        assert ["0810"] == [fields_of(message)["t"] for message in host.ask(network("301"))]
        assert [2, 1, 0] == counts(found, "messages", "answered", "unanswered")
    pipeline.worker.stop()


@pytest.mark.parametrize("garbage", [b"\xff\xff4000000000000002", b"\x00\x00", b"GET / HTTP/1.1\r\n\r\n"])
def test_garbage_closes_the_connection_after_what_stood_before_it(
    live: Pipeline, garbage: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whole messages before it are answered; the log tells the rule that was broken and not what came."""
    with listening(live.worker, LINK, clock=live.clock) as found, Host(found.ports[0]) as host:
        host.socket.sendall(len(purchase(100)).to_bytes(2, "big") + purchase(100) + garbage)
        assert 1 == len(host.rest())
        assert [1, 1] == counts(found, "answered", "closed")
    logged = capsys.readouterr().err
    assert '"event": "tcp_closing"' in logged
    assert "a length" in logged
    assert "4000000000000002" not in logged
    assert "GET" not in logged


def test_signs_of_life_are_heard(live: Pipeline) -> None:
    """A length of nothing keeps a connection, and is no message."""
    link = link_with(replace(LINK, framing=replace(FRAMING, keep_alive=True)), idle_s=0.6)
    with listening(live.worker, link, clock=live.clock) as found, Host(found.ports[0]) as host:
        for _ in range(6):
            time.sleep(0.2)
            host.socket.sendall(b"\x00\x00")
        assert 1 == len(host.ask(network("301")))
        assert [1] == counts(found, "messages")


def test_a_host_that_ends_its_side_gets_every_answer(held: Pipeline) -> None:
    """Half a connection is enough to be answered on."""
    with listening(held.worker, link_with(in_flight=4), clock=held.clock) as found, Host(found.ports[0]) as host:
        host.send(*[purchase(110 + number) for number in range(10)])
        host.socket.shutdown(1)
        until(lambda: counts(found, "messages") == [4])
        held.worker.start()
        assert ["ACCEPTED"] * 10 == told(host.rest())
        until(lambda: counts(found, "connections") == [0])


def test_a_host_that_is_gone_loses_nothing(held: Pipeline) -> None:
    """Messages that were taken are decided, though nobody waits for their answers."""
    with listening(held.worker, LINK, clock=held.clock) as found:
        with Host(found.ports[0]) as host:
            host.send(purchase(130), purchase(131))
            until(lambda: held.worker.queued == 2)
        until(lambda: counts(found, "connections") == [1] or counts(found, "connections") == [0])
        held.worker.start()
        until(lambda: booked(held, 130) + booked(held, 131) == 2)


def test_draining_answers_what_was_read_then_closes(held: Pipeline) -> None:
    """A message in the queue is answered; what was not read is not; nobody new is let in."""
    with listening(held.worker, link_with(in_flight=8), clock=held.clock) as found, Host(found.ports[0]) as host:
        host.send(*[purchase(150 + number) for number in range(8)])
        until(lambda: held.worker.queued == 8)
        held.worker.start()
        found.drain()
        assert ["ACCEPTED"] * 8 == told(host.rest())
        with pytest.raises(ConnectionRefusedError):
            Host(found.ports[0])
