"""Decoding: what is kept, what is dropped, and that every failure is ours and silent about the card."""

import pickle
import traceback

import iso8583
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.card import Pan
from processor.wire.decode import MAXIMUM_MESSAGE_BYTES, DecodeFailure, decode, merge_response
from processor.wire.dialect import Dialect, parse_dialect
from processor.wire.encode import encode_message
from tests.wire.conftest import DIALECTS, PAN, PIN_BLOCK, TEXTS, authorization, presentment
from tests.wire.messages import fields_of, message_types


def _with(raw: bytes, old: bytes, new: bytes) -> bytes:
    assert raw.count(old) == 1, "the test must change one known place"
    return raw.replace(old, new)


def _failure(dialect: Dialect, raw: bytes) -> DecodeFailure:
    with pytest.raises(DecodeFailure) as caught:
        decode(dialect, raw)
    return caught.value


def test_an_authorization_is_decoded_by_name(online: Dialect) -> None:
    """Elements come back under their names, the account number apart, fixed texts with their padding."""
    decoded = decode(online, encode_message(online, "0120", authorization(online)))

    assert "0120" == decoded.mti
    assert Pan(PAN) == decoded.pan
    assert "000000012050" == decoded.fields["amount"]
    assert "40000" == decoded.fields["acquirer"]
    assert "PASTELARIA SÃO JOÃO      LISBOA       PT" == decoded.fields["acceptor_name"]
    assert () == decoded.oddities


def test_sensitive_elements_are_dropped(online: Dialect) -> None:
    """Neither the fields nor any print of the message hold account number, track, PIN block or expiry date."""
    decoded = decode(online, encode_message(online, "0120", authorization(online)))

    assert online.kept >= set(decoded.fields)
    shown = f"{decoded!r} {decoded} {decoded.fields} {decoded.echo}"
    for secret in (PAN, PAN[6:12], PIN_BLOCK, "2912201"):
        assert secret not in shown
    assert "Pan(400000******3219)" in shown


def test_the_echo_cannot_be_pickled(online: Dialect) -> None:
    """The part that holds the account number for the answer refuses to leave the process."""
    decoded = decode(online, encode_message(online, "0120", authorization(online)))

    with pytest.raises(TypeError, match="never serialised"):
        pickle.dumps(decoded.echo)


def test_track_2_gives_the_account_number_where_its_element_is_absent(online: Dialect) -> None:
    """A terminal that sends the track alone still names its card."""
    decoded = decode(online, encode_message(online, "0200", authorization(online, pan="")))

    assert Pan(PAN) == decoded.pan
    assert PAN not in repr(decoded)


@pytest.mark.parametrize("repeat", ["0101", "0121", "0221", "0401", "0421"])
def test_repeats_are_accepted(online: Dialect, repeat: str) -> None:
    """The repeat of a listed message type is a message type too."""
    assert repeat == decode(online, encode_message(online, repeat, authorization(online))).mti


def test_an_unknown_message_type_is_refused(online: Dialect) -> None:
    """A message of a type that the dialect does not list fails at its first byte."""
    raw = encode_message(online, "0120", authorization(online))
    width = online.message_type_length
    other = b"\x05\x00" if width == 2 else b"0500"

    failure = _failure(online, other + raw[width:])

    assert ("mti", 0) == (failure.field, failure.position)


@pytest.mark.parametrize("raw", [b"", b"01", b"0120", b"0120F", b"0120" + b"F" * 16])
def test_a_message_cut_in_its_head_is_refused(raw: bytes) -> None:
    """A message that ends in its type or bitmaps fails there."""
    assert _failure(DIALECTS["iso87-ascii"], raw).field in {"mti", "bitmap"}


def test_an_oversized_message_is_refused_unread(online: Dialect) -> None:
    """A message over the limit is refused for its size."""
    assert str(MAXIMUM_MESSAGE_BYTES) in str(_failure(online, b"0" * (MAXIMUM_MESSAGE_BYTES + 1)))


def test_an_element_that_the_dialect_lacks_is_a_failure_and_no_key_error() -> None:
    """A bit set in the bitmap without an element behind it is a decode failure that names the element."""
    dialect = DIALECTS["ipm93-ebcdic"]
    raw = bytearray(encode_message(dialect, "1240", presentment()))
    raw[4] |= 1 << 0  # Element 8, which the dialect does not have.

    with pytest.raises(KeyError):
        iso8583.decode(bytes(raw), dialect.spec)
    assert "8" == _failure(dialect, bytes(raw)).field


