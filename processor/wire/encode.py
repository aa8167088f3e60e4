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
    response_code = dialect.numbers.get("response_code")
    if response_code is not None and response_code not in parts and _takes_default_response(request.mti):
        parts[response_code] = _accepted(dialect, response_code)
    if award and dialect.award_field is not None:
        parts[dialect.award_field] = _award(dialect, dialect.award_field, award)
    return encoded_type + _bitmap(dialect, parts) + b"".join([parts[number] for number in sorted(parts)])


def encode_message(dialect: Dialect, mti: str, fields: Mapping[str, str]) -> bytes:
    """Return the bytes of a message from its elements and private data sub-elements by name.

    A fixed number is filled with zeros on the left, a fixed text with spaces on the right; nothing is ever cut.
    Raises :class:`EncodeFailure`.
    """
    if mti not in dialect.message_type_bytes:
        raise EncodeFailure(dialect=dialect.name, field="mti", problem="the dialect has no such message type")
    tags = {subelement.name: tag for tag, subelement in dialect.subelements.items()}
    document = {"t": mti}
    private: dict[str, str] = {}
    for name, value in fields.items():
        if name in tags:
            private[tags[name]] = value
        elif name in dialect.numbers:
            element = dialect.elements[dialect.numbers[name]]
            document[str(element.number)] = _filled(dialect, element, value)
        else:
            raise EncodeFailure(dialect=dialect.name, field=name, problem="the dialect has no element of that name")
    document.update(_carried(dialect, private, document))
    encoded, _ = _library_encode(dialect, document)
    return bytes(encoded)


def _takes_default_response(mti: str) -> bool:
    """Return whether an answer may say "accepted" by itself: to advices, reversals and network management only."""
    return mti[2] == "2" or (mti[2] == "0" and mti[1] in "48")


@cache
def _accepted(dialect: Dialect, number: int) -> bytes:
    _, encoded = _library_encode(
        dialect, {"t": min(dialect.message_type_bytes), str(number): "0" * dialect.elements[number].length}
    )
    return encoded[str(number)]["data"]


def _award(dialect: Dialect, number: int, award: str) -> bytes:
    """Write the one element that differs from answer to answer; by hand, for the library takes ten times as long."""
    element = dialect.elements[number]
    if len(award) > element.length or max(award) > "\xff":
        raise EncodeFailure(
            dialect=dialect.name,
            field=f"{number} {element.name}",
            problem=f"the award is not at most {element.length} characters of Latin-1",
        )
    data = award.encode(dialect.text_codec)
    spec = dialect.spec[str(number)]
    if spec["len_enc"] == "bcd":
        return bytes.fromhex(f"{len(data):0{2 * spec['len_type']}d}") + data
    return f"{len(data):0{spec['len_type']}d}".encode(dialect.text_codec) + data


def _bitmap(dialect: Dialect, parts: Mapping[int, bytes]) -> bytes:
    bits = 0
    for number in parts:
        bits |= 1 << (128 - number)
    width = 16 if bits & (1 << 64) - 1 else 8
    if width == 16:
        bits |= 1 << 127
    else:
        bits >>= 64
    packed = bits.to_bytes(width, "big")
    return packed.hex().upper().encode(dialect.text_codec) if dialect.hexadecimal_bitmap else packed


def _library_encode(dialect: Dialect, document: dict[str, str]) -> tuple[bytearray, dict[str, dict[str, bytes]]]:
    """Encode a document made for this one call: pyiso8583 writes the bitmaps into what it is given."""
    try:
        return iso8583.encode(document, dialect.spec)
    except iso8583.EncodeError as error:
        label = error.field
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
    if element.length_digits or element.content == "b":
        return value
    return value.rjust(element.length, "0") if element.content in "nz" else value.ljust(element.length)


def _carried(dialect: Dialect, private: Mapping[str, str], document: Mapping[str, str]) -> dict[str, str]:
    """Spread the sub-elements, in the order of their tags, over the carriers that the caller has not filled."""
    free = [number for name in dialect.carriers if str(number := dialect.numbers[name]) not in document]
    carried: dict[str, str] = {}
    for tag, value in sorted(private.items()):
        piece = f"{tag}{len(value):03d}{value}"
        while free and len(carried.get(str(free[0]), "")) + len(piece) > dialect.elements[free[0]].length:
            free.pop(0)
        if not free or len(value) > 999:
            raise EncodeFailure(dialect=dialect.name, field=tag, problem="no carrier has room for the sub-element")
        carried[str(free[0])] = carried.get(str(free[0]), "") + piece
    return carried
