"""Discounts at the till: which requests the retailer's terminal lowered, and what of the discount has come to pass.

An inline host asks for the whole amount, is quoted the discount, and its terminal lowers the amount.
The approved outcome confirms it: it names less than was asked for, by just what the rules give.
Where the outcome names the whole amount, or clearing brings it, the till gave nothing and nothing is booked.
Everything here is a function of the purchase's events, so that the order of their arrival changes nothing.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from processor.core.contest import Entitlement, Lost, contest
from processor.core.event import Event
from processor.core.lifecycle import Effect
from processor.core.money import divide
from processor.core.plan import Plan
from processor.core.programme import Programme
from processor.core.purchase import Amounts, Folded, Lowered
from processor.core.rule import Rule
from processor.core.standing import DECIDED, Counted, standing_of
from processor.core.taken_off import for_goods


class AtTheTill(NamedTuple):
    """What the rules at the till give a purchase, and the purchase with what a quote would take off it."""

    entitlements: list[Entitlement]
    folded: Folded


def lowered_of(events: Iterable[Event], *, as_if_approved: bool = False) -> tuple[Lowered, ...]:
    """Return by how much the till lowered what was asked for, for each currency.

    ``as_if_approved`` counts also what was asked for and is not decided yet, as a quote does.
    A request for an estimate is left out, for nobody knows yet what it discounts.
    """
    ordered = sorted(events, key=lambda event: event.order)
    asked = {event.trace: event for event in ordered if event.asked and not event.estimated}
    if not asked:
        return ()
    found: dict[str, list[int]] = {}
    decided = {event.trace: event for event in ordered if event.effect in DECIDED and not event.credit}
    referring = {event.original: event for event in decided.values() if event.original}
    for trace, request in asked.items():
        outcome = decided.get(trace) or referring.get(trace)
        if request.amount is None:
            continue
        sums = found.setdefault(request.amount.currency, [0, 0, 0])
        asked_minor = for_goods(request, request.amount).amount_minor
        if outcome is None or outcome.at < request.at:
            sums[2] += asked_minor if as_if_approved else 0
        elif (given := _lowered_by(request, outcome)) > 0:
            sums[0] += asked_minor
            sums[1] += given
    return tuple(
        Lowered(currency, asked_minor, given_minor, awaited_minor)
        for currency, (asked_minor, given_minor, awaited_minor) in sorted(_without_whole(found, ordered).items())
        if asked_minor or awaited_minor
    )


def is_decided(events: Iterable[Event], request: Event) -> bool:
    """Tell whether the outcome of a request is known already, because it overtook it."""
    return any(
        event.effect in DECIDED and request.trace in {event.trace, event.original} and event.at >= request.at
        for event in events
    )


def _lowered_by(request: Event, outcome: Event) -> int:
    """Return by how many minor units an approved outcome is below its request, nothing for another currency."""
    asked, approved = request.amount, outcome.amount
    if outcome.effect is Effect.DECLINED or asked is None or approved is None or not approved.amount_minor:
        return 0
    return asked.amount_minor - approved.amount_minor if asked.currency == approved.currency else 0


def _without_whole(found: dict[str, list[int]], ordered: Sequence[Event]) -> dict[str, list[int]]:
    """Leave out what cleared for as much as was asked for: there the till lowered nothing after all."""
    if not any(sums[1] for sums in found.values()):
        return found
    standing = standing_of(ordered)
    presented = _by_currency(standing.presented or standing.final)
    held = _by_currency(standing.authorized or standing.final)
    for currency, sums in found.items():
        whole = max(held.get(currency, 0), sums[0] - sums[1]) + sums[1]
        if sums[1] and presented.get(currency, 0) >= whole:
            sums[0] = sums[1] = 0
    return found


def _by_currency(counted: Iterable[Counted]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for entry in counted:
        totals[entry.amount.currency] = totals.get(entry.amount.currency, 0) + entry.amount.amount_minor
    return totals


def entitle_at_till(programme: Programme, plan: Plan, folded: Folded, lost: list[Lost] | None = None) -> AtTheTill:
    """Return what the rules at the till give: what was confirmed, or in a quote what the till may take off.

    ``plan`` holds these rules alone; ``lost`` receives those that lost to another, where it is asked for.
    Other rules count the lowered amount, in a quote as well.
    """
    given: list[Entitlement] = []
    for lowered in folded.lowered:
        standing = [entry for rule in plan.rules if (entry := _asked_of(rule, lowered)) is not None]
        if plan.bearing.contested:
            standing = contest(programme, plan.bearing, standing, lost)
        if lowered.awaited_minor:
            off = sum(entry.total for entry in standing) - lowered.given_minor
            folded = _less(folded, lowered.currency, off)
        else:
            standing = _confirmed(programme, standing, lowered)
        given += _cleared(standing, lowered, folded.transaction)
    return AtTheTill(given, folded)


def _asked_of(rule: Rule, lowered: Lowered) -> Entitlement | None:
    """Return what a rule gives for what was asked for; nothing where that would leave nothing to pay."""
    whole, currency = lowered.asked_minor + lowered.awaited_minor, lowered.currency
    if rule.when.amounts and (currency not in rule.when.amounts or not rule.when.amounts[currency].holds(whole)):
        return None
    rate = rule.rate(currency)
    total = rule.fixed.get(currency, 0)
    if rate is not None:
        total = divide(whole * rate.numerator, rate.denominator, rule.rounding)
    return Entitlement(rule, currency, total, 0) if 0 < total < whole else None


def _confirmed(programme: Programme, standing: list[Entitlement], lowered: Lowered) -> list[Entitlement]:
    """Return what of the rules' discounts the till gave: all where it lowered by just that much, otherwise nothing.

    It may have lowered by less where a cap or a budget can have cut the quote: what has neither is then given first,
    the rest goes to the others in their order.
    """
    left = lowered.given_minor
    due = sum(entry.total for entry in standing)
    if left == due:
        return standing
    limits = programme.caps_of_rule, programme.budgets_of_rule
    capped = [entry for entry in standing if any(limit.get(entry.rule.id) for limit in limits)]
    free = [entry for entry in standing if entry not in capped]
    if left > due or left < sum(entry.total for entry in free):
        return []
    given: list[Entitlement] = []
    for entry in (*free, *capped):
        part = min(entry.total, left)
        left -= part
        given.append(entry._replace(total=part))
    return [entry for entry in given if entry.total]


def _cleared(standing: list[Entitlement], lowered: Lowered, amounts: Iterable[Amounts]) -> list[Entitlement]:
    """Return the same in proportion to what is left of the lowered amount, and how much of that has cleared.

    Each rule rounds by its own mode over the purchase's total; the retailer keeps the remainder.
    """
    whole = lowered.asked_minor - lowered.given_minor + lowered.awaited_minor
    for entry in amounts:
        if entry.currency == lowered.currency:
            cleared = max(0, min(entry.cleared_minor, whole))
            left = max(0, min(entry.open_minor + entry.cleared_minor, whole))
            if lowered.awaited_minor:
                left = whole
            return [
                given._replace(
                    total=divide(given.total * left, whole, given.rule.rounding),
                    cleared=divide(given.total * cleared, whole, given.rule.rounding),
                )
                for given in standing
            ]
    return []


def _less(folded: Folded, currency: str, off_minor: int) -> Folded:
    """Return a purchase of whose open amount in one currency a quote takes something off, as billed in proportion."""
    paid = next((entry for entry in folded.transaction if entry.currency == currency), None)
    if paid is None or not paid.open_minor or off_minor <= 0:
        return folded
    open_minor = max(0, paid.open_minor - off_minor)

    def reduced(amounts: tuple[Amounts, ...]) -> tuple[Amounts, ...]:
        alone = len(amounts) == 1
        return tuple(
            entry._replace(open_minor=entry.open_minor * open_minor // paid.open_minor)
            if alone or entry.currency == currency
            else entry
            for entry in amounts
        )

    return folded._replace(transaction=reduced(folded.transaction), billing=reduced(folded.billing))