def test_a_third_bitmap_is_refused() -> None:
    """Bit 65 announces a bitmap that no dialect here has."""
    assert "65" == _failure(DIALECTS["iso87-ascii"], b"0800" + b"8" + b"0" * 15 + b"8" + b"0" * 15 + b"0" * 16).field


@pytest.mark.parametrize("bitmap", [b" " * 16, b"+" + b"0" * 15, b"0_" + b"0" * 14, b"g" * 16, b"00 " * 5 + b"0"])
def test_a_bitmap_of_other_characters_is_refused(bitmap: bytes) -> None:
    """Signs, spaces and underscores, which number parsers forgive, are no bitmap."""
    assert "bitmap" == _failure(DIALECTS["iso87-ascii"], b"0800" + bitmap).field


@pytest.mark.parametrize("length", [b"+5", b" 5", b"5 ", b"5_", b"-5", b"\xb25"])
def test_a_length_that_is_not_digits_is_refused(length: bytes) -> None:
    """The library's number parser takes +5 and a space for 5; a length is two digits here."""
    dialect = DIALECTS["iso87-ascii"]
    raw = encode_message(dialect, "0120", authorization(dialect))

    failure = _failure(dialect, _with(raw, b"0540000", length + b"40000"))

    assert "32 acquirer" == failure.field
    assert failure.position in {raw.index(b"0540000"), raw.index(b"0540000") + 2}


def test_an_underscore_in_a_length_of_three_is_refused() -> None:
    """The library reads 1_6 as sixteen."""
    dialect = DIALECTS["iso87-ascii"]
    raw = encode_message(dialect, "0120", authorization(dialect))
    broken = _with(raw, b"0161MDS", b"1_61MDS")

    assert "1MDSABCDEFGHIJKL" == iso8583.decode(broken, dialect.spec)[0]["63"]
    assert "63 lifecycle_id" == _failure(dialect, broken).field


@pytest.mark.parametrize("amount", [b"00000001205A", b"0000000120.5", b"\xb2" * 12])
def test_letters_in_an_amount_are_refused(amount: bytes) -> None:
    """The library checks no content; superscript digits of Latin-1 are no digits either."""
    dialect = DIALECTS["iso87-ascii"]
    raw = encode_message(dialect, "0120", authorization(dialect, billing_amount=""))

    failure = _failure(dialect, _with(raw, b"000000012050", amount))

    assert "4 amount" == failure.field
    assert "1205" not in str(failure)


def test_letters_in_a_packed_amount_are_refused() -> None:
    """Packed digits may hold A to F, which are no digits."""
    dialect = DIALECTS["iso87-bcd"]
    raw = encode_message(dialect, "0120", authorization(dialect, billing_amount=""))

    assert (
        "4 amount" == _failure(dialect, _with(raw, bytes.fromhex("000000012050"), bytes.fromhex("00000001205A"))).field
    )


def test_odd_content_in_a_field_without_weight_is_noted() -> None:
    """Letters in the entry mode are an oddity; the message is decoded all the same."""
    dialect = DIALECTS["iso87-ascii"]
    raw = encode_message(dialect, "0120", authorization(dialect))

    decoded = decode(dialect, _with(raw, b"541105100", b"54110X100"))

    assert ("entry_mode is not digits",) == decoded.oddities
    assert "0X1" == decoded.fields["entry_mode"]


def test_control_characters_become_spaces_and_are_noted(online: Dialect) -> None:
    """A NUL in the merchant's name, which no JSON column stores, is replaced."""
    decoded = decode(
        online, encode_message(online, "0120", authorization(online, acceptor_name="CAF\x00E\x1f\xa0\xad"))
    )

    assert "CAF E" == decoded.fields["acceptor_name"].strip()
    assert ("acceptor_name holds control characters",) == decoded.oddities


def test_an_accented_name_is_decoded(online: Dialect) -> None:
    """One accented byte in the merchant's name, which the ascii codec refuses, is a letter."""
    decoded = decode(online, encode_message(online, "0120", authorization(online, acceptor_name="CAFÉ")))

    assert "CAFÉ" == decoded.fields["acceptor_name"].strip()
    with pytest.raises(ValueError, match="ascii"):
        parse_dialect("odd", "extends: iso87-ascii\nencoding: {text: ascii}\n", TEXTS)


def test_an_empty_element_is_absent_and_noted() -> None:
    """A variable element of no length says nothing."""
    dialect = DIALECTS["iso87-ascii"]
    raw = encode_message(dialect, "0120", authorization(dialect))

    decoded = decode(dialect, _with(raw, b"06400002", b"00"))

    assert "forwarder" not in decoded.fields
    assert ("forwarder is empty",) == decoded.oddities


