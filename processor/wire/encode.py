"""Messages to bytes: the last step of a message's path, and the maker of messages for generators and tests.

An answer repeats the request's own elements byte for byte, so that a host finds what it sent; only the message type,
the bitmap, a response code where none came and the award are written anew.
It never decides whether funds are approved: a request that came without a response code is answered without one.
"""

from collections.abc import Mapping
from functools import cache
from typing import Final

import iso8583

from processor.wire.decode import Decoded, decode
from processor.wire.dialect import Dialect, Element
from processor.wire.element import codec_of
from processor.wire.layout import Layout, LayoutError

_ANSWERED_FUNCTIONS: Final = {"0": "1", "1": "1", "2": "3", "3": "3"}


class EncodeFailure(ValueError):  # noqa: N818 - The counterpart of DecodeFailure.
    """A message cannot be written; says dialect, field and what to change, never a value."""

    def __init__(self, *, dialect: str, field: str, problem: str) -> None:
        super().__init__(f"{dialect}: {field}: {problem}")
        self.dialect = dialect
        self.field = field
        self.problem = problem


def answer_type(mti: str) -> str | None:
    """Return the message type that answers ``mti``: a response keeps its own, a notification has none (None).

    The repeat digit is lowered: 0101 and 0100 are both answered by 0110.
    """
    function = _ANSWERED_FUNCTIONS.get(mti[2])
    if function is None:
        return None
    origin = int(mti[3])
    return f"{mti[:2]}{function}{origin - origin % 2}"


def encode_answer(dialect: Dialect, raw: bytes, *, award: str, decoded: Decoded | None = None) -> bytes:
    """Return the answer to the message in ``raw``, with ``award`` in the dialect's award element where it has one.

    ``decoded`` is the message decoded before, which saves decoding it again.
    Raises :class:`EncodeFailure` for a message that has no answer, and
    :class:`~processor.wire.decode.DecodeFailure` for bytes that are no message.
    """
    request = decoded if decoded is not None else decode(dialect, raw)
    answer = answer_type(request.mti)
    encoded_type = dialect.message_type_bytes.get(answer) if answer is not None else None
    if encoded_type is None:
        raise EncodeFailure(dialect=dialect.name, field="mti", problem=f"{request.mti} has no answer")
    parts = request.echo.parts().copy()
    header = parts.pop(0, b"")
    response_code = dialect.numbers.get("response_code")
    if response_code is not None and response_code not in parts and _takes_default_response(request.mti):
        parts[response_code] = _accepted(dialect, response_code, request.mti[1])
    if award and dialect.award_field is not None:
        parts[dialect.award_field] = _award(dialect, dialect.award_field, award)
    body = encoded_type + _bitmap(dialect, parts) + b"".join([parts[number] for number in sorted(parts)])
    return body if dialect.header is None else dialect.header.answering(header, len(body)) + body


def encode_message(dialect: Dialect, mti: str, fields: Mapping[str, str]) -> bytes:
    """Return the bytes of a message from its elements and sub-fields by name.

    A fixed number is filled with zeros on the left, a fixed text with spaces on the right; nothing is ever cut.
    Raises :class:`EncodeFailure`.
    """
    if mti not in dialect.message_type_bytes:
        raise EncodeFailure(dialect=dialect.name, field="mti", problem="the dialect has no such message type")
    document = {"t": mti}
    below: dict[str, str] = {}
    for name, value in fields.items():
        if name in dialect.numbers:
            element = dialect.elements[dialect.numbers[name]]
            document[str(element.number)] = _filled(dialect, element, value)
        else:
            below[name] = value
    if below:
        document.update(_carried(dialect, below, document))
    parts = {
        int(key): data for key, data in _library_encode(dialect, document).items() if key.isdecimal() and key != "1"
    }
    body = dialect.message_type_bytes[mti] + _bitmap(dialect, parts) + b"".join([parts[key] for key in sorted(parts)])
    return body if dialect.header is None else dialect.header.new(len(body)) + body


def _takes_default_response(mti: str) -> bool:
    """Return whether an answer may say "accepted" by itself: to advices, reversals and network management only."""
    return mti[2] == "2" or (mti[2] == "0" and mti[1] in "48")


@cache
def _accepted(dialect: Dialect, number: int, message_class: str) -> bytes:
    """Write the response code of an answer to a message that came without one: the dialect's, else zeros."""
    code = dialect.accepted.get(message_class, "0" * dialect.elements[number].length)
    return _library_encode(dialect, {"t": min(dialect.message_type_bytes), str(number): code})[str(number)]


