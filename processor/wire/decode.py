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
from processor.wire.card_copies import copies_of
from processor.wire.dialect import HIGHEST, Dialect, LayoutRule, Rule, SubfieldRule
from processor.wire.layout import Layout, LayoutError

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
    document, encoded = library_decode(dialect, raw)
    fields: dict[str, str] = {}
    positions: dict[str, int] = {}
    echo: dict[int, bytes] = {}
    oddities: list[str] = []
    position = 0
    rules = dialect.rules
    for key, part in encoded.items():
        length, data = part["len"], part["data"]
        rule = rules.get(key)
        if rule is not None:  # None for the header, the message type and the bitmaps.
            number, name, kept, echoed, valid, closer, digits = rule[:7]
            if digits is not None and length.strip(digits):
                raise _failure(dialect, key, name, position, "its length is not digits")
            if echoed and data:
                echo[number] = length + data
            if kept and data:
                value = document[key]
                if not valid(value):
                    value = _odd(dialect, key, rule, value, position, oddities)
                fields[name] = value
                positions[name] = position
            if closer or not data:
                _look_closer(dialect, key, rule, document[key], position, fields, positions, oddities)
            position += len(length)
        position += len(data)
    pan = _pan(dialect, document, encoded, oddities)
    _drop_copies(dialect, pan, fields, positions, oddities)
    if dialect.header is not None:
        echo[0] = encoded["h"]["data"]
    return Decoded(
        dialect=dialect.name,
        mti=mti,
        fields=fields,
        pan=pan,
        oddities=tuple(oddities),
        positions=positions,
        echo=Echo(echo),
    )


def merge_response(dialect: Dialect, request: Decoded, response: Decoded) -> Decoded:
    """Join a request and its response, which a host sends together, into the one message that says what was decided.

    The response's message type and elements win; what it does not repeat comes from the request.
    Either may lack the account number that the other one repeats elsewhere, so that both are searched for it.
    Raises :class:`DecodeFailure` where the two are not of one exchange.
    """
    if response.mti[:2] != request.mti[:2] or int(response.mti[2]) != int(request.mti[2]) + 1:
        problem = f"{response.mti} does not answer {request.mti}; send a request with its own response"
        raise DecodeFailure(dialect=response.dialect, field="mti", position=0, problem=problem)
    for name in ("trace_number", "transmission_date_time"):
        own = response.fields.get(name)
        if own is not None and own != request.fields.get(name):
            raise response.failure(name, "differs from the request's; send a request with its own response", {})
    pan = response.pan or request.pan
    fields: dict[str, str] = {}
    positions: dict[str, int] = {}
    oddities = [*request.oddities, *response.oddities]
    for part in (request, response):
        own_fields, own_positions = dict(part.fields), dict(part.positions)
        _drop_copies(dialect, pan, own_fields, own_positions, oddities)
        fields.update(own_fields)
        positions.update(own_positions)
    return Decoded(
        dialect=response.dialect,
        mti=response.mti,
        fields=fields,
        pan=pan,
        oddities=tuple(oddities),
        positions=positions,
        echo=Echo({**request.echo.parts(), **response.echo.parts()}),
    )


def library_decode(dialect: Dialect, raw: bytes) -> tuple[dict[str, str], dict[str, dict[str, bytes]]]:
    """Return what pyiso8583 makes of a message, by element number in text: values, and their bytes with lengths.

    The bitmaps are checked first: a bit without an element would be a bare ``KeyError`` there.
    Raises :class:`DecodeFailure`, which holds neither the message nor the library's error.
    """
    raw = _checked_bitmaps(dialect, raw)
    try:
        document, encoded = iso8583.decode(raw, dialect.spec)
    except iso8583.DecodeError as error:
        label, position, said = error.field, error.pos, error.msg
    else:
        for key, side in dialect.trims.items():
            if key in document:
                value = document[key]
                document[key] = value.removesuffix("F") if side == "right" else value.removeprefix("F")
        return document, encoded
    # Raised outside the handler: as a context, the library's error would keep the message and its card number alive.
    problem = next((problem for start, problem in _PROBLEMS if said.startswith(start)), "it cannot be read")
    rule = dialect.rules.get(label)
    label = f"{label} {rule.name}" if rule else {"t": "mti"}.get(label, "bitmap")
    raise DecodeFailure(dialect=dialect.name, field=label, position=position, problem=problem)


