"""No card number anywhere: known numbers go through every path, good and bad, and then everything written is searched.

Searched are every row of every table, the server's own log, what is logged, answered, explained and settled, and the
texts of values and errors; for the digits as text and as bytes, in ASCII, in packed digits, in EBCDIC and in base64.
"""

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import text

from examples.traffic.skyways import programme
from processor.core.card import Pan
from processor.core.message import CardMessage
from processor.flow import batch, intake, purchase_work
from processor.flow.card_file import CardFileIntake, CardFileRecord
from processor.flow.explain import explain_decision
from processor.flow.replay import replay
from processor.flow.submission import Answer, IncomingMessage
from processor.store.card_side import write_batch
from processor.store.settlement import CycleKey
from processor.wire.clearing_file import ClearingFileError
from processor.wire.decode import Decoded
from processor.wire.encode import encode_message
from processor.wire.ipm import write_records
from settlement.settle import Settled, parties_of, settle
from tests.conftest import Database
from tests.flow.conftest import DIALECTS, NOW, Pipeline, apply_skyways, iso87, make_pipeline, take_clearing_file
from tests.leak.every_dialect import document_with_every_dialect, host_dialects
from tests.leak.forms import leaks
from tests.leak.held import said_by
from tests.leak.known import BLUE, CLASSIC, GOLD, NEW_GOLD, PIN_BLOCK, PLATINUM, SECRETS, VERIFICATION_VALUE
from tests.leak.messages import full_message
from tests.leak.written import dump, server_log


@pytest.fixture
def written(log: list[Any], database: Database) -> Pipeline:
    """Build a pipeline whose every library logs."""
    apply_skyways(database, document=document_with_every_dialect())
    return make_pipeline(database)


SENSITIVE: Final = {
    "track_1": "B{pan}^HOLDER/TEST^30121010000",
    "track_2": "{pan}=30121010000093715284",
    "track_3": "01{pan}=97840978000",
    "pan_extended": "59{pan}",
    "pin_block": PIN_BLOCK,
    "security_control": "9371528493715284",
    "chip_data": "5A08{pan}57104000001234567899D30122015F2D02",
    "additional_response": "CVV{cvv}",
    "additional_iso": "{pan}",
    "additional_national": "{pan} {cvv}",
    "additional_private": "92005{cvv}{pan}",
    "private_60": "{pan}",
    "private_61": "{cvv}{pan}",
    "reserved_105": "{pan}",
    "private_126": "CVV2{cvv} {pan}",
    "private_127": "{pan}{cvv}",
    "account_1": "{pan}",
    "account_2": "{pan}",
    "transaction_description": "PAID WITH {pan}",
}
"""Where hosts put what must not be kept, and some places where they should not put it."""


def sent(number: int, card_number: str, mti: str = "0120", **fields: str) -> IncomingMessage:
    """Build an authorization with everything in it that a processor must drop."""
    beta = card_number in {PLATINUM, BLUE}
    secrets = {name: value.format(pan=card_number, cvv=VERIFICATION_VALUE) for name, value in SENSITIVE.items()}
    if beta:
        secrets["track_2"] = secrets["track_2"].replace("=", "D")
        secrets["track_3"] = secrets["track_3"].replace("=", "D")
    values = {
        "pan": card_number,
        "trace_number": f"{number:06d}",
        "retrieval_reference": f"{number:012d}",
        "response_code": "00",
        "acceptor": "FRESHMART000101",
        "acquirer": "412345",
        "expiry_date": "3012",
        **secrets,
        **fields,
    }
    bank, dialect = ("beta", "iso87-bcd") if beta else ("alpha", "iso87-ascii")
    return iso87(mti, caller_id=str(number), bank=bank, dialect=dialect, **values)