def _award(dialect: Dialect, number: int, award: str) -> bytes:
    """Write the one element that differs from answer to answer; by hand, for the library takes ten times as long."""
    element = dialect.elements[number]
    if len(award) > element.length or max(award) > "\xff":
        raise EncodeFailure(
            dialect=dialect.name,
            field=f"{number} {element.name}",
            problem=f"the award is not at most {element.length} characters of Latin-1",
        )
    data = award.encode(element.encoding["text"])
    spec = dialect.spec[str(number)]
    if spec["len_enc"] == "bcd":
        return bytes.fromhex(f"{len(data):0{2 * spec['len_type']}d}") + data
    if spec["len_enc"] == "b":
        return len(data).to_bytes(spec["len_type"], "big") + data
    return f"{len(data):0{spec['len_type']}d}".encode(codec_of(element.encoding, "length")) + data


def _bitmap(dialect: Dialect, parts: Mapping[int, bytes]) -> bytes:
    """Write one, two or three bitmaps, as many as the elements need and at least as many as the dialect always has."""
    bits = 0
    for number in parts:
        bits |= 1 << (192 - number)
    width = 8
    if bits & (1 << 128) - 1 or dialect.second_bitmap != "announced":
        width = 16
        if dialect.second_bitmap != "unannounced":
            bits |= 1 << 191
    if bits & (1 << 64) - 1:
        width = 24
        bits |= 1 << 127
    packed = bits.to_bytes(24, "big")[:width]
    return packed.hex().upper().encode(dialect.text_codec) if dialect.hexadecimal_bitmap else packed


def _library_encode(dialect: Dialect, document: dict[str, str]) -> dict[str, bytes]:
    """Return the bytes of each element of a document made for this one call, lengths included.

    pyiso8583 writes the bitmaps into what it is given, and would want a header, which is not its business here.
    """
    try:
        _, encoded = iso8583.encode(document, dialect.encoding_spec)
    except iso8583.EncodeError as error:
        label = error.field
    else:
        return {key: part["len"] + part["data"] for key, part in encoded.items()}
    # Raised outside the handler: as a context, the library's error would keep the document and its card number alive.
    rule = dialect.rules.get(label)
    raise EncodeFailure(
        dialect=dialect.name,
        field=f"{label} {rule.name}" if rule else label,
        problem="the value does not fit the element's format or length",
    )


def _filled(dialect: Dialect, element: Element, value: str) -> str:
    if element.content == "n" and not value.isdecimal():
        label = f"{element.number} {element.name}"
        raise EncodeFailure(dialect=dialect.name, field=label, problem="the value is not digits")
    if str(element.number) in dialect.trims and len(value) % 2:
        return f"{value}F" if dialect.trims[str(element.number)] == "right" else f"F{value}"
    if element.length_digits or element.content == "b":
        return value
    return value.rjust(element.length, "0") if element.content in "nz" else value.ljust(element.length)


def _carried(dialect: Dialect, below: Mapping[str, str], document: Mapping[str, str]) -> dict[str, str]:
    """Write sub-fields into their carriers, those of tags in order over the carriers that the caller has not filled."""
    by_layout: dict[Layout, dict[str, str]] = {}
    subfields = dialect.subfields
    for name, value in below.items():
        if name not in subfields:
            raise EncodeFailure(dialect=dialect.name, field=name, problem="the dialect has no field of that name")
        layout, subfield = subfields[name]
        by_layout.setdefault(layout, {})[subfield.tag] = value
    carried: dict[str, str] = {}
    for layout, values in by_layout.items():
        carried |= _spread(dialect, layout, values, document)
    return carried


def _spread(dialect: Dialect, layout: Layout, values: Mapping[str, str], document: Mapping[str, str]) -> dict[str, str]:
    problem = "" if layout.join else "the layout cannot be written; give the carrier whole"
    pieces: list[str] = []
    try:
        pieces = layout.join(values) if layout.join else []
    except LayoutError as error:
        problem = str(error)
    if problem:
        raise EncodeFailure(dialect=dialect.name, field=layout.carriers[0], problem=problem)
    free = [element for name in layout.carriers if str((element := _element(dialect, name)).number) not in document]
    spread: dict[str, str] = {}
    for piece in pieces:
        while free and len(spread.get(str(free[0].number), "")) + len(piece) > _room(free[0]):
            free.pop(0)
        if not free:
            raise EncodeFailure(
                dialect=dialect.name, field=layout.carriers[0], problem="no carrier has room for a sub-field"
            )
        key = str(free[0].number)
        spread[key] = spread.get(key, "") + piece
    return {key: _filled(dialect, dialect.elements[int(key)], value) for key, value in spread.items()}


def _element(dialect: Dialect, name: str) -> Element:
    return dialect.elements[dialect.numbers[name]]


def _room(element: Element) -> int:
    """Return how many characters an element takes; bytes are written as two hexadecimal ones."""
    return 2 * element.length if element.content == "b" else element.length
