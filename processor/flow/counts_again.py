"""Computing again what a decision's purchase counts towards tiers, from what the decision stored."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from processor.core.accrual import is_excluded
from processor.core.programme import Programme
from processor.core.qualifying import Counts, counts_of, nothing_of
from processor.flow.recomputed import Recomputed
from processor.flow.stored_tiers import moved_from_data, tiers_from_data


def counts_as_stored(programme: Programme, detail: Mapping[str, Any], recomputed: Recomputed, day: date) -> bool:
    """Tell whether the stored amounts and grants count towards tiers what was stored; a quote counts nothing.

    ``day`` is the local date of a purchase that does not say where and when it happened.
    """
    stored = {Counts(moved.counter, moved.period, moved.now) for moved in moved_from_data(detail) if moved.now}
    if detail.get("quote") or not (programme.measures or stored):
        return not stored
    at, inputs, folded = recomputed.at, detail["inputs"], recomputed.folded
    if at is None or is_excluded(programme, mcc=at.mcc, processing_code=inputs["processing_code"]):
        folded = nothing_of(folded)
    posted: dict[str, int] = {}
    for entry in recomputed.considered:
        if entry.unit == programme.unit:
            posted[entry.rule] = entry.available
    counts = counts_of(
        programme,
        folded,
        product=at.product if at is not None else "",
        day=at.local_date if at is not None else day,
        applying={entry.rule.id for entry in recomputed.entitled.entitlements},
        posted=posted,
    )
    holding = all(change.holds == (change.stands >= change.least) for change in tiers_from_data(detail))
    return holding and stored == set(counts)
