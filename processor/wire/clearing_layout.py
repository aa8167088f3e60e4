"""Layouts: how one bank writes its clearing file of lines, compiled once.

A layout says which lines a file has, which of the bank's columns is which of ours, how values are written, and what the
bank's codes of a posting mean; ``clearing_layout_text`` reads it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from processor.core.card import Pan
from processor.core.message import MessageKind
from processor.wire.decode import Decoded, DecodeFailure, Echo
from processor.wire.dialect import Dialect
from processor.wire.message_kind import kind_of

CHECKED_IN_TRAILER: Final = ("record_count", "amount_total", "currency", "file_id")
"""The fields of a trailer that are compared with the file; others are read over."""

LAYOUT_FIELD: Final = "layout"
"""The field of a header that holds the layout's own name, by which a file is recognised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostingType:
    """What one type of posting is as a clearing record; ``reversed`` undoes one of the same function code."""

    message_type: str
    function_code: str
    processing_code: str
    kind: MessageKind
    reversed: bool = False


def _type(message_type: str, function_code: str, processing_code: str, kind: MessageKind) -> PostingType:
    return PostingType(
        message_type=message_type,
        function_code=function_code,
        processing_code=processing_code,
        kind=kind,
        reversed=kind >= MessageKind.PRESENTMENT_REVERSAL,
    )


POSTING_TYPES: Final[Mapping[str, PostingType]] = {
    "purchase": _type("1240", "200", "000000", MessageKind.PRESENTMENT),
    "refund": _type("1240", "200", "200000", MessageKind.PRESENTMENT),
    "cash": _type("1240", "200", "010000", MessageKind.PRESENTMENT),
    "fee": _type("1740", "700", "000000", MessageKind.FEE_COLLECTION),
    "purchase-reversal": _type("1240", "200", "000000", MessageKind.PRESENTMENT_REVERSAL),
    "refund-reversal": _type("1240", "200", "200000", MessageKind.PRESENTMENT_REVERSAL),
    "chargeback": _type("1442", "450", "000000", MessageKind.CHARGEBACK),
    "chargeback-reversal": _type("1442", "450", "000000", MessageKind.CHARGEBACK_REVERSAL),
    "second-presentment": _type("1240", "205", "000000", MessageKind.SECOND_PRESENTMENT),
    "second-presentment-reversal": _type("1240", "205", "000000", MessageKind.SECOND_PRESENTMENT_REVERSAL),
    "arbitration-chargeback": _type("1442", "451", "000000", MessageKind.ARBITRATION_CHARGEBACK),
    "arbitration-chargeback-reversal": _type("1442", "451", "000000", MessageKind.ARBITRATION_CHARGEBACK_REVERSAL),
}
"""Our types as ISO 8583:1993 writes them: message type, function code of the whole amount, processing code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeLine:
    """A header or a trailer: its first value, and the fields behind it."""

    mark: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClearingLayout:
    """A compiled layout; the schema in ``schemas/clearing/`` says what each key means.

    ``dialect`` says what the records mean and bears the layout's name; ``records`` is the name that dialect has itself.
    ``columns`` and ``types`` are keyed by our name and by the bank's code; ``optional`` are ours that a file may lack.
    """

    name: str
    description: str
    records: str
    dialect: Dialect
    encoding: str
    separator: str
    quote: str
    decimal: str
    minor: bool
    dates: str
    times: str
    date_times: str
    header: EdgeLine | None
    file_id: tuple[str, ...]
    names: bool
    order: tuple[str, ...]
    ignores_others: bool
    detail_mark: str
    trailer: EdgeLine | None
    columns: Mapping[str, str]
    optional: frozenset[str]
    constants: Mapping[str, str]
    types: Mapping[str, str]

    @property
    def totals_by_currency(self) -> bool:
        """Whether the file has one trailer line for each currency instead of one over all."""
        return self.trailer is not None and "currency" in self.trailer.fields


def meaning(dialect: Dialect, posting: PostingType, function_code: str) -> MessageKind | None:
    """Return what a record of a type is in a dialect with that function code, None where it is nothing."""
    fields = {"function_code": function_code}
    if posting.reversed:
        fields["presentment_reversal"] = "R"
    try:
        return kind_of(decoded_of(dialect.name, posting.message_type, fields), dialect)
    except DecodeFailure:
        return None


def decoded_of(
    dialect: str, message_type: str, fields: dict[str, str], *, pan: Pan | None = None, oddities: tuple[str, ...] = ()
) -> Decoded:
    """Return fields that came in no bytes of ISO 8583 as a decoded message."""
    return Decoded(
        dialect=dialect, mti=message_type, fields=fields, pan=pan, oddities=oddities, positions={}, echo=Echo({})
    )
