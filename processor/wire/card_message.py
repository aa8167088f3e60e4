"""Decoded message to card message: tokenised, typed, with the identity that makes a repeat find its original.

It decides what a message is (its kind), when it was sent, what it names and what names it.
Identity follows the design: the day and thirteen bytes of BLAKE2b over bank, message type without version and repeat
digit, and the dialect's identity fields; none of them is an account number, so no key rotation changes it.
It never sees bytes and never gives out an account number.
"""

from datetime import UTC, date, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import orjson

from processor.core.card import CardReference
from processor.core.message import CardMessage, Direction, MessageKind
from processor.core.money import CURRENCY_OF_NUMERIC_CODE, Money
from processor.wire.decode import Decoded
from processor.wire.dialect import Dialect
from processor.wire.message_kind import kind_of
from processor.wire.tokenise import Tokeniser

FUTURE_DAYS: Final = 2
"""A date without a year is the latest one that is at most this many days after receipt."""

_LEAP_YEARS_APART: Final = 8
_NOTIFICATION: Final = "4"
_INSTITUTIONS: Final = frozenset({"acquirer", "forwarder"})
_DIRECTIONS: Final = {
    "0": Direction.REQUEST,
    "1": Direction.RESPONSE,
    "2": Direction.ADVICE,
    "3": Direction.ADVICE_RESPONSE,
    "4": Direction.ADVICE,  # A notification (1993) asks nothing, as an advice does.
}


def to_card_message(
    decoded: Decoded,
    *,
    dialect: Dialect,
    bank: str,
    received_at: datetime,
    tokeniser: Tokeniser,
    clearing_file: str = "",
    record_number: int | None = None,
) -> CardMessage:
    """Build the card message; ``received_at`` is aware, ``clearing_file`` the file's id where it came in one.

    Ask :func:`~processor.wire.message_kind.books_nothing` first: what books nothing may lack a date or an identity.
    Raises :class:`~processor.wire.decode.DecodeFailure` where a field the decision needs is missing or odd.
    """
    fields = decoded.fields
    get = fields.get
    kind = kind_of(decoded, dialect)
    clearing = decoded.mti[2] == _NOTIFICATION and bool(dialect.clearing_identity)
    transmitted_at = (
        _local_date_time(decoded, dialect, received_at) if clearing else _sent(decoded, dialect, received_at)
    )
    trace_number = get("trace_number", "")
    acquirer = get("acquirer", "").lstrip("0")
    amount = _money(decoded, dialect, "amount", "currency")
    if clearing:
        trace = ""
        identity = _clearing_identity(decoded, dialect, clearing_file, record_number)
        if amount is None and kind is not MessageKind.ADMINISTRATIVE:
            raise decoded.failure("amount", "is missing; a clearing record needs it", dialect.numbers)
    else:
        if not trace_number:
            raise decoded.failure("trace_number", "is missing; it tells messages apart", dialect.numbers)
        trace = f"{fields['transmission_date_time']}/{trace_number}/{acquirer}"
        identity = [_identity_value(name, fields) for name in dialect.identity]
    billing = _money(decoded, dialect, "billing_amount", "billing_currency")
    replacement = _replacement(decoded, dialect, amount)
    same_currency = replacement is not None and billing is not None and billing.currency == replacement.currency
    card = tokeniser.reference(decoded.pan) if decoded.pan is not None else None
    processing_code = get("processing_code", "")
    network_code = get("network_code", "")
    return CardMessage(
        message_id=_message_id(transmitted_at, bank, decoded.mti, identity),
        content=_content(decoded, dialect, card),
        bank=bank,
        dialect=decoded.dialect,
        mti=decoded.mti,
        kind=kind,
        direction=_DIRECTIONS[decoded.mti[2]],
        card=card,
        transmitted_at=transmitted_at,
        processing_code=processing_code,
        credit="20" <= processing_code[:2] <= "29",
        amount=amount,
        billing=billing,
        replacement=replacement,
        replacement_billing=replacement if same_currency else None,
        local_date=_local_date(decoded, dialect, received_at),
        trace_number=trace_number,
        trace=trace,
        original_trace=_original_trace(decoded, acquirer),
        lifecycle_id=_reference(get("lifecycle_id", "")),
        retrieval_reference=_reference(get("retrieval_reference", "")),
        approval_code=_reference(get("approval_code", "")),
        response_code=get("response_code", ""),
        acquirer=acquirer,
        forwarder=get("forwarder", "").lstrip("0"),
        terminal=get("terminal", "").strip(),
        acceptor=get("acceptor", "").strip(),
        acceptor_name=get("acceptor_name", "").strip(),
        mcc=get("mcc", ""),
        entry_mode=get("entry_mode", "").strip(),
        condition_code=get("condition_code", ""),
        function_code=get("function_code", network_code),
        acquirer_reference=get("acquirer_reference", "").strip(),
        clearing_file=clearing_file,
        record_number=record_number,
        message_reason=get("message_reason", ""),
        clearing_part=_clearing_part(decoded, dialect),
        oddities=decoded.oddities,
    )


