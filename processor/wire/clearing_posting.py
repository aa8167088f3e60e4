"""One line's values to what an IPM record of the same posting decodes to, so that both make one card message.

It decides by the bank's code what the record is; what its columns say must fit that.
The card number goes into a :class:`~processor.core.card.Pan` here and nowhere else.
"""

from collections.abc import Mapping
from typing import Final

from processor.core.card import CardReference, Pan
from processor.core.message import MessageKind
from processor.core.money import NUMERIC_CODE_OF_CURRENCY
from processor.wire.card_copies import copies_of
from processor.wire.clearing_layout import POSTING_TYPES, ClearingLayout, PostingType, decoded_of, meaning
from processor.wire.clearing_values import BadValueError, ValueReader, currency_value, part_value, text_value
from processor.wire.decode import Decoded

_TEXTS: Final = (
    "acquirer",
    "acceptor",
    "acceptor_name",
    "terminal",
    "mcc",
    "acquirer_reference",
    "approval_code",
    "retrieval_reference",
    "lifecycle_id",
    "product_codes",
)
_PRESENTMENTS: Final = frozenset({MessageKind.PRESENTMENT, MessageKind.PRESENTMENT_REVERSAL})
_FIRST: Final = frozenset(POSTING_TYPES[name] for name in ("purchase", "cash", "fee"))
_BEGINS_A_DAY: Final = "000000"
_ENDS_A_DAY: Final = "235959"
_PAYS_THE_HOLDER: Final = "2"
"""The first digit of the processing codes that do (20 to 29)."""


def read_posting(
    layout: ClearingLayout, reader: ValueReader, stated: Mapping[str, str]
) -> tuple[Decoded, CardReference | None]:
    """Return what a line says as a decoded record, and its card where the line has a token instead of the number.

    ``stated`` has the line's values by our name of the column, those that are empty left out.
    Raises :class:`BadValueError`.
    """
    name = layout.types.get(_needed(stated, "type"))
    if name is None:
        raise BadValueError("type", "is none of the layout's types; add it to them or mend the line")
    posting = POSTING_TYPES[name]
    pan = Pan(text_value("card_number", _needed(stated, "card_number"))) if "card_number" in layout.columns else None
    card = None if pan is not None else _card(stated)
    fields = {column: text_value(column, stated[column]) for column in _TEXTS if column in stated}
    fields["local_date_time"] = _local_date_time(reader, posting, stated)
    if "local_date_time" not in stated and "local_time" not in stated:
        fields["local_time"] = ""  # The time above is made up: it tells order, and no condition may read it.
    fields["function_code"] = _function_code(layout, posting, stated)
    fields["processing_code"] = _processing_code(posting, stated)
    _add_amount(reader, stated, fields, "amount", "currency")
    if "billing_amount" in stated or "billing_currency" in stated:
        _add_amount(reader, stated, fields, "billing_amount", "billing_currency")
    if "part" in stated:
        fields["clearing_part"] = part_value("part", stated["part"])
    if posting.reversed:
        day = reader.date("reversal_date", stated["reversal_date"]) if "reversal_date" in stated else ""
        fields["presentment_reversal"] = f"R{day}"
    elif "reversal_date" in stated:
        raise BadValueError("reversal_date", "is given, but the type is no reversal; leave it empty or mend the type")
    oddities = _drop_copies(pan, fields)
    return decoded_of(layout.records, posting.message_type, fields, pan=pan, oddities=oddities), card


def _needed(stated: Mapping[str, str], column: str) -> str:
    value = stated.get(column)
    if value is None:
        raise BadValueError(column, "is empty; a record needs it")
    return value


def _card(stated: Mapping[str, str]) -> CardReference:
    return CardReference(
        token=bytes.fromhex(text_value("card_token", _needed(stated, "card_token"))),
        key_id=text_value("card_token_key", _needed(stated, "card_token_key")),
        last_four=text_value("card_last_four", _needed(stated, "card_last_four")),
        product=text_value("card_product", stated["card_product"]) if "card_product" in stated else None,
    )


def _local_date_time(reader: ValueReader, posting: PostingType, stated: Mapping[str, str]) -> str:
    """Return the purchase's date and time; without a time, what follows a purchase lies behind it in its day."""
    if "local_date_time" in stated:
        return reader.date_time("local_date_time", stated["local_date_time"])
    day = reader.date("local_date", _needed(stated, "local_date"))
    if "local_time" in stated:
        return day + reader.time("local_time", stated["local_time"])
    return day + (_BEGINS_A_DAY if posting in _FIRST else _ENDS_A_DAY)


def _function_code(layout: ClearingLayout, posting: PostingType, stated: Mapping[str, str]) -> str:
    """Return the function code, which is part of the record's identity; a stated one must mean what the type means."""
    if "function_code" not in stated:
        return posting.function_code
    code = text_value("function_code", stated["function_code"])
    if meaning(layout.dialect, posting, code) is not posting.kind:
        raise BadValueError("function_code", "means something else than the type; mend one of the two")
    return code


def _processing_code(posting: PostingType, stated: Mapping[str, str]) -> str:
    if "processing_code" not in stated:
        return posting.processing_code
    code = text_value("processing_code", stated["processing_code"])
    if posting.kind in _PRESENTMENTS and (code[0] == _PAYS_THE_HOLDER) != (
        posting.processing_code[0] == _PAYS_THE_HOLDER
    ):
        raise BadValueError("processing_code", "does not fit the type: 20 to 29 pay the holder; mend one of the two")
    return code


def _add_amount(
    reader: ValueReader, stated: Mapping[str, str], fields: dict[str, str], amount: str, currency: str
) -> None:
    code = currency_value(currency, _needed(stated, currency))
    fields[amount] = f"{reader.amount(amount, _needed(stated, amount), code):012d}"
    fields[currency] = NUMERIC_CODE_OF_CURRENCY[code]


def _drop_copies(pan: Pan | None, fields: dict[str, str]) -> tuple[str, ...]:
    """Drop the fields in which a bank repeats the card number, as decoding a message does."""
    if pan is None:
        return ()
    copies = copies_of(pan, fields)
    for name in copies:
        del fields[name]
    return tuple(f"{name} holds the card number" for name in copies)
