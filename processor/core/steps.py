"""What rules give for amounts of one kind, prepared so that a decision only calculates.

What does not depend on the exact amount is settled here: which rules' ranges it lies in, which fixed benefit of an
exclusive group counts, what multiplies what, and how each rounding is an addition before a division.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, NamedTuple

from processor.core.conditions import AmountRange
from processor.core.exchange import Conversion, Exchange
from processor.core.exclusive import beats
from processor.core.money import prepared
from processor.core.rule import AmountBase, Benefit, Best, Ratio, Rule, Stacking, Stage
from processor.core.tally import Tally


class Step(NamedTuple):
    """What one rule gives for an amount in one currency, in ``unit``, or what it counts in the rule's tally.

    ``billed`` says that it measures the billing amount rather than the transaction amount.
    A rated rule gives ``numerator`` over ``denominator``, with ``more`` added before the division for its rounding; a
    fixed one has ``fixed``, and gives at most the amount where ``is_money``.
    """

    rule: Rule
    billed: bool
    unit: str
    numerator: int
    more: int
    denominator: int
    fixed: int | None
    is_money: bool


class Multipliers(NamedTuple):
    """What multiplies one rule: those that count, and those that lose to the first of them."""

    counting: tuple[Rule, ...]
    losing: tuple[Rule, ...]


class Bearing(NamedTuple):
    """How rules bear on each other.

    ``contested`` says that some are in exclusive groups that are settled before anything is multiplied; ``late`` are
    the groups that hold a multiplier, which are settled behind.
    ``multipliers`` maps a rule that is multiplied to what multiplies it.
    """

    contested: bool
    late: frozenset[str]
    multipliers: Mapping[str, Multipliers]


PLAIN: Final = Bearing(contested=False, late=frozenset(), multipliers={})
"""How rules bear on each other that do not, or of which it is known already what counts."""


class Addition(NamedTuple):
    """What one multiplier adds to what steps give: to those at ``bases``; it stands before the one at ``place``."""

    rule: Rule
    place: int
    bases: tuple[int, ...]
    numerator: int
    more: int
    denominator: int


class Steps(NamedTuple):
    """The steps for amounts of one kind, in the rules' order, and the rules that have no rate there.

    ``settled`` are those that are left where what loses whatever the exact amount is left out, and ``additions`` what
    multipliers add to these, the last first; None where that depends on the amount.
    ``bearing`` says how the rules of all steps bear on each other.
    """

    steps: tuple[Step, ...]
    unrated: tuple[str, ...]
    bearing: Bearing
    settled: tuple[Step, ...]
    additions: tuple[Addition, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a programme says of its rules together: their unit, its groups and how multipliers meet.

    ``unit`` is the programme's miles; ``groups`` says which rule of each exclusive group counts.
    ``before_mark_up`` is what of an amount that was billed in another currency than it was paid in is left without the
    bank's mark-up; None where it takes none.
    ``exchange`` are the programme's rate sources on the local date, None where no rule converts amounts.
    """

    unit: str
    groups: Mapping[str, Best]
    stacking: Stacking
    before_mark_up: Ratio | None = None
    exchange: Exchange | None = None

    def conversion(self, rule: Rule, currency: str) -> Conversion | None:
        """Return how a rule converts amounts in a currency; None where it does not, or no rate stands."""
        return None if self.exchange is None else self.exchange.converted_by(rule, currency)

    def lacks_rate(self, rule: Rule, currency: str) -> bool:
        """Tell whether a rule cannot measure amounts in a currency: it has no rate for it, nor a way to convert it."""
        if rule.convert is not None:
            return not rule.names(currency) and self.conversion(rule, currency) is None
        return bool(rule.rates) and rule.rate(currency) is None

    def range_of(self, rule: Rule, currency: str) -> AmountRange | None:
        """Return which amounts in a currency a rule is for; None where it states none, for it or what it is worth."""
        stated = rule.when.amounts.get(currency)
        conversion = self.conversion(rule, currency)
        return stated if conversion is None else conversion.range_of(rule, stated)

    def holds(self, rule: Rule, currency: str, minor: int) -> bool:
        """Tell whether an amount in a currency, in minor units, is one that a rule is for."""
        if not rule.when.amounts:
            return True
        wanted = self.range_of(rule, currency)
        return rule.convert is not None if wanted is None else wanted.holds(minor)


def steps_of(
    rules: Iterable[Rule], terms: Terms, amounts: Mapping[AmountBase, tuple[str | None, int]], *, domestic: bool
) -> Steps:
    """Return what rules give, which are in their order, for amounts of a currency that are about as large.

    ``amounts`` are in minor units, by what rules measure; one without a currency is not asked for, and its rules are
    left out.
    ``domestic`` says that what was billed was billed as it was paid.
    """
    steps: list[Step] = []
    unrated: list[str] = []
    applying: list[Rule] = []
    for rule in rules:
        currency, minor = amounts[rule.base]
        if currency is None:
            continue
        if rule.multiplication is None and terms.lacks_rate(rule, currency):
            unrated.append(rule.id)
        elif terms.holds(rule, currency, minor):
            applying.append(rule)
            marked_up = rule.base is AmountBase.BILLING and not domestic
            step = _step(rule, currency, minor, terms, terms.before_mark_up if marked_up else None)
            if step is not None:
                steps.append(step)
    bearing = bearing_of(applying, terms)
    settled = _settled(steps, terms.groups)
    additions = None if _is_open(settled, bearing, terms.stacking) else _additions(settled, bearing)
    return Steps(tuple(steps), tuple(unrated), bearing, settled, additions)


