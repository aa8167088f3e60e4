"""What an explanation says of a rule that adds up an account's purchases of a period."""

from decimal import Decimal
from typing import Final

from processor.core.cap import CapPeriod
from processor.core.programme import Programme
from processor.core.rule import Rule
from processor.core.tally import Counted, Tally
from processor.flow.explain_amounts import money, units

_TOGETHER: Final = {
    CapPeriod.DAY: "of one day",
    CapPeriod.WEEK: "of one week",
    CapPeriod.MONTH: "of one month",
    CapPeriod.QUARTER: "of one quarter",
    CapPeriod.YEAR: "of one year",
    CapPeriod.LIFETIME: "of all times",
}


def tally_sentence(
    programme: Programme, rule: Rule, tally: Tally, *, stood: int, before: Counted, cleared: int, entitled: str
) -> str:
    """Return what a rule's tally came to with a purchase, and what is the purchase's own part of what it is worth.

    ``stood`` is where it stood before, ``before`` what the purchase had counted then, ``cleared`` what it counts now.
    """
    stands = stood - before.progress + cleared
    moved = f"stood at {_progress(rule, tally, stood)} and stand at {_progress(rule, tally, stands)} now"
    worth = units(programme, tally.worth(stands), tally.unit or programme.unit)
    return (
        f"Rule {rule.id} adds up the cleared purchases {_TOGETHER[tally.period]}: they {moved}, worth {worth} in all,"
        f" of which this purchase earns {entitled}"
    )


def _progress(rule: Rule, tally: Tally, progress: int) -> str:
    if not tally.scale:
        return f"{progress} {'purchase' if progress == 1 else 'purchases'}"
    if len(tally.scale) == 1:
        (currency,) = tally.scale
        return money(progress // tally.scale[currency], currency)
    whole = tally.cycle.every if tally.cycle else tally.denominator
    share = (Decimal(progress) / whole).quantize(Decimal("0.01"))
    return f"{share} times what rule {rule.id} gives once for"
