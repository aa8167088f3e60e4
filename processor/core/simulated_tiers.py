"""The computed tiers of a simulation: what a transaction gives and takes, from its own time on.

The service records them by its clock; a simulation has no other than the transaction's.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from processor.core.account_terms import AccountTerms
from processor.core.cap import CounterKey
from processor.core.decision import Decision
from processor.core.tier_change import TierChange, moved_counters, tier_changes


def simulated_tiers(
    terms: AccountTerms, before: Mapping[CounterKey, int], decision: Decision, *, at: int
) -> tuple[TierChange, ...]:
    """Return what a decision changed of the member's tier; ``before`` are the counters as they were.

    Its own purchase does not see it, and so a tier is in force from the second behind it at the earliest.
    """
    moved = moved_counters(before, terms.used)
    if not moved:
        return ()
    anchor = decision.folded.anchor
    changes = tier_changes(
        moved,
        terms.facts,
        bank=terms.bank,
        at=at if anchor is None else max(at, anchor.at + 1),
        programme_at=terms.programme_at,
        revision_of=terms.revision_of,
    )
    return tuple(changes)


def tier_as_data(change: TierChange) -> dict[str, Any]:
    """Return what became of a tier for JSON; ``until`` is left out where it is kept for good or given back."""
    return {
        "tier": change.reached.tier,
        "period": change.reached.period,
        "change": "given back" if not change.holds else "follows" if change.reached.after else "reached",
        **({"after": change.reached.after} if change.reached.after else {}),
        "stands": change.stands,
        "asked_for": change.least,
        "since": _instant(change.since),
        **({} if change.until is None else {"until": _instant(change.until)}),
    }


def _instant(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()
