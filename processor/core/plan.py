"""A plan: the rules that apply to purchases of one kind, prepared so that a decision only calculates.

Everything that does not depend on a purchase's amounts is looked up here once for each kind: which rules apply, and at
which amounts they begin and end; ``core/steps.py`` says what they give for amounts between two of these.
"""

from bisect import bisect
from dataclasses import dataclass, field, replace
from typing import Final

from processor.core.circumstances import Circumstances
from processor.core.rule import AmountBase, Rule
from processor.core.steps import Bearing, Steps, Terms, bearing_of, steps_of

MOST_RANGES: Final = 256
"""Pairs of currencies and ranges of amounts that a plan remembers the steps of; beyond them it begins anew."""
MOST_NARROWED: Final = 256
"""Sets of rules that some members do not meet, of which a plan remembers what is left; beyond them it begins anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The rules that apply to purchases of one kind, and what has to be done with them.

    ``rules`` are in their order.
    ``personal`` are rules with conditions that differ from member to member, which are looked at for each purchase.
    ``expressed`` are rules whose expression is asked of each purchase.
    ``has_edges`` says that some of them begin or end at an amount.
    ``at_till`` is the plan of the discounts at the till, which ``rules`` leave out; None where there are none.
    """

    rules: tuple[Rule, ...]
    terms: Terms
    bearing: Bearing
    personal: tuple[Rule, ...]
    expressed: tuple[Rule, ...]
    has_edges: bool
    at_till: "Plan | None" = None
    _narrowed: dict[frozenset[str], "Plan"] = field(default_factory=dict, repr=False, compare=False)
    _edges: dict[str | None, list[int]] = field(default_factory=dict, repr=False, compare=False)
    _steps: dict[tuple[object, ...], Steps] = field(default_factory=dict, repr=False, compare=False)

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
            found = self._narrowed[dropped] = plan_of(left, self.terms)
        return found

    def steps(
        self, billed: str | None, billed_minor: int, paid: str | None, paid_minor: int, *, domestic: bool = False
    ) -> Steps:
        """Return what the rules give for an amount billed in one currency and paid in another, by how much it is.

        Amounts are all of it, open or cleared; a currency of None stands for one that is not asked for, whose rules
        are left out.
        ``domestic`` says of an amount that it was billed as it was paid, where the other is not asked for.
        What was asked for is remembered by the currencies, and by where among the edges the amounts lie.
        """
        place = at = 0
        if self.has_edges:
            place = bisect(self._edges.get(billed) or self._edges_in(billed), abs(billed_minor))
            at = bisect(self._edges.get(paid) or self._edges_in(paid), abs(paid_minor))
        kind = billed, paid, place, at, billed_minor > 0, paid_minor > 0, domestic
        found = self._steps.get(kind)
        if found is None:
            if len(self._steps) >= MOST_RANGES:
                self._steps.clear()
            amounts = {AmountBase.BILLING: (billed, billed_minor), AmountBase.TRANSACTION: (paid, paid_minor)}
            found = self._steps[kind] = steps_of(self.rules, self.terms, amounts, domestic=domestic or billed == paid)
        return found

    def _edges_in(self, currency: str | None) -> list[int]:
        """Return the amounts in minor units of a currency at which some rule begins to apply, or ends."""
        edges = {0}
        for rule in self.rules:
            wanted = None if currency is None else self.terms.range_of(rule, currency)
            if wanted is not None:
                edges |= {wanted.lowest} if wanted.highest is None else {wanted.lowest, wanted.highest + 1}
        if len(self._edges) >= MOST_RANGES:
            self._edges.clear()
        found = self._edges[currency] = sorted(edges)
        return found


def plan_of(rules: tuple[Rule, ...], terms: Terms) -> Plan:
    """Return what has to be done with rules, which are in their order; those at the till have a plan of their own."""
    at_till = tuple([rule for rule in rules if rule.at_till])
    if not at_till:
        return _plan(rules, terms)
    plan, till = _plan(tuple([rule for rule in rules if not rule.at_till]), terms), _plan(at_till, terms)
    return replace(
        plan, at_till=till, personal=(*plan.personal, *till.personal), expressed=(*plan.expressed, *till.expressed)
    )


def _plan(rules: tuple[Rule, ...], terms: Terms) -> Plan:
    return Plan(
        rules=rules,
        terms=terms,
        bearing=bearing_of(rules, terms),
        personal=tuple([rule for rule in rules if rule.when.person is not None and rule.when.person.is_late]),
        expressed=tuple([rule for rule in rules if rule.when.expression is not None]),
        has_edges=any(rule.when.amounts for rule in rules),
    )
