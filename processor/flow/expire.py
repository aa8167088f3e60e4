"""Letting authorizations expire that did not clear: find them, book one event for each purchase, release what waits.

A run looks at purchases whose id's day lies in a window: up to the day on which the latest authorization that can
expire was sent, and some days before it, so that a purchase that was completed later, arrived late or was left out by a
run that did not happen is seen too.
The database opens the window's monthly partitions alone, and hands over the few purchases that have pending grants, or
an authorization and nothing else; each is folded here, and an event is booked only where it takes something off.

Nothing is remembered between runs: what was let expire is found no more, and an event's id is made of the account, the
purchase, the authorization and the threshold, so that runs beside or after each other book it once.
The decision is made under the account's lock by the fold, so a presentment that comes at the same time counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from processor.core.expiry import expiring
from processor.core.message import MessageKind
from processor.core.outcome import Outcome
from processor.flow.batch import BatchDecider
from processor.flow.event_message import digest_of, event_message, submission_of
from processor.flow.snapshot import Snapshot
from processor.flow.submission import Submission
from processor.flow.sweep import PAGE, Sweep, days_between, programme_of
from processor.store.directory import CardAddress
from processor.store.purchases import OwnedPurchase, find_awaited

DAYS_BACK: Final = 60
"""How many days before the latest authorization that can expire a run looks, unless it is told otherwise."""


@dataclass(slots=True, kw_only=True)
class Expired:
    """What a run did: purchases it looked at, let expire, and could not decide now."""

    examined: int = 0
    expired: int = 0
    left: int = 0


def start_of_day(now: datetime) -> datetime:
    """Return the moment that all runs of a UTC day count back from, so that they book the same events."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def expire(decider: BatchDecider, sweep: Sweep, *, as_of: datetime, days_back: int = DAYS_BACK) -> Expired:
    """Let authorizations expire that were not cleared in their programme's days before ``as_of``.

    It goes as far as ``sweep`` allows; the sweep then tells where the next call goes on.
    """
    with decider.engine.connect() as connection:
        snapshot = decider.snapshots.refresh(connection)
    result = Expired()
    days = _awaited_days(snapshot)
    if not days:
        sweep.finish()
        return result
    latest = as_of - timedelta(days=min(days))
    window = days_between((as_of - timedelta(days=max(days) + days_back)).date(), latest.date())
    for bucket, after in sweep.pages():
        with decider.engine.connect() as connection:
            rows = find_awaited(connection, bucket, window, after=after, limit=PAGE)
        result.examined += len(rows)
        _decide(decider, [entry for row in rows if (entry := _expiry(row, snapshot, as_of)) is not None], result)
        sweep.reached([row.purchase.id for row in rows])
    return result


def _awaited_days(snapshot: Snapshot) -> set[int]:
    return {revision.authorization_days for revisions in snapshot.programmes.values() for revision in revisions}


def _decide(decider: BatchDecider, submissions: Sequence[Submission], result: Expired) -> None:
    for verdict in decider.decide(submissions):
        result.expired += verdict.outcome is Outcome.ACCEPTED
        result.left += verdict.outcome in {Outcome.PARKED, Outcome.UNAVAILABLE}


def _expiry(row: OwnedPurchase, snapshot: Snapshot, as_of: datetime) -> Submission | None:
    """Return the event that lets something of a purchase expire, None where nothing of it does."""
    programme = programme_of(row, snapshot)
    if programme is None:
        return None
    threshold = (as_of - timedelta(days=programme.authorization_days)).replace(microsecond=0)
    at = int(threshold.timestamp())
    first = expiring(row.purchase.events, at)
    if first is None:
        return None
    digest = digest_of(b"expiry", row.account, row.purchase.id, first.message_id, at.to_bytes(8, "big"))
    message = event_message(MessageKind.EXPIRY, bank=row.bank, at=threshold, digest=digest, about=(first.message_id,))
    return submission_of(message, CardAddress(account=row.account, bucket=row.bucket))
