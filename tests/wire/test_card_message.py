"""Card messages: identity, dates without a year, kinds, amounts, references, and no account number anywhere."""

import hmac
from dataclasses import fields as dataclass_fields
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.card import CardReference
from processor.core.message import CardMessage, Direction, MessageKind
from processor.core.money import Money
from processor.wire.card_message import days_old, message_day, to_card_message
from processor.wire.decode import DecodeFailure, decode
from processor.wire.dialect import Dialect, parse_dialect
from processor.wire.encode import encode_message
from processor.wire.message_dates import resolve
from processor.wire.message_kind import books_nothing
from processor.wire.stored import message_from_json, message_to_json
from processor.wire.tokenise import Tokeniser
from tests.wire.conftest import DIALECTS, PAN, PIN_BLOCK, RECEIVED_AT, TEXTS, authorization, presentment

ASCII = DIALECTS["iso87-ascii"]
IPM = DIALECTS["ipm93-ebcdic"]
KEYS = {"2026a": bytes(range(32))}


def _message(
    dialect: Dialect,
    mti: str,
    fields: dict[str, str],
    *,
    bank: str = "bank-a",
    received_at: datetime = RECEIVED_AT,
    tokeniser: Tokeniser | None = None,
    record_number: int | None = None,
) -> CardMessage:
    return to_card_message(
        decode(dialect, encode_message(dialect, mti, fields)),
        dialect=dialect,
        bank=bank,
        received_at=received_at,
        tokeniser=tokeniser or Tokeniser(KEYS, "2026a", {"400000": "gold"}),
        clearing_file="0022611220000000000100001" if record_number is not None else "",
        record_number=record_number,
    )


def _online(mti: str = "0120", **changes: str) -> CardMessage:
    return _message(ASCII, mti, authorization(ASCII, **changes))


def _record(record_number: int | None = 2, /, **changes: str) -> CardMessage:
    return _message(IPM, "1240", presentment(**changes), record_number=record_number)


def test_an_authorization_becomes_a_card_message(tokeniser: Tokeniser) -> None:
    """Every field of an authorization arrives typed, trimmed and tokenised."""
    message = _message(ASCII, "0120", authorization(ASCII), tokeniser=tokeniser)

    token = hmac.digest(KEYS["2026a"], PAN.encode(), "sha256")
    expected = CardMessage(
        message_id=message.message_id,
        content=message.content,
        bank="bank-a",
        dialect="iso87-ascii",
        mti="0120",
        kind=MessageKind.AUTHORIZATION,
        direction=Direction.ADVICE,
        card=CardReference(token=token, key_id="2026a", last_four="3219", product="gold"),
        transmitted_at=datetime(2026, 11, 22, 10, 15, 30, tzinfo=UTC),
        processing_code="000000",
        amount=Money(amount_minor=12050, currency="EUR"),
        billing=Money(amount_minor=12050, currency="EUR"),
        local_date=date(2026, 11, 22),
        trace_number="223456",
        trace="1122101530/223456/40000",
        lifecycle_id="1MDSABCDEFGHIJKL",
        retrieval_reference="632610223456",
        approval_code="A1B2C3",
        response_code="00",
        acquirer="40000",
        forwarder="400002",
        terminal="TERM0001",
        acceptor="MERCHANT0000001",
        acceptor_name="PASTELARIA SÃO JOÃO      LISBOA       PT",
        mcc="5411",
        entry_mode="051",
        condition_code="00",
        local_time="1115",
        channel="card-present",
        country="PT",
    )
    assert expected == message
    assert date(2026, 11, 22) == message_day(message)


def test_a_presentment_becomes_a_card_message() -> None:
    """A clearing record is dated by the acceptor's clock and carries file, number and part."""
    message = _record(clearing_part="0102")

    assert MessageKind.PRESENTMENT == message.kind
    assert Direction.ADVICE == message.direction
    assert datetime(2026, 11, 22, 11, 15, 30, tzinfo=UTC) == message.transmitted_at
    assert date(2026, 11, 22) == message.local_date
    assert "05400006326100000000018" == message.acquirer_reference
    assert ("0022611220000000000100001", 2) == (message.clearing_file, message.record_number)
    assert (1, 2) == message.clearing_part
    assert "" == message.trace
    assert message.original_trace is None


