"""Which rules of a purchase's plan fall away because their expression does not hold for it.

It is asked behind all other conditions, of amounts as they are folded; like a range of amounts, it holds for the
whole purchase, and what changes the amount later is asked anew.
A rule that takes back in proportion is asked of the purchase before anything was given back, and one at the till of
what was asked for: these are the amounts that they give for.
"""

from collections.abc import Iterable

from processor.core.circumstances import Circumstances
from processor.core.clawback import whole_of
from processor.core.conditions import Unmet
from processor.core.expression import Amount
from processor.core.purchase import Amounts, Folded
from processor.core.rule import Clawback, Rule


def unexpressed(rules: Iterable[Rule], folded: Folded, at: Circumstances) -> list[str]:
    """Return the rules that are not for a purchase, of those that are but for their expression."""
    amount = amount_of(folded, at)
    return [
        rule.id
        for rule in rules
        if _counts(rule, folded) and unmet_expression(rule, at, amount_for(rule, folded, at, amount))
    ]


def unmet_expression(rule: Rule, at: Circumstances, amount: Amount) -> Unmet | None:
    """Return what is not met of a rule's expression; one that cannot be evaluated is not met either."""
    if rule.when.expression is None:
        return None
    holds = rule.when.expression.holds(at, amount, rule.id)
    if holds is None:
        return Unmet.EXPRESSION_FAILS
    return None if holds else Unmet.EXPRESSION


def amount_for(rule: Rule, folded: Folded, at: Circumstances, amount: Amount) -> Amount:
    """Return what a rule's expression reads of a purchase's amounts, of which ``amount`` is what most rules read."""
    if rule.at_till:
        asked = sum(each.asked_minor + each.awaited_minor for each in folded.lowered if each.currency == at.currency)
        return amount._replace(amount_minor=asked or amount.amount_minor)
    return amount_of(whole_of(folded), at) if rule.clawback is Clawback.PROPORTIONAL else amount


def amount_of(folded: Folded, at: Circumstances) -> Amount:
    """Return what an expression reads of a purchase's amounts; one that was paid back counts as what it was."""
    paid = sum(_whole(entry) for entry in folded.transaction if entry.currency == at.currency)
    billed = folded.billing[0] if len(folded.billing) == 1 else Amounts("", 0, 0)
    return Amount(amount_minor=abs(paid), billing_minor=abs(_whole(billed)), billing_currency=billed.currency)


def _counts(rule: Rule, folded: Folded) -> bool:
    """Tell whether some amount lies in the range that a rule asks for; there is no need to evaluate otherwise."""
    wanted = rule.when.amounts
    return (
        not wanted
        or rule.convert is not None
        or rule.at_till
        or rule.clawback is Clawback.PROPORTIONAL
        or any(
            entry.currency in wanted and wanted[entry.currency].holds(_whole(entry))
            for entry in folded.amounts(rule.base)
        )
    )


def _whole(entry: Amounts) -> int:
    return entry.open_minor + entry.cleared_minor
