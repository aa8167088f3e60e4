"""The ``subfields`` of a dialect's text to layouts: one step of compiling a dialect.

It decides which carriers there are, in which form each is, and what its sub-fields are called.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from processor.core.located_document import Path, shown
from processor.wire.dialect_text import DialectText, word_of
from processor.wire.element import Element, Encoding, read_element, read_name, specification
from processor.wire.layout import (
    CARD_DATA_TAGS,
    PREFIX,
    Layout,
    Subfield,
    ber,
    bitmapped,
    patterned,
    positioned,
    sequential,
    tagged,
)

FORMS: Final[Mapping[str, frozenset[str]]] = {
    "tags": frozenset({"tag", "length", "prefix", "also", "unknown"}),
    "ber": frozenset({"prefix", "also", "unknown"}),
    "positions": frozenset(),
    "pattern": frozenset({"pattern"}),
    "sequence": frozenset(),
    "bitmap": frozenset({"bytes"}),
}
"""The forms of a layout, each with the keys that it knows beside ``layout`` and ``fields``."""

_BER_TAG: Final = re.compile(r"(?:[0-9A-F]{2}){1,4}")
_PLACE: Final = re.compile(r"([1-9][0-9]{0,2})(?:-([1-9][0-9]{0,2}))?")
_MAXIMUM_PATTERN: Final = 500


def read_layouts(text: DialectText, elements: Mapping[str, Element], encoding: Encoding) -> tuple[Layout, ...]:
    """Return the dialect's layouts; ``elements`` by name. What is wrong is noted and left out."""
    found = []
    for carrier, stated in text.mapping("subfields").items():
        path = ("subfields", carrier)
        if not isinstance(stated, dict):
            text.refuse(path, f"is {shown(stated)}", "expected a mapping of layout and fields")
            continue
        form = text.one_of((*path, "layout"), stated.get("layout"), FORMS)
        carriers = _carriers(text, path, carrier, stated, elements)
        if form is None or carriers is None:
            continue
        text.known_keys(path, stated, {"layout", "fields", *FORMS[form]})
        layout = _layout(text, path, form, carriers, stated, elements[carrier], encoding)
        if layout is not None:
            found.append(layout)
    return tuple(found)


def _carriers(
    text: DialectText, path: Path, carrier: str, stated: Mapping[str, Any], elements: Mapping[str, Element]
) -> tuple[str, ...] | None:
    if carrier not in elements:
        text.refuse(path, "is no element", "expected the name of the element that carries the sub-fields", at_key=True)
        return None
    return (carrier, *text.words((*path, "also"), stated.get("also"), elements))


def _layout(
    text: DialectText,
    path: Path,
    form: str,
    carriers: tuple[str, ...],
    stated: Mapping[str, Any],
    carrier: Element,
    encoding: Encoding,
) -> Layout | None:
    if (form in {"ber", "bitmap"}) != (carrier.content == "b") and form != "positions":
        text.refuse(
            (*path, "layout"), f"is {form}", "expected ber or bitmap on bytes (b), and the others on characters"
        )
        return None
    own = encoding if form == "bitmap" else {**encoding, "numeric": "text", "length": "text"}
    fields = _fields(text, path, form, stated, own)
    functions = _functions(text, path, form, stated, fields, carrier)
    if functions is None:
        return None
    unknown = text.one_of((*path, "unknown"), stated.get("unknown", "skip"), ("skip", "keep"))
    split, join = functions
    return Layout(
        form=form,
        carriers=carriers,
        fields=fields,
        keeps_unknown=unknown == "keep",
        card_data=CARD_DATA_TAGS if form == "ber" else frozenset(),
        split=split,
        join=join,
    )


def _fields(
    text: DialectText, path: Path, form: str, stated: Mapping[str, Any], encoding: Encoding
) -> dict[str, Subfield]:
    entries = stated.get("fields", {})
    if not isinstance(entries, dict):
        text.refuse((*path, "fields"), f"is {shown(entries)}", "expected a mapping of tag to [name, description]")
        return {}
    found = {}
    for tag, entry in entries.items():
        place = (*path, "fields", tag)
        wrong = _wrong_tag(tag, form, stated)
        if wrong:
            text.refuse(place, "is no such tag", wrong, at_key=True)
            continue
        subfield = _subfield(text, place, tag, form, entry, encoding)
        if subfield is not None:
            found[tag] = subfield
    return found


