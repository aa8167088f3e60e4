"""What messages of either version say of others: traces, partial reversals, estimates, replacements."""

from datetime import UTC, date, datetime

import pytest

from processor.core.message import CardMessage, MessageKind
from processor.core.money import Money
from processor.wire.card_message import to_card_message
from processor.wire.decode import DecodeFailure, decode
from processor.wire.dialect import Dialect, parse_dialect
from processor.wire.encode import encode_answer, encode_message
from processor.wire.tokenise import Tokeniser
from tests.wire.conftest import DIALECTS, RECEIVED_AT, TEXTS, authorization
from tests.wire.messages import fields_of

TOKENISER = Tokeniser({"2026a": bytes(range(32))}, "2026a", {})
REFERRING = [name for name, dialect in DIALECTS.items() if dialect.original_trace]
OF_1993 = ["iso93-ascii", "iso93-bcd", "iso93-ebcdic"]
ISO93 = DIALECTS["iso93-ascii"]


def _message(dialect: Dialect, mti: str, **changes: str) -> CardMessage:
    fields = {name: value for name, value in {**fields_of(dialect, mti), **changes}.items() if value}
    decoded = decode(dialect, encode_message(dialect, mti, fields))
    return to_card_message(decoded, dialect=dialect, bank="alpha", received_at=RECEIVED_AT, tokeniser=TOKENISER)


@pytest.mark.parametrize("name", REFERRING)
def test_a_reversal_names_its_original_in_the_originals_own_words(name: str) -> None:
    """In every dialect the original trace of a reversal equals the trace of what it reverses."""
    dialect = DIALECTS[name]

    original = _message(dialect, f"{dialect.version}100")
    reversal = _message(dialect, f"{dialect.version}420", trace_number="223999", original_acquirer="0040000")
    own_acquirer = _message(dialect, f"{dialect.version}420", trace_number="223999", original_acquirer="0")

    assert original.trace
    assert original.trace == reversal.original_trace == own_acquirer.original_trace
    assert MessageKind.REVERSAL == reversal.kind


def test_a_trace_of_1993_is_made_of_the_local_time() -> None:
    """Original data elements of 1993 carry local date and time, so a trace does."""
    assert "261122111530/223456/40000" == _message(ISO93, "1100").trace


@pytest.mark.parametrize(
    "changes", [{"original_trace_number": "0"}, {"original_date_time": "0"}, {"original_trace_number": ""}]
)
def test_zeros_name_no_original(changes: dict[str, str]) -> None:
    """Original data of zeros refer to nothing."""
    assert _message(ISO93, "1420", **changes).original_trace is None


def test_a_message_without_a_part_of_its_trace_has_none() -> None:
    """Nothing can refer to a message that lacks what its dialect refers by."""
    assert "" == _message(ISO93, "1100", local_date_time="").trace


def test_a_terminal_reverses_by_its_own_trace_number() -> None:
    """Terminals repeat date, trace number and terminal of the original, and have no transmission time."""
    pos = DIALECTS["pos-bcd"]

    original, reversal = _message(pos, "0200"), _message(pos, "0400")

    assert "1122/223456/TERM0001" == original.trace == reversal.trace
    assert datetime(2026, 11, 22, 11, 15, 30, tzinfo=UTC) == original.transmitted_at
    assert original.message_id != reversal.message_id
    with pytest.raises(DecodeFailure, match="12 local_time"):
        _message(pos, "0200", local_time="")


@pytest.mark.parametrize("name", OF_1993)
def test_function_code_401_leaves_the_amount_it_states(name: str) -> None:
    """A partial reversal of 1993 says what remains; any other function code is a full one."""
    dialect = DIALECTS[name]

    assert Money(amount_minor=5000, currency="EUR") == _message(dialect, "1420").replacement
    assert _message(dialect, "1420", function_code="400").replacement is None
    assert _message(dialect, "1100", function_code="401").replacement is None


def test_a_dialect_may_state_what_is_reversed() -> None:
    """What remains is then the original amount less the stated one; taking back more is no message."""
    own = parse_dialect("own", "extends: iso93-ascii\npartial_reversal: {states: reversed}\n", TEXTS)

    assert Money(amount_minor=7050, currency="EUR") == _message(own, "1420").replacement
    assert _message(own, "1420", amount="12050").replacement is None
    with pytest.raises(DecodeFailure, match="more than the original amount"):
        _message(own, "1420", amount="12051")
    with pytest.raises(DecodeFailure, match="original_amount: is missing"):
        _message(own, "1420", original_amount="")


@pytest.mark.parametrize(
    ("code", "estimated", "supersedes"),
    [
        ("100", False, False),
        ("101", True, False),
        ("102", False, True),
        ("103", True, True),
        ("104", False, False),
        ("105", True, False),
        ("106", False, False),
        ("107", True, False),
    ],
)
def test_function_codes_mark_estimates_and_replacements(code: str, estimated: bool, supersedes: bool) -> None:
    """ISO 8583:1993 says in the function code whether an amount is estimated and takes another's place."""
    message = _message(ISO93, "1100", function_code=code)

    assert (estimated, supersedes) == (message.estimated, message.supersedes)


