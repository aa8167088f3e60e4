"""Files of messages: JSON Lines and length-prefixed ones, and what is wrong with a line."""

import io
import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import schemas
from processor.cli.message_file import (
    MAXIMUM_LINE_BYTES,
    MessageLine,
    UnreadableLine,
    read_json_lines,
    read_length_prefixed,
)
from processor.v1.card_network_pb2 import CardMessage

SCHEMA = Draft202012Validator(json.loads(schemas.read("messages", "message_line.schema.json")))
LEAST: dict[str, Any] = {"bank": "alpha", "dialect": "iso87-ascii", "message": "30313230"}


def _read(*lines: object) -> list[MessageLine | UnreadableLine]:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    return list(read_json_lines(io.BytesIO(text.encode())))


def test_a_line_becomes_a_message() -> None:
    """Every key of a line ends in the message, and its line number becomes the caller's id."""
    line = {**LEAST, "response": "30313330", "stream": 7, "id": "a-1"}
    expected = MessageLine(
        line=2,
        stream=7,
        name="a-1",
        message=CardMessage(
            caller_id="2", bank="alpha", dialect="iso87-ascii", iso8583=b"0120", iso8583_response=b"0130"
        ),
    )
    assert [expected] == _read("", line)


def test_base64_is_named() -> None:
    """Bytes in base64 are read where the line says so."""
    (line,) = _read({**LEAST, "message": "MDEyMA==", "encoding": "base64"})
    assert isinstance(line, MessageLine)
    assert b"0120" == line.message.iso8583


WRONG: dict[str, object] = {
    "is not an object": [1],
    "has a key that is none of": {**LEAST, "card": "1"},
    "lacks bank": {"dialect": "iso87-ascii", "message": "30"},
    "lacks dialect": {**LEAST, "dialect": ""},
    "lacks message": {**LEAST, "message": ""},
    "bank is not a text": {**LEAST, "bank": 7},
    "id is not a text": {**LEAST, "id": 7},
    "stream is not a whole number": {**LEAST, "stream": "1"},
    "stream is not a whole number from 0": {**LEAST, "stream": -1},
    'encoding is neither "hex" nor "base64"': {**LEAST, "encoding": "ebcdic"},
}


@pytest.mark.parametrize(("problem", "line"), WRONG.items(), ids=WRONG)
def test_a_wrong_line_is_named_and_its_neighbours_read(problem: str, line: object) -> None:
    """A line that holds no message says what to correct; the schema refuses it too; the next line is read."""
    first, second = _read(line, LEAST)
    assert isinstance(first, UnreadableLine)
    assert 1 == first.line
    assert first.problem.startswith(problem)
    assert not SCHEMA.is_valid(line)
    assert isinstance(second, MessageLine)


@pytest.mark.parametrize("encoding", ["hex", "base64"])
def test_bytes_of_another_encoding_are_not_repeated(encoding: str) -> None:
    """Bytes that do not fit their encoding are named without their content, which may be a card number."""
    (line,) = _read({**LEAST, "message": "40000000000000 0002?", "encoding": encoding})
    expected = f'message or response is not {encoding}; write "encoding": "hex" or "base64" beside it'
    assert UnreadableLine(line=1, problem=expected) == line


@pytest.mark.parametrize("line", [LEAST, {**LEAST, "response": "30", "stream": 0, "id": "a", "encoding": "hex"}])
def test_the_schema_takes_what_is_read(line: dict[str, Any]) -> None:
    """The published schema and the reader agree on good lines."""
    SCHEMA.validate(line)
    assert [MessageLine] == [type(entry) for entry in _read(line)]


def test_text_that_is_not_json_is_one_wrong_line() -> None:
    """A line that is not JSON does not disturb the next one."""
    assert [UnreadableLine, MessageLine] == [type(entry) for entry in _read("{'bank'", LEAST)]


def test_an_endless_line_is_skipped_in_bounded_memory() -> None:
    """A line longer than any message is one wrong line, and reading goes on after it."""
    entries = _read("9" * (3 * MAXIMUM_LINE_BYTES), LEAST)
    assert [(UnreadableLine, 1), (MessageLine, 2)] == [(type(entry), entry.line) for entry in entries]


def test_length_prefixed_messages_are_read() -> None:
    """Each message follows its length in two bytes, and belongs to the bank and dialect named."""
    entries = list(read_length_prefixed(io.BytesIO(b"\x00\x040120\x00\x040130"), bank="alpha", dialect="iso87-ascii"))
    messages = [entry.message for entry in entries if isinstance(entry, MessageLine)]
    assert [("1", b"0120"), ("2", b"0130")] == [(message.caller_id, message.iso8583) for message in messages]
    assert {("alpha", "iso87-ascii")} == {(message.bank, message.dialect) for message in messages}


@pytest.mark.parametrize("tail", [b"\x00", b"\x00\x05012", b"\x00\x00"])
def test_a_cut_length_prefixed_file_ends_with_what_is_wrong(tail: bytes) -> None:
    """A file that ends inside a message keeps what came before, and says so."""
    entries = list(read_length_prefixed(io.BytesIO(b"\x00\x040120" + tail), bank="alpha", dialect="iso87-ascii"))
    assert [(MessageLine, 1), (UnreadableLine, 2)] == [(type(entry), entry.line) for entry in entries]
