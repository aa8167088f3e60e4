"""Bytes to a decoded message: the first step of every message's path, and the edge where card data is dropped.

It decides whether bytes are a message of the dialect, drops what must not be kept, and names each element.
Every failure is a :class:`DecodeFailure`, which says where and why and never holds the payload: the library's own
errors carry the whole message, so none of them stays attached, not even as a context.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import iso8583

from processor.core.card import Pan
from processor.wire.dialect import Dialect, Rule

MAXIMUM_MESSAGE_BYTES: Final = 8 * 1024
"""A longer message is refused before it is read."""

_HEXADECIMAL: Final = re.compile(r"[0-9A-Fa-f]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\xa0\xad]")
_PAN_LENGTHS: Final = range(12, 20)
_TRACK_2_NUMBER: Final = re.compile(r"([0-9]{12,19})[=D]")
_PROBLEMS: Final = (
    ("Field length is", "the message ends inside its length"),
    ("Field data is", "its length is more than the dialect allows or than the message holds, or its padding is wrong"),
    ("Failed to decode field length", "its length is not a number"),
    ("Failed to decode field", "its bytes do not fit its encoding"),
    ("Extra data", "bytes are left after the last element"),
)


class DecodeFailure(ValueError):  # noqa: N818 - A peer's message fails; the word is the one the operators know.
    """Bytes are no message of the dialect, or an element the decision needs is odd.

    ``field`` is the element's number and name, ``mti`` or ``bitmap``.
    ``position`` is a byte offset from the message's first byte, None where the failure has no one place.
    """

    def __init__(self, *, dialect: str, field: str, position: int | None, problem: str) -> None:
        place = "" if position is None else f" at byte {position}"
        super().__init__(f"{dialect}: {field}{place}: {problem}")
        self.dialect = dialect
        self.field = field
        self.position = position
        self.problem = problem


class Echo:
    """The request's elements that its answer repeats, as they were written; it never shows them."""

    __slots__ = ("_parts",)

    def __init__(self, parts: dict[int, bytes]) -> None:
        self._parts = parts

    def parts(self) -> dict[int, bytes]:
        """Return the bytes of each element by its number, length included; call it only to encode the answer."""
        return self._parts

    def __repr__(self) -> str:
        return f"Echo({len(self._parts)} elements)"

    def __reduce__(self) -> str | tuple[object, ...]:
        msg = "an Echo holds an account number and is never serialised"
        raise TypeError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A decoded message: ``fields`` by element name with everything sensitive dropped, the account number apart.

    ``positions`` gives the byte offset of each kept field in the bytes that carried it.
    """

    dialect: str
    mti: str
    fields: dict[str, str]
    pan: Pan | None
    oddities: tuple[str, ...]
    positions: dict[str, int] = field(repr=False, compare=False)
    echo: Echo = field(repr=False, compare=False)

    def failure(self, name: str, problem: str, numbers: Mapping[str, int]) -> DecodeFailure:
        """Return the failure for one element of this message, by its name."""
        label = f"{numbers[name]} {name}" if name in numbers else name
        return DecodeFailure(dialect=self.dialect, field=label, position=self.positions.get(name), problem=problem)


def decode(dialect: Dialect, raw: bytes) -> Decoded:
    """Decode one message; raises :class:`DecodeFailure`."""
    mti = _message_type(dialect, raw)
    _check_bitmap(dialect, raw)
    document, encoded = _library_decode(dialect, raw)
    fields: dict[str, str] = {}
    positions: dict[str, int] = {}
    echoed: dict[int, bytes] = {}
    oddities: list[str] = []
    position = 0
    rules = dialect.rules
    for key, part in encoded.items():
        length, data = part["len"], part["data"]
        rule = rules.get(key)
        if rule is None:  # The message type and the bitmaps.
            position += len(data)
            continue
        if rule.length_characters is not None and length.strip(rule.length_characters):
            raise DecodeFailure(
                dialect=dialect.name, field=f"{key} {rule.name}", position=position, problem="its length is not digits"
            )
        if data:
            if rule.echoed:
                echoed[int(key)] = length + data
            if rule.kept:
                fields[rule.name] = _content(dialect, key, rule, document[key], position, oddities)
                positions[rule.name] = position
            elif rule.carrier:
                _split(dialect, key, document[key], position, fields, positions, oddities)
        elif rule.kept:
            oddities.append(f"{rule.name} is empty")
        position += len(length) + len(data)
    return Decoded(
        dialect=dialect.name,
        mti=mti,
        fields=fields,
        pan=_pan(dialect, document),
        oddities=tuple(oddities),
        positions=positions,
        echo=Echo(echoed),
    )


def merge_response(request: Decoded, response: Decoded) -> Decoded:
    """Join a request and its response, which a host sends together, into the one message that says what was decided.

    The response's message type and elements win; what it does not repeat comes from the request.
    Raises :class:`DecodeFailure` where the two are not of one exchange.
    """
    if response.mti[:2] != request.mti[:2] or int(response.mti[2]) != int(request.mti[2]) + 1:
        problem = f"{response.mti} does not answer {request.mti}; send a request with its own response"
        raise DecodeFailure(dialect=response.dialect, field="mti", position=0, problem=problem)
    for name in ("trace_number", "transmission_date_time"):
        own = response.fields.get(name)
        if own is not None and own != request.fields.get(name):
            raise response.failure(name, "differs from the request's; send a request with its own response", {})
    return Decoded(
        dialect=response.dialect,
        mti=response.mti,
        fields={**request.fields, **response.fields},
        pan=response.pan or request.pan,
        oddities=(*request.oddities, *response.oddities),
        positions={**request.positions, **response.positions},
        echo=Echo({**request.echo.parts(), **response.echo.parts()}),
    )


def _message_type(dialect: Dialect, raw: bytes) -> str:
    if len(raw) > MAXIMUM_MESSAGE_BYTES:
        problem = f"the message has {len(raw)} bytes; at most {MAXIMUM_MESSAGE_BYTES} are read"
        raise DecodeFailure(dialect=dialect.name, field="mti", position=0, problem=problem)
    mti = dialect.message_types.get(raw[: dialect.message_type_length])
    if mti is None:
        problem = "the dialect has no such message type; check which dialect the link speaks"
        raise DecodeFailure(dialect=dialect.name, field="mti", position=0, problem=problem)
    return mti


def _check_bitmap(dialect: Dialect, raw: bytes) -> None:
    """Refuse an element the dialect lacks, which pyiso8583 would answer with a bare ``KeyError``."""
    start = dialect.message_type_length
    width = 16 if dialect.hexadecimal_bitmap else 8
    bits = _bits(dialect, raw, start, width) << 64
    if bits >> 127:
        bits |= _bits(dialect, raw, start + width, width)
    unknown = bits & ~dialect.known_bits & ~(1 << 127)
    if unknown:
        number = 129 - unknown.bit_length()
        problem = "the dialect has no such element; add it to the dialect or mend the message"
        raise DecodeFailure(dialect=dialect.name, field=str(number), position=start, problem=problem)


def _bits(dialect: Dialect, raw: bytes, start: int, width: int) -> int:
    part = raw[start : start + width]
    if len(part) < width:
        raise DecodeFailure(
            dialect=dialect.name, field="bitmap", position=start, problem="the message ends inside its bitmap"
        )
    if not dialect.hexadecimal_bitmap:
        return int.from_bytes(part, "big")
    text = part.decode(dialect.text_codec)
    if _HEXADECIMAL.fullmatch(text) is None:  # int() would take signs, spaces and underscores.
        raise DecodeFailure(
            dialect=dialect.name, field="bitmap", position=start, problem="the bitmap is not hexadecimal characters"
        )
    return int(text, 16)


def _library_decode(dialect: Dialect, raw: bytes) -> tuple[dict[str, str], dict[str, dict[str, bytes]]]:
    try:
        return iso8583.decode(raw, dialect.spec)
    except iso8583.DecodeError as error:
        label, position, said = error.field, error.pos, error.msg
    # Raised outside the handler: as a context, the library's error would keep the message and its card number alive.
    problem = next((problem for start, problem in _PROBLEMS if said.startswith(start)), "it cannot be read")
    rule = dialect.rules.get(label)
    label = f"{label} {rule.name}" if rule else {"t": "mti"}.get(label, "bitmap")
    raise DecodeFailure(dialect=dialect.name, field=label, position=position, problem=problem)


def _content(dialect: Dialect, key: str, rule: Rule, value: str, position: int, oddities: list[str]) -> str:
    if rule.numeric:
        # isdecimal, since isdigit takes the superscripts of Latin-1 for digits.
        if value.isdecimal():
            return value
        problem = "is not digits"
    elif value.isprintable():
        return value
    else:
        problem = "holds control characters"
    if rule.strict:
        raise DecodeFailure(dialect=dialect.name, field=f"{key} {rule.name}", position=position, problem=problem)
    oddities.append(f"{rule.name} {problem}")
    return _CONTROL.sub(" ", value)


def _split(
    dialect: Dialect,
    key: str,
    value: str,
    position: int,
    fields: dict[str, str],
    positions: dict[str, int],
    oddities: list[str],
) -> None:
    """Keep the named private data sub-elements of one carrier: a tag of four digits, a length of three, a value."""
    at = 0
    while at < len(value):
        tag, length = value[at : at + 4], value[at + 4 : at + 7]
        end = at + 7 + int(length) if length.isdecimal() and len(length) == 3 else -1
        if end < 0 or end > len(value) or not tag.isdecimal():
            label = f"{key} {dialect.rules[key].name}"
            problem = "a sub-element's tag or length is not digits, or it is longer than its carrier"
            raise DecodeFailure(dialect=dialect.name, field=label, position=position, problem=problem)
        subelement = dialect.subelements.get(tag)
        if subelement is not None:
            name = subelement.name
            if name in fields:
                label = f"{key}.{tag} {name}"
                raise DecodeFailure(dialect=dialect.name, field=label, position=position, problem="is given twice")
            rule = dialect.subelement_rules[tag]
            if end > at + 7:
                fields[name] = _content(dialect, f"{key}.{tag}", rule, value[at + 7 : end], position, oddities)
                positions[name] = position
        at = end


def _pan(dialect: Dialect, document: Mapping[str, str]) -> Pan | None:
    """Return the account number, from track 2 where its own element is absent, as terminals send it."""
    number = str(dialect.numbers["pan"])
    digits = document.get(number)
    if digits:
        if not digits.isdecimal() or len(digits) not in _PAN_LENGTHS:
            problem = f"is not {_PAN_LENGTHS.start} to {_PAN_LENGTHS.stop - 1} digits"
            raise DecodeFailure(dialect=dialect.name, field=f"{number} pan", position=None, problem=problem)
        return Pan(digits)
    track = document.get(str(dialect.numbers.get("track_2")))
    found = _TRACK_2_NUMBER.match(track) if track else None
    return Pan(found[1]) if found else None
