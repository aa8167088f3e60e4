"""A plan: the rules that apply to purchases of one kind, prepared so that a decision only calculates.

Everything that does not depend on a purchase's amounts is looked up here once for each kind: which rules apply, in
which order, what they give for an amount in a currency, and what bears on what.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from processor.core.circumstances import Circumstances
from processor.core.exchange import Conversion, Exchange
from processor.core.money import Rounding
from processor.core.rule import AmountBase, Benefit, Ratio, Rule, Stacking, Stage
from processor.core.tally import Tally

MOST_PAIRS: Final = 64
"""Pairs of currencies that a plan remembers the steps of; beyond them it begins anew."""
MOST_NARROWED: Final = 256
"""Sets of rules that some members do not meet, of which a plan remembers what is left; beyond them it begins anew."""


LARGEST: Final = 2**63 - 1
"""No amount in minor units is larger."""


class Step(NamedTuple):
    """What one rule gives for an amount in one currency, in ``unit``, or what it counts in the rule's tally.

    ``billed`` says that it measures the billing amount rather than the transaction amount.
    A rated rule has ``numerator`` over ``denominator`` and no ``fixed``; a fixed one gives at most the amount where
    ``is_money``.
    Where it is ``ranged``, ``lowest`` and ``highest`` bound the amount that counts, in minor units.
    """

    rule: Rule
    billed: bool
    unit: str
    numerator: int
    denominator: int
    rounding: Rounding
    fixed: int | None
    is_money: bool
    ranged: bool
    lowest: int
    highest: int


class Steps(NamedTuple):
    """The steps for amounts in one pair of currencies, in the rules' order, and the rules that have no rate there."""

    steps: tuple[Step, ...]
    unrated: tuple[str, ...]


