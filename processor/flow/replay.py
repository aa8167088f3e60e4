"""Deciding parked messages again, from their stored fields, once the cause is mended."""

from collections.abc import Sequence
from dataclasses import dataclass

from processor.core.outcome import Outcome
from processor.flow.batch import BatchDecider
from processor.flow.intake import Intake
from processor.flow.worker import LARGEST_BATCH
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
        submissions = [intake.read_stored(fields, snapshot, now) for fields in stored[start : start + LARGEST_BATCH]]
        for verdict in decider.decide(submissions):
            decided += verdict.outcome is Outcome.ACCEPTED
            still_parked += verdict.outcome in {Outcome.PARKED, Outcome.UNAVAILABLE}
    return ReplayResult(decided=decided, still_parked=still_parked)
