"""What a message names and what names it: traces, the original it refers to, and what a reversal leaves.

It decides by the dialect's tables which fields make a trace, so that a message's trace and the original trace of one
that refers to it are equal text.
"""

from typing import Final

from processor.core.money import Money
from processor.wire.decode import Decoded
from processor.wire.dialect import Dialect
from processor.wire.dialect_meaning import holds

INSTITUTIONS: Final = frozenset({"acquirer", "forwarder"})
"""Fields that hosts write with or without leading zeros."""

_AMOUNT_DIGITS: Final = 12
_MAY_BE_ZERO: Final = frozenset({"local_time"})


def trace_of(dialect: Dialect, fields: dict[str, str]) -> str:
    """Return the trace that names a message to those that refer to it, empty where a part of it is missing."""
    parts = []
    for name in dialect.trace:
        value = fields.get(name, "")
        if name in INSTITUTIONS:
            value = value.lstrip("0")
        elif not value:
            return ""
        parts.append(value)
    return "/".join(parts)


def original_trace_of(dialect: Dialect, fields: dict[str, str]) -> str | None:
    """Return the trace of the message that this one refers to, None where it refers to none.

    An institution of zeros stands for the message's own; zeros or other characters elsewhere refer to nothing.
    """
    if fields.keys().isdisjoint(dialect.original_trace):
        return None
    parts = []
    for name, original in zip(dialect.trace, dialect.original_trace, strict=False):
        value = fields.get(original, "")
        if name in INSTITUTIONS:
            parts.append(value.strip().lstrip("0") or fields.get(name, "").lstrip("0"))
            continue
        if not value.strip("0 ") and not (value and name in _MAY_BE_ZERO):
            return None
        parts.append(value)
    return "/".join(parts) if parts else None


def reference(value: str) -> str:
    """Return a reference without its padding; zeros and spaces alone refer to nothing."""
    return value.strip() if value.strip("0 ") else ""


def replacement_of(decoded: Decoded, dialect: Dialect, amount: Money | None) -> Money | None:
    """Return what remains after a partial reversal, None where nothing does, which is a full reversal.

    Raises :class:`~processor.wire.decode.DecodeFailure` where a partial reversal does not say it.
    """
    rule = dialect.partial_reversal
    if rule is None or (rule.when and not holds(rule.when, decoded.fields)):
        return None
    if rule.amount not in decoded.fields and not rule.when:
        return None
    remains = _stated(decoded, dialect, rule.amount)
    if rule.takes:
        remains = _stated(decoded, dialect, rule.original) - remains
    if remains < 0:
        raise decoded.failure(rule.amount, "takes back more than the original amount", dialect.numbers)
    if not remains:
        return None
    if amount is None:
        raise decoded.failure("amount", "is missing; the replacement amount needs its currency", dialect.numbers)
    return Money(amount_minor=remains, currency=amount.currency)


def _stated(decoded: Decoded, dialect: Dialect, name: str) -> int:
    digits = decoded.fields.get(name, "")[:_AMOUNT_DIGITS]
    if not digits:
        raise decoded.failure(name, "is missing; a partial reversal needs it", dialect.numbers)
    if len(digits) < _AMOUNT_DIGITS or not digits.isdecimal():
        raise decoded.failure(name, "does not begin with twelve digits", dialect.numbers)
    return int(digits)
