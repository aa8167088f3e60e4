"""What must hold between the parts of a dialect: names, lists of fields, and what may never be kept or repeated.

It notes what does not hold, so that a dialect which compiles cannot keep card data.
"""

from collections.abc import Mapping
from typing import Any, Final

from processor.core.located_document import shown
from processor.wire.dialect_text import DialectText
from processor.wire.element import Element
from processor.wire.layout import Layout

_LISTS: Final = ("clearing_identity", "echo", "identity", "kept", "sensitive", "volatile")


def listed_fields(
    text: DialectText, elements: Mapping[int, Element], layouts: tuple[Layout, ...]
) -> dict[str, tuple[str, ...]]:
    """Return the dialect's lists of fields; a name that no element and no sub-field has is noted and left out."""
    names = [element.name for element in elements.values()]
    # An element that is wrong elsewhere still has its name, so that one error does not bring forth others.
    names += [entry[0] for entry in text.mapping("elements").values() if isinstance(entry, list) and entry]
    below = [subfield.name for layout in layouts for subfield in layout.fields.values()]
    return {
        key: text.words((key,), text.value.get(key), [name for name in [*names, *below] if isinstance(name, str)])
        for key in _LISTS
    }


def award_element(text: DialectText, elements: Mapping[int, Element]) -> int | None:
    """Return the number of the element that carries the award, None where there is none."""
    stated = text.value.get("award_field")
    if stated is None:
        return None
    if isinstance(stated, int) and stated in elements and elements[stated].holds_variable_text:
        return int(stated)
    text.refuse(("award_field",), f"is {shown(stated)}", "expected the number of a text element of variable length")
    return None


def check_names(text: DialectText, elements: Mapping[int, Element], layouts: tuple[Layout, ...]) -> None:
    """Note a name of two fields, a carrier of two layouts, and a dialect without the account number."""
    seen: dict[str, str] = {}
    for number, element in elements.items():
        if element.name in seen:
            expected = f"is that of {seen[element.name]} too; expected each name once"
            text.refuse(("elements", str(number)), f"the name {element.name}", expected)
        seen.setdefault(element.name, f"element {number}")
    carriers: set[str] = set()
    for layout in layouts:
        path = ("subfields", layout.carriers[0])
        for subfield in layout.fields.values():
            if subfield.name in seen:
                expected = f"is that of {seen[subfield.name]} too; expected each name once"
                text.refuse((*path, "fields", subfield.tag), f"the name {subfield.name}", expected)
            seen.setdefault(subfield.name, f"sub-field {subfield.tag} of {layout.carriers[0]}")
        for carrier in layout.carriers:
            if carrier in carriers:
                text.refuse(path, f"{carrier} has two layouts", "expected one", at_key=True)
            carriers.add(carrier)
    if "pan" not in [element.name for element in elements.values()]:
        text.refuse(("elements",), "lacks pan", "expected one element of that name", at_key=True)


def check_lists(
    text: DialectText,
    listed: Mapping[str, tuple[str, ...]],
    elements: Mapping[int, Element],
    layouts: tuple[Layout, ...],
) -> None:
    """Note card data that is kept, identity that is not, and elements that no answer may repeat."""
    kept, sensitive = set(listed["kept"]), set(listed["sensitive"])
    below = {subfield.name: layout for layout in layouts for subfield in layout.fields.values()}
    card_data = {field.name for layout in layouts for tag, field in layout.fields.items() if tag in layout.card_data}
    for field in sorted(kept & ({"pan"} | sensitive | card_data)):
        text.refuse(("kept", _index(text, "kept", field)), f"lists {field!r}", "expected nothing that is sensitive")
    for layout in layouts:
        hides = sensitive & {subfield.name for subfield in layout.fields.values()}
        whole = kept & set(layout.carriers)
        for carrier in sorted(whole) if hides or layout.form == "ber" or layout.keeps_unknown else ():
            problem = f"lists {carrier!r}, whose sub-fields hold what is sensitive"
            text.refuse(("kept", _index(text, "kept", carrier)), problem, "keep the sub-fields that are needed instead")
    for key in ("identity", "clearing_identity", "volatile"):
        for field in [field for field in listed[key] if field not in kept]:
            text.refuse((key, _index(text, key, field)), f"lists {field!r}, which is not kept", "add it to kept")
    for field in [field for field in listed["echo"] if field in below or field in sensitive]:
        expected = "expected elements that are not sensitive"
        text.refuse(("echo", _index(text, "echo", field)), f"lists {field!r}", expected)
    for field in [field for field in listed["echo"] if field in {element.name for element in elements.values()}]:
        hidden = [layout for layout in layouts if field in layout.carriers and layout.form == "ber"]
        if hidden:
            problem = f"lists {field!r}, which may hold card data"
            text.refuse(("echo", _index(text, "echo", field)), problem, "expected elements that are not sensitive")


def _index(text: DialectText, key: str, field: str) -> int:
    stated: list[Any] = text.value[key]
    return stated.index(field)