def message_day(message: CardMessage) -> date:
    """Return the day that the message's identity carries."""
    return date.fromordinal(int.from_bytes(message.message_id[:3], "big"))


def days_old(message: CardMessage, received_at: datetime) -> int:
    """Return how many days before its receipt the message says it was sent; negative where it lies ahead."""
    return received_at.astimezone(UTC).toordinal() - int.from_bytes(message.message_id[:3], "big")


def _message_id(sent: datetime, bank: str, mti: str, identity: list[str]) -> bytes:
    origin = int(mti[3])
    parts = [bank, f"{mti[1:3]}{origin - origin % 2}", *identity]
    # Each part is led by its length, so that no two lists of parts run into the same bytes.
    text = "".join([f"{len(part)}:{part}" for part in parts])
    return sent.toordinal().to_bytes(3, "big") + blake2b(text.encode(), digest_size=13).digest()


def _content(decoded: Decoded, dialect: Dialect, card: CardReference | None) -> bytes:
    fields = decoded.fields
    if not dialect.volatile.isdisjoint(fields):
        fields = {name: value for name, value in fields.items() if name not in dialect.volatile}
    said = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
    last_four = card.last_four if card is not None else ""
    return blake2b(said + last_four.encode(), digest_size=16).digest()


def _clearing_identity(decoded: Decoded, dialect: Dialect, clearing_file: str, record_number: int | None) -> list[str]:
    """Return the fields that identify a clearing record; without an acquirer reference its place in its file does."""
    identity = [_identity_value(name, decoded.fields) for name in dialect.clearing_identity]
    if decoded.fields.get("acquirer_reference", "").strip("0 "):
        return identity
    if not clearing_file or record_number is None:
        problem = "is missing, and the record comes in no numbered file; nothing identifies it"
        raise decoded.failure("acquirer_reference", problem, dialect.numbers)
    return [*identity, clearing_file, str(record_number)]


def _identity_value(name: str, fields: dict[str, str]) -> str:
    value = fields.get(name, "")
    if name == "presentment_reversal":
        return value.rstrip() if value.startswith("R") else ""
    # Hosts that pack digits may send a leading zero more.
    return value.lstrip("0") if name in _INSTITUTIONS else value


def _sent(decoded: Decoded, dialect: Dialect, received_at: datetime) -> datetime:
    stated = decoded.fields.get("transmission_date_time")
    if stated is None:
        raise decoded.failure("transmission_date_time", "is missing; it dates the message", dialect.numbers)
    day = _resolve(stated[:4], received_at.astimezone(UTC).toordinal() + FUTURE_DAYS)
    if day is None:
        raise decoded.failure("transmission_date_time", "is not a date MMDDhhmmss", dialect.numbers)
    return _at(decoded, dialect, "transmission_date_time", day, stated[4:])


def _local_date_time(decoded: Decoded, dialect: Dialect, received_at: datetime) -> datetime:
    """Return the card acceptor's own time (YYMMDDhhmmss) taken as UTC, since a clearing record carries no other.

    A fee, which no card acceptor makes, is dated by its date of action.
    """
    stated = decoded.fields.get("local_date_time")
    if stated is None:
        action_date = decoded.fields.get("action_date")
        if action_date is None:
            raise decoded.failure("local_date_time", "is missing; it dates the record", dialect.numbers)
        stated = f"{action_date}000000"
    day = _day_with_year(stated[:6])
    if day is None:
        raise decoded.failure("local_date_time", "is not a date YYMMDDhhmmss", dialect.numbers)
    if day.toordinal() > received_at.astimezone(UTC).toordinal() + FUTURE_DAYS:
        problem = f"lies more than {FUTURE_DAYS} days ahead of its receipt"
        raise decoded.failure("local_date_time", problem, dialect.numbers)
    return _at(decoded, dialect, "local_date_time", day, stated[6:])


