"""Layouts: how an element that carries several values is taken apart and put together.

It decides where one sub-field ends and the next begins, in the five ways that networks use; what a sub-field means and
whether it is kept is the dialect's.
It never shows content: where a carrier does not read, the error says why and nothing else.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import iso8583

from processor.wire.element import Element, length_characters

PREFIX: Final = "prefix"
"""The tag of the characters that stand before the first tag."""

CARD_DATA_TAGS: Final = frozenset(
    {"56", "57", "5A", "5F20", "5F24", "5F30", "9F0B", "9F1F", "9F20", "9F6B", "99", "DF812A", "DF812B"}
)
"""EMV tags that hold the card number, a track, its discretionary data, the holder's name, an expiry date or a PIN."""

_MAXIMUM_DEPTH: Final = 8
_TERTIARY: Final = 128
_HEXADECIMAL: Final = re.compile(r"(?:[0-9A-Fa-f]{2})*")
_FIELD_HEAD: Final = b"0000" + (b"\x80" + bytes(7)) * 2

Parts = list[tuple[str, str]]
"""Sub-fields in the order of the carrier: tag and value."""


class LayoutError(ValueError):
    """A carrier is not of its layout; says why, without content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subfield:
    """One value inside a carrier; ``element`` is its own form where the layout gives each sub-field one."""

    tag: str
    name: str
    description: str
    element: Element | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """How the carriers named are taken apart (``split``) and put together.

    ``join`` returns pieces, each of which has to stay within one carrier; None where the layout cannot be written.
    ``card_data`` are tags that are never kept, whatever a dialect says.
    """

    form: str
    carriers: tuple[str, ...]
    fields: Mapping[str, Subfield]
    keeps_unknown: bool
    card_data: frozenset[str]
    split: Callable[[str], Parts]
    join: Callable[[Mapping[str, str]], list[str]] | None


def tagged(tag_width: int, length_width: int, prefix: int) -> tuple[Callable[[str], Parts], Callable[..., list[str]]]:
    """Return how to split and join tags and lengths of so many characters, behind a prefix."""

    def split(value: str) -> Parts:
        found: Parts = [(PREFIX, value[:prefix])] if prefix else []
        if len(value) < prefix:
            raise LayoutError("ends inside its prefix")
        at = prefix
        while at < len(value):
            tag = value[at : at + tag_width]
            begin = at + tag_width + length_width
            length = value[at + tag_width : begin]
            if not (length.isascii() and length.isdecimal() and tag.isascii() and tag.isalnum()):
                raise LayoutError("a sub-field's tag or length is not digits")
            at = begin + int(length)
            if len(length) < length_width or at > len(value):
                raise LayoutError("a sub-field is longer than its carrier")
            found.append((tag, value[begin:at]))
        return found

    def join(values: Mapping[str, str]) -> list[str]:
        head = [values.get(PREFIX, "").ljust(prefix)] if prefix else []
        for value in values.values():
            if len(value) >= 10**length_width:
                raise LayoutError(f"a sub-field has more than {10**length_width - 1} characters")
        rest = sorted((tag, value) for tag, value in values.items() if tag != PREFIX)
        pieces = [f"{tag}{len(value):0{length_width}d}{value}" for tag, value in rest]
        return ["".join([*head, *pieces[:1]]), *pieces[1:]]

    return split, join


def ber(prefix: int) -> tuple[Callable[[str], Parts], Callable[..., list[str]]]:
    """Return how to split and join BER-TLV (EMV Book 3, annex B) in hexadecimal, behind a prefix of so many bytes.

    Templates are opened, so that no card data hides in one; zero bytes between the objects are skipped.
    """

    def split(value: str) -> Parts:
        if _HEXADECIMAL.fullmatch(value) is None:
            raise LayoutError("is not whole bytes in hexadecimal")
        if len(value) < 2 * prefix:
            raise LayoutError("ends inside its prefix")
        found: Parts = [(PREFIX, value[: 2 * prefix])] if prefix else []
        _open_template(bytes.fromhex(value[2 * prefix :]), found, 0)
        return found

    def join(values: Mapping[str, str]) -> list[str]:
        head = values.get(PREFIX, "").rjust(2 * prefix, "0")
        rest = sorted((tag, value) for tag, value in values.items() if tag != PREFIX)
        if any(_HEXADECIMAL.fullmatch(value) is None for _, value in rest):
            raise LayoutError("a sub-field is not whole bytes in hexadecimal")
        pieces = [f"{tag}{_ber_length(len(value) // 2)}{value}" for tag, value in rest]
        return ["".join([head, *pieces[:1]]), *pieces[1:]]

    return split, join


def _open_template(data: bytes, found: Parts, depth: int) -> None:
    if depth > _MAXIMUM_DEPTH:
        raise LayoutError(f"nests templates deeper than {_MAXIMUM_DEPTH}")
    at = 0
    while at < len(data):
        if data[at] == 0:
            at += 1
            continue
        begin = at + 1
        if data[at] & 0x1F == 0x1F:
            while begin < len(data) and data[begin] & 0x80:
                begin += 1
            begin += 1
        tag = data[at:begin]
        length, body = _read_ber_length(data, begin)
        if len(tag) > 4 or body + length > len(data):
            raise LayoutError("a tag is longer than four bytes, or its value than its carrier")
        value = data[body : body + length]
        if tag[0] & 0x20:
            _open_template(value, found, depth + 1)
        else:
            found.append((tag.hex().upper(), value.hex().upper()))
        at = body + length


def _read_ber_length(data: bytes, at: int) -> tuple[int, int]:
    """Return a length and where its value begins; the indefinite form does not occur in messages."""
    if at >= len(data):
        raise LayoutError("ends inside a tag")
    first = data[at]
    if first < 0x80:
        return first, at + 1
    width = first & 0x7F
    if not 1 <= width <= 3 or at + 1 + width > len(data):
        raise LayoutError("a length is not written in one to four bytes")
    return int.from_bytes(data[at + 1 : at + 1 + width], "big"), at + 1 + width


def _ber_length(length: int) -> str:
    if length < 0x80:
        return f"{length:02X}"
    return f"81{length:02X}" if length < 0x100 else f"82{length:04X}"


def positioned(
    places: Mapping[str, tuple[int, int]], whole: int, filler: str
) -> tuple[Callable[[str], Parts], Callable[..., list[str]]]:
    """Return how to split and join by fixed places, each a half-open range of characters; blanks say nothing.

    What is written is at least ``whole`` characters, with ``filler`` where nothing is said.
    """

    def split(value: str) -> Parts:
        return [(tag, part) for tag, (start, end) in places.items() if (part := value[start:end]).strip()]

    def join(values: Mapping[str, str]) -> list[str]:
        written = [filler] * max([whole, *[places[tag][1] for tag in values]])
        for tag, value in values.items():
            start, end = places[tag]
            if len(value) > end - start:
                raise LayoutError("a sub-field is longer than its place")
            written[start:end] = value.rjust(end - start, "0") if filler == "0" else value.ljust(end - start)
        return ["".join(written)]

    return split, join


def patterned(pattern: re.Pattern[str]) -> Callable[[str], Parts]:
    """Return how to split by the named groups of a pattern that the whole carrier has to match."""

    def split(value: str) -> Parts:
        found = pattern.fullmatch(value)
        if found is None:
            raise LayoutError("does not match its pattern")
        return [(group, part.strip()) for group, part in found.groupdict().items() if part]

    return split


def sequential(elements: Mapping[str, Element]) -> tuple[Callable[[str], Parts], Callable[..., list[str]]]:
    """Return how to split and join sub-fields that follow one another, with lengths in characters where they vary."""

    def split(value: str) -> Parts:
        found: Parts = []
        at = 0
        for tag, element in elements.items():
            if at == len(value):
                break
            length = element.length
            if element.length_digits:
                stated = value[at : at + element.length_digits]
                if not (stated.isascii() and stated.isdecimal()):
                    raise LayoutError("a sub-field's length is not digits")
                at += element.length_digits
                length = int(stated)
            if length > element.length or at + length > len(value):
                raise LayoutError("a sub-field is longer than its format or its carrier")
            found.append((tag, value[at : at + length]))
            at += length
        if at != len(value):
            raise LayoutError("has characters after its last sub-field")
        return found

    def join(values: Mapping[str, str]) -> list[str]:
        return ["".join([_in_sequence(element, values.get(tag, "")) for tag, element in elements.items()])]

    return split, join


def _in_sequence(element: Element, value: str) -> str:
    if len(value) > element.length:
        raise LayoutError("a sub-field is longer than its format")
    if element.length_digits:
        return f"{len(value):0{element.length_digits}d}{value}"
    return value.rjust(element.length, "0") if element.content == "n" else value.ljust(element.length)


def bitmapped(
    width: int, elements: Mapping[str, Element], specifications: Mapping[str, Mapping[str, Any]]
) -> tuple[Callable[[str], Parts], Callable[..., list[str]]]:
    """Return how to split and join a field with a bitmap of ``width`` bytes of its own, in hexadecimal.

    pyiso8583 reads it as the third bitmap of a message, whose bits, unlike those of the first, are all elements.
    """
    spec: dict[str, Mapping[str, Any]] = dict(_FIELD_SPEC)
    spec |= {str(_TERTIARY + int(tag)): specifications[tag] for tag in elements}
    known = sum(1 << (64 - int(tag)) for tag in elements)
    lengths = [(str(_TERTIARY + int(tag)), length_characters(element)) for tag, element in elements.items()]

    def split(value: str) -> Parts:
        if _HEXADECIMAL.fullmatch(value) is None or len(value) < 2 * width:
            raise LayoutError("ends inside its bitmap")
        data = bytes.fromhex(value)
        bitmap = data[:width].ljust(8, b"\x00")
        if int.from_bytes(bitmap, "big") & ~known:
            raise LayoutError("has a sub-field that the dialect lacks")
        document, encoded = _decoded_field(_FIELD_HEAD + bitmap + data[width:], spec)
        if not document:
            raise LayoutError("a sub-field is longer than its format or its carrier")
        if any(digits is not None and encoded[key]["len"].strip(digits) for key, digits in lengths if key in encoded):
            raise LayoutError("a sub-field's length is not digits")
        return [(str(int(key) - _TERTIARY), part) for key, part in document.items() if key.isdecimal() and key != "1"]

    def join(values: Mapping[str, str]) -> list[str]:
        document = {"t": "0000"} | {str(_TERTIARY + int(tag)): _filled(elements[tag], values[tag]) for tag in values}
        encoded = _encoded_field(document, spec)
        if encoded is None:
            raise LayoutError("a sub-field does not fit its format")
        return [(encoded[20 : 20 + width] + encoded[28:]).hex().upper()]

    return split, join


def _decoded_field(
    data: bytes, spec: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, str], dict[str, dict[str, bytes]]]:
    """Decode, without keeping the library's error, which holds the bytes; nothing where they do not decode."""
    try:
        return iso8583.decode(data, spec)
    except iso8583.DecodeError:
        return {}, {}


def _encoded_field(document: dict[str, str], spec: Mapping[str, Mapping[str, Any]]) -> bytes | None:
    try:
        return bytes(iso8583.encode(document, spec)[0])
    except iso8583.EncodeError:
        return None


def _filled(element: Element, value: str) -> str:
    if element.length_digits or element.content == "b":
        return value
    return value.rjust(element.length, "0") if element.content in "nz" else value.ljust(element.length)


_FIXED: Final = {"data_enc": "latin-1", "len_enc": "latin-1", "len_type": 0}
_FIELD_SPEC: Final = {
    "h": {**_FIXED, "max_len": 0, "desc": "No header"},
    "t": {**_FIXED, "max_len": 4, "desc": "Type"},
    "p": {**_FIXED, "data_enc": "b", "max_len": 8, "desc": "Bitmap"},
    "1": {**_FIXED, "data_enc": "b", "max_len": 8, "desc": "Bitmap"},
}
