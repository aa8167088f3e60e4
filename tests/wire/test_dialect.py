"""Dialects: what ships compiles, what is wrong is refused with its file, place and remedy."""

import pytest

from processor.wire.dialect import DialectError, parse_dialect
from tests.wire.conftest import DIALECTS, TEXTS


def test_the_shipped_dialects_compile() -> None:
    """Every file in the folder is a dialect."""
    expected = [
        "ipm93-ascii",
        "ipm93-ebcdic",
        "iso87-ascii",
        "iso87-bcd",
        "iso87-ebcdic",
        "iso93-ascii",
        "iso93-bcd",
        "iso93-ebcdic",
        "mastercard-like-ebcdic",
        "pos-bcd",
        "visa-like-bcd",
    ]
    assert expected == sorted(DIALECTS)


def test_a_dialect_takes_over_what_it_does_not_override() -> None:
    """Packed digits change the encoding alone."""
    plain, packed = DIALECTS["iso87-ascii"], DIALECTS["iso87-bcd"]

    assert plain.numbers == packed.numbers
    assert [element.format for element in plain.elements.values()] == [
        element.format for element in packed.elements.values()
    ]
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


def test_a_key_without_a_value_takes_away() -> None:
    """A child drops an element, a table or one line of it; sub-fields of another layout replace the parent's."""
    own = parse_dialect(
        "own",
        "extends: iso87-ascii\nelements: {105: }\nmarks:\nsubfields:\n  original_data:\n    layout: positions\n"
        '    fields: {"5-10": [original_trace_number, Trace], "11-20": [original_date_time, Time], '
        '"21-31": [original_acquirer, Acquirer]}\n',
        TEXTS,
    )

    assert 105 not in own.elements
    assert {} == own.marks
    assert {"5-10", "11-20", "21-31"} == set(own.layouts[0].fields)


def test_a_list_adds_to_the_list_it_inherits() -> None:
    """A child that keeps one field more names that one alone."""
    own = parse_dialect("own", "extends: iso87-ascii\nkept: [conversion_date, inherited]\n", TEXTS)

    assert {"conversion_date", *DIALECTS["iso87-ascii"].kept} == own.kept