def broken(message: IncomingMessage) -> Iterator[IncomingMessage]:
    """Spoil a message in every way that keeps its card number or a part of it in the bytes."""
    raw = message.iso8583
    for cut in (30, 60, len(raw) // 2, len(raw) - 3):
        yield replace(message, iso8583=raw[:cut])
    yield replace(message, iso8583=raw + raw)
    yield replace(message, iso8583=raw[:4] + b"\xff" * 16 + raw[20:])
    yield replace(message, iso8583=raw[20:])
    yield replace(message, dialect="iso87-bcd" if message.dialect == "iso87-ascii" else "iso87-ascii")
    yield replace(message, iso8583_response=raw[: len(raw) // 2])
    for digits in (GOLD.encode(), GOLD[:-1].encode(), bytes.fromhex(GOLD)):
        yield replace(message, iso8583=digits)
    for old, new in ((b"000000010000", b"00000001000A"), (b"1120113000", b"1399113000"), (b"978", b"000")):
        yield replace(message, iso8583=raw.replace(old, new))


def presentment(number: int, pan: str, **fields: str) -> bytes:
    """Build a clearing record with everything in it that must be dropped."""
    values = {
        "pan": pan,
        "processing_code": "000000",
        "amount": "10000",
        "local_date_time": "261119103000",
        "expiry_date": "3012",
        "function_code": "200",
        "mcc": "5411",
        "acquirer_reference": f"7123456632300000{number:07d}",
        "acquirer": "412345",
        "track_1": f"B{pan}^HOLDER/TEST^30121010000",
        "track_2": f"{pan}=30121010000093715284",
        "pin_block": PIN_BLOCK,
        "chip_data": f"5A08{pan}",
        "retrieval_reference": f"{number:012d}",
        "terminal": "TERM0001",
        "acceptor": "FRESHMART000101",
        "currency": "978",
        "account_1": pan,
        "additional_data_4": f"9999{len(pan):03d}{pan}",
        "data_record": f"CVV2{VERIFICATION_VALUE}{pan}",
        "network_data": pan,
        **fields,
    }
    return encode_message(DIALECTS["ipm93-ebcdic"], "1240", {name: value for name, value in values.items() if value})


def clearing_file(file_id: str, *records: bytes, total: int) -> bytes:
    """Put records between a header and a trailer."""
    dialect = DIALECTS["ipm93-ebcdic"]
    header = encode_message(dialect, "1644", {"function_code": "697", "file_id": file_id})
    controls = {"file_amount": f"{total:016d}", "file_messages": f"{len(records) + 2:08d}"}
    trailer = encode_message(dialect, "1644", {"function_code": "695", "file_id": file_id, **controls})
    return write_records([header, *records, trailer], blocked=True)


def card(pan: str, reference: str, product: str, **values: Any) -> CardFileRecord:
    """Build a card file's record."""
    return CardFileRecord(card_number=Pan(pan), account_reference=reference, product=product, **values)


def go_every_way(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Send known numbers through every path that the processor has, and return everything that it said."""
    said: list[object] = []
    said += pipeline.send(sent(1, GOLD), sent(1, GOLD), sent(2, PLATINUM), sent(3, CLASSIC), sent(4, BLUE))
    said += pipeline.send(sent(1, GOLD, amount="000000000100"), sent(1, GOLD, mti="0121"))
    said += pipeline.send(sent(5, GOLD, transmission_date_time="0101120000", local_date="0101"))
    said += pipeline.send(sent(6, PLATINUM, mti="0100", response_code=""))
    said += pipeline.send(replace(sent(7, GOLD), iso8583_response=sent(7, GOLD, mti="0130").iso8583))
    said += pipeline.send(sent(8, GOLD, pan="", track_2=f"{GOLD}=30121010000093715284"))
    said += pipeline.send(sent(9, NEW_GOLD))
    for message in (sent(10, GOLD), sent(11, PLATINUM)):
        said += pipeline.send(*broken(message))
        said += pipeline.send(replace(message, bank="gamma"))
    said += _every_dialect(pipeline)
    said += _failing(pipeline, monkeypatch)
    said += _clearing(pipeline)
    said += _cards(pipeline)
    said.append(replay(pipeline.decider, pipeline.intake, None, 100))
    said.append(pipeline.worker.counts)
    return said


def _every_dialect(pipeline: Pipeline) -> list[object]:
    """Send a purchase in every dialect of hosts, again, as another message, broken, and beside its response."""
    said: list[object] = []
    for number, dialect in enumerate(host_dialects(), start=300):
        raw = full_message(dialect, number, GOLD)
        message = IncomingMessage(caller_id=str(number), bank="alpha", dialect=dialect.name, iso8583=raw)
        (first, again) = pipeline.send(message, message)
        assert ("ACCEPTED", "DUPLICATE") == (first.outcome.name, again.outcome.name), (dialect.name, first, again)
        other = full_message(dialect, number, GOLD, amount="000000000100")
        unknown = full_message(dialect, number + 100, CLASSIC[:-1] + "0")
        said += [first, again, *pipeline.send(replace(message, iso8583=other), replace(message, iso8583=unknown))]
        said += pipeline.send(*broken(message))
    return said


def _failing(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Fail in the decision, in reading, and in the database, with what the failing place holds in the error's text."""

    def poison(purchase: Any, event: Any, terms: Any, **_arguments: Any) -> None:
        raise ValueError(repr((purchase, event, terms)))

    def unreadable(decoded: Decoded, **_arguments: Any) -> CardMessage:
        raise KeyError(decoded.pan.clear() if decoded.pan else "", decoded, decoded.echo)

    said: list[object] = []
    with monkeypatch.context() as patched:
        patched.setattr(purchase_work, "decide", poison)
        said += pipeline.send(sent(20, GOLD), sent(21, PLATINUM))
    with monkeypatch.context() as patched:
        patched.setattr(intake, "to_card_message", unreadable)
        said += pipeline.send(sent(22, GOLD), sent(23, PLATINUM))
    for statement in (
        "COPY message FROM STDIN",
        "DO $$ BEGIN RAISE SQLSTATE '40001'; END $$",
        "SELECT pg_terminate_backend(pg_backend_pid())",
        "INSERT INTO message SELECT * FROM message LIMIT 1",
        "INSERT INTO card SELECT * FROM card LIMIT 1",
    ):
        with monkeypatch.context() as patched:
            patched.setattr(batch, "write_batch", lambda *given, last=statement: _write_and(last, *given))
            said += pipeline.send(sent(24, GOLD), sent(25, PLATINUM))
    return said


def _write_and(statement: str, cursor: Any, *arguments: Any) -> None:
    write_batch(cursor, *arguments)
    if statement.startswith("COPY"):
        cursor.copy_expert(statement, io.StringIO("not\tenough\n"))
    cursor.execute(statement)


def _clearing(pipeline: Pipeline) -> list[object]:
    """Take a file with broken records, and have several refused whole."""
    bad = presentment(2, GOLD).replace("10000".encode("cp500"), "1000A".encode("cp500"))
    cut = presentment(3, GOLD)[:-40]
    carrier = presentment(4, GOLD, additional_data=GOLD)
    fee = encode_message(DIALECTS["ipm93-ebcdic"], "1740", {"pan": GOLD, "function_code": "700"})
    good = presentment(1, GOLD), presentment(5, PLATINUM)
    said: list[object] = []
    for content in (
        clearing_file("FILE-1", *good, bad, cut, carrier, fee, total=90000),
        clearing_file("FILE-1", *good, total=20000),
        clearing_file("FILE-2", *good, total=1),
        clearing_file("FILE-3", *good, total=20000)[:-700],
        write_records([*good], blocked=False),
        GOLD.encode() * 100,
    ):
        try:
            taken = take_clearing_file(
                io.BytesIO(content),
                bank="alpha",
                dialect_name="ipm93-ebcdic",
                intake=pipeline.intake,
                decider=pipeline.decider,
            )
            said.append(taken)
        except (ClearingFileError, ValueError) as error:
            said.append((said_by(error), error.__cause__, error.__context__))
    assert 1 == len([one for one in said if not isinstance(one, tuple)])
    return said


def _cards(pipeline: Pipeline) -> list[object]:
    """Take a card file with good records and every kind of bad one, columns in the wrong order among them."""
    taking = CardFileIntake(bank="alpha", full=True, decider=pipeline.decider, intake=pipeline.intake)
    bad = [
        card(CLASSIC[:-1] + "0", "A-9", "alpha-classic"),
        card(CLASSIC, CLASSIC, "alpha-classic"),
        card(CLASSIC, " ".join((CLASSIC[:4], CLASSIC[4:8], CLASSIC[8:12], CLASSIC[12:])), "alpha-classic"),
        card(CLASSIC, "A-9", CLASSIC),
        card(CLASSIC, "A-9", "alpha-classic", member_number=CLASSIC),
        card(CLASSIC, "A-9", "alpha-classic", role=CLASSIC),
        card(CLASSIC, "A-9", "alpha-classic", status=CLASSIC),
        card(CLASSIC, "A-9", "alpha-classic", opened_on=CLASSIC),
        card("alpha-classic", "A-9", CLASSIC),
    ]
    good = [
        card(CLASSIC, "A-1", "alpha-classic", member_number="SK1"),
        card(GOLD, "A-2", "alpha-gold"),
        card(NEW_GOLD, "A-2", "alpha-gold", predecessor_card_number=Pan(GOLD)),
    ]
    taking.take([*bad, *good])
    result = taking.finish()
    assert (3, len(bad)) == (result.taken, result.rejected)
    return [result, *good]


def test_no_secret_is_written_anywhere(
    written: Pipeline,
    log: list[Any],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    administrator_url: str,
    tmp_path: Path,
) -> None:
    """After every path, good and bad, no number, track, PIN block or verification value is found anywhere."""
    said = go_every_way(written, monkeypatch)
    said += _explained(written)
    found = {
        "answers and errors": repr(said).encode(),
        "structured log": repr(log).encode(),
        "libraries' logs": caplog.text.encode(),
        "server's log": server_log(administrator_url),
        "settlement files": _settled(written, tmp_path),
        **dump(written.database),
    }

    assert {} == {place: leaks(content, SECRETS) for place, content in found.items() if leaks(content, SECRETS)}
    assert {answer.reason.name for answer in said if isinstance(answer, Answer)} >= {
        "EARNED",
        "QUOTED",
        "UNKNOWN_CARD",
        "TOO_OLD",
        "POISON",
        "UNDECODABLE",
        "UNKNOWN_BANK",
        "IDENTITY_CONFLICT",
        "DATABASE_UNAVAILABLE",
    }
    assert all(event in repr(log) for event in ("batch_failed", "message_not_read", "batch_retried"))
    assert b"ERROR" in found["server's log"]
    assert "parameters hidden" in caplog.text
    assert all(found[f"table {name}"] for name in ("message", "message_conflict", "parked", "undecodable", "card"))
    assert found["settlement files"]


def _explained(pipeline: Pipeline) -> list[object]:
    """Explain every decision."""
    with pipeline.database.owner.connect() as connection:
        decisions = connection.execute(text("SELECT bucket, message_id, account, attempt FROM decision")).all()
    return [
        explain_decision(pipeline.decider.engine, pipeline.snapshots, (row[0], bytes(row[1])), bytes(row[2]), row[3])
        for row in decisions
    ]


def _settled(pipeline: Pipeline, folder: Path) -> bytes:
    """Settle the day and return the bytes and names of every file."""
    for bank in ("alpha", "beta"):
        settled = settle(
            pipeline.database.service,
            CycleKey(bank=bank, programme="skyways", business_date=date(2026, 11, 20)),
            parties=parties_of(programme(), bank),
            current=date(2026, 11, 23),
            now=NOW + timedelta(days=3),
            root=folder,
        )
        assert isinstance(settled, Settled)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return b"\n".join(path.name.encode() + b"\n" + path.read_bytes() for path in files)


PLACES: Final = {
    "acceptor_name": "CARD {pan} WIEN",
    "lifecycle_id": "{pan}",
}


@pytest.mark.parametrize("place", ["acceptor_name", "lifecycle_id"])
def test_a_number_in_a_field_that_is_kept_is_dropped_with_it(written: Pipeline, place: str) -> None:
    """A host that puts the card number where it does not belong gets its message decided, without that field."""
    value = PLACES[place].format(pan=GOLD)

    (answer,) = written.send(sent(1, GOLD, **{place: value}))

    assert "ACCEPTED" == answer.outcome.name
    assert {} == {
        where: leaks(content, SECRETS) for where, content in dump(written.database).items() if leaks(content, SECRETS)
    }
    with written.database.owner.connect() as connection:
        oddities = connection.execute(text("SELECT fields -> 'oddities' ->> 0 FROM message")).scalar_one()
    assert f"{place} holds the card number" == oddities


def test_the_response_is_searched_for_the_request_s_number(written: Pipeline) -> None:
    """A response that repeats the number in a text, and not where it belongs, is known by its request's."""
    response = sent(1, GOLD, mti="0130", lifecycle_id=GOLD, pan="", track_2="")

    (answer,) = written.send(replace(sent(1, GOLD), iso8583_response=response.iso8583))

    assert "ACCEPTED" == answer.outcome.name
    assert {} == {
        where: leaks(content, SECRETS) for where, content in dump(written.database).items() if leaks(content, SECRETS)
    }
