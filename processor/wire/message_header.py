"""The header that belongs to a message itself, in front of its type, where a network has one.

It decides what a header must hold, and what the header of an answer says: parts repeated, exchanged or counted anew.
Headers of the connection (lengths, TPDU) are the listener's business and never come here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from processor.core.located_document import Path, shown
from processor.wire.dialect_text import DialectText, word_of
from processor.wire.element import read_name

TREATMENTS: Final = frozenset({"answer", "counts", "initial", "value"})
_HEXADECIMAL: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_MAXIMUM_BYTES: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderPart:
    """Some bytes of the header; ``value`` is what they must be, ``initial`` what a new message carries.

    ``answer`` names the part of the request that the answer carries here, itself to repeat it, empty for zeros.
    ``counts`` is true where the bytes say how long the message is, header included, high byte first.
    """

    name: str
    start: int
    end: int
    description: str
    value: bytes | None
    initial: bytes
    answer: str
    counts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageHeader:
    """A header of fixed length, its parts in order."""

    length: int
    parts: tuple[HeaderPart, ...]

    def problem(self, raw: bytes) -> tuple[str, int, str] | None:
        """Return the part, position and problem of a header that cannot be right, None where it can."""
        if len(raw) < self.length:
            return "header", 0, "the message ends inside its header"
        for part in self.parts:
            stated = raw[part.start : part.end]
            if part.value is not None and stated != part.value:
                return part.name, part.start, f"expected the bytes {part.value.hex().upper()}"
            if part.counts and int.from_bytes(stated, "big") != len(raw):
                return part.name, part.start, "it states another length than the message has"
        return None

    def new(self, body_length: int) -> bytes:
        """Return the header of a message that answers nothing; ``body_length`` is of what follows it, in bytes."""
        return b"".join([self._counted(part, body_length) or part.initial for part in self.parts])

    def answering(self, request: bytes, body_length: int) -> bytes:
        """Return the header of the answer to a message with the header ``request``."""
        stated = {part.name: request[part.start : part.end] for part in self.parts}
        return b"".join(
            [
                self._counted(part, body_length)
                or part.value
                or stated.get(part.answer)
                or bytes(part.end - part.start)
                for part in self.parts
            ]
        )

    def _counted(self, part: HeaderPart, body_length: int) -> bytes:
        return (self.length + body_length).to_bytes(part.end - part.start, "big") if part.counts else b""


def read_header(text: DialectText) -> MessageHeader | None:
    """Return the dialect's header, None where it has none; what is wrong is noted."""
    stated = text.value.get("header")
    if stated is None:
        return None
    if not isinstance(stated, list) or not stated:
        text.refuse(("header",), f"is {shown(stated)}", "expected a list of [name, bytes, description]")
        return None
    parts: list[HeaderPart] = []
    start = 0
    for index, entry in enumerate(stated):
        part = _part(text, ("header", index), entry, start)
        if part is not None:
            parts.append(part)
            start = part.end
    names = [part.name for part in parts]
    for index, part in enumerate(parts):
        if part.answer and part.answer not in names:
            text.refuse(("header", index), f"answers with {part.answer!r}", f"expected one of {', '.join(names)}")
        other = next((other for other in parts if other.name == part.answer), part)
        if other.end - other.start != part.end - part.start:
            text.refuse(("header", index), f"answers with {part.answer!r}", "expected a part of the same length")
    if start > _MAXIMUM_BYTES:
        text.refuse(("header",), f"has {start} bytes", f"expected at most {_MAXIMUM_BYTES}")
    return MessageHeader(length=start, parts=tuple(parts))


def _part(text: DialectText, path: Path, entry: Any, start: int) -> HeaderPart | None:
    if not isinstance(entry, list) or not 3 <= len(entry) <= 4 or word_of(entry[2]) is None:
        text.refuse(path, "is no part of a header", "expected [name, bytes, description], and its treatment if any")
        return None
    name = read_name(text, (*path, 0), entry[0])
    length = text.whole_number((*path, 1), entry[1], 1, _MAXIMUM_BYTES)
    treatment = entry[3] if len(entry) == 4 else {}
    if not isinstance(treatment, dict):
        text.refuse((*path, 3), f"is {shown(treatment)}", f"expected a mapping of {', '.join(sorted(TREATMENTS))}")
        return None
    text.known_keys((*path, 3), treatment, TREATMENTS)
    if name is None or length is None:
        return None
    value = _bytes(text, path, treatment, "value", length)
    answer = word_of(treatment.get("answer", name)) or ""
    if "counts" in treatment:
        text.one_of((*path, 3, "counts"), treatment["counts"], ("message",))
    return HeaderPart(
        name=name,
        start=start,
        end=start + length,
        description=str(entry[2]),
        value=value,
        initial=value or _bytes(text, path, treatment, "initial", length) or bytes(length),
        answer="" if answer == "zeros" else answer,
        counts="counts" in treatment,
    )


def _bytes(text: DialectText, path: Path, treatment: Mapping[str, Any], key: str, length: int) -> bytes | None:
    if key not in treatment:
        return None
    word = word_of(treatment[key])
    if word is None or _HEXADECIMAL.fullmatch(word) is None or len(word) != 2 * length:
        expected = f"expected {length} bytes in hexadecimal, in quotes"
        text.refuse((*path, 3, key), f"is {shown(treatment[key])}", expected)
        return None
    return bytes.fromhex(word)