def test_authorization_and_presentment_share_their_links() -> None:
    """What ties a clearing record to its authorization reads the same in both."""
    online, record = _online(), _record()

    for name in (*ASCII.links, "mcc", "acceptor"):
        assert getattr(online, name) == getattr(record, name)
    assert online.card == record.card


def test_no_secret_reaches_the_card_message(online: Dialect) -> None:
    """Neither the message, its fields nor its JSON hold account number, track or PIN block."""
    message = _message(online, "0120", authorization(online))

    for shown in (repr(message), message_to_json(message).decode()):
        for secret in (PAN, PAN[6:12], PIN_BLOCK, "2912201"):
            assert secret not in shown


def test_both_dialects_say_the_same() -> None:
    """A message means the same in characters and in packed digits, its identity included."""
    packed = DIALECTS["iso87-bcd"]

    message = _message(packed, "0120", authorization(packed))

    other = _online()
    assert other.message_id == message.message_id
    assert other.content == message.content


def test_a_repeat_keeps_identity_and_content() -> None:
    """The repeat digit is no part of the identity."""
    first, repeat = _online("0120"), _online("0121", mac="FFFFFFFFFFFFFFFF")

    assert first.message_id == repeat.message_id
    assert first.content == repeat.content


def test_the_version_is_no_part_of_the_identity() -> None:
    """The same exchange in the 1993 version has the identity it has in the 1987 version."""
    names = set(IPM.numbers) & set(ASCII.numbers) - {"entry_mode", "response_code", "track_2"}
    shared = {name: value for name, value in authorization(ASCII).items() if name in names}

    assert _message(ASCII, "0100", shared).message_id == _message(IPM, "1100", shared).message_id


def test_key_rotation_keeps_identity_and_content() -> None:
    """No key enters the identity; a new key gives a new token and the old one as alternate."""
    rotated = Tokeniser({**KEYS, "2026b": bytes(reversed(range(32)))}, "2026b", {"400000": "gold"})

    before, after = _online(), _message(ASCII, "0120", authorization(ASCII), tokeniser=rotated)

    assert before.message_id == after.message_id
    assert before.content == after.content
    assert before.card is not None
    assert after.card is not None
    assert before.card.token != after.card.token
    assert (before.card.token,) == after.card.alternates


def test_a_repeat_may_carry_another_balance() -> None:
    """Of the additional amounts, cash is content and a balance is not."""
    cash, balance = "0040978D000000002000", "0002978C000000{}"
    first, repeat, other = (
        _online(processing_code="090000", additional_amounts=additional)
        for additional in (cash + balance.format("012300"), cash + balance.format("011100"), balance.format("012300"))
    )
    assert first.content == repeat.content
    assert first.content != other.content
    assert (("cashback", 2000),) == repeat.taken_off


@pytest.mark.parametrize(
    ("mti", "changes"),
    [
        ("0120", {"trace_number": "223457"}),
        ("0120", {"transmission_date_time": "1122101531"}),
        ("0120", {"acquirer": "40001"}),
        ("0120", {"forwarder": "400003"}),
        ("0100", {}),
        ("0220", {}),
    ],
)
def test_an_identity_field_makes_another_message(mti: str, changes: dict[str, str]) -> None:
    """Each identity field, and the message type, tells messages apart."""
    assert _online().message_id != _online(mti, **changes).message_id


def test_the_bank_is_part_of_the_identity() -> None:
    """Two banks may number their messages alike."""
    assert _online().message_id != _message(ASCII, "0120", authorization(ASCII), bank="bank-b").message_id


def test_identity_fields_do_not_run_into_one_another() -> None:
    """Moving a digit from one field to the next is another identity."""
    one = _online(acquirer="12", forwarder="34")
    other = _online(acquirer="123", forwarder="4")

    assert one.message_id != other.message_id


def test_a_leading_zero_of_an_institution_changes_nothing() -> None:
    """Hosts that pack digits may send a zero more."""
    assert _online(acquirer="40000").message_id == _online(acquirer="040000").message_id
    assert _online(acquirer="40000").trace == _online(acquirer="040000").trace


