"""Computing again what a decision's purchase counts towards tiers, from what the decision stored."""

from collections.abc import Mapping
from typing import Any

from processor.core.accrual import is_excluded
from processor.core.programme import Programme
from processor.core.qualifying import Counts, counts_of
from processor.flow.recomputed import Recomputed
from processor.flow.stored_tiers import moved_from_data, tiers_from_data


def counts_as_stored(programme: Programme, detail: Mapping[str, Any], recomputed: Recomputed) -> bool:
    """Tell whether the stored amounts and grants count towards tiers what was stored; a quote counts nothing."""
    stored = {Counts(moved.counter, moved.period, moved.now) for moved in moved_from_data(detail) if moved.now}
    if detail.get("quote") or not (programme.measures or stored):
        return not stored
    at, inputs = recomputed.at, detail["inputs"]
    if at is None or is_excluded(programme, mcc=at.mcc, processing_code=inputs["processing_code"]):
        return not stored
    posted: dict[str, int] = {}
    for entry in recomputed.considered:
        if entry.unit == programme.unit:
            posted[entry.rule] = entry.available
    counts = counts_of(
        programme,
        recomputed.folded,
        product=at.product,
        day=at.local_date,
        applying={entry.rule.id for entry in recomputed.entitled.entitlements},
        posted=posted,
    )
    holding = all(change.holds == (change.stands >= change.least) for change in tiers_from_data(detail))
    return holding and stored == set(counts)
