"""Posting what has become due: miles whose days of return are over, or whose statement date has come.

A run looks at purchases whose id's day lies in a window: back by the longest time that any revision lets miles wait,
and some days more, so that a purchase that cleared late, or was left out by a run that did not happen, is seen too.
The database opens the window's monthly partitions alone, and hands over the purchases that have cleared and have
something pending; each is folded here, and an event is booked only where it posts something.

Nothing is remembered between runs: what was posted is found no more, and an event's id is made of the account, the
purchase and the day that has come, so that runs beside or after each other book it once.
The decision is made under the account's lock by the fold, so a refund that comes at the same time counts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from processor.core.course import start_of
from processor.core.due import day_to_post
from processor.core.message import MessageKind
from processor.core.outcome import Outcome
from processor.core.timing import Moment, Timing
from processor.flow.batch import BatchDecider
from processor.flow.event_message import digest_of, event_message, submission_of
from processor.flow.snapshot import Snapshot
from processor.flow.submission import Submission
from processor.flow.sweep import PAGE, Sweep, days_between, programme_of
from processor.store.directory import CardAddress
from processor.store.purchases import OwnedPurchase, find_waiting

DAYS_BACK: Final = 60
"""How many days before the earliest that can be due a run looks, unless it is told otherwise."""
LONGEST_MONTH: Final = 31


@dataclass(slots=True, kw_only=True)
class Posted:
    """What a run did: purchases it looked at, posted something of, and could not decide now."""

    examined: int = 0
    posted: int = 0
    left: int = 0


def post_due(decider: BatchDecider, sweep: Sweep, *, as_of: datetime, days_back: int = DAYS_BACK) -> Posted:
    """Post what is due on the UTC day of ``as_of`` or was before it.

    It goes as far as ``sweep`` allows; the sweep then tells where the next call goes on.
    """
    with decider.engine.connect() as connection:
        snapshot = decider.snapshots.refresh(connection)
    result = Posted()
    longest = longest_wait(
        timing for revisions in snapshot.programmes.values() for revision in revisions for timing in revision.timings
    )
    if longest is None:
        sweep.finish()
        return result
    day = as_of.date()
    window = days_between(day - timedelta(days=longest + days_back), day)
    for bucket, after in sweep.pages():
        with decider.engine.connect() as connection:
            rows = find_waiting(connection, bucket, window, after=after, limit=PAGE)
        result.examined += len(rows)
        _decide(decider, [entry for row in rows if (entry := _due(row, snapshot, day)) is not None], result)
        sweep.reached([row.purchase.id for row in rows])
    return result


def longest_wait(timings: Iterable[Timing]) -> int | None:
    """Return for how many days what has cleared may wait at most, None where nothing becomes due by itself."""
    by_day = [timing for timing in timings if not timing.is_on_release]
    days = [timing.days if timing.moment is Moment.AFTER_DAYS else LONGEST_MONTH for timing in by_day]
    return max(days, default=None)


def _decide(decider: BatchDecider, submissions: Sequence[Submission], result: Posted) -> None:
    for verdict in decider.decide(submissions):
        result.posted += verdict.outcome is Outcome.ACCEPTED
        result.left += verdict.outcome in {Outcome.PARKED, Outcome.UNAVAILABLE}


def _due(row: OwnedPurchase, snapshot: Snapshot, as_of: date) -> Submission | None:
    """Return the event that posts something of a purchase, None where nothing of it is due."""
    programme = programme_of(row, snapshot)
    due = None if programme is None else day_to_post(programme, row.purchase, as_of)
    if due is None:
        return None
    digest = digest_of(b"due", row.account, row.purchase.id, due.day.isoformat().encode())
    message = event_message(
        MessageKind.DUE, bank=row.bank, at=start_of(due.day), digest=digest, about=(due.message_id,)
    )
    return submission_of(message, CardAddress(account=row.account, bucket=row.bucket))
