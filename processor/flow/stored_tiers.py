"""What a decision keeps of the tiers that it bears on: what its purchase counts towards them, and what it changed."""

from collections.abc import Mapping
from typing import Any

from processor.core.decision import Decision
from processor.core.qualification import reached_of
from processor.core.qualifying import Moved
from processor.core.tier_change import TierChange


def tiers_to_data(decision: Decision) -> dict[str, Any]:
    """Return what is stored of counters that were moved and tiers that changed; what there is none of is left out."""
    data: dict[str, Any] = {}
    if decision.qualifying:
        data["qualifying"] = [list(moved) for moved in decision.qualifying]
    if decision.tiers:
        data["tiers"] = [[change.reached.value, *change[1:]] for change in decision.tiers]
    return data


def moved_from_data(detail: Mapping[str, Any]) -> list[Moved]:
    """Return the counters that a decision's purchase counts in, as it stored them."""
    return [Moved(*entry) for entry in detail.get("qualifying", ())]


def tiers_from_data(detail: Mapping[str, Any]) -> list[TierChange]:
    """Return what a decision changed of the member's tier, as it stored it."""
    return [TierChange(reached_of(value), *terms) for value, *terms in detail.get("tiers", ())]
