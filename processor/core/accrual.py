"""What a purchase is entitled to: every rule that applies, computed on the purchase's total, before any cap.

Step four of a decision, after the fold and the merchant match; it reads no balance and no counter, so the same events
give the same entitlement at any time and in any order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from processor.core.conditions import Circumstances
from processor.core.contest import Entitlement, Lost, contest
from processor.core.event import Event
from processor.core.lifecycle import PurchaseState
from processor.core.merchant_match import match_merchant
from processor.core.money import divide
from processor.core.outcome import Reason
from processor.core.programme import Partner, Programme
from processor.core.purchase import Amounts, Folded
from processor.core.rule import Benefit, Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitled:
    """A purchase's entitlements, the partner it matched, and, where there are none, why.

    ``unrated`` names the rules that would apply but have no rate for the purchase's currency; ``lost`` are those that
    would give something, had another one not won.
    """

    partner: Partner | None
    entitlements: tuple[Entitlement, ...]
    unrated: tuple[str, ...]
    reason: Reason | None
    lost: tuple[Lost, ...] = ()


def entitle(programme: Programme, folded: Folded) -> Entitled:
    """Return what a folded purchase is entitled to under one revision of its programme.

    The guards stand in order of precedence; each returns the reason why nothing is due.
    """
    anchor = folded.anchor
    if anchor is None:
        return _nothing(None, Reason.AWAITING_ORIGINAL)
    partner = partner_of(programme, anchor)
    if is_excluded(programme, mcc=anchor.mcc, processing_code=anchor.processing_code):
        return _nothing(partner, Reason.EXCLUDED)
    if not any(amounts.open_minor or amounts.cleared_minor for amounts in folded.transaction):
        return _nothing(partner, _why_nothing(folded, anchor))
    return entitle_amounts(programme, folded, partner=partner, at=circumstances_of(anchor, partner))


def circumstances_of(anchor: Event, partner: Partner | None) -> Circumstances:
    """Return where, when and how a purchase was made, as its anchor and the brand that it matched say."""
    return Circumstances(
        partner=partner.id if partner else None,
        sector=partner.sector if partner else "",
        product=anchor.product,
        mcc=anchor.mcc,
        acquirer=anchor.acquirer,
        acceptor=anchor.acceptor,
        channel=anchor.channel,
        currency=anchor.amount.currency if anchor.amount else "",
        local_date=anchor.local_date,
        local_time=anchor.local_time,
    )


def is_excluded(programme: Programme, *, mcc: str, processing_code: str) -> bool:
    """Tell whether the programme gives nothing for this kind of purchase, whatever its rules say."""
    return mcc in programme.excluded_mccs or processing_code[:2] in programme.excluded_processing_codes


def entitle_amounts(programme: Programme, folded: Folded, *, partner: Partner | None, at: Circumstances) -> Entitled:
    """Return what the rules give for a purchase's amounts in some circumstances; its anchor is not looked at.

    A decision comes here behind its guards, an explanation with the amounts and circumstances that were stored.
    """
    plan = programme.plan(at)
    given: list[Entitlement] = []
    unrated: list[str] = []
    for rule in plan.rules:
        amounts = folded.amounts(rule.base)
        if rule.rates:
            if not _add_rated(programme, rule, amounts, given):
                unrated.append(rule.id)
        elif rule.fixed:
            _add_fixed(programme, rule, amounts, given)
    lost: list[Lost] = []
    if plan.contested or plan.multipliers:
        given, lost = contest(programme, plan, given)
    reason = None
    if not given:
        reason = Reason.CURRENCY_NOT_RATED if unrated else Reason.NO_RULE
    return Entitled(partner=partner, entitlements=tuple(given), unrated=tuple(unrated), reason=reason, lost=tuple(lost))


def _nothing(partner: Partner | None, reason: Reason) -> Entitled:
    return Entitled(partner=partner, entitlements=(), unrated=(), reason=reason)


def partner_of(programme: Programme, anchor: Event) -> Partner | None:
    """Return the partner whose card acceptor a purchase was made at, None where it is nobody's."""
    merchant = match_merchant(
        programme, acquirer=anchor.acquirer, acceptor=anchor.acceptor, terminal=anchor.terminal, mcc=anchor.mcc
    )
    return programme.partners[merchant.partner] if merchant else None


