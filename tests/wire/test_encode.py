"""Encoding: the golden bytes of every dialect, round trips, and answers that never approve anything."""

import iso8583
import pytest
from hypothesis import given
from hypothesis import strategies as st
from iso8583.specs import default_ascii

from processor.core.card import Pan
from processor.wire.decode import decode
from processor.wire.dialect import Dialect
from processor.wire.encode import EncodeFailure, answer_type, encode_answer, encode_message
from tests.wire.conftest import DIALECTS, GOLDEN, ONLINE, PAN, authorization, presentment
from tests.wire.messages import fields_of, message_types

GOLDEN_MESSAGES = [(name, mti) for name, dialect in DIALECTS.items() for mti in message_types(dialect)]


def _golden(name: str) -> bytes:
    return bytes.fromhex((GOLDEN / f"{name}.hex").read_text())


@pytest.mark.parametrize(("name", "mti"), GOLDEN_MESSAGES)
def test_a_message_equals_its_golden_bytes(name: str, mti: str) -> None:
    """The bytes of each dialect's messages are those that were once read by hand."""
    dialect = DIALECTS[name]

    assert _golden(f"{name}-{mti}").hex() == encode_message(dialect, mti, fields_of(dialect, mti)).hex()


@pytest.mark.parametrize(("name", "mti"), GOLDEN_MESSAGES)
def test_golden_bytes_decode_to_what_was_written(name: str, mti: str) -> None:
    """Whoever reads the golden bytes finds every kept field that was written, and the card number."""
    dialect = DIALECTS[name]
    written = fields_of(dialect, mti)

    decoded = decode(dialect, _golden(f"{name}-{mti}"))

    assert mti == decoded.mti
    assert () == decoded.oddities
    assert (Pan(PAN) if "pan" in written else None) == decoded.pan
    for field in dialect.kept & set(written):
        assert decoded.fields[field].strip("0 ") == written[field].strip("0 "), field


def test_the_elements_of_1987_are_those_of_the_librarys_own_specification() -> None:
    """Lengths agree with pyiso8583's, an independent reading of the standard, but for two."""
    ours = DIALECTS["iso87-ascii"].spec
    chosen = {"54": 120, "63": 16}  # ISO 8583:1987 says an...120; element 63 carries a life cycle identification.

    for number, theirs in default_ascii.items():
        if number.isdecimal() and number not in {"1", "65"}:
            lengths = (theirs["len_type"], chosen.get(number, theirs["max_len"]))
            assert lengths == (ours[number]["len_type"], ours[number]["max_len"]), number


@pytest.mark.parametrize("name", ONLINE)
def test_an_answer_equals_its_golden_bytes(name: str) -> None:
    """The answer to the golden authorization is golden too."""
    dialect = DIALECTS[name]

    answer = encode_answer(dialect, _golden(f"{name}-0120"), award="OC003yesMI003120")

    assert _golden(f"{name}-0130").hex() == answer.hex()


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("0100", "0110"),
        ("0101", "0110"),
        ("0120", "0130"),
        ("0121", "0130"),
        ("0400", "0410"),
        ("0800", "0810"),
        ("0110", "0110"),
        ("0230", "0230"),
        ("1240", None),
        ("1644", None),
    ],
)
def test_the_type_of_the_answer(asked: str, answered: str | None) -> None:
    """A request gets a response, an advice an advice response, a response keeps its type, a notification has none."""
    assert answered == answer_type(asked)


def test_an_answer_repeats_the_request(online: Dialect) -> None:
    """The host finds what it sent, its award, and nothing that is sensitive."""
    raw = encode_message(online, "0120", authorization(online))

    answer = decode(online, encode_answer(online, raw, award="OC003yes"))

    request = decode(online, raw)
    assert "0130" == answer.mti
    assert request.pan == answer.pan
    assert {name: value for name, value in request.fields.items() if name in online.echo} == answer.fields


def test_an_answer_carries_the_award_and_drops_the_secrets() -> None:
    """The award stands in its element; track and PIN block do not come back."""
    dialect = DIALECTS["iso87-ascii"]
    raw = encode_message(dialect, "0120", authorization(dialect))

    answer = encode_answer(dialect, raw, award="OC003yes", decoded=decode(dialect, raw))

    assert answer.endswith(b"008OC003yes")
    assert b"=2912" not in answer


@pytest.mark.parametrize("award", ["x" * 1000, "\u20ac"])
def test_an_award_that_does_not_fit_is_refused(online: Dialect, award: str) -> None:
    """An award is carried whole or not at all."""
    with pytest.raises(EncodeFailure, match="62 award"):
        encode_answer(online, encode_message(online, "0120", authorization(online)), award=award)


