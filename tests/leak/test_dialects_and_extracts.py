"""Card data in every place of every dialect: none of it is found in what is stored, answered, shown or said.

Each message carries the card number, tracks, a PIN block and a verification value where the dialect has a place for
them, and one free text element at a time that repeats number and value.
"""

import io
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
import structlog
from sqlalchemy import text

from processor.flow.clearing import accept_clearing_file
from processor.flow.clearing_stage import unpack_chunk
from processor.flow.submission import IncomingMessage
from processor.wire.clearing_file import ClearingFileError
from processor.wire.decode import DecodeFailure
from processor.wire.describe import describe
from processor.wire.dialect import Dialect
from processor.wire.encode import EncodeFailure, encode_message
from tests.conftest import Database
from tests.flow.conftest import DIALECTS, SKYWAYS, Pipeline, apply_skyways, make_pipeline
from tests.leak.extracts import SOUND, extract
from tests.leak.forms import leaks
from tests.leak.known import GOLD, PIN_BLOCK, SECRETS, VERIFICATION_VALUE
from tests.leak.written import dump
from tests.wire.messages import fields_of, message_types

ONLINE: Final = [name for name in DIALECTS if not name.startswith("ipm93-")]
FREE_TEXT: Final = f"CARD {GOLD} CVV2 {VERIFICATION_VALUE}"
SECRET: Final[Mapping[str, str]] = {
    "pan": GOLD,
    "pan_extended": GOLD,
    "track_1": f"B{GOLD}^HOLDER/TEST^30121010000{VERIFICATION_VALUE}",
    "track_2": f"{GOLD}=30121010000{VERIFICATION_VALUE}",
    "pin_block": PIN_BLOCK,
    "account_1": GOLD,
    "account_2": GOLD,
}


@pytest.fixture
def linked(database: Database) -> Pipeline:
    """Build a pipeline whose first bank has a link of every online dialect."""
    document = (SKYWAYS / "programme.yaml").read_text()
    link = "      - {dialect: NAME, mode: copy, financial: awaits-clearing}\n"
    others = "".join(link.replace("NAME", name) for name in ONLINE if name not in {"iso87-ascii", "iso87-bcd"})
    before = "      - dialect: iso87-ascii\n"
    assert before in document
    apply_skyways(database, document=document.replace(before, others + before, 1))
    return make_pipeline(database)


def laden(dialect: Dialect, mti: str) -> Iterator[bytes]:
    """Yield a type's message with every secret that fits, then with free text in one element after the other."""
    sound = fields_of(dialect, mti)
    if mti[1] != "8":
        for name, value in SECRET.items():
            if name in dialect.numbers and _encodes(dialect, mti, {**sound, name: value}):
                sound[name] = value
    chip = bytes.fromhex(f"5A08{GOLD}5713{GOLD}D3012101000093715284F0").hex().upper()
    # What is kept shows whatever digits a host writes there, save the card number.
    texts = {name: f"CARD {GOLD}" if _is_read(dialect, name) else FREE_TEXT for name in dialect.numbers}
    for name, value in (("", ""), ("chip_data", chip), *texts.items()):
        fields = {**sound, name: value} if name else sound
        if (not name or name in dialect.numbers) and _encodes(dialect, mti, fields):
            yield encode_message(dialect, mti, fields)


def _is_read(dialect: Dialect, name: str) -> bool:
    return name in dialect.kept or name.startswith("acceptor")


def _encodes(dialect: Dialect, mti: str, fields: Mapping[str, str]) -> bool:
    try:
        encode_message(dialect, mti, fields)
    except EncodeFailure:
        return False
    return True


def shown(dialect: Dialect, raw: bytes) -> list[object]:
    """Return what a tool shows of a message, and how it fails."""
    try:
        return [describe(dialect, raw)]
    except DecodeFailure as failure:
        return [failure, failure.args, failure.__context__, failure.__cause__]


def test_no_dialect_lets_card_data_through(linked: Pipeline) -> None:
    """Tables, answers, log, and what decode shows: searched for every secret in text, hexadecimal and packed digits."""
    said: list[object] = []
    count = 0
    with structlog.testing.capture_logs() as log:
        for name in ONLINE:
            dialect = DIALECTS[name]
            for mti in message_types(dialect):
                messages = list(laden(dialect, mti))
                count += len(messages)
                said += [entry for raw in messages for entry in shown(dialect, raw)]
                bank = "beta" if name == "iso87-bcd" else "alpha"
                said += linked.send(
                    *(IncomingMessage(caller_id="1", bank=bank, dialect=name, iso8583=raw) for raw in messages),
                    *(IncomingMessage(caller_id="1", bank=bank, dialect=name, iso8583=raw[:-3]) for raw in messages),
                )
    found: dict[str, bytes] = {"said": repr(said).encode(), "log": repr(log).encode(), **dump(linked.database)}

    assert count > 10 * len(ONLINE)
    assert {} == {place: leaks(content, SECRETS) for place, content in found.items() if leaks(content, SECRETS)}
    assert found["table message"]
    assert found["table undecodable"]


def test_what_waits_of_a_clearing_file_holds_no_card_data(linked: Pipeline) -> None:
    """Chunks are unpacked and searched; an extract of lines and records, sound and broken, and one refused whole."""
    spoilt = (FREE_TEXT, GOLD[:15], f"{GOLD}x")
    records = (SOUND, *(SOUND.replace("SHOP", value, 1) for value in spoilt), SOUND.replace(GOLD, f"{GOLD}x"))
    files: dict[str, bytes] = {
        "sound": extract("\n".join(records), end="EUR;5;50.00"),
        "unsound": extract(header="A-2;2026-11-19", end=f"EUR;{GOLD};10.00"),
        "names": extract(header="A-3;2026-11-19", names=f"{GOLD};{GOLD}"),
    }
    said: list[object] = []
    for content in files.values():
        try:
            accept_clearing_file(
                io.BytesIO(content), bank="alpha", format_name="", intake=linked.intake, decider=linked.decider
            )
        except ClearingFileError as error:
            said += [error, error.args, error.__context__]
    with linked.database.owner.connect() as connection:
        chunks = [bytes(row) for row in connection.execute(text("SELECT content FROM clearing_chunk")).scalars()]
    waiting: list[Any] = [(record, record.fields) for chunk in chunks for record in unpack_chunk(chunk)]

    assert 5 == len(waiting)
    assert 2 == len(said) // 3
    assert set() == leaks(repr(waiting).encode(), SECRETS)
    assert {} == {
        place: leaks(content, SECRETS) for place, content in dump(linked.database).items() if leaks(content, SECRETS)
    }
    assert set() == leaks(repr(said).encode(), SECRETS)