def test_everything_that_is_wrong_is_said_at_once() -> None:
    """Each error has its own line and column, also one in a dialect that is extended."""
    text = "extends: base\nkept: [amonut]\nlinks: [terminal]\nelements:\n  3: [processing_code, n6..., Code]\n"
    base = TEXTS["iso87-ascii"].replace('version: "0"', 'version: "7"')

    with pytest.raises(DialectError) as caught:
        parse_dialect("own", text, {"base": base}, source="folder/own.yaml")

    places = [(error.source, error.line, error.column, error.path) for error in caught.value.errors]
    assert ("folder/own.yaml", 2, 8, "kept[0]") in places
    assert ("folder/own.yaml", 3, 9, "links[0]") in places
    assert ("folder/own.yaml", 5, 24, "elements.3[1]") in places
    assert ("base.yaml", 4, 10, "version") in places
    assert "folder/own.yaml:2:8 kept[0]: lists 'amonut'; did you mean 'amount'?" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("a: [", "document", "is not YAML"),
        ("- 1", "document", "is no dialect"),
        ("colour: red", "colour", "not a known key"),
        ("extends: nothing", "extends", "names 'nothing'"),
        ("extends: loop", "extends", "in a circle"),
        ("extends: iso87-ascii\nversion: 2", "version", "one of 0, 1"),
        ("extends: iso87-ascii\nencoding: {text: utf-8}", "encoding.text", "latin-1"),
        ("extends: iso87-ascii\nencoding: {size: 1}", "encoding.size", "not a known key"),
        ("extends: iso87-ascii\nencoding: {text: }", "encoding", "lacks text"),
        ("extends: iso87-ascii\nelements: [1]", "elements", "expected a mapping"),
        ("extends: iso87-ascii\nelements: {65: [x, n1, X]}", "elements.65", "from 2 to 192"),
        ("extends: iso87-ascii\nelements: {193: [x, n1, X]}", "elements.193", "from 2 to 192"),
        ("extends: iso87-ascii\nelements: {3: [x, n1]}", "elements.3", "three texts"),
        ("extends: iso87-ascii\nelements: {3: [Bad-Name, n1, X]}", "elements.3[0]", "lower case words"),
        ("extends: iso87-ascii\nelements: {3: [x, n1.., X]}", "elements.3[1]", "format such as n6"),
        ("extends: iso87-ascii\nelements: {3: [x, n.10, X]}", "elements.3[1]", "at most 9"),
        ("extends: iso87-ascii\nelements: {3: [x, n6, X, red]}", "elements.3[3]", "expected a mapping"),
        ("extends: iso87-ascii\nelements: {3: [x, n6, X, {red: 1}]}", "elements.3[3].red", "not a known key"),
        ("extends: iso87-ascii\nelements: {3: [x, n6, X, {pad: up}]}", "elements.3[3].pad", "left, right"),
        ("extends: iso87-bcd\nelements: {3: [x, n6, X, {counts: bytes}]}", "elements.3", "pad_digit: F"),
        ("extends: iso87-ascii\nelements: {2: [x, n..19, X]}", "elements", "lacks pan"),
        ("extends: iso87-ascii\nelements: {3: [amount, n6, X]}", "elements.4", "each name once"),
        ("extends: iso87-ascii\nkept: amount", "kept", "expected a list"),
        ("extends: iso87-ascii\nkept: [amonut]", "kept[0]", "'amonut'"),
        ("extends: iso87-ascii\nkept: [pan]", "kept[0]", "sensitive"),
        ("extends: iso87-ascii\nkept: [track_2]", "kept[0]", "sensitive"),
        ("extends: iso87-ascii\nidentity: [conversion_date]", "identity[0]", "not kept"),
        ("extends: iso87-ascii\necho: [track_2]", "echo[0]", "not sensitive"),
        ("extends: visa-like-bcd\necho: [chip_data]", "echo[0]", "may hold card data"),
        ("extends: iso87-ascii\naward_field: 39", "award_field", "variable length"),
        ("extends: iso87-ascii\naward_field: 1", "award_field", "variable length"),
        ("extends: iso87-ascii\naward_field: [62]", "award_field", "variable length"),
        ("extends: iso87-ascii\nlinks: [terminal]", "links[0]", "lifecycle_id"),
        ("extends: iso87-ascii\nmessages: []", "messages", "lists nothing"),
        ('extends: iso87-ascii\nmessages: ["1100"]', "messages[0]", "0 the first"),
        ('extends: iso87-ascii\nmessages: ["0101"]', "messages[0]", "list the original"),
        ("extends: ipm93-ebcdic\nkinds: {1240: loan}", "kinds.1240", "presentment"),
        ("extends: ipm93-ebcdic\nkinds: {1241: presentment}", "kinds.1241", "expected a message type"),
        ("extends: iso87-ascii\nmarks: {red: {mcc: [1]}}", "marks.red", "not a known key"),
        ("extends: iso87-ascii\nmarks: {estimated: {award: [1]}}", "marks.estimated.award", "not kept"),
        ("extends: iso87-ascii\ntrace: [trace_number]", "original_trace", "expected as many as trace has"),
        ("extends: iso87-ascii\npartial_reversal: {states: much}", "partial_reversal.states", "remaining, reversed"),
        ("extends: iso87-ascii\npartial_reversal: {states: reversed}", "partial_reversal.original", "expected one of"),
        ("extends: iso87-ascii\naccepted: {9: 00}", "accepted.9", "class of a message type"),
        ("extends: iso87-ascii\nheader: [x]", "header[0]", "[name, bytes, description]"),
        ("extends: iso87-ascii\nheader: []", "header", "expected a list"),
        ("extends: iso87-ascii\nheader: [[a, 2, A, {answer: b}]]", "header[0]", "expected one of a"),
        ("extends: iso87-ascii\nheader: [[a, 2, A, {answer: b}], [b, 1, B]]", "header[0]", "same length"),
        ("extends: iso87-ascii\nheader: [[a, 2, A, {value: x}]]", "header[0][3].value", "2 bytes"),
        ("extends: iso87-ascii\nheader: [[a, 60, A], [b, 60, B]]", "header", "at most 64"),
        ("extends: iso87-ascii\nsubfields: {x: {layout: tags}}", "subfields.x", "name of the element"),
        ("extends: iso87-ascii\nsubfields: {x: 1}", "subfields.x", "expected a mapping"),
        ("extends: iso87-ascii\nsubfields: {award: {layout: heap}}", "subfields.award.layout", "tags"),
        ("extends: iso87-ascii\nsubfields: {award: {layout: ber}}", "subfields.award.layout", "on bytes"),
        ("extends: iso87-ascii\nsubfields: {award: {layout: tags, tag: 2}}", "subfields.award.length", "from 1 to 4"),
        (
            "extends: ipm93-ebcdic\nsubfields: {additional_data: {fields: {25: [x, X]}}}",
            "subfields.additional_data.fields.25",
            "4 digits in quotes",
        ),
        (
            'extends: ipm93-ebcdic\nsubfields: {additional_data: {fields: {"0025": [x]}}}',
            "subfields.additional_data.fields.0025",
            "[name, description]",
        ),
        (
            'extends: visa-like-bcd\nsubfields: {chip_data: {fields: {"70": [x, X]}}}',
            "subfields.chip_data.fields.70",
            "tags inside the template",
        ),
        (
            "extends: visa-like-bcd\nsubfields: {network_data: {fields: {25: [x, n1, X]}}}",
            "subfields.network_data.fields.25",
            "number up to 24",
        ),
        (
            'extends: iso87-ascii\nsubfields: {award: {layout: pattern, pattern: "(", fields: {}}}',
            "subfields.award.pattern",
            "no regular expression",
        ),
        (
            'extends: iso87-ascii\nsubfields: {award: {layout: pattern, pattern: "a", fields: {b: [b, B]}}}',
            "subfields.award.fields.b",
            "no group",
        ),
        (
            'extends: iso87-ascii\nsubfields: {award: {layout: positions, fields: {"9-1": [b, B]}}}',
            "subfields.award.fields.9-1",
            "lower place first",
        ),
        (
            "extends: mastercard-like-ebcdic\nkept: [additional_private]",
            "kept[0]",
            "keep the sub-fields",
        ),
    ],
)
def test_a_wrong_dialect_is_refused_with_its_place(text: str, place: str, expected: str) -> None:
    """The error names the file, the place in it and what was expected there."""
    with pytest.raises(DialectError) as caught:
        parse_dialect("own", text, {**TEXTS, "loop": "extends: loop"})

    found = [error for error in caught.value.errors if error.path == place]
    assert expected in "\n".join(str(error) for error in found), str(caught.value)
    assert all(error.line >= 1 and error.column >= 1 for error in found)


@pytest.mark.parametrize("tag", ["57", "5A", "5F20", "56", "9F1F", "9F20", "9F6B"])
def test_card_data_of_a_chip_is_never_kept(tag: str) -> None:
    """No dialect can keep an EMV tag that holds the card number, a track or the holder's name."""
    text = f'extends: visa-like-bcd\nsubfields: {{chip_data: {{fields: {{"{tag}": [secret, S]}}}}}}\nkept: [secret]'

    with pytest.raises(DialectError, match="expected nothing that is sensitive"):
        parse_dialect("own", text, TEXTS)
