"""Decoded message to card message: tokenised, typed, with the identity that makes a repeat find its original.

It decides what a message is (its kind), when it was sent, what it names and what names it.
Identity follows the design: the day and thirteen bytes of BLAKE2b over bank, message type without version and repeat
digit, and the dialect's identity fields; none of them is an account number, so no key rotation changes it.
It never sees bytes and never gives out an account number.
"""

from datetime import UTC, date, datetime
from hashlib import blake2b
from typing import Final

import orjson

from processor.core.card import CardReference
from processor.core.message import CardMessage, Direction, MessageKind
from processor.core.money import CURRENCY_OF_NUMERIC_CODE, Money
from processor.wire.channel import channel_of
from processor.wire.country import acceptor_country
from processor.wire.decode import Decoded
from processor.wire.dialect import Dialect
from processor.wire.dialect_meaning import holds
from processor.wire.message_dates import is_dated, local_date_of, local_time_of, recorded_at, sent_at
from processor.wire.message_kind import WITHOUT_MONEY, kind_of
from processor.wire.product_codes import product_codes
from processor.wire.references import INSTITUTIONS, original_trace_of, reference, replacement_of, trace_of
from processor.wire.taken_off import taken_off
from processor.wire.tokenise import Tokeniser

_NOTIFICATION: Final = "4"
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

    What books nothing (:func:`~processor.wire.message_kind.books_nothing`) may lack a date; its receipt dates it.
    Raises :class:`~processor.wire.decode.DecodeFailure` where a field the decision needs is missing or odd.
    """
    fields = decoded.fields
    get = fields.get
    kind = kind_of(decoded, dialect)
    clearing = decoded.mti[2] == _NOTIFICATION and bool(dialect.clearing_identity)
    if kind in WITHOUT_MONEY and not is_dated(decoded, dialect, clearing=clearing):
        transmitted_at = received_at.astimezone(UTC)
    else:
        transmitted_at = (recorded_at if clearing else sent_at)(decoded, dialect, received_at)
    trace_number = get("trace_number", "")
    amount = _money(decoded, dialect, "amount", "currency")
    if clearing:
        identity = _clearing_identity(decoded, dialect, clearing_file, record_number)
        if amount is None and kind is not MessageKind.ADMINISTRATIVE:
            raise decoded.failure("amount", "is missing; a clearing record needs it", dialect.numbers)
    else:
        if not trace_number and "trace_number" in dialect.identity and kind not in WITHOUT_MONEY:
            raise decoded.failure("trace_number", "is missing; it tells messages apart", dialect.numbers)
        identity = [_identity_value(name, fields) for name in dialect.identity]
    billing = _money(decoded, dialect, "billing_amount", "billing_currency")
    replacement = replacement_of(decoded, dialect, amount) if kind is MessageKind.REVERSAL else None
    same_currency = replacement is not None and billing is not None and billing.currency == replacement.currency
    card = tokeniser.reference(decoded.pan) if decoded.pan is not None else None
    processing_code = get("processing_code", "")
    asked = kind is MessageKind.AUTHORIZATION and bool(dialect.marks)
    not_goods = taken_off(fields, amount)
    oddities = list(decoded.oddities)
    local_date = local_date_of(decoded, received_at, oddities)
    return CardMessage(
        message_id=_message_id(transmitted_at, bank, decoded.mti, identity),
        content=_content(decoded, dialect, card, not_goods),
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
        local_date=local_date,
        trace_number=trace_number,
        trace="" if clearing else trace_of(dialect, fields),
        original_trace=original_trace_of(dialect, fields),
        lifecycle_id=reference(get("lifecycle_id", "")),
        retrieval_reference=reference(get("retrieval_reference", "")),
        approval_code=reference(get("approval_code", "")),
        response_code=get("response_code", ""),
        acquirer=get("acquirer", "").lstrip("0"),
        forwarder=get("forwarder", "").lstrip("0"),
        terminal=get("terminal", "").strip(),
        acceptor=get("acceptor", "").strip(),
        acceptor_name=get("acceptor_name", "").strip(),
        mcc=get("mcc", ""),
        entry_mode=get("entry_mode", "").strip(),
        condition_code=get("condition_code", ""),
        function_code=get("function_code") or get("network_code", ""),
        acquirer_reference=reference(get("acquirer_reference", "")),
        clearing_file=clearing_file,
        record_number=record_number,
        message_reason=get("message_reason", ""),
        clearing_part=_clearing_part(decoded, dialect),
        estimated=asked and holds(dialect.marks.get("estimated", ()), fields),
        supersedes=asked and holds(dialect.marks.get("supersedes", ()), fields),
        local_time=local_time_of(decoded),
        channel=channel_of(get("entry_mode", "").strip(), get("condition_code", ""), get("mcc", ""), get("wallet", ""))
        or "",
        country=acceptor_country(fields),
        taken_off=not_goods,
        product_codes=product_codes(fields, dialect.product_places, decoded.pan, oddities),
        oddities=tuple(oddities),
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


def _content(
    decoded: Decoded, dialect: Dialect, card: CardReference | None, not_goods: tuple[tuple[str, int], ...]
) -> bytes:
    """Return the digest of what a message says; of additional amounts it counts what is cash, not the balances."""
    fields = decoded.fields
    if "additional_amounts" in fields:
        fields = {**fields, "additional_amounts": repr(not_goods)}
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
    return value.lstrip("0") if name in INSTITUTIONS else value


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


def _clearing_part(decoded: Decoded, dialect: Dialect) -> tuple[int, int] | None:
    stated = decoded.fields.get("clearing_part")
    if stated is None:
        return None
    if len(stated) != 4 or not stated.isdecimal() or not 1 <= int(stated[:2]) <= int(stated[2:]):
        raise decoded.failure("clearing_part", "is not a sequence and a count such as 0102", dialect.numbers)
    return int(stated[:2]), int(stated[2:])
