"""Going through the buckets one after another, a page at a time, as far as one call may.

What a sweep finds is looked at once more by the next one, so that it may stop anywhere.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from processor.core.programme import Programme
from processor.flow.snapshot import Snapshot
from processor.store.purchases import Days, OwnedPurchase
from processor.store.schema import id_of_day

PAGE: Final = 256
"""Purchases that are read and decided at a time."""
BUCKETS_A_CALL: Final = 16
"""Buckets that one call goes through at most, so that it answers in time."""
PAGES_A_CALL: Final = 64
"""Pages that one call goes through at most."""

Position = tuple[int, bytes]
"""A bucket, and the id behind which its next page begins."""


@dataclass(slots=True, kw_only=True)
class Sweep:
    """Where a call begins, and where the next one does; ``position`` is None once every bucket is done."""

    buckets: int
    position: Position | None = (0, b"")

    @property
    def buckets_done(self) -> int:
        """Return how many buckets are done."""
        return self.buckets if self.position is None else self.position[0]

    def pages(self) -> Iterator[Position]:
        """Yield where to read the next page, as long as this call may; say after each what it held."""
        begun = self.buckets_done
        for _ in range(PAGES_A_CALL):
            if self.position is None or self.position[0] >= begun + BUCKETS_A_CALL:
                return
            yield self.position

    def reached(self, ids: Sequence[bytes]) -> None:
        """Say which ids a page held; one that is not full is its bucket's last."""
        assert self.position is not None  # noqa: S101 - a page was just read there.
        bucket, _ = self.position
        if len(ids) == PAGE:
            self.position = (bucket, ids[-1])
        else:
            self.position = (bucket + 1, b"") if bucket + 1 < self.buckets else None

    def finish(self) -> None:
        """Say that there is nothing to look for."""
        self.position = None


def programme_of(row: OwnedPurchase, snapshot: Snapshot) -> Programme | None:
    """Return the revision that a purchase was decided under, for terms change in the future alone; None before it."""
    if row.programme is None or row.programme not in snapshot.programmes or row.purchase.revision is None:
        return None
    return snapshot.revision(row.programme, row.purchase.revision)


def days_between(first: date, last: date) -> Days:
    """Return the days that ids of these days begin with, both included."""
    return Days(low=id_of_day(first), high=id_of_day(last + timedelta(days=1)))


def day_of(id_: bytes) -> date:
    """Return the day that an id begins with."""
    return date.fromordinal(int.from_bytes(id_[:3], "big"))
