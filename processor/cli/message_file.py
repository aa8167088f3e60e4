"""Files of card messages, as ``cobrand submit`` reads them: JSON Lines, or raw messages with a length in front.

``schemas/messages/message_line.schema.json`` describes a line of the first kind.
What is wrong with one message is a value that names its line, and never repeats its bytes; the others are read on.
"""

import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import orjson

from processor.v1.card_network_pb2 import CardMessage

MAXIMUM_LINE_BYTES: Final = 64 * 1024
"""Room for a message and a response of 8 KiB each in hexadecimal."""

LENGTH_BYTES: Final = 2

_TEXTS: Final = ("bank", "dialect", "message", "response", "encoding", "id")
_KEYS: Final = frozenset({*_TEXTS, "stream"})
_REQUIRED: Final = ("bank", "dialect", "message")


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLine:
    """A message to send: its line (or record) in the file, the stream it belongs to, and its name for the answers."""

    line: int
    stream: int
    name: str
    message: CardMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableLine:
    """A line that holds no message, and what to correct in it."""

    line: int
    problem: str


def read_json_lines(source: BinaryIO) -> Iterator[MessageLine | UnreadableLine]:
    """Yield every line of a JSON Lines file; empty lines are passed over."""
    number = 0
    while line := source.readline(MAXIMUM_LINE_BYTES):
        number += 1
        if len(line) == MAXIMUM_LINE_BYTES and not line.endswith(b"\n"):
            _skip_line(source)
            yield UnreadableLine(line=number, problem=f"is longer than {MAXIMUM_LINE_BYTES} bytes; send one message")
        elif not line.isspace():
            yield _message_line(number, line)


def _skip_line(source: BinaryIO) -> None:
    while (rest := source.readline(MAXIMUM_LINE_BYTES)) and not rest.endswith(b"\n"):
        pass


def _message_line(number: int, line: bytes) -> MessageLine | UnreadableLine:
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        return UnreadableLine(line=number, problem="is not JSON; write one object on each line")
    problem = _problem(entry)
    if problem:
        return UnreadableLine(line=number, problem=problem)
    try:
        message, response = (_bytes(entry, key) for key in ("message", "response"))
    except ValueError:
        encoding = entry.get("encoding", "hex")
        return UnreadableLine(
            line=number, problem=f'message or response is not {encoding}; write "encoding": "hex" or "base64" beside it'
        )
    return MessageLine(
        line=number,
        stream=entry.get("stream", 0),
        name=entry.get("id", ""),
        message=CardMessage(
            caller_id=str(number),
            bank=entry["bank"],
            dialect=entry["dialect"],
            iso8583=message,
            iso8583_response=response,
        ),
    )


def _problem(entry: Any) -> str | None:
    """Return what is wrong with a line's keys and types; values are never repeated."""
    if not isinstance(entry, dict):
        return "is not an object; write one object on each line"
    if not entry.keys() <= _KEYS:
        return f"has a key that is none of {', '.join(sorted(_KEYS))}"
    for key in _REQUIRED:
        if not entry.get(key):
            return f"lacks {key}"
    for key in _TEXTS:
        if not isinstance(entry.get(key, ""), str):
            return f"{key} is not a text"
    if entry.get("encoding", "hex") not in {"hex", "base64"}:
        return 'encoding is neither "hex" nor "base64"'
    stream = entry.get("stream", 0)
    if isinstance(stream, bool) or not isinstance(stream, int) or stream < 0:
        return "stream is not a whole number from 0"
    return None


def _bytes(entry: dict[str, Any], key: str) -> bytes:
    text = entry.get(key, "")
    return binascii.a2b_base64(text, strict_mode=True) if entry.get("encoding") == "base64" else bytes.fromhex(text)


def read_length_prefixed(source: BinaryIO, *, bank: str, dialect: str) -> Iterator[MessageLine | UnreadableLine]:
    """Yield every message of a file where each follows its length in two bytes, high byte first; all of one stream.

    A file that ends inside a message ends with an unreadable one.
    """
    number = 0
    while header := source.read(LENGTH_BYTES):
        number += 1
        length = int.from_bytes(header, "big")
        raw = source.read(length)
        if len(header) < LENGTH_BYTES or len(raw) < length or not raw:
            yield UnreadableLine(line=number, problem="the file ends inside the message, or its length is zero")
            return
        message = CardMessage(caller_id=str(number), bank=bank, dialect=dialect, iso8583=raw)
        yield MessageLine(line=number, stream=0, name="", message=message)