def test_the_day_leads_the_identity() -> None:
    """The first three bytes are the day, so that a repeat is looked for in one month's rows."""
    assert date(2026, 11, 22).toordinal() == int.from_bytes(_online().message_id[:3], "big")


@pytest.mark.parametrize(
    "changes", [{"amount": "12051"}, {"currency": "840"}, {"approval_code": "A1B2C4"}, {"pan": "4000009876540000"}]
)
def test_other_content_is_told_from_a_repeat(changes: dict[str, str]) -> None:
    """The same identity with other content has another digest."""
    assert _online().message_id == _online(**changes).message_id
    assert _online().content != _online(**changes).content


def test_a_clearing_record_is_identified_by_its_acquirer_reference() -> None:
    """The same reference in another file is the same record; reversal, part and reference tell records apart."""
    assert _record(2).message_id == _record(77, message_number="77").message_id
    assert _record(2).content == _record(77, message_number="77").content
    others = [
        _record(presentment_reversal="R261123"),
        _record(clearing_part="0102"),
        _record(clearing_part="0202"),
        _record(acquirer_reference="05400006326100000000026"),
    ]
    assert 5 == len({_record().message_id, *(other.message_id for other in others)})


def test_an_acquirer_reference_of_zeros_refers_to_nothing() -> None:
    """Records that fill the element with zeros are no family for that; file and number identify each."""
    one, other = (_record(number, acquirer_reference="0" * 23) for number in (2, 3))
    assert ["", ""] == [one.acquirer_reference, other.acquirer_reference]
    assert one.message_id != other.message_id


def test_without_an_acquirer_reference_the_place_in_the_file_identifies() -> None:
    """File and record number stand in for a reference that is missing or zeros; with neither the record fails."""
    assert _record(2, acquirer_reference="").message_id != _record(3, acquirer_reference="").message_id
    assert _record(2, acquirer_reference="0" * 23).message_id != _record(3, acquirer_reference="0" * 23).message_id
    with pytest.raises(DecodeFailure, match="nothing identifies it"):
        _record(None, acquirer_reference="")


@pytest.mark.parametrize(
    ("stated", "received", "expected"),
    [
        ("1122", date(2026, 11, 22), date(2026, 11, 22)),
        ("1231", date(2027, 1, 1), date(2026, 12, 31)),
        ("0101", date(2026, 12, 31), date(2027, 1, 1)),
        ("0102", date(2026, 12, 31), date(2027, 1, 2)),
        ("0103", date(2026, 12, 31), date(2026, 1, 3)),
        ("0229", date(2028, 2, 29), date(2028, 2, 29)),
        ("0229", date(2028, 2, 27), date(2028, 2, 29)),
        ("0229", date(2028, 2, 26), date(2024, 2, 29)),
        ("0229", date(2027, 3, 1), date(2024, 2, 29)),
        ("0229", date(2103, 3, 1), date(2096, 2, 29)),
        ("0301", date(2028, 2, 28), date(2028, 3, 1)),
    ],
)
def test_a_date_without_a_year_is_resolved_around_receipt(stated: str, received: date, expected: date) -> None:
    """The year is the latest that puts the date at most two days after receipt, over New Year and 29 February."""
    received_at = datetime(received.year, received.month, received.day, 12, tzinfo=UTC)

    message = _message(
        ASCII,
        "0120",
        authorization(ASCII, transmission_date_time=f"{stated}101530", local_date=stated),
        received_at=received_at,
    )

    assert expected == message.transmitted_at.date()
    assert expected == message.local_date
    assert (received - expected).days == days_old(message, received_at)


