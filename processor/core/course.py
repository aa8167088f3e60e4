"""How a purchase has come along since it cleared: which day has come for it, and what operations released.

Beside the fold, for programmes that do not post everything as soon as it clears.
It is a pure function of the purchase's events: the days that its clearing messages state, the processor's word that a
day has come, and the releases of operations; never of the order in which they arrived.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

from processor.core.event import Event
from processor.core.lifecycle import Effect
from processor.core.money import Money
from processor.core.standing import standing_of
from processor.core.timing import Timing

_EPOCH: Final = date(1970, 1, 1)
_DAY_S: Final = 86_400


class Cleared(NamedTuple):
    """One message by which a part of a purchase cleared: the day that it states, and what reversals leave of it."""

    message_id: bytes
    on: date
    amount: Money
    billing: Money


class Course(NamedTuple):
    """How a purchase has come along since it cleared.

    ``due_through`` is the latest day that the processor said has come, None before the first.
    ``released`` are pairs of a clearing message that operations released and a rule, empty for every rule.
    """

    cleared: tuple[Cleared, ...] = ()
    due_through: date | None = None
    released: frozenset[tuple[bytes, str]] = frozenset()

    def cleared_minor(self, currency: str, *, billing: bool) -> int:
        """Return what cleared in one currency before refunds and disputes, in minor units, as paid or as billed."""
        money = [part.billing if billing else part.amount for part in self.cleared]
        return sum(entry.amount_minor for entry in money if entry.currency == currency)

    def is_due(self, part: Cleared, timing: Timing, rule: str, statement_day: int) -> bool:
        """Tell whether what cleared in one message is posted under a rule."""
        due_on = timing.due_on(part.on, statement_day)
        if due_on is None:
            return (part.message_id, "") in self.released or (part.message_id, rule) in self.released
        return self.due_through is not None and due_on <= self.due_through


def course_of(events: Iterable[Event]) -> Course:
    """Return the course of a purchase from its events, in whatever order they come."""
    ordered = sorted(events, key=lambda event: event.order)
    standing = standing_of(ordered)
    return Course(
        cleared=tuple(
            [
                Cleared(entry.event.message_id, _day_of(entry.event), entry.amount, entry.billing or entry.amount)
                for entry in standing.presented or standing.final
                if entry.amount.amount_minor
            ]
        ),
        due_through=max((_day_of(event) for event in ordered if event.effect is Effect.DUE), default=None),
        released=frozenset(
            (message_id, rule)
            for event in ordered
            if event.effect is Effect.RELEASED
            for message_id in event.refers_to
            for rule in event.rules or ("",)
        ),
    )


def _day_of(event: Event) -> date:
    return _EPOCH + timedelta(days=event.at // _DAY_S)


def start_of(day: date) -> datetime:
    """Return the moment by which the processor's word about a day is dated."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
