"""Rules that bear on each other: multipliers on what other rules give, and groups of which one rule counts.

It decides by what the rules give before any cap, and ties by identifier; what loses is kept for the explanation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from processor.core.money import divide
from processor.core.programme import Best, Programme, Ratio, Rule, Stacking, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitlement:
    """What one rule gives for a purchase, in ``unit``: the programme's miles, or a currency's minor units.

    ``total`` counts what is authorized and what has cleared, ``cleared`` only the latter; both are negative for a
    refund that stands alone.
    """

    rule: Rule
    unit: str
    total: int
    cleared: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A rule that would have given ``total`` in ``unit``, had it not lost to another one.

    ``group`` is the exclusive group they share, empty where both multiply and the higher one counts.
    """

    rule: str
    unit: str
    total: int
    winner: str
    group: str


def needs_contest(rules: Sequence[Rule]) -> bool:
    """Tell whether any rule bears on another, so that the rest of this module has something to do."""
    return any(rule.exclusive or rule.multiplication for rule in rules)


def contest(
    programme: Programme, given: Sequence[Entitlement], multipliers: Sequence[Rule]
) -> tuple[list[Entitlement], list[Lost]]:
    """Return what counts in the end, in the rules' order, and what lost.

    Groups without a multiplier are settled first, so that a multiplier multiplies what counts; the others hold no rule
    that is multiplied, which the programme's checks see to.
    """
    late = {rule.exclusive for rule in multipliers if rule.exclusive}
    standing, lost = _settled(programme, [entry for entry in given if entry.rule.exclusive not in late])
    multiplied, outdone = _multiplied(programme, standing, multipliers)
    waiting = [entry for entry in given if entry.rule.exclusive in late]
    contested, lost_late = _settled(programme, [*waiting, *multiplied])
    counted = sorted([*standing, *contested], key=lambda entry: entry.rule.order)
    return counted, [*lost, *outdone, *lost_late]


def _settled(programme: Programme, given: Sequence[Entitlement]) -> tuple[list[Entitlement], list[Lost]]:
    """Let one rule of each exclusive group count; a rule that gives nothing does not compete."""
    groups: dict[str, dict[str, list[Entitlement]]] = {}
    for entry in given:
        if entry.rule.exclusive is not None and entry.total:
            groups.setdefault(entry.rule.exclusive, {}).setdefault(entry.rule.id, []).append(entry)
    winners = {group: _winner(programme.groups[group], rules) for group, rules in groups.items()}
    standing: list[Entitlement] = []
    lost: list[Lost] = []
    for entry in given:
        group = entry.rule.exclusive
        winner = winners.get(group, entry.rule.id) if group else entry.rule.id
        if winner == entry.rule.id:
            standing.append(entry)
        elif entry.total:
            lost.append(Lost(rule=entry.rule.id, unit=entry.unit, total=entry.total, winner=winner, group=group or ""))
    return standing, lost


def _winner(best: Best, rules: Mapping[str, Sequence[Entitlement]]) -> str:
    """Return the rule that counts; what a refund takes back is measured as what it was."""

    def rank(rule_id: str) -> tuple[int, str]:
        entries = rules[rule_id]
        worth = sum(abs(entry.total) for entry in entries)
        places = {Best.HOLDER: -worth, Best.FUNDER: worth, Best.FIRST: entries[0].rule.priority}
        return places[best], rule_id

    return min(rules, key=rank)


def _multiplied(
    programme: Programme, standing: Sequence[Entitlement], multipliers: Sequence[Rule]
) -> tuple[list[Entitlement], list[Lost]]:
    """Return what the multipliers add to the rules they multiply, each addition rounded for itself."""
    added: dict[str, Entitlement] = {}
    lost: list[Lost] = []
    for base in standing:
        own = [rule for rule in multipliers if rule.multiplication and base.rule.id in rule.multiplication.rules]
        if not own or base.rule.stage is not Stage.RATE:
            continue
        if programme.stacking is Stacking.BEST:
            best = min(own, key=_less_of)
            for rule in own:
                if rule is not best:
                    outdone = _addition(base, rule)
                    lost.append(Lost(rule=rule.id, unit=base.unit, total=outdone.total, winner=best.id, group=""))
            own = [best]
        grown = base
        for rule in own:
            addition = _addition(grown, rule)
            if programme.stacking is Stacking.COMPOUND:
                grown = replace(grown, total=grown.total + addition.total, cleared=grown.cleared + addition.cleared)
            before = added.get(rule.id)
            added[rule.id] = addition if before is None else _sum(before, addition)
    return list(added.values()), lost


def _less_of(rule: Rule) -> tuple[Fraction, str]:
    ratio = _ratio(rule)
    return Fraction(-ratio.numerator, ratio.denominator), rule.id


def _ratio(rule: Rule) -> Ratio:
    assert rule.multiplication is not None  # noqa: S101 - its callers look at multipliers alone.
    return rule.multiplication.by


def _addition(base: Entitlement, rule: Rule) -> Entitlement:
    by = _ratio(rule)
    more = by.numerator - by.denominator
    return Entitlement(
        rule=rule,
        unit=base.unit,
        total=divide(base.total * more, by.denominator, rule.rounding),
        cleared=divide(base.cleared * more, by.denominator, rule.rounding),
    )


def _sum(one: Entitlement, other: Entitlement) -> Entitlement:
    return replace(one, total=one.total + other.total, cleared=one.cleared + other.cleared)