@given(sent=st.dates(date(2001, 1, 1), date(2199, 1, 1)), delay=st.integers(-2, 360))
def test_a_repeat_within_a_year_finds_its_day(sent: date, delay: int) -> None:
    """Received from two days before to 360 days after, a date without a year is the day it was sent."""
    assert sent == resolve(f"{sent:%m%d}", (sent + timedelta(days=delay + 2)).toordinal())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"transmission_date_time": "1332101530"}, "7 transmission_date_time"),
        ({"transmission_date_time": "0230101530"}, "7 transmission_date_time"),
        ({"transmission_date_time": "1122241530"}, "7 transmission_date_time"),
        ({"transmission_date_time": ""}, "7 transmission_date_time"),
        ({"trace_number": ""}, "11 trace_number"),
        ({"currency": "000"}, "49 currency"),
        ({"currency": ""}, "49 currency"),
        ({"billing_currency": "123"}, "51 billing_currency"),
        ({"replacement_amounts": "12X"}, "95 replacement_amounts"),
    ],
)
def test_odd_content_of_a_needed_field_is_refused(changes: dict[str, str], field: str) -> None:
    """What identity or decision needs must be there and make sense; the failure names the element."""
    with pytest.raises(DecodeFailure) as caught:
        _online("0420", **changes)

    assert field == caught.value.field
    assert PAN[6:12] not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"local_date_time": ""}, "12 local_date_time"),
        ({"local_date_time": "260230111530"}, "12 local_date_time"),
        ({"local_date_time": "261122116030"}, "12 local_date_time"),
        ({"local_date_time": "261125111530"}, "12 local_date_time"),
        ({"amount": ""}, "4 amount"),
        ({"function_code": ""}, "24 function_code"),
        ({"clearing_part": "0302"}, "clearing_part"),
        ({"clearing_part": "0001"}, "clearing_part"),
        ({"clearing_part": "1"}, "clearing_part"),
    ],
)
def test_odd_content_of_a_clearing_record_is_refused(changes: dict[str, str], field: str) -> None:
    """A record without date, amount or meaning is refused with its element's name."""
    with pytest.raises(DecodeFailure) as caught:
        _record(**changes)

    assert field == caught.value.field


@pytest.mark.parametrize(
    ("mti", "kind", "direction"),
    [
        ("0100", MessageKind.AUTHORIZATION, Direction.REQUEST),
        ("0110", MessageKind.AUTHORIZATION, Direction.RESPONSE),
        ("0121", MessageKind.AUTHORIZATION, Direction.ADVICE),
        ("0130", MessageKind.AUTHORIZATION, Direction.ADVICE_RESPONSE),
        ("0200", MessageKind.FINANCIAL, Direction.REQUEST),
        ("0220", MessageKind.FINANCIAL, Direction.ADVICE),
        ("0400", MessageKind.REVERSAL, Direction.REQUEST),
        ("0420", MessageKind.REVERSAL, Direction.ADVICE),
        ("0800", MessageKind.NETWORK_MANAGEMENT, Direction.REQUEST),
    ],
)
def test_the_message_type_decides_kind_and_direction(mti: str, kind: MessageKind, direction: Direction) -> None:
    """Class and function of the message type say what the message does."""
    message = _online(mti)

    assert (kind, direction) == (message.kind, message.direction)


def test_a_reversed_presentment_is_its_own_kind() -> None:
    """R in the reversal indicator takes the presentment back; a space does not."""
    assert MessageKind.PRESENTMENT_REVERSAL == _record(presentment_reversal="R261122").kind
    assert MessageKind.PRESENTMENT == _record(presentment_reversal=" 261122").kind


@pytest.mark.parametrize(
    ("mti", "function_code", "kind"),
    [
        ("1240", "200", MessageKind.PRESENTMENT),
        ("1240", "205", MessageKind.SECOND_PRESENTMENT),
        ("1240", "282", MessageKind.SECOND_PRESENTMENT),
        ("1442", "450", MessageKind.CHARGEBACK),
        ("1442", "453", MessageKind.CHARGEBACK),
        ("1442", "451", MessageKind.ARBITRATION_CHARGEBACK),
        ("1442", "454", MessageKind.ARBITRATION_CHARGEBACK),
        ("1740", "700", MessageKind.FEE_COLLECTION),
        ("1740", "783", MessageKind.FEE_COLLECTION),
    ],
)
def test_the_function_code_says_which_stage_a_record_is(mti: str, function_code: str, kind: MessageKind) -> None:
    """Each stage of a dispute is its own kind, and its reversal is that kind's reversal; each is another message."""
    record = _message(IPM, mti, presentment(function_code=function_code), record_number=2)
    reversal = _message(
        IPM, mti, presentment(function_code=function_code, presentment_reversal="R261123"), record_number=2
    )

    assert (kind, f"{kind.name}_REVERSAL") == (record.kind, reversal.kind.name)
    assert record.message_id != reversal.message_id
    assert Money(amount_minor=12050, currency="EUR") == record.amount
    assert "05400006326100000000018" == record.acquirer_reference