def _message_type(dialect: Dialect, raw: bytes) -> str:
    if len(raw) > MAXIMUM_MESSAGE_BYTES:
        problem = f"the message has {len(raw)} bytes; at most {MAXIMUM_MESSAGE_BYTES} are read"
        raise DecodeFailure(dialect=dialect.name, field="mti", position=0, problem=problem)
    start = dialect.message_start
    if dialect.header is not None and (found := dialect.header.problem(raw)) is not None:
        name, position, problem = found
        raise DecodeFailure(dialect=dialect.name, field=f"header {name}", position=position, problem=problem)
    mti = dialect.message_types.get(raw[start : start + dialect.message_type_length])
    if mti is None:
        problem = "the dialect has no such message type; check which dialect the link speaks"
        raise DecodeFailure(dialect=dialect.name, field="mti", position=start, problem=problem)
    return mti


def _checked_bitmaps(dialect: Dialect, raw: bytes) -> bytes:
    """Refuse an element the dialect lacks; return the message, bit 1 set where the second bitmap is always there."""
    start = dialect.message_start + dialect.message_type_length
    width = 16 if dialect.hexadecimal_bitmap else 8
    bits = _bits(dialect, raw, start, width) << 128
    if dialect.second_bitmap != "announced" and not bits >> 191:
        bits |= 1 << 191
        first = (bits >> 128).to_bytes(8, "big")
        written = first.hex().upper().encode(dialect.text_codec) if dialect.hexadecimal_bitmap else first
        raw = raw[:start] + written + raw[start + width :]
    if bits >> 191:
        bits |= _bits(dialect, raw, start + width, width) << 64
        if bits >> 127 & 1 and dialect.known_bits >> 127 & 1:
            bits |= _bits(dialect, raw, start + 2 * width, width)
    unknown = bits & ~dialect.known_bits
    if unknown:
        number = HIGHEST + 1 - unknown.bit_length()
        problem = "the dialect has no such element; add it to the dialect or mend the message"
        raise DecodeFailure(dialect=dialect.name, field=str(number), position=start, problem=problem)
    return raw


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


def readable_amount(dialect: Dialect, raw: bytes) -> int | None:
    """Return the transaction amount of a message that does not decode for another reason, or None."""
    try:
        document, _ = library_decode(dialect, raw)
    except DecodeFailure:
        return None
    amount = document.get(str(dialect.numbers["amount"]), "")
    return int(amount) if amount.isascii() and amount.isdecimal() else None


def _odd(dialect: Dialect, key: str, rule: Rule | SubfieldRule, value: str, position: int, oddities: list[str]) -> str:
    """Refuse odd content of a field that a decision needs; note it in any other, without control characters."""
    if rule.numeric:
        problem = "is not digits"
    else:
        problem = "is not whole bytes in hexadecimal" if value.isprintable() else "holds control characters"
    if rule.strict:
        raise _failure(dialect, key, rule.name, position, problem)
    oddities.append(f"{rule.name} {problem}")
    return _CONTROL.sub(" ", value)


def _failure(dialect: Dialect, key: str, name: str, position: int, problem: str) -> DecodeFailure:
    return DecodeFailure(dialect=dialect.name, field=f"{key} {name}", position=position, problem=problem)


