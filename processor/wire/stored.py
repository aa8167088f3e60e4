"""Card message to JSON and back, for the stored decision and its replay.

Keys are the field names of :class:`~processor.core.message.CardMessage`; defaults are left out; bytes are hexadecimal.
It runs once a message, so it is written out by hand.
It never holds an account number, since a card message holds none.
"""

from datetime import date, datetime
from typing import Any, Final

import orjson

from processor.core.card import CardReference
from processor.core.message import CardMessage, Direction, MessageKind
from processor.core.money import Money

_TEXTS: Final = (
    "processing_code",
    "trace_number",
    "trace",
    "lifecycle_id",
    "retrieval_reference",
    "approval_code",
    "response_code",
    "acquirer",
    "forwarder",
    "terminal",
    "acceptor",
    "acceptor_name",
    "mcc",
    "entry_mode",
    "condition_code",
    "function_code",
    "acquirer_reference",
    "clearing_file",
    "message_reason",
    "local_time",
    "channel",
    "country",
)
_FLAGS: Final = ("credit", "estimated", "supersedes")
_OMITTED_WHEN_FALSE: Final = (*_TEXTS, *_FLAGS, "rules", "oddities", "taken_off", "product_codes")
_OMITTED_WHEN_NONE: Final = ("local_date", "original_trace", "record_number", "clearing_part")
_AMOUNTS: Final = ("amount", "billing", "replacement", "replacement_billing")


def message_to_json(message: CardMessage) -> bytes:
    """Return the message as JSON; :func:`message_from_json` returns an equal one."""
    stored: dict[str, Any] = {
        "message_id": message.message_id.hex(),
        "content": message.content.hex(),
        "bank": message.bank,
        "dialect": message.dialect,
        "mti": message.mti,
        "kind": int(message.kind),
        "direction": int(message.direction),
        "transmitted_at": message.transmitted_at,
    }
    card = message.card
    if card is not None:
        alternates = [token.hex() for token in card.alternates]
        stored["card"] = [card.token.hex(), card.key_id, card.last_four, card.product, alternates]
    for name in _OMITTED_WHEN_FALSE:
        value = getattr(message, name)
        if value:
            stored[name] = value
    for name in _AMOUNTS:
        money = getattr(message, name)
        if money is not None:
            stored[name] = (money.amount_minor, money.currency)
    for name in _OMITTED_WHEN_NONE:
        value = getattr(message, name)
        if value is not None:
            stored[name] = value
    if message.refers_to:
        stored["refers_to"] = [message_id.hex() for message_id in message.refers_to]
    return orjson.dumps(stored)


def message_from_json(data: bytes | str) -> CardMessage:
    """Return the message that :func:`message_to_json` wrote."""
    stored = orjson.loads(data)
    values: dict[str, Any] = {name: stored[name] for name in _TEXTS if name in stored}
    for name in _AMOUNTS:
        if name in stored:
            amount_minor, currency = stored[name]
            values[name] = Money(amount_minor=amount_minor, currency=currency)
    if "local_date" in stored:
        values["local_date"] = date.fromisoformat(stored["local_date"])
    if "clearing_part" in stored:
        values["clearing_part"] = tuple(stored["clearing_part"])
    return CardMessage(
        message_id=bytes.fromhex(stored["message_id"]),
        content=bytes.fromhex(stored["content"]),
        bank=stored["bank"],
        dialect=stored["dialect"],
        mti=stored["mti"],
        kind=MessageKind(stored["kind"]),
        direction=Direction(stored["direction"]),
        card=_card(stored.get("card")),
        transmitted_at=datetime.fromisoformat(stored["transmitted_at"]),
        credit=stored.get("credit", False),
        estimated=stored.get("estimated", False),
        supersedes=stored.get("supersedes", False),
        refers_to=tuple(bytes.fromhex(message_id) for message_id in stored.get("refers_to", ())),
        rules=tuple(stored.get("rules", ())),
        original_trace=stored.get("original_trace"),
        record_number=stored.get("record_number"),
        taken_off=tuple((part, minor) for part, minor in stored.get("taken_off", ())),
        product_codes=tuple(stored.get("product_codes", ())),
        oddities=tuple(stored.get("oddities", ())),
        **values,
    )


def _card(stored: Any) -> CardReference | None:
    if stored is None:
        return None
    token, key_id, last_four, product, alternates = stored
    return CardReference(
        token=bytes.fromhex(token),
        key_id=key_id,
        last_four=last_four,
        product=product,
        alternates=tuple(bytes.fromhex(alternate) for alternate in alternates),
    )