def test_stages_of_one_dispute_have_their_own_identities() -> None:
    """Function code, reference, part and reversal mark identify a record in whichever file it stands."""
    stages = [("1240", "200"), ("1442", "450"), ("1240", "205"), ("1442", "451"), ("1442", "453")]
    ids = {_message(IPM, mti, presentment(function_code=code), record_number=2).message_id for mti, code in stages}
    again = {_message(IPM, mti, presentment(function_code=code), record_number=9).message_id for mti, code in stages}

    assert 5 == len(ids)
    assert ids == again


def test_a_mark_that_says_not_reversed_is_no_part_of_the_identity() -> None:
    """A space or zeros in the reversal indicator say what its absence says."""
    assert _record().message_id == _record(presentment_reversal=" 261122").message_id


@pytest.mark.parametrize(
    ("mti", "function_code", "field"),
    [("1240", "283", "24 function_code"), ("1442", "", "24 function_code"), ("1740", "800", "24 function_code")],
)
def test_a_record_without_a_meaning_is_refused(mti: str, function_code: str, field: str) -> None:
    """A function code that the dialect's table lacks is no guess but a failure that says what to add."""
    with pytest.raises(DecodeFailure, match="add it to the dialect's kinds") as caught:
        _message(IPM, mti, presentment(function_code=function_code), record_number=2)

    assert field == caught.value.field


def test_a_dialect_maps_reasons_to_stages() -> None:
    """The most exact line of the table wins: some fees are stages of a dispute, the others stay fees."""
    own = parse_dialect("own", 'extends: ipm93-ebcdic\nkinds: {"1740/700/76xx": arbitration_chargeback}', TEXTS)

    def kind(reason: str) -> MessageKind:
        fields = presentment(function_code="700", message_reason=reason)
        return _message(own, "1740", fields, record_number=2).kind

    assert MessageKind.ARBITRATION_CHARGEBACK == kind("7601")
    assert MessageKind.FEE_COLLECTION == kind("7701")
    assert (
        "7601"
        == _message(
            own, "1740", presentment(function_code="700", message_reason="7601"), record_number=2
        ).message_reason
    )


def test_a_fee_is_dated_by_its_date_of_action() -> None:
    """A fee that no card acceptor made has no local time."""
    fields = presentment(function_code="700", local_date_time="", action_date="261121")

    assert date(2026, 11, 21) == message_day(_message(IPM, "1740", fields, record_number=2))


@pytest.mark.parametrize(
    ("mti", "changes", "nothing"),
    [
        ("1644", {"function_code": "697", "pan": ""}, True),
        ("1644", {"function_code": "603"}, True),
        ("1740", {"function_code": "700", "pan": ""}, True),
        ("1740", {"function_code": "700"}, False),
        ("1442", {"function_code": "450"}, False),
        ("1240", {"pan": ""}, False),
    ],
)
def test_what_books_nothing_says_so(mti: str, changes: dict[str, str], nothing: bool) -> None:
    """Administrative records and fees without a card move nothing; a presentment without a card is an error instead."""
    assert nothing is books_nothing(decode(IPM, encode_message(IPM, mti, presentment(**changes))), IPM)


@pytest.mark.parametrize(
    ("code", "credit"),
    [("000000", False), ("190000", False), ("200000", True), ("290000", True), ("300000", False)],
)
def test_processing_codes_twenty_to_twentynine_are_credits(code: str, credit: bool) -> None:
    """Refunds and their like pay the holder."""
    assert credit is _online(processing_code=code).credit


def test_a_message_without_a_card_has_none() -> None:
    """Network management names no card."""
    message = _message(
        ASCII, "0800", {"transmission_date_time": "1122101530", "trace_number": "1", "network_code": "301"}
    )

    assert message.card is None
    assert "301" == message.function_code


def _original(mti: str, trace: str, sent: str, acquirer: str) -> str:
    return f"{mti}{trace}{sent}{acquirer:0>11}{'0' * 11}"


def test_a_reversal_refers_to_its_original() -> None:
    """The original data elements give the original's trace in the original's own form."""
    original = _online("0100")

    reversal = _online("0420", trace_number="223999", original_data=_original("0100", "223456", "1122101530", "40000"))

    assert original.trace == reversal.original_trace


