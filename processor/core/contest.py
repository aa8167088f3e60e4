"""Rules that bear on each other: multipliers on what other rules give, and groups of which one rule counts.

It decides by what the rules give before any cap, and ties by identifier; what loses is kept for the explanation.
``core/steps.py`` settles beforehand what no exact amount changes: a decision comes here for the rest, and an
explanation, which asks what lost, for all.
"""

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from processor.core.exclusive import beats
from processor.core.money import divide, scaled
from processor.core.programme import Programme
from processor.core.rule import Best, Rule, Stacking
from processor.core.steps import Addition, Bearing, Multipliers


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
    programme: Programme, bearing: Bearing, given: list[Entitlement], lost: list[Lost] | None = None
) -> list[Entitlement]:
    """Return what counts in the end, in the rules' order, and add what lost to ``lost`` where it is asked for.

    Groups without a multiplier are settled first, so that a multiplier multiplies what counts; the others hold no rule
    that is multiplied, which the programme's checks see to.
    """
    contested, late, multipliers = bearing
    standing = [entry for entry in given if entry.rule.exclusive not in late] if late else given
    if contested:
        standing = _settled(programme.groups, standing, lost)
    multiplied = _multiplied(programme, multipliers, standing, lost) if multipliers else []
    if late:
        waiting = [entry for entry in given if entry.rule.exclusive in late]
        multiplied = _settled(programme.groups, waiting + multiplied, lost)
    return sorted([*standing, *multiplied], key=_ORDER) if multiplied else standing


def add(given: list[Entitlement], additions: Iterable[Addition]) -> list[Entitlement]:
    """Return what counts where it is known beforehand which multipliers add to what, each addition rounded for itself.

    Additions come the last first, so that each finds its place.
    """
    whole = list(given)
    for rule, place, bases, numerator, more, denominator in additions:
        total = cleared = 0
        unit = ""
        for base in bases:
            _, unit, base_total, base_cleared = given[base]
            added = scaled(base_total, numerator, more, denominator)
            total += added
            if base_cleared:
                cleared += added if base_cleared == base_total else scaled(base_cleared, numerator, more, denominator)
        whole.insert(place, Entitlement(rule, unit, total, cleared))
    return whole


_ORDER: Final = attrgetter("rule.order")


def _settled(
    groups: Mapping[str, Best],
    given: list[Entitlement],
    lost: list[Lost] | None,
    worth: Mapping[str, int] | None = None,
) -> list[Entitlement]:
    """Let one rule of each exclusive group count; a rule that gives nothing does not compete, and stays.

    What a refund takes back is measured as what it was.
    ``worth`` says what each rule gives where some give in several units, which then stand next to each other.
    """
    leading: dict[str | None, tuple[int, Rule]] = {}
    settled: set[str] | None = None
    before: Rule | None = None
    for entry in given:
        rule, total = entry[0], entry[2]
        group = rule.exclusive
        if group is None or not total:
            continue
        if worth is not None:
            gives = worth[rule.id]
        elif rule is before:
            return _settled(groups, given, lost, _worth(given))
        else:
            gives, before = abs(total), rule
        leader = leading.get(group)
        if leader is None:
            leading[group] = gives, rule
        elif leader[1] is not rule:
            settled = settled or set()
            settled.add(group)
            if beats(groups[group], gives, rule, *leader):
                leading[group] = gives, rule
    if settled is None:
        return given
    if lost is not None:
        lost += [
            Lost(rule.id, unit, total, leading[rule.exclusive][1].id, rule.exclusive)
            for rule, unit, total, _ in given
            if total and rule.exclusive in settled and leading[rule.exclusive][1] is not rule
        ]
    return [
        entry
        for entry in given
        if (group := entry[0].exclusive) is None
        or group not in settled
        or leading[group][1] is entry[0]
        or not (entry[2] if worth is None else worth[entry[0].id])
    ]


def _worth(given: Iterable[Entitlement]) -> dict[str, int]:
    """Return what each rule gives in all units together."""
    worth: dict[str, int] = {}
    for rule, _, total, _ in given:
        worth[rule.id] = worth.get(rule.id, 0) + abs(total)
    return worth


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
