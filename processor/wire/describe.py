"""A message as rows for a person: every element with its number, name, meaning and a value that may be shown.

It decides what may be shown: the account number masked, sensitive elements as ``dropped``, elements that are not
kept by their length alone.
It is for tools, not for the path of a message.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import iso8583

from processor.wire.decode import Decoded, decode, split_subelements
from processor.wire.dialect import Dialect

DROPPED: Final = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedElement:
    """One row: ``number`` is the element's, with the tag of a sub-element after a point, or ``mti``."""

    number: str
    name: str
    description: str
    value: str


def describe(dialect: Dialect, raw: bytes) -> list[DescribedElement]:
    """Return the rows of a message in the order of its elements.

    Raises :class:`~processor.wire.decode.DecodeFailure`.
    """
    decoded = decode(dialect, raw)
    return [
        DescribedElement(number="mti", name="message_type", description="Message type identifier", value=decoded.mti),
        *_rows(dialect, decoded, raw),
    ]


def _rows(dialect: Dialect, decoded: Decoded, raw: bytes) -> Iterator[DescribedElement]:
    document, _ = iso8583.decode(raw, dialect.spec)  # It decoded before, so it decodes now.
    for number, element in dialect.elements.items():
        value = document.get(str(number))
        if value is None:
            continue
        if element.name == "pan":
            shown = "" if decoded.pan is None else decoded.pan.masked
        elif element.name in dialect.kept:
            shown = decoded.fields.get(element.name, "")
        elif element.name in dialect.sensitive:
            shown = DROPPED
        else:
            shown = f"not kept ({len(value)} characters)"
        yield DescribedElement(number=str(number), name=element.name, description=element.description, value=shown)
        if element.name in dialect.carriers:
            yield from _subelement_rows(dialect, decoded, number, value)


def _subelement_rows(dialect: Dialect, decoded: Decoded, number: int, carrier: str) -> Iterator[DescribedElement]:
    for tag, _ in split_subelements(carrier):
        subelement = dialect.subelements.get(tag)
        if subelement is not None:
            yield DescribedElement(
                number=f"{number}.{tag}",
                name=subelement.name,
                description=subelement.description,
                value=decoded.fields.get(subelement.name, ""),
            )
