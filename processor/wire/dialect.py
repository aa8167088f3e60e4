"""Dialects: what one network or host means by an ISO 8583 message, read from YAML data and compiled once.

It decides which elements exist, how each is written, which survive the parse and which tell one message from another.
Element numbers live here and in ``schemas/iso8583/``; all other code knows an element by its name.
It never reads a file: its callers hand in the text.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from processor.wire.dialect_checks import award_element, check_lists, check_names, listed_fields
from processor.wire.dialect_meaning import (
    Condition,
    KindRule,
    Meaning,
    PartialReversal,
    read_meaning,
    read_message_types,
)
from processor.wire.dialect_text import DialectError, DialectText, read_dialect_text
from processor.wire.element import (
    Element,
    codec_of,
    length_characters,
    pad_of_bytes,
    read_elements,
    read_encoding,
    soundness,
    specification,
)
from processor.wire.layout import Layout, Subfield
from processor.wire.layout_text import read_layouts
from processor.wire.message_header import MessageHeader, read_header
from processor.wire.product_codes import PLACES

__all__ = ["Dialect", "DialectError", "Element", "Rule", "SubfieldRule", "parse_dialect"]

DECISION_FIELDS: Final = frozenset(
    {
        "acquirer",
        "acquirer_reference",
        "amount",
        "billing_amount",
        "billing_currency",
        "clearing_part",
        "currency",
        "file_amount",
        "file_messages",
        "forwarder",
        "function_code",
        "mcc",
        "presentment_reversal",
        "processing_code",
        "trace_number",
        "transmission_date_time",
    }
)
"""Fields whose content must be what their format says, because a decision reads them; others are noted as odd."""

HIGHEST: Final = 192
"""The last element that three bitmaps can announce."""

KEYS: Final = frozenset(
    {
        "accepted",
        "award_field",
        "clearing_identity",
        "dated_by",
        "description",
        "echo",
        "elements",
        "encoding",
        "extends",
        "header",
        "identity",
        "kept",
        "kinds",
        "links",
        "marks",
        "messages",
        "original_trace",
        "partial_reversal",
        "sensitive",
        "subfields",
        "trace",
        "version",
        "volatile",
    }
)


class SubfieldRule(NamedTuple):
    """What decoding does with one sub-field."""

    name: str
    kept: bool
    strict: bool
    valid: Callable[[str], bool]
    numeric: bool


class LayoutRule(NamedTuple):
    """What decoding does with a carrier: take it apart, and refuse a broken one where a decision needs its content."""

    layout: Layout
    fields: Mapping[str, SubfieldRule]
    strict: bool


class Rule(NamedTuple):
    """What decoding does with one element, looked up once a message and element."""

    number: int
    name: str
    kept: bool
    echoed: bool
    valid: Callable[[str], bool]
    closer: bool
    """Whether there is more to look at: a carrier to take apart, or digits that are not kept."""
    length_characters: bytes | None
    """The ten digits as bytes of a length in characters; None where a length is packed or fixed."""
    numeric: bool
    strict: bool
    layout: LayoutRule | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dialect:
    """A compiled dialect.

    ``spec`` is what pyiso8583 reads, ``encoding_spec`` the same without the header.
    ``rules`` is keyed by element number in text, as that library names elements.
    ``known_bits`` has the bit of every element the dialect knows, element 1 the highest of 192.
    ``message_types`` maps the bytes of every accepted message type, repeats included, to its four digits.
    ``trims`` has the elements whose length counts bytes, with the side of their padding.
    ``trace`` and ``original_trace`` are fields, in pairs, of a message and of one that refers to it.
    ``dated_by`` are the fields that, joined, date an online message.
    ``accepted`` is the response code of an answer where none came, by the class of the message type.
    ``product_places`` are the kept fields that hold one product code each.
    """

    name: str
    description: str
    version: str
    text_codec: str
    elements: Mapping[int, Element]
    numbers: Mapping[str, int]
    layouts: tuple[Layout, ...]
    header: MessageHeader | None
    identity: tuple[str, ...]
    clearing_identity: tuple[str, ...]
    kept: frozenset[str]
    volatile: frozenset[str]
    sensitive: frozenset[str]
    echo: tuple[str, ...]
    links: tuple[str, ...]
    kinds: tuple[KindRule, ...]
    marks: Mapping[str, Condition]
    trace: tuple[str, ...]
    original_trace: tuple[str, ...]
    dated_by: tuple[str, ...]
    partial_reversal: PartialReversal | None
    accepted: Mapping[str, str]
    award_field: int | None
    product_places: tuple[str, ...]
    spec: Mapping[str, Mapping[str, Any]]
    encoding_spec: Mapping[str, Mapping[str, Any]]
    rules: Mapping[str, Rule]
    trims: Mapping[str, str]
    known_bits: int
    hexadecimal_bitmap: bool
    second_bitmap: str
    message_start: int
    message_type_length: int
    message_types: Mapping[bytes, str]
    message_type_bytes: Mapping[str, bytes]

    @property
    def subfields(self) -> Mapping[str, tuple[Layout, Subfield]]:
        """Every named sub-field by its name, with the layout that it is part of."""
        return {subfield.name: (layout, subfield) for layout in self.layouts for subfield in layout.fields.values()}


def parse_dialect(name: str, text: str, parents: Mapping[str, str] | None = None, source: str = "") -> Dialect:
    """Compile one dialect; ``parents`` holds the text of the dialects it may extend, by name.

    ``source`` is the file's name for errors, ``NAME.yaml`` where it is not given.
    Raises :class:`DialectError` with everything that is wrong.
    """
    return _compile(name, read_dialect_text(source or f"{name}.yaml", text, parents or {}))


def _compile(name: str, text: DialectText) -> Dialect:
    text.known_keys((), text.value, KEYS)
    encoding = read_encoding(text)
    elements = read_elements(text, encoding)
    layouts = read_layouts(text, {element.name: element for element in elements.values()}, encoding)
    header = read_header(text)
    types = read_message_types(text)
    listed = listed_fields(text, elements, layouts)
    meaning = read_meaning(text, listed["kept"])
    award_field = award_element(text, elements)
    check_names(text, elements, layouts)
    check_lists(text, listed, elements, layouts)
    text.stop_at_errors()
    return _dialect(name, text, encoding, elements, layouts, header, types, listed, meaning, award_field)


def _dialect(
    name: str,
    text: DialectText,
    encoding: Mapping[str, str],
    elements: Mapping[int, Element],
    layouts: tuple[Layout, ...],
    header: MessageHeader | None,
    types: tuple[str, ...],
    listed: Mapping[str, tuple[str, ...]],
    meaning: Meaning,
    award_field: int | None,
) -> Dialect:
    """Put together what was read and found sound."""
    type_encoding = encoding["numeric" if encoding["message_type"] == "numeric" else "message_type"]
    spec = _spec(elements, encoding, header, packed_type=type_encoding == "bcd")
    as_bytes = {digits: _message_type_bytes(digits, type_encoding, encoding) for digits in types}
    return Dialect(
        name=name,
        description=str(text.value.get("description", "")),
        version=str(text.value["version"]),
        text_codec=encoding["text"],
        elements=elements,
        numbers={element.name: number for number, element in elements.items()},
        layouts=layouts,
        header=header,
        identity=listed["identity"],
        clearing_identity=listed["clearing_identity"],
        kept=frozenset(listed["kept"]),
        volatile=frozenset(listed["volatile"]),
        sensitive=frozenset(listed["sensitive"]),
        echo=listed["echo"],
        links=meaning.links,
        kinds=meaning.kinds,
        marks=meaning.marks,
        trace=meaning.trace,
        original_trace=meaning.original_trace,
        dated_by=meaning.dated_by,
        partial_reversal=meaning.partial_reversal,
        accepted=meaning.accepted,
        award_field=award_field,
        product_places=tuple(name for name in PLACES if name in listed["kept"]),
        spec=spec,
        encoding_spec={**spec, "h": {**spec["h"], "max_len": 0}},
        rules=_rules(elements, layouts, listed),
        trims={str(number): side for number, element in elements.items() if (side := pad_of_bytes(element))},
        known_bits=_known_bits(elements),
        hexadecimal_bitmap=encoding["bitmap"] == "hex",
        second_bitmap=encoding["second_bitmap"],
        message_start=header.length if header else 0,
        message_type_length=2 if type_encoding == "bcd" else 4,
        message_types={encoded: digits for digits, encoded in as_bytes.items()},
        message_type_bytes=as_bytes,
    )


def _rules(
    elements: Mapping[int, Element], layouts: tuple[Layout, ...], listed: Mapping[str, tuple[str, ...]]
) -> dict[str, Rule]:
    by_carrier = {carrier: _layout_rule(layout, listed) for layout in layouts for carrier in layout.carriers}
    return {
        str(number): Rule(
            number=number,
            name=element.name,
            kept=element.name in listed["kept"],
            echoed=element.name in listed["echo"],
            valid=soundness(element),
            closer=element.name in by_carrier or (element.content == "n" and element.name not in listed["kept"]),
            length_characters=length_characters(element),
            numeric=element.content == "n",
            strict=_is_strict(element.name, listed),
            layout=by_carrier.get(element.name),
        )
        for number, element in elements.items()
    }


def _layout_rule(layout: Layout, listed: Mapping[str, tuple[str, ...]]) -> LayoutRule:
    fields = {
        tag: SubfieldRule(
            name=subfield.name,
            kept=subfield.name in listed["kept"],
            strict=_is_strict(subfield.name, listed),
            valid=soundness(subfield.element) if subfield.element else str.isprintable,
            numeric=subfield.element is not None and subfield.element.content == "n",
        )
        for tag, subfield in layout.fields.items()
    }
    return LayoutRule(layout=layout, fields=fields, strict=any(rule.kept and rule.strict for rule in fields.values()))


def _is_strict(name: str, listed: Mapping[str, tuple[str, ...]]) -> bool:
    return name in DECISION_FIELDS or name in listed["identity"] or name in listed["clearing_identity"]


def _known_bits(elements: Mapping[int, Element]) -> int:
    """Return the bits of all elements, that of the second bitmap, and of the third where an element needs it."""
    numbers = {1, *elements, *([65] if any(number > 128 for number in elements) else [])}
    return sum(1 << (HIGHEST - number) for number in numbers)


def _message_type_bytes(digits: str, type_encoding: str, encoding: Mapping[str, str]) -> bytes:
    if type_encoding == "bcd":
        return bytes.fromhex(digits)
    return digits.encode(encoding["text"] if type_encoding == "text" else type_encoding)


def _spec(
    elements: Mapping[int, Element], encoding: Mapping[str, str], header: MessageHeader | None, *, packed_type: bool
) -> dict[str, dict[str, Any]]:
    text = encoding["text"]
    fixed = {"len_enc": text, "len_type": 0}
    packed_bitmap = encoding["bitmap"] == "binary"
    bitmap = {
        **fixed,
        "data_enc": "b" if packed_bitmap else text,
        "max_len": 8 if packed_bitmap else 16,
        "desc": "Bitmap",
    }
    type_key = "numeric" if encoding["message_type"] == "numeric" else "message_type"
    message_type = "b" if packed_type else codec_of(encoding, type_key)
    spec: dict[str, dict[str, Any]] = {
        "h": {**fixed, "data_enc": "b", "max_len": header.length if header else 0, "desc": "Header"},
        "t": {**fixed, "data_enc": message_type, "max_len": 2 if packed_type else 4, "desc": "Type"},
        "p": bitmap,
        "1": bitmap,
    }
    return spec | {str(number): specification(element) for number, element in elements.items()}