def _look_closer(
    dialect: Dialect,
    key: str,
    rule: Rule,
    value: str,
    position: int,
    fields: dict[str, str],
    positions: dict[str, int],
    oddities: list[str],
) -> None:
    """Note an empty element and odd content of one that is not kept; take a carrier apart."""
    if not value:
        if rule.kept or rule.layout is not None or rule.name == "pan":
            oddities.append(f"{rule.name} is empty")
        return
    if rule.numeric and not rule.kept and not value.isdecimal():
        oddities.append(f"{rule.name} is not digits")
    if rule.layout is not None:
        _take_apart(dialect, key, rule, rule.layout, value, position, fields, positions, oddities)


def _take_apart(
    dialect: Dialect,
    key: str,
    rule: Rule,
    layout_rule: LayoutRule,
    carrier: str,
    position: int,
    fields: dict[str, str],
    positions: dict[str, int],
    oddities: list[str],
) -> None:
    """Keep the sub-fields of a carrier that the dialect keeps; refuse a broken carrier that a decision needs."""
    layout = layout_rule.layout
    try:
        parts, problem = layout.split(carrier), ""
    except LayoutError as error:
        parts, problem = [], str(error)
    if problem:
        if layout_rule.strict:
            raise _failure(dialect, key, rule.name, position, problem)
        oddities.append(f"{rule.name}: {problem}")
    for tag, value in parts:
        below = layout_rule.fields.get(tag) or _unnamed(layout, rule.name, tag)
        if below is None or not below.kept or not value:
            continue
        label = f"{key}.{tag}"
        if below.name in fields:
            if below.strict:
                raise _failure(dialect, label, below.name, position, "is given twice")
            oddities.append(f"{below.name} is given twice")
            continue
        fields[below.name] = value if below.valid(value) else _odd(dialect, label, below, value, position, oddities)
        positions[below.name] = position


def _unnamed(layout: Layout, carrier: str, tag: str) -> SubfieldRule | None:
    """Return the rule of a tag that the dialect does not name, where it keeps such tags and this holds no card data."""
    if not layout.keeps_unknown or tag in layout.card_data:
        return None
    return SubfieldRule(name=f"{carrier}.{tag}", kept=True, strict=False, valid=str.isprintable, numeric=False)


def _drop_copies(
    dialect: Dialect, pan: Pan | None, fields: dict[str, str], positions: dict[str, int], oddities: list[str]
) -> None:
    """Drop the fields in which a host repeats the account number, whatever else they are kept for.

    What was taken out of such a field goes with it: a track lies around the number it holds.
    """
    if pan is None:
        return
    for name in copies_of(pan, fields):
        if name not in fields:  # It went with the one it was taken out of.
            continue
        place = positions[name]
        rule = dialect.rules.get(str(dialect.numbers.get(name)))
        carried = [other for other in fields if positions[other] == place] if rule and rule.layout else [name]
        for dropped in carried:
            del fields[dropped], positions[dropped]
        oddities.append(f"{name} holds the card number")


def _pan(
    dialect: Dialect,
    document: Mapping[str, str],
    encoded: Mapping[str, Mapping[str, bytes]],
    oddities: list[str],
) -> Pan | None:
    """Return the account number, from track 2 where its own element is absent, as terminals send it."""
    number = str(dialect.numbers["pan"])
    digits = document.get(number)
    if digits:
        if not digits.isdecimal() or len(digits) not in _PAN_LENGTHS:
            problem = f"is not {_PAN_LENGTHS.start} to {_PAN_LENGTHS.stop - 1} digits"
            position = sum(len(encoded[key]["data"]) for key in ("h", "t", "p", "1") if key in encoded)
            raise _failure(dialect, number, "pan", position, problem)
        return Pan(digits)
    track = document.get(str(dialect.numbers.get("track_2")))
    if not track:
        return None
    found = _TRACK_2_NUMBER.match(track)
    if found is None:
        oddities.append("track_2 holds no card number")
        return None
    return Pan(found[1])
