"""What is encoded is decoded: a law for every shipped dialect and for every way of writing an element."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.wire.decode import decode
from processor.wire.dialect import Dialect, parse_dialect
from processor.wire.element import Element
from processor.wire.encode import encode_message
from processor.wire.layout import PREFIX, Layout, Subfield
from tests.wire.conftest import DIALECTS, TEXTS

_VISIBLE = st.characters(
    min_codepoint=0x21, max_codepoint=0xFF, exclude_categories=("Cc", "Cf", "Zs"), exclude_characters="\xa4"
)


def _of_element(element: Element) -> st.SearchStrategy[str]:
    least = 1 if element.length_digits else element.length
    if element.content == "b":
        return st.binary(min_size=least, max_size=min(element.length, 40)).map(lambda octets: octets.hex().upper())
    if element.content == "n":
        return st.text("0123456789", min_size=least, max_size=element.length)
    return st.text(_VISIBLE, min_size=least, max_size=max(least, min(element.length, 60)))


def _of_subfield(dialect: Dialect, layout: Layout, subfield: Subfield) -> st.SearchStrategy[str]:
    if subfield.element is not None:
        return _of_element(subfield.element)
    if layout.form == "ber":
        return st.binary(min_size=3, max_size=3).map(lambda octets: octets.hex().upper())
    if subfield.tag == PREFIX:
        return st.text("ABCR", min_size=1, max_size=1)
    if layout.form == "positions":
        first, _, last = subfield.tag.partition("-")
        width = int(last or first) - int(first) + 1
        digits = dialect.elements[dialect.numbers[layout.carriers[0]]].content == "n"
        return st.text("123456789" if digits else _VISIBLE, min_size=width, max_size=width)
    return st.text(_VISIBLE, min_size=1, max_size=12)


def _drawn(data: st.DataObject, dialect: Dialect) -> dict[str, str]:
    below = dialect.subfields
    carriers = {carrier for layout in dialect.layouts for carrier in layout.carriers}
    names = data.draw(st.sets(st.sampled_from(sorted(dialect.kept - carriers))))
    fields = {}
    for name in sorted(names):
        if name in below:
            fields[name] = data.draw(_of_subfield(dialect, *below[name]))
        else:
            fields[name] = data.draw(_of_element(dialect.elements[dialect.numbers[name]]))
    return fields


def _check(dialect: Dialect, mti: str, fields: dict[str, str]) -> None:
    decoded = decode(dialect, encode_message(dialect, mti, fields))

    assert fields == {name: decoded.fields.get(name) for name in fields}
    assert mti == decoded.mti
    assert () == decoded.oddities


@pytest.mark.parametrize("name", sorted(DIALECTS))
@given(data=st.data())
@settings(max_examples=60)
def test_every_kept_field_survives_the_way_to_bytes_and_back(name: str, data: st.DataObject) -> None:
    """Any kept element's and sub-field's value comes back, in every shipped dialect and message type."""
    dialect = DIALECTS[name]
    mti = data.draw(st.sampled_from(sorted(dialect.message_type_bytes)))

    _check(dialect, mti, _drawn(data, dialect))


_ENCODING = {
    "text": st.sampled_from(["latin-1", "cp037", "cp500", "cp1140"]),
    "numeric": st.sampled_from(["text", "bcd", "latin-1", "cp500"]),
    "length": st.sampled_from(["text", "bcd", "binary", "latin-1", "cp500"]),
    "bitmap": st.sampled_from(["binary", "hex"]),
    "binary": st.sampled_from(["raw", "hex"]),
    "pad": st.sampled_from(["left", "right"]),
    "pad_digit": st.sampled_from(["0", "F"]),
    "message_type": st.sampled_from(["numeric", "text", "bcd", "latin-1"]),
    "second_bitmap": st.sampled_from(["announced", "always", "unannounced"]),
}
_OF_AN_ELEMENT = {key: _ENCODING[key] for key in ("text", "numeric", "length", "binary", "pad", "pad_digit")}


@given(data=st.data(), encoding=st.fixed_dictionaries(_ENCODING), own=st.fixed_dictionaries(_OF_AN_ELEMENT))
@settings(max_examples=80, deadline=None)
def test_every_way_of_writing_elements_is_read_back(
    data: st.DataObject, encoding: dict[str, str], own: dict[str, str]
) -> None:
    """Any mixture of encodings, one for the dialect and another for some of its elements, reads what it wrote."""
    odd = ", ".join(f"{key}: {value}" for key, value in own.items())
    text = f"""extends: iso87-ascii
encoding: {{{", ".join(f"{key}: {value}" for key, value in encoding.items())}}}
elements:
  32: [acquirer, n..11, Acquirer, {{{odd}}}]
  42: [acceptor, ans15, Acceptor, {{{odd}}}]
  49: [currency, n3, Currency, {{{odd}}}]
  63: [lifecycle_id, ans...16, Life cycle, {{{odd}}}]
  64: [mac, b8, Authentication code, {{{odd}}}]
  130: [above, n7, In the third bitmap]
  192: [highest, ans..20, The last element, {{{odd}}}]
kept: [above, highest, inherited]
"""
    dialect = parse_dialect("own", text, TEXTS)

    _check(dialect, "0100", _drawn(data, dialect))