@pytest.mark.parametrize("number", ["40000012345678AB", "12345678901", "400000123456789 "])
def test_an_account_number_that_is_none_is_refused(number: str) -> None:
    """An account number is 12 to 19 digits, and the failure does not show it."""
    dialect = DIALECTS["iso87-ascii"]
    raw = encode_message(dialect, "0120", authorization(dialect))
    broken = _with(raw, b"16" + PAN.encode(), f"{len(number)}{number}".encode())

    failure = _failure(dialect, broken)

    assert "2 pan" == failure.field
    assert number not in str(failure)


def test_the_library_error_leaves_no_trace_of_the_card(online: Dialect) -> None:
    """The library's error holds the whole message; neither cause, context nor printed traceback keep it."""
    raw = encode_message(online, "0120", authorization(online))

    failure = _failure(online, raw[:-3])

    assert failure.__cause__ is None
    assert failure.__context__ is None
    printed = "".join(traceback.format_exception(failure)) + repr(failure) + repr(vars(failure))
    assert PAN not in printed
    assert "64 mac" == failure.field


def test_bytes_after_the_last_element_are_refused(online: Dialect) -> None:
    """A message is read to its last byte."""
    raw = encode_message(online, "0120", authorization(online))

    failure = _failure(online, raw + b"0")

    assert len(raw) == failure.position
    assert "left after" in failure.problem


@given(data=st.data())
def test_mutated_bytes_raise_only_decode_failures_without_the_card(data: st.DataObject) -> None:
    """Whatever happens to the bytes, the outcome is a message or a decode failure that does not show the card."""
    dialect = DIALECTS[data.draw(st.sampled_from(sorted(DIALECTS)))]
    mti = data.draw(st.sampled_from(message_types(dialect)))
    raw = bytearray(encode_message(dialect, mti, fields_of(dialect, mti)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw)))
        change = data.draw(st.sampled_from(["set", "cut", "insert", "end"]))
        if change == "set":
            raw[at : at + 1] = bytes([data.draw(st.integers(0, 255))])
        elif change == "cut":
            del raw[at : at + 1]
        elif change == "insert":
            raw.insert(at, data.draw(st.integers(0, 255)))
        else:
            del raw[at:]
    outcome: object
    try:
        outcome = decode(dialect, bytes(raw))
    except DecodeFailure as failure:
        outcome = (failure, str(failure), vars(failure), failure.__context__)
    assert PAN[6:12] not in repr(outcome)


def test_a_subelement_that_outgrows_its_carrier_is_refused(ipm: Dialect) -> None:
    """A length beyond the carrier's end is a failure at the carrier."""
    fields = presentment() | {"additional_data": "0025009R"}

    assert "48 additional_data" == _failure(ipm, encode_message(ipm, "1240", fields)).field


def test_a_subelement_given_twice_is_refused(ipm: Dialect) -> None:
    """Two reversal indicators leave it open which one holds."""
    fields = presentment() | {"additional_data": "0025001R0025001 "}

    assert "48.0025 presentment_reversal" == _failure(ipm, encode_message(ipm, "1240", fields)).field


def test_unnamed_subelements_are_not_kept(ipm: Dialect) -> None:
    """Private data that the dialect does not name is forgotten, also the element that carried it."""
    fields = presentment() | {"additional_data": "0999004PLUM0025007R261120"}

    decoded = decode(ipm, encode_message(ipm, "1240", fields))

    assert "R261120" == decoded.fields["presentment_reversal"]
    assert "PLUM" not in repr(decoded)


def test_a_response_is_merged_into_its_request(online: Dialect) -> None:
    """The response decides the type and the outcome; what it does not repeat comes from the request."""
    request = decode(online, encode_message(online, "0100", authorization(online, response_code="", approval_code="")))
    answered = {"trace_number": "223456", "transmission_date_time": "1122101530", "response_code": "05"}
    response = decode(online, encode_message(online, "0110", answered))

    merged = merge_response(online, request, response)

    assert "0110" == merged.mti
    assert "05" == merged.fields["response_code"]
    assert "000000012050" == merged.fields["amount"]
    assert Pan(PAN) == merged.pan


def test_a_foreign_response_is_refused(online: Dialect) -> None:
    """A response of another exchange is not merged."""
    request = decode(online, encode_message(online, "0100", authorization(online)))
    other_trace = decode(online, encode_message(online, "0110", authorization(online, trace_number="223457")))
    other_class = decode(online, encode_message(online, "0210", authorization(online)))

    for response in (other_trace, other_class):
        with pytest.raises(DecodeFailure, match="own response"):
            merge_response(online, request, response)
