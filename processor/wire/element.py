"""Data elements: what one is, how it is written, and the terms in which pyiso8583 reads it.

It decides the form of one element from its format and the encoding that holds for it.
It never sees a message.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from processor.core.located_document import Path, shown
from processor.wire.dialect_text import DialectText, word_of

TEXT_CODECS: Final = ("latin-1", "cp037", "cp500", "cp1140")
"""Codecs of one byte a character that decode every byte; ``ascii`` would refuse one accented letter in a name."""

CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "text": TEXT_CODECS,
    "numeric": ("text", "bcd", *TEXT_CODECS),
    "length": ("text", "bcd", "binary", *TEXT_CODECS),
    "bitmap": ("binary", "hex"),
    "binary": ("raw", "hex"),
    "pad": ("left", "right"),
    "pad_digit": ("0", "F"),
    "counts": ("digits", "bytes"),
    "message_type": ("numeric", "text", "bcd", *TEXT_CODECS),
    "second_bitmap": ("announced", "always", "unannounced"),
}
_NEEDED: Final = ("text", "numeric", "length", "bitmap", "binary")
_DEFAULTS: Final = {
    "pad": "left",
    "pad_digit": "0",
    "counts": "digits",
    "message_type": "numeric",
    "second_bitmap": "announced",
}
_OF_AN_ELEMENT: Final = ("text", "numeric", "length", "binary", "pad", "pad_digit", "counts", "length_bytes")
_FORMAT: Final = re.compile(r"(n|a|an|ans|z|b)(\.{0,3})([1-9][0-9]{0,2})")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_LENGTH_DIGITS: Final = {"": 0, ".": 1, "..": 2, "...": 3}
_HEXADECIMAL: Final = re.compile(r"[0-9A-Fa-f]*")

Encoding = Mapping[str, str]
"""How elements are written: the keys of ``encoding``, each with its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One data element: ``content`` is n, a, an, ans, z or b, ``length_digits`` is 0 where the length is fixed.

    ``length`` is the (maximum) length in characters, for ``b`` in bytes.
    ``encoding`` is what holds for this element; ``length_bytes`` is None where the format says how wide a length is.
    """

    number: int
    name: str
    content: str
    length_digits: int
    length: int
    description: str
    encoding: Encoding
    length_bytes: int | None = None

    @property
    def holds_variable_text(self) -> bool:
        """Whether the element is text with its length in front."""
        return self.length_digits > 0 and self.content in {"a", "an", "ans"}

    @property
    def is_packed(self) -> bool:
        """Whether its digits are packed two to a byte."""
        return self.content in {"n", "z"} and self.encoding["numeric"] == "bcd"

    @property
    def format(self) -> str:
        """The format as a dialect writes it."""
        return f"{self.content}{'.' * self.length_digits}{self.length}"


def read_encoding(text: DialectText) -> dict[str, str]:
    """Return the dialect's encoding, whole and sound even where the text is not; what is wrong is noted."""
    stated = text.mapping("encoding")
    text.known_keys(("encoding",), stated, CHOICES)
    found = {key: CHOICES[key][0] for key in _NEEDED} | _DEFAULTS
    for key in [key for key in _NEEDED if key not in stated]:
        text.refuse(("encoding",), f"lacks {key}", f"expected one of {', '.join(CHOICES[key])}")
    for key in [key for key in stated if key in CHOICES]:
        found[key] = text.one_of(("encoding", key), stated[key], CHOICES[key]) or found[key]
    return found


def read_elements(text: DialectText, encoding: Encoding) -> dict[int, Element]:
    """Return the dialect's elements by number; what is wrong is noted and left out."""
    elements = {}
    for stated, entry in text.mapping("elements").items():
        path = ("elements", stated)
        number = int(stated) if stated.isascii() and stated.isdecimal() and len(stated) <= 3 else 0
        if not 2 <= number <= 192 or number == 65:
            text.refuse(path, "is no element", "expected a number from 2 to 192; 1 and 65 are bitmaps", at_key=True)
            continue
        element = read_element(text, path, number, entry, encoding)
        if element is not None:
            elements[number] = element
    return dict(sorted(elements.items()))


