"""A message as rows for a person: every element with its number, name, meaning and a value that may be shown.

It decides what may be shown: the account number masked, sensitive elements as ``dropped``, elements that are not
kept by their length alone.
It is for tools, not for the path of a message.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from processor.core.card import holds_card_number
from processor.wire.decode import Decoded, decode, library_decode
from processor.wire.dialect import Dialect
from processor.wire.layout import Layout, LayoutError

DROPPED: Final = "dropped"
HIDDEN: Final = "not shown, it may be a card number"


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedElement:
    """One row: ``number`` is the element's, for a sub-field with its tag, or ``header``, ``mti`` or ``odd``."""

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
        *_header_rows(dialect, raw),
        DescribedElement(number="mti", name="message_type", description="Message type identifier", value=decoded.mti),
        *_rows(dialect, decoded, raw),
        *[DescribedElement(number="odd", name="", description="", value=oddity) for oddity in decoded.oddities],
    ]


def _header_rows(dialect: Dialect, raw: bytes) -> Iterator[DescribedElement]:
    for part in dialect.header.parts if dialect.header else ():
        value = raw[part.start : part.end].hex().upper()
        yield DescribedElement(number="header", name=part.name, description=part.description, value=value)


def _rows(dialect: Dialect, decoded: Decoded, raw: bytes) -> Iterator[DescribedElement]:
    document, _ = library_decode(dialect, raw)
    layouts = {carrier: layout for layout in dialect.layouts for carrier in layout.carriers}
    for number, element in dialect.elements.items():
        value = document.get(str(number))
        if value is None:
            continue
        shown = _shown(dialect, decoded, element.name, value)
        yield DescribedElement(number=str(number), name=element.name, description=element.description, value=shown)
        if element.name in layouts:
            yield from _subfield_rows(dialect, decoded, number, layouts[element.name], element.name, value)


def _shown(dialect: Dialect, decoded: Decoded, name: str, value: str) -> str:
    """Return what of a value a person may see; what decoding dropped as a copy of the card number stays unseen."""
    if name == "pan":
        return "" if decoded.pan is None else decoded.pan.masked
    if name in decoded.fields:
        kept = decoded.fields[name]
        # Where the message names no card to compare it with, groups of any length count as one run.
        ungrouped = kept.replace(" ", "").replace("-", "")
        return HIDDEN if decoded.pan is None and holds_card_number(ungrouped) else kept
    if name in dialect.sensitive:
        return DROPPED
    return f"not kept ({len(value)} characters)" if value else ""


def _subfield_rows(
    dialect: Dialect, decoded: Decoded, number: int, layout: Layout, carrier: str, value: str
) -> Iterator[DescribedElement]:
    try:
        parts = layout.split(value)
    except LayoutError as error:
        yield DescribedElement(number=str(number), name=carrier, description="does not read", value=str(error))
        return
    for tag, part in parts:
        subfield = layout.fields.get(tag)
        name = subfield.name if subfield else f"{carrier}.{tag}"
        shown = DROPPED if tag in layout.card_data else _shown(dialect, decoded, name, part)
        yield DescribedElement(
            number=f"{number}.{tag}", name=name, description=subfield.description if subfield else "", value=shown
        )