class Multipliers(NamedTuple):
    """What multiplies one rule: those that count, and those that lose to the first of them."""

    counting: tuple[Rule, ...]
    losing: tuple[Rule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The rules that apply to purchases of one kind, and what has to be done with them.

    ``rules`` are in their order; ``unit`` is the programme's miles.
    ``contested`` says that some are in exclusive groups; ``late`` are the groups that hold a multiplier.
    ``multipliers`` maps a rule that is multiplied to what multiplies it.
    ``personal`` are rules with conditions that differ from member to member, which are looked at for each purchase.
    ``expressed`` are rules whose expression is asked of each purchase.
    ``before_mark_up`` is what of an amount that was billed in another currency than it was paid in is left without the
    bank's mark-up; None where it takes none.
    ``exchange`` are the programme's rate sources on the local date, None where no rule converts amounts.
    ``at_till`` is the plan of the discounts at the till, which ``rules`` leave out; None where there are none.
    """

    rules: tuple[Rule, ...]
    unit: str
    contested: bool
    late: frozenset[str]
    multipliers: Mapping[str, Multipliers]
    stacking: Stacking
    personal: tuple[Rule, ...]
    expressed: tuple[Rule, ...]
    before_mark_up: Ratio | None = None
    exchange: Exchange | None = None
    at_till: "Plan | None" = None
    _narrowed: dict[frozenset[str], "Plan"] = field(default_factory=dict, repr=False, compare=False)
    _steps: dict[tuple[str | None, str | None, bool], Steps] = field(default_factory=dict, repr=False, compare=False)

    def of(self, at: Circumstances) -> "Plan":
        """Return what is left of the plan for the member who made a purchase."""
        unmet = [
            rule.id
            for rule in self.personal
            if rule.when.person is not None and rule.when.person.unmet_late(at.member, at.local_date)
        ]
        return self.without(unmet)

    def without(self, unmet: list[str]) -> "Plan":
        """Return what is left of the plan without some rules."""
        if not unmet:
            return self
        dropped = frozenset(unmet)
        found = self._narrowed.get(dropped)
        if found is None:
            rules = self.rules if self.at_till is None else (*self.rules, *self.at_till.rules)
            left = tuple([rule for rule in rules if rule.id not in dropped])
            if len(self._narrowed) >= MOST_NARROWED:
                self._narrowed.clear()
            found = self._narrowed[dropped] = plan_of(
                left,
                unit=self.unit,
                stacking=self.stacking,
                before_mark_up=self.before_mark_up,
                exchange=self.exchange,
            )
        return found

    def steps(self, billing: str | None, transaction: str | None, *, domestic: bool = False) -> Steps:
        """Return what the rules give for an amount billed in one currency and paid in another.

        None stands for an amount that is not asked for, whose rules are left out.
        ``domestic`` says of an amount that it was billed as it was paid, where the other is not asked for.
        """
        domestic = domestic or billing == transaction
        found = self._steps.get((billing, transaction, domestic))
        if found is None:
            if len(self._steps) >= MOST_PAIRS:
                self._steps.clear()
            found = self._steps[billing, transaction, domestic] = self._prepared(
                billing, transaction, domestic=domestic
            )
        return found

    def conversion(self, rule: Rule, currency: str) -> Conversion | None:
        """Return how a rule converts amounts in a currency; None where it does not, or no rate stands."""
        return None if self.exchange is None else self.exchange.converted_by(rule, currency)

    def lacks_rate(self, rule: Rule, currency: str) -> bool:
        """Tell whether a rule cannot measure amounts in a currency: it has no rate for it, nor a way to convert it."""
        if rule.convert is not None:
            return not rule.names(currency) and self.conversion(rule, currency) is None
        return bool(rule.rates) and rule.rate(currency) is None

    def _prepared(self, billing: str | None, transaction: str | None, *, domestic: bool) -> Steps:
        steps: list[Step] = []
        unrated: list[str] = []
        for rule in self.rules:
            currency = billing if rule.base is AmountBase.BILLING else transaction
            if currency is None or rule.multiplication is not None:
                continue
            if self.lacks_rate(rule, currency):
                unrated.append(rule.id)
            elif not rule.when.amounts or rule.convert or currency in rule.when.amounts:
                marked_up = rule.base is AmountBase.BILLING and not domestic
                step = self._step(rule, currency, self.before_mark_up if marked_up else None)
                if step is not None:
                    steps.append(step)
        return Steps(tuple(steps), tuple(unrated))

    def _step(self, rule: Rule, currency: str, part: Ratio | None) -> Step | None:
        """Return what a rule gives for a part of an amount in a currency; None for fixed money of another one."""
        wanted = rule.when.amounts.get(currency)
        unit = rule.entitlement or (self.unit if rule.benefit is Benefit.MILES else currency)
        rate, fixed = rule.rate(currency), rule.fixed.get(unit)
        if rule.tally is not None:
            rate, fixed = _progress(rule.tally, currency)
        conversion = self.conversion(rule, currency)
        if conversion is not None:
            wanted, rate = conversion.range_of(rule, wanted), conversion.rate_of(rule, rate)
        if rate is None and fixed is None:
            return None
        return Step(
            rule=rule,
            billed=rule.base is AmountBase.BILLING,
            unit=unit,
            numerator=(rate.numerator if rate else 0) * (part.numerator if part else 1),
            denominator=(rate.denominator if rate else 1) * (part.denominator if part else 1),
            rounding=rule.rounding,
            fixed=fixed,
            is_money=rule.benefit is Benefit.DISCOUNT,
            ranged=wanted is not None,
            lowest=wanted.lowest if wanted else 0,
            highest=LARGEST if wanted is None or wanted.highest is None else wanted.highest,
        )


def _progress(tally: Tally, currency: str) -> tuple[Ratio | None, int | None]:
    """Return how much progress a minor unit is, or that the purchase is one whatever its amount."""
    if not tally.scale:
        return None, 1
    scale = tally.scale.get(currency)
    return (None if scale is None else Ratio(numerator=scale, denominator=1)), None


def plan_of(
    rules: tuple[Rule, ...],
    *,
    unit: str,
    stacking: Stacking,
    before_mark_up: Ratio | None = None,
    exchange: Exchange | None = None,
) -> Plan:
    """Return what has to be done with rules, which are in their order; those at the till have a plan of their own."""
    at_till = tuple([rule for rule in rules if rule.at_till])
    others = tuple([rule for rule in rules if not rule.at_till]) if at_till else rules
    plan = _plan(others, unit, stacking, before_mark_up, exchange)
    if not at_till:
        return plan
    till = _plan(at_till, unit, stacking, before_mark_up, exchange)
    return replace(
        plan, at_till=till, personal=(*plan.personal, *till.personal), expressed=(*plan.expressed, *till.expressed)
    )


def _plan(
    rules: tuple[Rule, ...],
    unit: str,
    stacking: Stacking,
    before_mark_up: Ratio | None,
    exchange: Exchange | None,
) -> Plan:
    multiplying = tuple([rule for rule in rules if rule.stage is Stage.MULTIPLIER])
    return Plan(
        rules=rules,
        unit=unit,
        stacking=stacking,
        before_mark_up=before_mark_up,
        exchange=exchange,
        personal=tuple([rule for rule in rules if rule.when.person is not None and rule.when.person.is_late]),
        expressed=tuple([rule for rule in rules if rule.when.expression is not None]),
        contested=any(rule.exclusive for rule in rules),
        late=frozenset(rule.exclusive for rule in multiplying if rule.exclusive),
        multipliers={
            rule.id: _multipliers(own, stacking)
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