def read_element(text: DialectText, path: Path, number: int, entry: Any, encoding: Encoding) -> Element | None:
    """Return one element from ``[name, format, description]`` and its own encoding, if any, as a fourth entry."""
    if not isinstance(entry, list) or not 3 <= len(entry) <= 4 or word_of(entry[2]) is None:
        text.refuse(path, "is no element", "expected [name, format, description], three texts")
        return None
    name = read_name(text, (*path, 0), entry[0])
    found = _FORMAT.fullmatch(entry[1]) if isinstance(entry[1], str) else None
    if found is None:
        text.refuse((*path, 1), f"is {shown(entry[1])}", "expected a format such as n6, n..11 or ans...999")
    own = _own_encoding(text, path, entry[3] if len(entry) == 4 else {}, encoding)
    if name is None or found is None or own is None:
        return None
    content, dots, digits = found.groups()
    length_digits, length = _LENGTH_DIGITS[dots], int(digits)
    if length_digits and length >= 10**length_digits:
        text.refuse((*path, 1), f"is longer than {dots} can say", f"expected at most {10**length_digits - 1}")
        return None
    length_bytes = own.pop("length_bytes", None)
    return Element(
        number=number,
        name=name,
        content=content,
        length_digits=length_digits,
        length=length,
        description=str(entry[2]),
        encoding=own,
        length_bytes=None if length_bytes is None else int(length_bytes),
    )


def read_name(text: DialectText, path: Path, value: Any) -> str | None:
    """Return a name where it is one; note it where it is not."""
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    text.refuse(path, f"is {shown(value)}", "expected a name: lower case words joined by underscores")
    return None


def _own_encoding(text: DialectText, path: Path, stated: Any, encoding: Encoding) -> dict[str, str] | None:
    place = (*path, 3)
    if not isinstance(stated, dict):
        text.refuse(place, f"is {shown(stated)}", f"expected a mapping of {', '.join(_OF_AN_ELEMENT)}")
        return None
    text.known_keys(place, stated, _OF_AN_ELEMENT)
    own = dict(encoding)
    for key, value in stated.items():
        if key in _OF_AN_ELEMENT:
            choices = ("1", "2") if key == "length_bytes" else CHOICES[key]
            own[key] = text.one_of((*place, key), value, choices) or choices[0]
    if own["counts"] == "bytes" and own["pad_digit"] != "F":
        problem = "counts bytes, which do not say whether a digit is padding"
        text.refuse(path, problem, "expected pad_digit: F beside counts: bytes")
    return own


def codec_of(encoding: Encoding, key: str) -> str:
    """Return the codec of numbers or lengths that are characters: that of the text unless they name their own."""
    return encoding["text"] if encoding[key] == "text" else encoding[key]


def specification(element: Element) -> dict[str, Any]:
    """Return what pyiso8583 needs to know of an element."""
    encoding = element.encoding
    packed_length = encoding["length"] == "bcd"
    spec: dict[str, Any] = {
        "data_enc": codec_of(encoding, "numeric") if _is_digits(element) else encoding["text"],
        "len_enc": {"bcd": "bcd", "binary": "b"}.get(encoding["length"], codec_of(encoding, "length")),
        "len_type": (element.length_digits + 1) // 2 if packed_length else element.length_digits,
        "max_len": element.length,
        "desc": element.description,
    }
    if element.is_packed:
        spec |= {"data_enc": "b", "len_count": "nibbles", f"{encoding['pad']}_pad": encoding["pad_digit"]}
        if element.length_digits and encoding["counts"] == "bytes":
            spec |= {"len_count": "bytes", "max_len": (element.length + 1) // 2}
    elif element.content == "b" and encoding["binary"] == "raw":
        spec["data_enc"] = "b"
    elif element.content == "b":
        spec["max_len"] = 2 * element.length
    if element.length_digits and encoding["length"] == "binary":
        spec["len_type"] = element.length_bytes or (1 if spec["max_len"] <= 255 else 2)
    elif element.length_digits and element.length_bytes is not None:
        spec["len_type"] = element.length_bytes
    return spec


def length_characters(element: Element) -> bytes | None:
    """Return the ten digits as a length of the element may hold them; None where a length is packed or fixed."""
    if not element.length_digits or element.encoding["length"] in {"bcd", "binary"}:
        return None
    return "0123456789".encode(codec_of(element.encoding, "length"))


def soundness(element: Element) -> Callable[[str], bool]:
    """Return the test that the element's content is what its format says, as far as a character can tell."""
    if element.content == "n":
        return str.isdecimal  # isdigit takes the superscripts of Latin-1 for digits.
    if element.content == "b" and element.encoding["binary"] == "hex":
        return _is_hexadecimal
    return str.isprintable


def pad_of_bytes(element: Element) -> str:
    """Return the side whose F is padding where the element's length counts bytes, else nothing."""
    counted = element.is_packed and element.length_digits and element.encoding["counts"] == "bytes"
    return element.encoding["pad"] if counted else ""


def _is_digits(element: Element) -> bool:
    return element.content in {"n", "z"}


def _is_hexadecimal(value: str) -> bool:
    return _HEXADECIMAL.fullmatch(value) is not None and len(value) % 2 == 0