def test_an_original_without_acquirer_is_the_same_acquirers() -> None:
    """Zeros for the original's acquirer stand for the message's own."""
    reversal = _online("0420", original_data=_original("0100", "223456", "1122101530", ""))

    assert _online("0100").trace == reversal.original_trace


@pytest.mark.parametrize("stated", ["0" * 42, _original("0100", "000000", "1122101530", "40000")])
def test_zeros_refer_to_no_original(stated: str) -> None:
    """Original data elements of zeros name no message."""
    assert _online("0420", original_data=stated).original_trace is None


def test_a_partial_reversal_says_what_remains() -> None:
    """The first twelve digits remain in the transaction currency, and in the billing currency where it is the same."""
    amounts = f"{5000:012d}{'0' * 12}D00000000D00000000"

    same = _online("0420", replacement_amounts=amounts)
    other = _online("0420", replacement_amounts=amounts, billing_currency="840")

    assert Money(amount_minor=5000, currency="EUR") == same.replacement
    assert same.replacement == same.replacement_billing
    assert same.replacement == other.replacement
    assert other.replacement_billing is None


def test_replacement_amounts_of_zero_are_a_full_reversal() -> None:
    """Nothing remains of a full reversal."""
    assert _online("0420", replacement_amounts="0" * 42).replacement is None


@pytest.mark.parametrize("name", ["lifecycle_id", "approval_code", "retrieval_reference"])
def test_zeros_are_no_reference(name: str) -> None:
    """A reference of zeros or spaces would tie strangers together."""
    assert "" == getattr(_online(**{name: "000000"}), name)


def test_a_currency_without_minor_unit_keeps_its_units() -> None:
    """Minor units are taken as they come; the currency's exponent is another module's business."""
    assert Money(amount_minor=12050, currency="JPY") == _online(currency="392").amount


def _money() -> st.SearchStrategy[Money]:
    return st.builds(Money, amount_minor=st.integers(-(2**53), 2**53), currency=st.sampled_from(["EUR", "JPY", "TND"]))


_CARDS = st.builds(
    CardReference,
    token=st.binary(min_size=32, max_size=32),
    key_id=st.text(),
    last_four=st.text("0123456789", min_size=4, max_size=4),
    product=st.none() | st.text(),
    alternates=st.lists(st.binary(min_size=32, max_size=32)).map(tuple),
)
_MESSAGES = st.builds(
    CardMessage,
    **{field.name: st.text() for field in dataclass_fields(CardMessage) if field.type is str},
    message_id=st.binary(min_size=16, max_size=16),
    content=st.binary(min_size=16, max_size=16),
    kind=st.sampled_from(MessageKind),
    direction=st.sampled_from(Direction),
    card=st.none() | _CARDS,
    transmitted_at=st.datetimes(timezones=st.just(UTC)),
    credit=st.booleans(),
    amount=st.none() | _money(),
    billing=st.none() | _money(),
    replacement=st.none() | _money(),
    replacement_billing=st.none() | _money(),
    local_date=st.none() | st.dates(),
    original_trace=st.none() | st.text(),
    record_number=st.none() | st.integers(0, 2**53),
    clearing_part=st.none() | st.tuples(st.integers(1, 99), st.integers(1, 99)),
    oddities=st.lists(st.text()).map(tuple),
)


@given(message=_MESSAGES)
def test_a_message_survives_its_json(message: CardMessage) -> None:
    """Any card message comes back from its JSON as it was."""
    assert message == message_from_json(message_to_json(message))


def test_the_json_names_fields_and_leaves_defaults_out() -> None:
    """The stored keys are the field names; what says nothing is not stored."""
    message = _message(ASCII, "0800", {"transmission_date_time": "1122101530", "trace_number": "1"})

    expected = (
        f'{{"message_id":"{message.message_id.hex()}","content":"{message.content.hex()}","bank":"bank-a",'
        '"dialect":"iso87-ascii","mti":"0800","kind":0,"direction":0,'
        '"transmitted_at":"2026-11-22T10:15:30+00:00","trace_number":"000001","trace":"1122101530/000001/"}'
    )
    assert expected == message_to_json(message).decode()
