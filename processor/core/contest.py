"""Rules that bear on each other: multipliers on what other rules give, and groups of which one rule counts.

It decides by what the rules give before any cap, and ties by identifier; what loses is kept for the explanation.
It runs for every message, so that it is written for few rules and no detours.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from processor.core.money import divide
from processor.core.plan import Multipliers, Plan
from processor.core.programme import Programme
from processor.core.rule import Best, Rule, Stacking


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


def contest(
    programme: Programme, plan: Plan, given: list[Entitlement], lost: list[Lost] | None = None
) -> list[Entitlement]:
    """Return what counts in the end, in the rules' order, and add what lost to ``lost`` where it is asked for.

    Groups without a multiplier are settled first, so that a multiplier multiplies what counts; the others hold no rule
    that is multiplied, which the programme's checks see to.
    """
    late = plan.late
    standing = [entry for entry in given if entry.rule.exclusive not in late] if late else given
    if plan.contested:
        standing = _settled(programme, standing, lost)
    multiplied = _multiplied(programme, plan.multipliers, standing, lost) if plan.multipliers else []
    if late:
        waiting = [entry for entry in given if entry.rule.exclusive in late]
        multiplied = _settled(programme, waiting + multiplied, lost)
    return _in_order(standing, multiplied) if multiplied else standing


def _in_order(standing: list[Entitlement], multiplied: list[Entitlement]) -> list[Entitlement]:
    """Return what multipliers give at its place among the rest, which is in order: behind what has a rate."""
    if len(multiplied) > 1:
        multiplied.sort(key=_ORDER)
    place, first = 0, multiplied[0].rule.order
    for entry in standing:
        if entry.rule.order > first:
            break
        place += 1
    return standing[:place] + multiplied + standing[place:]


_ORDER: Final = attrgetter("rule.order")


def _settled(programme: Programme, given: list[Entitlement], lost: list[Lost] | None) -> list[Entitlement]:
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
    if lost is not None:
        lost += [
            Lost(rule.id, unit, total, winners[rule.exclusive], rule.exclusive)
            for rule, unit, total, _ in given
            if total and rule.exclusive in winners and winners[rule.exclusive] != rule.id
        ]
    return [entry for entry in given if winners.get(entry[0].exclusive or "", entry[0].id) == entry[0].id]


def _winner(programme: Programme, group: str, worth: dict[str, int]) -> str:
    """Return the rule that counts, the first by identifier among equals.

    What a refund takes back is measured as what it was.
    """
    best = programme.groups[group]
    if best is Best.FIRST:
        return min((programme.rule(rule_id).priority, rule_id) for rule_id in worth)[1]
    wanted = max(worth.values()) if best is Best.HOLDER else min(worth.values())
    return min([rule_id for rule_id, gives in worth.items() if gives == wanted])


def _multiplied(
    programme: Programme,
    multipliers: Mapping[str, Multipliers],
    standing: Sequence[Entitlement],
    lost: list[Lost] | None,
) -> list[Entitlement]:
    """Return what the multipliers add to the rules they multiply, each addition rounded for itself."""
    added: dict[str, Entitlement] = {}
    for base in standing:
        own = multipliers.get(base.rule.id)
        if own is None:
            continue
        grown = base
        for rule in own.counting:
            addition = _addition(grown, rule)
            if programme.stacking is Stacking.COMPOUND:
                grown = _sum(grown, addition)
            before = added.get(rule.id)
            added[rule.id] = addition if before is None else _sum(before, addition)
        if lost is not None:
            best = own.counting[0].id
            lost.extend(Lost(rule.id, base.unit, _addition(base, rule).total, best, "") for rule in own.losing)
    return list(added.values())


def _addition(base: Entitlement, rule: Rule) -> Entitlement:
    by = rule.factor
    _, unit, total, cleared = base
    more, denominator = by.numerator - by.denominator, by.denominator
    added = divide(total * more, denominator, rule.rounding)
    if cleared:
        cleared = added if cleared == total else divide(cleared * more, denominator, rule.rounding)
    return Entitlement(rule, unit, added, cleared)


def _sum(one: Entitlement, other: Entitlement) -> Entitlement:
    return one._replace(total=one.total + other.total, cleared=one.cleared + other.cleared)
