"""What a purchase is entitled to: every rule that applies, computed on the purchase's total, before any cap.

Step four of a decision, after the fold and the merchant match; it reads no balance and no counter, so the same events
give the same entitlement at any time and in any order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from processor.core.event import Event
from processor.core.lifecycle import PurchaseState
from processor.core.merchant_match import match_merchant
from processor.core.money import divide
from processor.core.outcome import Reason
from processor.core.programme import Benefit, Partner, Programme, Rule
from processor.core.purchase import Folded


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
class Entitled:
    """A purchase's entitlements, the partner it matched, and, where there are none, why.

    ``unrated`` names the rules that would apply but have no rate for the purchase's currency.
    """

    partner: Partner | None
    entitlements: tuple[Entitlement, ...]
    unrated: tuple[str, ...]
    reason: Reason | None


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
    return entitle_amounts(programme, folded, partner=partner, product=anchor.product)


def is_excluded(programme: Programme, *, mcc: str, processing_code: str) -> bool:
    """Tell whether the programme gives nothing for this kind of purchase, whatever its rules say."""
    return mcc in programme.excluded_mccs or processing_code[:2] in programme.excluded_processing_codes


def entitle_amounts(programme: Programme, folded: Folded, *, partner: Partner | None, product: str) -> Entitled:
    """Return what the rules of one partner and card product give for a purchase's amounts; its anchor is not looked at.

    A decision comes here behind its guards, an explanation with the amounts, partner and product that were stored.
    """
    applicable = [
        rule
        for rule in programme.rules_of_partner[partner.id if partner else None]
        if not rule.products or product in rule.products
    ]
    if not applicable:
        return _nothing(partner, Reason.NO_RULE)
    entitlements: list[Entitlement] = []
    unrated: list[str] = []
    for rule in applicable:
        of_rule = _of_rule(programme, rule, folded)
        entitlements.extend(of_rule)
        if not of_rule:
            unrated.append(rule.id)
    reason = None if entitlements else Reason.CURRENCY_NOT_RATED
    return Entitled(partner=partner, entitlements=tuple(entitlements), unrated=tuple(unrated), reason=reason)


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


def _of_rule(programme: Programme, rule: Rule, folded: Folded) -> list[Entitlement]:
    """Return a rule's entitlements: miles over all rated currencies in one, a discount per currency."""
    totals: dict[str, tuple[int, int]] = {}
    for amounts in folded.amounts(rule.base):
        rate = rule.rate(amounts.currency)
        if rate is None:
            continue
        unit = programme.unit if rule.benefit is Benefit.MILES else amounts.currency
        total, cleared = totals.get(unit, (0, 0))
        whole = (amounts.open_minor + amounts.cleared_minor) * rate.numerator
        total += divide(whole, rate.denominator, rule.rounding)
        if amounts.open_minor:
            cleared += divide(amounts.cleared_minor * rate.numerator, rate.denominator, rule.rounding)
        else:
            cleared += divide(whole, rate.denominator, rule.rounding)
        totals[unit] = (total, cleared)
    return [
        Entitlement(rule=rule, unit=unit, total=total, cleared=cleared) for unit, (total, cleared) in totals.items()
    ]


def by_rule_and_unit(entitled: Entitled) -> Mapping[tuple[str, str], Entitlement]:
    """Index entitlements by rule and unit, in the document's order of the rules."""
    return {(entry.rule.id, entry.unit): entry for entry in entitled.entitlements}
