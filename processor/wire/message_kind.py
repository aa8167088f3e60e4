"""What a message is: the kind that its type, function code and reason mean in its dialect.

It decides by the dialect's table first and by the class of the message type where the table is silent, and which
messages book nothing at all.
It never looks at an amount or a card number.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from processor.core.message import MessageKind
from processor.wire.decode import Decoded, DecodeFailure
from processor.wire.dialect import Dialect

_BY_CLASS: Final = {
    "1": MessageKind.AUTHORIZATION,
    "2": MessageKind.FINANCIAL,
    "4": MessageKind.REVERSAL,
    "6": MessageKind.ADMINISTRATIVE,
    "8": MessageKind.NETWORK_MANAGEMENT,
}
"""By the class of the message type; 3 (file action), 5 (reconciliation) and 7 (fees) mean nothing by themselves."""

_NOTIFICATION: Final = "4"
_REVERSED: Final[Mapping[MessageKind, MessageKind]] = {
    MessageKind.PRESENTMENT: MessageKind.PRESENTMENT_REVERSAL,
    MessageKind.CHARGEBACK: MessageKind.CHARGEBACK_REVERSAL,
    MessageKind.SECOND_PRESENTMENT: MessageKind.SECOND_PRESENTMENT_REVERSAL,
    MessageKind.ARBITRATION_CHARGEBACK: MessageKind.ARBITRATION_CHARGEBACK_REVERSAL,
    MessageKind.FEE_COLLECTION: MessageKind.FEE_COLLECTION_REVERSAL,
}
WITHOUT_MONEY: Final = frozenset({MessageKind.NETWORK_MANAGEMENT, MessageKind.ADMINISTRATIVE})
_FEES: Final = frozenset({MessageKind.FEE_COLLECTION, MessageKind.FEE_COLLECTION_REVERSAL})


class _Meaning(NamedTuple):
    kind: MessageKind | None
    by_function: bool


def kind_of(decoded: Decoded, dialect: Dialect) -> MessageKind:
    """Return what a decoded message is; a record marked as reversed (R) is the reversal of its kind.

    Raises :class:`DecodeFailure` where the dialect gives it no meaning.
    """
    fields = decoded.fields
    meaning = _meaning(dialect, decoded.mti, fields.get("function_code", ""), fields.get("message_reason", ""))
    kind = meaning.kind
    if kind is None:
        stated = f"{decoded.mti} with this function code" if meaning.by_function else decoded.mti
        problem = f"the dialect gives {stated} no meaning; add it to the dialect's kinds"
        if meaning.by_function:
            raise decoded.failure("function_code", problem, dialect.numbers)
        raise DecodeFailure(dialect=decoded.dialect, field="mti", position=0, problem=problem)
    if kind in _REVERSED and fields.get("presentment_reversal", "").startswith("R"):
        return _REVERSED[kind]
    return kind


def books_nothing(decoded: Decoded, dialect: Dialect) -> bool:
    """Tell whether a message moves nothing of any purchase, so that no card message need be made of it.

    That is network management, an administrative message or record, and a fee that names no card.
    Raises :class:`DecodeFailure` where the dialect gives the message no meaning.
    """
    kind = kind_of(decoded, dialect)
    return kind in WITHOUT_MONEY or (kind in _FEES and decoded.pan is None)


@lru_cache(maxsize=4096)
def _meaning(dialect: Dialect, mti: str, function_code: str, reason: str) -> _Meaning:
    origin = int(mti[3])
    original = f"{mti[:3]}{origin - origin % 2}"
    listed = [rule for rule in dialect.kinds if rule.message_type == original]
    for rule in listed:
        if _matches(rule.function_code, function_code) and _matches(rule.message_reason, reason):
            return _Meaning(kind=MessageKind[rule.kind.upper()], by_function=True)
    if mti[2] == _NOTIFICATION and mti[1] != "6":
        return _Meaning(kind=None, by_function=bool(listed))
    return _Meaning(kind=_BY_CLASS.get(mti[1]), by_function=False)


def _matches(pattern: str, value: str) -> bool:
    """Tell whether a value is what a pattern asks for; x stands for any one character, no pattern for anything."""
    if not pattern:
        return True
    return len(pattern) == len(value) and all(
        expected in {"x", stated} for expected, stated in zip(pattern, value, strict=True)
    )
