"""Layouts: what is taken apart, what is refused or noted, and that card data inside a carrier is never kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.card import Pan
from processor.wire.decode import Decoded, DecodeFailure, decode
from processor.wire.dialect import Dialect, parse_dialect
from processor.wire.encode import EncodeFailure, encode_message
from processor.wire.layout import LayoutError, ber, tagged
from tests.wire.conftest import DIALECTS, PAN, TEXTS, authorization
from tests.wire.messages import fields_of

VISA = DIALECTS["visa-like-bcd"]
MASTERCARD = DIALECTS["mastercard-like-ebcdic"]


def _own(text: str, parent: str = "iso87-bcd") -> Dialect:
    return parse_dialect("own", f"extends: {parent}\n{text}", TEXTS)


def _decoded(dialect: Dialect, **fields: str) -> Decoded:
    return decode(dialect, encode_message(dialect, "0100", {"pan": PAN, **fields}))


CHIP = """
subfields:
  chip_data:
    layout: ber
    unknown: keep
    fields:
      "9F26": [application_cryptogram, Application cryptogram]
      "9F33": [terminal_capabilities, Terminal capabilities]
sensitive: [application_cryptogram, inherited]
kept: [terminal_capabilities, inherited]
"""


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("9F3303E0F8C8", {"terminal_capabilities": "E0F8C8"}),
        ("9F330003E0F8C8"[:6] + "950500000080009F2608" + "11" * 8, {"chip_data.95": "0000008000"}),
        ("9F1A0206209F3303E0F8C8", {"chip_data.9F1A": "0620", "terminal_capabilities": "E0F8C8"}),
        ("0000" + "9F1A020620" + "00", {"chip_data.9F1A": "0620"}),
        ("DF81290201020000", {"chip_data.DF8129": "0102"}),
        ("9F1A810206209F3303E0F8C8", {"chip_data.9F1A": "0620", "terminal_capabilities": "E0F8C8"}),
        ("9F1A82000206209F3303E0F8C8", {"chip_data.9F1A": "0620", "terminal_capabilities": "E0F8C8"}),
        ("7708" + "9F1A0206209A0126"[:16], {"chip_data.9F1A": "0620", "chip_data.9A": "26"}),
        ("9F1081" + "80" + "AB" * 128, {"chip_data.9F10": "AB" * 128}),
    ],
)
def test_chip_data_is_read_tag_by_tag(data: str, expected: dict[str, str]) -> None:
    """Tags of several bytes, long lengths, templates and zero bytes between tags are read; empty tags say nothing."""
    assert expected == _decoded(_own(CHIP), chip_data=data).fields


@pytest.mark.parametrize("form", [PAN, PAN + "FF"])
@pytest.mark.parametrize("tag", ["5A", "57", "5F20", "56", "9F1F", "9F20", "9F6B", "5F24", "99"])
def test_card_data_in_a_chip_is_dropped(tag: str, form: str) -> None:
    """The card number, tracks and the holder's name vanish, also inside a template, though unknown tags are kept."""
    inside = f"{tag}{len(form) // 2:02X}{form}"

    decoded = _decoded(_own(CHIP), chip_data=f"9F1A020620{inside}70{len(inside) // 2:02X}{inside}")

    assert {"chip_data.9F1A": "0620"} == decoded.fields


@pytest.mark.parametrize(
    "copy",
    [PAN, f"FF{PAN}FF", PAN.encode().hex(), PAN.encode("cp500").hex().upper()],
    ids=["packed", "inside", "ascii", "ebcdic"],
)
def test_a_copy_of_the_card_number_in_any_tag_is_dropped(copy: str) -> None:
    """A private tag that repeats the number, packed or as characters, is dropped and noted without it."""
    decoded = _decoded(_own(CHIP), chip_data=f"DF01{len(copy) // 2:02X}{copy}9F1A020620")

    assert {"chip_data.9F1A": "0620"} == decoded.fields
    assert ("chip_data.DF01 holds the card number",) == decoded.oddities
    assert PAN[6:12] not in repr(decoded)


@pytest.mark.parametrize("copy", [f"REF {PAN}", "4000 0098 7654 3219", "4000-0098-7654-3219"])
def test_a_copy_of_the_card_number_in_a_text_is_dropped(copy: str) -> None:
    """Digits in groups are the number too."""
    dialect = DIALECTS["iso87-ascii"]
    decoded = decode(dialect, encode_message(dialect, "0120", authorization(dialect, acceptor_name=copy)))

    assert "acceptor_name" not in decoded.fields
    assert ("acceptor_name holds the card number",) == decoded.oddities


@pytest.mark.parametrize(
    "data",
    ["9F", "9F33", "9F3305E0", "9F3380", "9F338400000001", "9F33820000"[:8], "DFFFFFFFFF0101", "7703" + "9F1A02"],
)
def test_broken_chip_data_is_noted_and_keeps_nothing(data: str) -> None:
    """Nothing that a decision needs is in there, so the message is decided on without it."""
    decoded = _decoded(_own(CHIP), chip_data=data)

    assert {} == decoded.fields
    assert 1 == len(decoded.oddities)
    assert decoded.oddities[0].startswith("chip_data: ")


def test_templates_nest_within_bounds() -> None:
    """A template in a template, far too often, is refused rather than followed."""
    split, _ = ber(0)
    data = "9F1A020620"
    for _ in range(20):
        data = f"77{len(data) // 2:02X}{data}"

    with pytest.raises(LayoutError, match="deeper than"):
        split(data)