@pytest.mark.parametrize(
    ("name", "changes", "estimated"),
    [
        ("iso87-ascii", {"condition_code": "06"}, True),
        ("iso87-ascii", {"condition_code": "00"}, False),
        ("mastercard-like-ebcdic", {"transaction_status": "4"}, True),
        ("mastercard-like-ebcdic", {"transaction_status": "0"}, False),
        ("visa-like-bcd", {"additional_authorization": "3"}, True),
        ("visa-like-bcd", {"additional_authorization": "1"}, False),
        ("pos-bcd", {"condition_code": "06"}, False),
    ],
)
def test_dialects_of_1987_mark_estimates_their_own_way(name: str, changes: dict[str, str], estimated: bool) -> None:
    """What a preauthorization looks like is each network's own."""
    assert estimated is _message(DIALECTS[name], "0100", **changes).estimated


def test_only_an_authorization_is_marked() -> None:
    """A reversal that repeats the condition of a preauthorization is no estimate."""
    assert not _message(DIALECTS["iso87-ascii"], "0420", condition_code="06").estimated


@pytest.mark.parametrize(
    ("mti", "code"), [("1120", "900"), ("1220", "900"), ("1420", "400"), ("1624", "600"), ("1804", "800")]
)
def test_answers_of_1993_have_action_codes_of_three_digits(mti: str, code: str) -> None:
    """An advice is acknowledged without liability, a reversal and a network message accepted."""
    fields = {"transmission_date_time": "1122101530", "trace_number": "1", "function_code": "801"}

    answer = decode(ISO93, encode_answer(ISO93, encode_message(ISO93, mti, fields), award=""))

    assert code == answer.fields["response_code"]
    assert "801" == answer.fields["function_code"]


def test_a_response_keeps_its_three_digits() -> None:
    """The action code of a response is the host's."""
    assert "116" == _message(ISO93, "1110", response_code="116").response_code


@pytest.mark.parametrize("stated", ["0000", "0230"])
def test_a_local_date_that_is_none_is_noted(stated: str) -> None:
    """The date at the card acceptor is not needed, so that an odd one costs nothing but itself."""
    message = _message(DIALECTS["iso87-ascii"], "0120", local_date=stated)

    assert message.local_date is None
    assert ("local_date is not a date",) == message.oddities


@pytest.mark.parametrize(("name", "old", "new"), [("iso87-ascii", b"1530112229", b"15301A2229")])
def test_letters_in_a_date_that_is_not_needed_are_noted(name: str, old: bytes, new: bytes) -> None:
    """Letters in the local date are noted twice: as no digits and as no date."""
    dialect = DIALECTS[name]
    raw = encode_message(dialect, "0120", authorization(dialect)).replace(old, new)

    message = to_card_message(
        decode(dialect, raw), dialect=dialect, bank="alpha", received_at=RECEIVED_AT, tokeniser=TOKENISER
    )

    assert message.local_date is None
    assert ("local_date is not digits", "local_date is not a date") == message.oddities
    assert date(2026, 11, 22) == message.transmitted_at.date()


@pytest.mark.parametrize(
    ("mti", "kind"), [("0620", MessageKind.ADMINISTRATIVE), ("0800", MessageKind.NETWORK_MANAGEMENT)]
)
def test_classes_without_a_table_mean_what_the_standard_says(mti: str, kind: MessageKind) -> None:
    """An administrative advice and a sign-on are no purchases."""
    assert kind is _message(DIALECTS["iso87-ascii"], mti).kind


@pytest.mark.parametrize(
    ("name", "mti"), [("pos-bcd", "0800"), ("iso87-ascii", "0800"), ("iso93-ascii", "1804"), ("ipm93-ebcdic", "1644")]
)
def test_what_books_nothing_needs_no_date(name: str, mti: str) -> None:
    """A sign-on without date and trace number can be acknowledged; it is dated by its receipt."""
    dialect = DIALECTS[name]
    decoded = decode(dialect, encode_message(dialect, mti, {"terminal": "T1"}))

    message = to_card_message(
        decoded,
        dialect=dialect,
        bank="alpha",
        received_at=RECEIVED_AT,
        tokeniser=TOKENISER,
        clearing_file="FILE-1",
        record_number=1,
    )

    assert RECEIVED_AT == message.transmitted_at


def test_a_message_type_without_a_meaning_is_refused() -> None:
    """A file update or a reconciliation is no card message unless the dialect says what it is."""
    own = parse_dialect("own", 'extends: iso87-ascii\nmessages: ["0302", "0500"]\n', TEXTS)

    for mti in ("0302", "0500"):
        with pytest.raises(DecodeFailure, match="add it to the dialect's kinds"):
            _message(own, mti)


def test_links_may_name_the_trace_number() -> None:
    """A network whose clearing records repeat the trace number says so."""
    assert ("trace_number",) == parse_dialect("own", "extends: iso87-ascii\nlinks: [trace_number]\n", TEXTS).links
