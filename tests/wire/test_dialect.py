"""Dialects: what ships compiles, what is wrong is refused with its file, place and remedy."""

import pytest

from processor.wire.dialect import DialectError, parse_dialect
from tests.wire.conftest import DIALECTS, TEXTS


def test_the_shipped_dialects_compile() -> None:
    """Every file in the folder is a dialect."""
    assert ["ipm93-ebcdic", "iso87-ascii", "iso87-bcd"] == sorted(DIALECTS)


def test_a_dialect_takes_over_what_it_does_not_override() -> None:
    """Packed digits change the encoding alone."""
    plain, packed = DIALECTS["iso87-ascii"], DIALECTS["iso87-bcd"]

    assert plain.elements == packed.elements
    assert plain.kept == packed.kept
    assert plain.spec != packed.spec


def test_one_element_is_overridden() -> None:
    """A host's own file states only what differs."""
    text = "extends: iso87-ascii\nelements:\n  43: [acceptor_name, ans..99, Name]\nidentity: [trace_number]\n"

    dialect = parse_dialect("own", text, TEXTS)

    assert (2, 99) == (dialect.elements[43].length_digits, dialect.elements[43].length)
    assert DIALECTS["iso87-ascii"].elements[42] == dialect.elements[42]
    assert ("trace_number",) == dialect.identity


def test_no_shipped_dialect_keeps_what_is_sensitive() -> None:
    """What may not be kept is neither kept nor repeated by an answer."""
    for dialect in DIALECTS.values():
        for name in ("track_1", "track_2", "track_3", "pin_block", "security_control", "chip_data", "expiry_date"):
            assert name in dialect.sensitive
            assert name not in dialect.kept
            assert name not in dialect.echo


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("a: [", "line 1", "is not YAML"),
        ("- 1", "the file", "must be a mapping"),
        ("colour: red", "colour", "is not a known key"),
        ("extends: nothing", "extends", "names 'nothing'"),
        ("extends: loop", "extends", "in a circle"),
        ("extends: iso87-ascii\nversion: 0", "version", "in quotes"),
        ("extends: iso87-ascii\nencoding: {text: utf-8}", "encoding.text", "latin-1"),
        ("extends: iso87-ascii\nencoding: {size: 1}", "encoding", "exactly the keys"),
        ("extends: iso87-ascii\nelements: [1]", "elements", "mapping of element number"),
        ("extends: iso87-ascii\nelements: {65: [x, n1, X]}", "element 65", "from 2 to 128"),
        ("extends: iso87-ascii\nelements: {3: [x, n1]}", "element 3", "three texts"),
        ("extends: iso87-ascii\nelements: {3: [Bad-Name, n1, X]}", "element 3", "lower case words"),
        ("extends: iso87-ascii\nelements: {3: [x, n1.., X]}", "element 3", "one such as n6"),
        ("extends: iso87-ascii\nelements: {3: [x, n.10, X]}", "element 3", "at most 9"),
        ("extends: iso87-ascii\nelements: {2: [x, n..19, X]}", "elements", "lacks pan"),
        ("extends: iso87-ascii\nelements: {3: [amount, n6, X]}", "amount", "two elements"),
        ("extends: iso87-ascii\nkept: amount", "kept", "expected a list"),
        ("extends: iso87-ascii\nkept: [amonut]", "kept", "'amonut'"),
        ("extends: iso87-ascii\nkept: [pan]", "kept", "sensitive"),
        ("extends: iso87-ascii\nkept: [track_2]", "kept", "sensitive"),
        ("extends: iso87-ascii\nidentity: [conversion_date]", "identity", "not kept"),
        ("extends: iso87-ascii\necho: [track_2]", "echo", "not sensitive"),
        ("extends: iso87-ascii\naward_field: 39", "award_field", "variable length"),
        ("extends: iso87-ascii\naward_field: 1", "award_field", "variable length"),
        ("extends: iso87-ascii\nlinks: [terminal]", "links", "lifecycle_id"),
        ("extends: iso87-ascii\nmessages: []", "messages", "list of message types"),
        ("extends: iso87-ascii\nmessages: [0100]", "messages", "quotes"),
        ('extends: iso87-ascii\nmessages: ["1100"]', "messages", "0 the first"),
        ('extends: iso87-ascii\nmessages: ["0101"]', "messages", "list the original"),
        ("extends: ipm93-ebcdic\nsubelements: {x: 1}", "subelements", "carriers and fields"),
        ("extends: ipm93-ebcdic\nsubelements: {carriers: [x]}", "subelements", "'x' is no element"),
        ("extends: ipm93-ebcdic\nsubelements: {carriers: [amount]}", "subelements", "is kept whole"),
        ("extends: ipm93-ebcdic\nsubelements: {fields: {25: [x, X]}}", "subelement 25", "in quotes"),
        ('extends: ipm93-ebcdic\nsubelements: {fields: {"0025": [x]}}', "subelement 0025", "[name, description]"),
    ],
)
def test_a_wrong_dialect_is_refused_with_its_place(text: str, place: str, expected: str) -> None:
    """The error names the file, the place in it and what was expected there."""
    with pytest.raises(DialectError) as caught:
        parse_dialect("own", text, {**TEXTS, "loop": "extends: loop"})

    assert place in caught.value.place
    assert expected in caught.value.problem
    assert str(caught.value).startswith("dialect own.yaml, ") or "loop" in str(caught.value)