def _why_nothing(folded: Folded, anchor: Event) -> Reason:
    """Return why a purchase without amounts earns nothing, by what has become of it."""
    if folded.state in _WHY_NOTHING:
        return _WHY_NOTHING[folded.state]
    if folded.transaction and anchor.amount is not None and anchor.amount.amount_minor == 0:
        return Reason.ZERO_AMOUNT
    if anchor.credit:
        return Reason.UNCHANGED
    return Reason.ESTIMATED if folded.state is PurchaseState.UNPROMISED else Reason.REVERSED


_WHY_NOTHING: Final = {
    PurchaseState.DECLINED: Reason.DECLINED,
    PurchaseState.REQUESTED: Reason.UNDECIDED,
    PurchaseState.EXPIRED: Reason.EXPIRED,
    PurchaseState.CHARGED_BACK: Reason.CHARGED_BACK,
}


def _add_rated(programme: Programme, rule: Rule, amounts: Sequence[Amounts], given: list[Entitlement]) -> bool:
    """Add what a rule gives by its rates, miles over all currencies in one and a discount per currency.

    Returns whether it rates any currency of the purchase.
    """
    totals: dict[str, tuple[int, int]] = {}
    rated = False
    for entry in amounts:
        rate = rule.rate(entry.currency)
        if rate is None:
            continue
        rated = True
        if rule.when.amounts and not _counts(rule, entry):
            continue
        unit = programme.unit if rule.benefit is Benefit.MILES else entry.currency
        numerator, denominator = rate.numerator, rate.denominator
        total = divide((entry.open_minor + entry.cleared_minor) * numerator, denominator, rule.rounding)
        cleared = divide(entry.cleared_minor * numerator, denominator, rule.rounding) if entry.open_minor else total
        if unit in totals:
            before = totals[unit]
            total, cleared = total + before[0], cleared + before[1]
        totals[unit] = (total, cleared)
    for unit, (total, cleared) in totals.items():
        given.append(Entitlement(rule, unit, total, cleared))
    return rated


def _add_fixed(programme: Programme, rule: Rule, amounts: Sequence[Amounts], given: list[Entitlement]) -> None:
    """Add what a rule gives whatever the amount, from the first part that clears on; a lone refund gives nothing.

    Fixed money is never more than what was paid.
    """
    paid = has_cleared = False
    for entry in amounts:
        whole = entry.open_minor + entry.cleared_minor
        if whole <= 0 or (rule.when.amounts and not _counts(rule, entry)):
            continue
        paid = True
        has_cleared = has_cleared or entry.cleared_minor > 0
        if rule.benefit is Benefit.DISCOUNT and entry.currency in rule.fixed:
            most = rule.fixed[entry.currency]
            given.append(Entitlement(rule, entry.currency, min(most, whole), max(0, min(most, entry.cleared_minor))))
    if paid and rule.benefit is Benefit.MILES:
        miles = rule.fixed[programme.unit]
        given.append(Entitlement(rule, programme.unit, miles, miles if has_cleared else 0))


def _counts(rule: Rule, amounts: Amounts) -> bool:
    """Tell whether the whole amount in one currency lies in the range that the rule asks for."""
    wanted = rule.when.amounts.get(amounts.currency)
    return wanted is not None and wanted.holds(amounts.open_minor + amounts.cleared_minor)


def by_rule_and_unit(entitled: Entitled) -> Mapping[tuple[str, str], Entitlement]:
    """Index entitlements by rule and unit, in the rules' order."""
    return {(entry.rule.id, entry.unit): entry for entry in entitled.entitlements}