def _step(rule: Rule, currency: str, minor: int, terms: Terms, part: Ratio | None) -> Step | None:
    """Return what a rule gives for a part of an amount in a currency; None where it gives nothing of any size.

    A multiplier has no step of its own, fixed money is of its own currency, and what is fixed is given for what was
    paid, not for what was paid back.
    """
    unit = rule.entitlement or (terms.unit if rule.benefit is Benefit.MILES else currency)
    rate, fixed = rule.rate(currency), rule.fixed.get(unit)
    if rule.tally is not None:
        unit, (rate, fixed) = rule.tally.unit or terms.unit, _progress(rule.tally, currency)
    conversion = terms.conversion(rule, currency)
    if conversion is not None:
        rate = conversion.rate_of(rule, rate)
    if rate is None and (fixed is None or minor <= 0):
        return None
    numerator = (rate.numerator if rate else 0) * (part.numerator if part else 1)
    denominator = (rate.denominator if rate else 1) * (part.denominator if part else 1)
    numerator, more, denominator = prepared(numerator, denominator, rule.rounding)
    return Step(
        rule=rule,
        billed=rule.base is AmountBase.BILLING,
        unit=unit,
        numerator=numerator,
        more=more,
        denominator=denominator,
        fixed=fixed,
        is_money=rule.benefit is Benefit.DISCOUNT and rule.tally is None,
    )


def _settled(steps: Iterable[Step], groups: Mapping[str, Best]) -> tuple[Step, ...]:
    """Return the steps that can still count: of those that give a fixed number whatever the amount, one of a group."""
    leading: dict[str, Step] = {}
    losing: list[Step] = []
    for step in steps:
        group, fixed = step.rule.exclusive, step.fixed
        if group is None or fixed is None or step.is_money:
            continue
        leader = leading.setdefault(group, step)
        if leader is not step:
            wins = beats(groups[group], fixed, step.rule, leader.fixed or 0, leader.rule)
            leading[group] = step if wins else leader
            losing.append(leader if wins else step)
    return tuple([step for step in steps if step not in losing])


def _is_open(steps: Iterable[Step], bearing: Bearing, stacking: Stacking) -> bool:
    """Tell whether what counts in the end depends on the exact amount.

    Where a group holds a multiplier, two rules of one group may still count, or a multiplier grows upon another.
    """
    rivals = Counter(step.rule.exclusive for step in steps if step.rule.exclusive is not None)
    upon = stacking is Stacking.COMPOUND and any(len(own.counting) > 1 for own in bearing.multipliers.values())
    return bool(bearing.late) or upon or max(rivals.values(), default=0) > 1


def _additions(steps: Sequence[Step], bearing: Bearing) -> tuple[Addition, ...]:
    """Return what multipliers add to what steps give, the last first."""
    bases: dict[str, list[int]] = {}
    rules: dict[str, Rule] = {}
    for place, step in enumerate(steps):
        own = bearing.multipliers.get(step.rule.id)
        for rule in own.counting if own is not None else ():
            rules[rule.id] = rule
            bases.setdefault(rule.id, []).append(place)
    additions: list[Addition] = []
    for rule in sorted(rules.values(), key=attrgetter("order"), reverse=True):
        by = rule.factor
        place = sum(step.rule.order < rule.order for step in steps)
        factor = prepared(by.numerator - by.denominator, by.denominator, rule.rounding)
        additions.append(Addition(rule, place, tuple(bases[rule.id]), *factor))
    return tuple(additions)


def _progress(tally: Tally, currency: str) -> tuple[Ratio | None, int | None]:
    """Return how much progress a minor unit is, or that the purchase is one whatever its amount."""
    if not tally.scale:
        return None, 1
    scale = tally.scale.get(currency)
    return (None if scale is None else Ratio(numerator=scale, denominator=1)), None


def bearing_of(rules: Iterable[Rule], terms: Terms) -> Bearing:
    """Return how rules bear on each other that all apply to a purchase."""
    multiplying = [rule for rule in rules if rule.multiplication is not None]
    return Bearing(
        contested=any(rule.exclusive for rule in rules),
        late=frozenset(rule.exclusive for rule in multiplying if rule.exclusive),
        multipliers={
            rule.id: _multipliers(own, terms.stacking)
            for rule in rules
            if rule.stage is Stage.RATE
            and (
                own := [
                    other for other in multiplying if other.multiplication and rule.id in other.multiplication.rules
                ]
            )
        },
    )


def _multipliers(own: list[Rule], stacking: Stacking) -> Multipliers:
    if len(own) == 1 or stacking is not Stacking.BEST:
        return Multipliers(tuple(own), ())
    best = _highest(own)
    return Multipliers((best,), tuple([rule for rule in own if rule is not best]))


def _highest(multipliers: list[Rule]) -> Rule:
    """Return the multiplier with the largest factor, the first by identifier among equals."""
    best = multipliers[0]
    for rule in multipliers[1:]:
        one, other = best.factor, rule.factor
        more = other.numerator * one.denominator - one.numerator * other.denominator
        if more > 0 or (more == 0 and rule.id < best.id):
            best = rule
    return best
