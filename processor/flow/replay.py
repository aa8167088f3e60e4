"""Deciding parked messages again, from their stored fields, once the cause is mended."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from processor.core.outcome import Outcome
from processor.flow.batch import BatchDecider
from processor.flow.intake import Intake
from processor.flow.submission import Submission
from processor.flow.worker import LARGEST_BATCH
from processor.store.card_side import Key
from processor.store.directory import CardAddress
from processor.store.parked import load_named, load_oldest


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayResult:
    """How many parked messages were decided now, and how many still wait."""

    decided: int
    still_parked: int


def replay(decider: BatchDecider, intake: Intake, keys: Sequence[tuple[int, bytes]] | None, limit: int) -> ReplayResult:
    """Decide the parked messages with these (bucket, message id) keys again, or the ``limit`` oldest of all.

    A message decided meanwhile by somebody else counts as neither.
    """
    with decider.engine.begin() as connection:
        decider.snapshots.refresh(connection)
        cursor = connection.connection.cursor()
        stored = load_oldest(cursor, limit) if keys is None else load_named(cursor, keys[:limit]) if keys else []
    now = decider.clock()
    snapshot = decider.snapshots.current
    decided = still_parked = 0
    for start in range(0, len(stored), LARGEST_BATCH):
        page = stored[start : start + LARGEST_BATCH]
        submissions = [_with_account(intake.read_stored(fields, snapshot, now), key) for key, fields in page]
        for verdict in decider.decide(submissions):
            decided += verdict.outcome is Outcome.ACCEPTED
            still_parked += verdict.outcome in {Outcome.PARKED, Outcome.UNAVAILABLE}
    return ReplayResult(decided=decided, still_parked=still_parked)


def _with_account(submission: Submission, account: Key) -> Submission:
    """Say whose an event of operations is, which names no card."""
    if submission.message.card is not None:
        return submission
    return replace(submission, address=CardAddress(account=account[1], bucket=account[0]))