def _subfield(text: DialectText, place: Path, tag: str, form: str, entry: Any, encoding: Encoding) -> Subfield | None:
    if form in {"bitmap", "sequence"}:
        element = read_element(text, place, int(tag), entry, encoding)
        if element is None:
            return None
        return Subfield(tag=tag, name=element.name, description=element.description, element=element)
    if not isinstance(entry, list) or len(entry) != 2 or word_of(entry[1]) is None:
        text.refuse(place, "is no sub-field", "expected [name, description]")
        return None
    name = read_name(text, (*place, 0), entry[0])
    return None if name is None else Subfield(tag=tag, name=name, description=str(entry[1]))


def _wrong_tag(tag: str, form: str, stated: Mapping[str, Any]) -> str:
    """Return what was expected of a tag, nothing where it is one."""
    if tag == PREFIX and form in {"tags", "ber"} and stated.get("prefix"):
        return ""
    if form == "tags":
        width = stated.get("tag")
        sound = tag.isascii() and tag.isalnum() and len(tag) == width
        return "" if sound else f"expected {width} digits in quotes"
    if form == "ber":
        if not _BER_TAG.fullmatch(tag):
            return 'expected a tag in upper case hexadecimal, in quotes, such as "9F26"'
        return "expected the tags inside the template; a template is always opened" if int(tag[:2], 16) & 0x20 else ""
    if form == "positions":
        return "" if _PLACE.fullmatch(tag) else 'expected places counted from 1, in quotes, such as "1-22"'
    if form == "pattern":
        return "" if tag.isidentifier() else "expected the name of a group of the pattern"
    most = 64 if form == "bitmap" else 99
    sound = tag.isascii() and tag.isdecimal() and len(tag) <= 2 and 1 <= int(tag) <= most
    return "" if sound else f"expected a number from 1 to {most}"


_Functions = tuple[Callable[[str], list[tuple[str, str]]], Callable[[Mapping[str, str]], list[str]] | None]


def _functions(
    text: DialectText,
    path: Path,
    form: str,
    stated: Mapping[str, Any],
    fields: Mapping[str, Subfield],
    carrier: Element,
) -> _Functions | None:
    """Return how to split and join a layout, None where what it needs is not there."""
    prefix = text.whole_number((*path, "prefix"), stated.get("prefix", 0), 0, 99)
    elements = {tag: subfield.element for tag, subfield in fields.items() if subfield.element is not None}
    if form == "tags":
        tag = text.whole_number((*path, "tag"), stated.get("tag"), 1, 8)
        length = text.whole_number((*path, "length"), stated.get("length"), 1, 4)
        return None if None in {tag, length, prefix} else tagged(tag or 0, length or 0, prefix or 0)
    if form == "ber":
        return None if prefix is None else ber(prefix)
    if form == "positions":
        return _positions(text, path, fields, carrier)
    if form == "pattern":
        return _pattern(text, path, stated.get("pattern"), fields)
    if form == "sequence":
        return sequential(dict(sorted(elements.items(), key=lambda item: int(item[0]))))
    width = text.whole_number((*path, "bytes"), stated.get("bytes"), 1, 8)
    if width is None:
        return None
    for tag_over in [tag_over for tag_over in elements if int(tag_over) > 8 * width]:
        text.refuse((*path, "fields", tag_over), "has no bit", f"expected a number up to {8 * width}", at_key=True)
    return bitmapped(width, elements, {tag: specification(element) for tag, element in elements.items()})


def _positions(text: DialectText, path: Path, fields: Mapping[str, Subfield], carrier: Element) -> _Functions:
    places = {}
    width = 2 if carrier.content == "b" else 1
    for tag in fields:
        found = _PLACE.fullmatch(tag)
        start, end = (int(found[1]), int(found[2] or found[1])) if found else (1, 1)
        if end < start:
            text.refuse((*path, "fields", tag), "ends before it begins", "expected the lower place first", at_key=True)
        places[tag] = (width * (start - 1), width * end)
    whole = 0 if carrier.length_digits else width * carrier.length
    filler = "0" if carrier.content in {"b", "n"} else " "
    return positioned(dict(sorted(places.items(), key=lambda item: item[1])), whole, filler)


def _pattern(text: DialectText, path: Path, stated: Any, fields: Mapping[str, Subfield]) -> _Functions | None:
    place = (*path, "pattern")
    if not isinstance(stated, str) or len(stated) > _MAXIMUM_PATTERN:
        text.refuse(place, f"is {shown(stated)}", f"expected a regular expression of at most {_MAXIMUM_PATTERN}")
        return None
    try:
        pattern = re.compile(stated)
    except re.error as error:
        text.refuse(place, f"is no regular expression: {error.msg}", "mend it")
        return None
    for tag in fields:
        if tag not in pattern.groupindex:
            text.refuse(
                (*path, "fields", tag), "is no group of the pattern", f"write (?P<{tag}>...) there", at_key=True
            )
    return patterned(pattern), None
