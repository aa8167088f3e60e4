"""Velocity limits: how many awards, or how much, one account may be granted in a window before the next is held."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

VELOCITY: Final = "/velocity"
"""What ends the name of a counter of a velocity limit."""
_HOUR_S: Final = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Velocity:
    """How many ``awards``, or how many ``units``, the rules may grant one account in a window without review.

    The window is the last ``hours`` of UTC that have begun, or the last ``days`` of the purchases' local dates, those
    of the purchase included; one of each pair is stated.
    """

    id: str
    rules: frozenset[str]
    awards: int | None
    units: int | None
    hours: int | None
    days: int | None


def windows_of(velocity: Velocity, *, at: int | None = None, day: date | None = None) -> list[str]:
    """Return the names of the hours behind a moment, or of the days behind a local date, that a limit looks at.

    Its own comes first; there are none where the limit goes by the other one.
    """
    if velocity.hours is not None:
        return [] if at is None else [_hour(at - back * _HOUR_S) for back in range(velocity.hours)]
    return [] if day is None else [(day - timedelta(days=back)).isoformat() for back in range(velocity.days or 1)]


def _hour(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H}"