def _at(decoded: Decoded, dialect: Dialect, name: str, day: date, time: str) -> datetime:
    hour, minute, second = int(time[:2]), int(time[2:4]), int(time[4:])
    if hour > 23 or minute > 59 or second > 59:
        raise decoded.failure(name, "is not a time hhmmss", dialect.numbers)
    return datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=UTC)


def _local_date(decoded: Decoded, dialect: Dialect, received_at: datetime) -> date | None:
    name = "local_date" if "local_date" in decoded.fields else "local_date_time"
    stated = decoded.fields.get(name)
    if stated is None:
        return None
    if name == "local_date":
        day = _resolve(stated, received_at.astimezone(UTC).toordinal() + FUTURE_DAYS)
    else:
        day = _day_with_year(stated[:6])
    if day is None:
        raise decoded.failure(name, "is not a date", dialect.numbers)
    return day


@lru_cache(maxsize=4096)
def _resolve(month_day: str, latest: int) -> date | None:
    """Return the latest date of that month and day whose ordinal is at most ``latest``; None where there is none."""
    newest = date.fromordinal(latest)
    month, day = int(month_day[:2]), int(month_day[2:])
    for year in range(newest.year, newest.year - _LEAP_YEARS_APART - 1, -1):
        found = _date(year, month, day)
        if found is not None and found <= newest:
            return found
    return None


@lru_cache(maxsize=4096)
def _day_with_year(digits: str) -> date | None:
    return _date(2000 + int(digits[:2]), int(digits[2:4]), int(digits[4:]))


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _money(decoded: Decoded, dialect: Dialect, amount: str, currency: str) -> Money | None:
    stated = decoded.fields.get(amount)
    if stated is None:
        return None
    digits = decoded.fields.get(currency)
    if digits is None:
        raise decoded.failure(currency, f"is missing; {amount} needs it", dialect.numbers)
    code = CURRENCY_OF_NUMERIC_CODE.get(digits)
    if code is None:
        raise decoded.failure(currency, "is not an ISO 4217 number", dialect.numbers)
    return Money(amount_minor=int(stated), currency=code)


def _replacement(decoded: Decoded, dialect: Dialect, amount: Money | None) -> Money | None:
    """Return what remains after a partial reversal: the first twelve digits of the replacement amounts.

    Zeros say that nothing remains, which is a full reversal and needs no replacement.
    """
    stated = decoded.fields.get("replacement_amounts")
    if stated is None:
        return None
    digits = stated[:12]
    if not digits.isdecimal():
        raise decoded.failure("replacement_amounts", "does not begin with twelve digits", dialect.numbers)
    remains = int(digits)
    if not remains:
        return None
    if amount is None:
        raise decoded.failure("amount", "is missing; the replacement amount needs its currency", dialect.numbers)
    return Money(amount_minor=remains, currency=amount.currency)


def _original_trace(decoded: Decoded, acquirer: str) -> str | None:
    """Return the trace of the message referred to: type (4), trace number (6), date and time (10), acquirer (11).

    An acquirer of zeros stands for the message's own; a trace number or time of zeros refers to nothing.
    """
    stated = decoded.fields.get("original_data")
    if stated is None:
        return None
    trace_number, date_time, original_acquirer = stated[4:10], stated[10:20], stated[20:31].lstrip("0")
    if not trace_number.strip("0") or not date_time.strip("0"):
        return None
    return f"{date_time}/{trace_number}/{original_acquirer or acquirer}"


def _reference(value: str) -> str:
    """Return a reference without its padding; zeros and spaces alone refer to nothing."""
    return value.strip() if value.strip("0 ") else ""


def _clearing_part(decoded: Decoded, dialect: Dialect) -> tuple[int, int] | None:
    stated = decoded.fields.get("clearing_part")
    if stated is None:
        return None
    if len(stated) != 4 or not stated.isdecimal() or not 1 <= int(stated[:2]) <= int(stated[2:]):
        raise decoded.failure("clearing_part", "is not a sequence and a count such as 0102", dialect.numbers)
    return int(stated[:2]), int(stated[2:])