@given(award=st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), min_size=1, max_size=999))
def test_the_award_is_written_as_the_library_writes_it(award: str) -> None:
    """The one element written by hand has the bytes that pyiso8583 gives it."""
    for name in ONLINE:
        dialect = DIALECTS[name]
        request = {"transmission_date_time": "1122101530", "trace_number": "1", "response_code": "00"}

        answer = encode_answer(dialect, encode_message(dialect, "0120", request), award=award)

        assert encode_message(dialect, "0130", {**request, "award": award}).hex() == answer.hex()


@pytest.mark.parametrize("mti", ["0100", "0101", "0200", "0110", "0210", "0410"])
def test_an_answer_never_approves_a_request(online: Dialect, mti: str) -> None:
    """Without a response code a request, or a response passed on, is answered without one."""
    raw = encode_message(online, mti, authorization(online, response_code=""))

    assert "response_code" not in decode(online, encode_answer(online, raw, award="")).fields


@pytest.mark.parametrize("mti", ["0120", "0121", "0220", "0400", "0420", "0800"])
def test_an_advice_is_acknowledged(online: Dialect, mti: str) -> None:
    """Advices, reversals and network management without a response code are answered 00."""
    raw = encode_message(online, mti, authorization(online, response_code=""))

    assert "00" == decode(online, encode_answer(online, raw, award="")).fields["response_code"]


def test_a_response_code_that_came_is_repeated(online: Dialect) -> None:
    """A decline that the host reports stays a decline."""
    raw = encode_message(online, "0120", authorization(online, response_code="51"))

    assert "51" == decode(online, encode_answer(online, raw, award="")).fields["response_code"]


def test_a_network_answer_has_a_second_bitmap(online: Dialect) -> None:
    """An echo test's answer repeats element 70, which lives in the second bitmap."""
    fields = {"transmission_date_time": "1122101530", "trace_number": "1", "network_code": "301"}

    answer = decode(online, encode_answer(online, encode_message(online, "0800", fields), award=""))

    assert "0810" == answer.mti
    assert "301" == answer.fields["network_code"]


def test_a_clearing_record_has_no_answer(ipm: Dialect) -> None:
    """A notification asks nothing."""
    with pytest.raises(EncodeFailure, match="1240 has no answer"):
        encode_answer(ipm, encode_message(ipm, "1240", presentment()), award="")


def test_encoding_does_not_change_what_it_is_given(online: Dialect) -> None:
    """The library writes bitmaps into its document; the caller's fields stay as they were."""
    fields = authorization(online)
    before = dict(fields)
    document = {"t": "0800", "11": "000001"}

    encode_message(online, "0120", fields)
    iso8583.encode(document, online.spec)

    assert before == fields
    assert "p" in document, "the library no longer changes its input; the copy may go"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": "1234567890123"}, "4 amount"),
        ({"amount": "12.5"}, "4 amount"),
        ({"pan": PAN + "1234"}, "2 pan"),
        ({"acceptor_name": "\u20ac"}, "43 acceptor_name"),
        ({"mac": "XY"}, "64 mac"),
        ({"no_such_name": "1"}, "no_such_name"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(changes: dict[str, str], field: str) -> None:
    """Nothing is cut to fit; the failure names the element and shows no value."""
    dialect = DIALECTS["iso87-bcd"]

    with pytest.raises(EncodeFailure) as caught:
        encode_message(dialect, "0120", authorization(dialect, **changes))

    assert field == caught.value.field
    assert caught.value.__context__ is None
    assert next(iter(changes.values())) not in str(caught.value)


def test_subelements_overflow_into_the_next_carrier(ipm: Dialect) -> None:
    """What does not fit the first carrier goes into the second, whole."""
    fields = presentment(file_id="9" * 600, clearing_part="0102") | {"additional_data_2": "0999001X"}

    decoded = decode(ipm, encode_message(ipm, "1240", {**fields, "presentment_reversal": "R" * 500}))

    assert ("9" * 600, "R" * 500, "0102") == tuple(
        decoded.fields[name] for name in ("file_id", "presentment_reversal", "clearing_part")
    )


@pytest.mark.parametrize(("length", "problem"), [(1000, "more than 999 characters"), (993, "no carrier has room")])
def test_too_many_subelements_are_refused(ipm: Dialect, length: int, problem: str) -> None:
    """A sub-element that no carrier has room for is not left out silently."""
    with pytest.raises(EncodeFailure, match=problem):
        encode_message(ipm, "1240", presentment(file_id="9" * length))
