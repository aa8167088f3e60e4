"""What an explanation computes again, from what was stored of a decision."""

from dataclasses import dataclass

from processor.core.accrual import Entitled
from processor.core.circumstances import Circumstances
from processor.core.contest import Lost
from processor.core.purchase import Folded
from processor.core.tally import NOTHING, Counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Considered:
    """One rule that was weighed, as stored: what it was entitled to and granted, and what was asked of it before.

    ``cut_by`` is the cap or budget that cut it, None where none did.
    ``stood`` is where the rule's tally stood before, None where it has none, and ``asked_counted`` what the purchase
    had counted in it; ``withheld`` is what limits had withheld of it from other purchases.
    """

    rule: str
    unit: str
    entitled: int
    granted: int
    available: int
    asked_entitled: int
    asked_granted: int
    cut_by: str | None
    stood: int | None = None
    asked_counted: Counted = NOTHING
    withheld: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recomputed:
    """A decision's stored inputs and candidates, and what the inputs entitle to when they are computed again.

    ``at`` is None where nothing says yet where the purchase was made; ``lost`` are the rules that would have given
    something, had another one not won.
    """

    folded: Folded
    considered: tuple[Considered, ...]
    entitled: Entitled
    at: Circumstances | None
    lost: tuple[Lost, ...]