@given(st.binary(max_size=60))
def test_no_bytes_break_the_chip_reader(data: bytes) -> None:
    """Any bytes give tags or a layout error, and no value is made up."""
    split, _ = ber(0)
    try:
        found = split(data.hex())
    except LayoutError:
        return
    assert sum(len(value) for _, value in found) <= 2 * len(data)


@pytest.mark.parametrize("length", ["+1", " 1", "1_", "-1", "\u0661\u0661", "AB"])
def test_a_length_of_a_tag_is_digits(length: str) -> None:
    """Signs, spaces, underscores and digits of other scripts, which number parsers forgive, are no length."""
    split, _ = tagged(2, 2, 0)

    with pytest.raises(LayoutError, match="not digits"):
        split(f"01{length}ABCDEF")


def test_sub_elements_behind_a_prefix_are_read() -> None:
    """The category before the tags and the tags are read, the verification code is dropped, others forgotten."""
    fields = fields_of(MASTERCARD, "0100")

    decoded = decode(MASTERCARD, encode_message(MASTERCARD, "0100", fields))

    assert ("R", "0103210") == (decoded.fields["transaction_category"], decoded.fields["electronic_commerce"])
    assert "MDSABCDEFGHI" == decoded.fields["lifecycle_id"]
    assert ("LISBOA", "PT") == (decoded.fields["acceptor_city"].strip(), decoded.fields["acceptor_country"].strip())
    assert "cvc2" not in decoded.fields
    assert "9203123" not in repr(decoded)


def test_a_broken_carrier_that_no_decision_needs_is_noted() -> None:
    """Private data that do not read cost the message nothing but themselves."""
    raw = encode_message(MASTERCARD, "0100", {"pan": PAN, "additional_private": "R9299123"})

    decoded = decode(MASTERCARD, raw)

    assert Pan(PAN) == decoded.pan
    assert ("additional_private: a sub-field is longer than its carrier",) == decoded.oddities


def test_a_field_with_its_own_bitmap_is_read() -> None:
    """Packed and text sub-fields behind a bitmap are read under their names."""
    decoded = decode(VISA, encode_message(VISA, "0120", fields_of(VISA, "0120")))

    assert "326326402215310" == decoded.fields["lifecycle_id"]
    assert ("Y", "0002") == (decoded.fields["authorization_characteristics"], decoded.fields["network_identification"])


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("C0", "ends inside its bitmap"),
        ("0100000000000000", "has a sub-field that the dialect lacks"),
        ("4000000000000000" + "03", "longer than its format or its carrier"),
        ("8000000000000000" + "E8E8", "longer than its format or its carrier"),
    ],
)
def test_a_broken_field_with_its_own_bitmap_is_noted(data: str, problem: str) -> None:
    """A bitmap that is cut, a bit without a sub-field, too few and too many bytes."""
    decoded = _decoded(VISA, custom_payment_service=data)

    assert problem in decoded.oddities[0]
    assert "lifecycle_id" not in decoded.fields


def test_a_verification_code_behind_a_bitmap_is_dropped() -> None:
    """The printed verification code is in no field and no print."""
    decoded = _decoded(VISA, cvv2="112468", recurring_indicator="R")

    assert "cvv2" not in decoded.fields
    assert "2468" not in repr(decoded)


def test_a_pattern_reads_a_name_and_place() -> None:
    """Groups of the pattern are sub-fields; what does not match is noted; such a layout is not written."""
    own = _own(
        """
elements: {43: [acceptor_location, ans..99, Name and place]}
subfields:
  acceptor_location:
    layout: pattern
    pattern: '(?P<name>[^\\\\]+)\\\\(?P<street>[^\\\\]*)\\\\(?P<city>[^\\\\]*)\\\\.*'
    fields: {name: [acceptor_name, Name], city: [acceptor_city, City]}
kept: [acceptor_city, inherited]
"""
    )

    decoded = _decoded(own, acceptor_location="CAF\xc9 AZUL \\RUA 1\\PORTO\\4000 PRT")

    assert {"acceptor_name": "CAF\xc9 AZUL", "acceptor_city": "PORTO"} == decoded.fields
    assert ("acceptor_location: does not match its pattern",) == _decoded(own, acceptor_location="CAFE").oddities
    with pytest.raises(EncodeFailure, match="give the carrier whole"):
        _decoded(own, acceptor_city="PORTO")


@pytest.mark.parametrize("original", ["0" * 42, "01002234561122101530" + " " * 22, "0100ABCDEF1122101530" + "0" * 22])
def test_original_data_that_do_not_read_are_noted_at_most(original: str) -> None:
    """A malformed reference costs the reversal its reference and not itself."""
    dialect = DIALECTS["iso87-ascii"]
    raw = encode_message(dialect, "0420", authorization(dialect, original_data="1" * 42))

    decoded = decode(dialect, raw.replace(b"1" * 42, original.encode()))

    assert "0420" == decoded.mti
    assert original.isdecimal() is (not decoded.oddities)


def test_a_needed_carrier_that_is_broken_is_refused(ipm: Dialect) -> None:
    """The reversal mark of a record decides what it is, so its carrier has to read."""
    with pytest.raises(DecodeFailure, match="48 additional_data"):
        decode(ipm, encode_message(ipm, "1240", {"additional_data": "0025+07R261120"}))


def test_a_prefix_and_too_long_values_do_not_fit() -> None:
    """What a layout cannot write is refused by its carrier's name, without the value."""
    for dialect, fields in ((MASTERCARD, {"cvc2": "9" * 100}), (MASTERCARD, {"transaction_status": "44"})):
        with pytest.raises(EncodeFailure) as caught:
            _decoded(dialect, **fields)
        assert "9999" not in str(caught.value)
