"""Rules that bear on each other: multipliers on what other rules give, and groups of which one rule counts.

It decides by what the rules give before any cap, and ties by identifier; what loses is kept for the explanation.
It runs for every message, so that it is written for few rules and no detours.
"""

from collections.abc import Sequence
from typing import NamedTuple

from processor.core.money import divide
from processor.core.programme import Programme
from processor.core.rule import Best, Plan, Ratio, Rule, Stacking, Stage


class Entitlement(NamedTuple):
    """What one rule gives for a purchase, in ``unit``: the programme's miles, or a currency's minor units.

    ``total`` counts what is authorized and what has cleared, ``cleared`` only the latter; both are negative for a
    refund that stands alone.
    """

    rule: Rule
    unit: str
    total: int
    cleared: int


class Lost(NamedTuple):
    """A rule that would have given ``total`` in ``unit``, had it not lost to another one.

    ``group`` is the exclusive group they share, empty where both multiply and the higher one counts.
    """

    rule: str
    unit: str
    total: int
    winner: str
    group: str


def contest(programme: Programme, plan: Plan, given: list[Entitlement]) -> tuple[list[Entitlement], list[Lost]]:
    """Return what counts in the end, in the rules' order, and what lost.

    Groups without a multiplier are settled first, so that a multiplier multiplies what counts; the others hold no rule
    that is multiplied, which the programme's checks see to.
    """
    lost: list[Lost] = []
    late = plan.late
    standing = [entry for entry in given if entry.rule.exclusive not in late] if late else given
    if plan.contested:
        standing = _settled(programme, standing, lost)
    multiplied = _multiplied(programme, standing, plan.multipliers, lost) if plan.multipliers else []
    if late:
        waiting = [entry for entry in given if entry.rule.exclusive in late]
        multiplied = _settled(programme, waiting + multiplied, lost)
    if multiplied:
        standing = sorted(standing + multiplied, key=_order)
    return standing, lost


def _order(entry: Entitlement) -> tuple[bool, Stage, int, str]:
    return entry.rule.order


def _settled(programme: Programme, given: list[Entitlement], lost: list[Lost]) -> list[Entitlement]:
    """Let one rule of each exclusive group count; a rule that gives nothing does not compete."""
    worth: dict[str, dict[str, int]] = {}
    for rule, _, total, _ in given:
        group = rule.exclusive
        if group is not None and total:
            rules = worth.setdefault(group, {})
            rules[rule.id] = rules.get(rule.id, 0) + abs(total)
    winners = {group: _winner(programme, group, rules) for group, rules in worth.items() if len(rules) > 1}
    if not winners:
        return given
    standing: list[Entitlement] = []
    for entry in given:
        rule, unit, total, _ = entry
        winner = winners.get(rule.exclusive or "", rule.id)
        if winner == rule.id:
            standing.append(entry)
        elif total:
            lost.append(Lost(rule.id, unit, total, winner, rule.exclusive or ""))
    return standing


def _winner(programme: Programme, group: str, worth: dict[str, int]) -> str:
    """Return the rule that counts; what a refund takes back is measured as what it was."""
    best = programme.groups[group]
    if best is Best.FIRST:
        return min((programme.rule(rule_id).priority, rule_id) for rule_id in worth)[1]
    sign = -1 if best is Best.HOLDER else 1
    return min([(sign * gives, rule_id) for rule_id, gives in worth.items()])[1]


def _multiplied(
    programme: Programme, standing: Sequence[Entitlement], multipliers: Sequence[Rule], lost: list[Lost]
) -> list[Entitlement]:
    """Return what the multipliers add to the rules they multiply, each addition rounded for itself."""
    added: dict[str, Entitlement] = {}
    for base in standing:
        if base.rule.stage is not Stage.RATE:
            continue
        own = [rule for rule in multipliers if rule.multiplication and base.rule.id in rule.multiplication.rules]
        if len(own) > 1 and programme.stacking is Stacking.BEST:
            best = _highest(own)
            lost += [
                Lost(rule.id, base.unit, _addition(base, rule).total, best.id, "") for rule in own if rule is not best
            ]
            own = [best]
        grown = base
        for rule in own:
            addition = _addition(grown, rule)
            if programme.stacking is Stacking.COMPOUND:
                grown = _sum(grown, addition)
            before = added.get(rule.id)
            added[rule.id] = addition if before is None else _sum(before, addition)
    return list(added.values())


def _highest(multipliers: Sequence[Rule]) -> Rule:
    """Return the multiplier with the largest factor, the first by identifier among equals."""
    best = multipliers[0]
    for rule in multipliers[1:]:
        one, other = _ratio(best), _ratio(rule)
        more = other.numerator * one.denominator - one.numerator * other.denominator
        if more > 0 or (more == 0 and rule.id < best.id):
            best = rule
    return best


def _ratio(rule: Rule) -> Ratio:
    assert rule.multiplication is not None  # noqa: S101 - its callers look at multipliers alone.
    return rule.multiplication.by


def _addition(base: Entitlement, rule: Rule) -> Entitlement:
    by = _ratio(rule)
    more = by.numerator - by.denominator
    return Entitlement(
        rule,
        base.unit,
        divide(base.total * more, by.denominator, rule.rounding),
        divide(base.cleared * more, by.denominator, rule.rounding),
    )


def _sum(one: Entitlement, other: Entitlement) -> Entitlement:
    return one._replace(total=one.total + other.total, cleared=one.cleared + other.cleared)
