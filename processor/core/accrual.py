"""What a purchase is entitled to: every rule that applies, computed on the purchase's total, before any cap.

Step four of a decision, after the fold and the merchant match; it reads no balance and no counter, so the same events
give the same entitlement at any time and in any order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from processor.core.conditions import Circumstances
from processor.core.contest import Entitlement, Lost, contest, needs_contest
from processor.core.event import Event
from processor.core.lifecycle import PurchaseState
from processor.core.merchant_match import match_merchant
from processor.core.money import divide
from processor.core.outcome import Reason
from processor.core.programme import Benefit, Partner, Programme, Rule
from processor.core.purchase import Amounts, Folded


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
    applicable = [
        rule for rule in programme.candidates(at) if not rule.when.by_place or rule.when.unmet_by_place(at) is None
    ]
    given: list[Entitlement] = []
    unrated: list[str] = []
    for rule in applicable:
        if rule.rates:
            counted, rated = _rated(programme, rule, folded)
            given.extend(counted)
            if not rated:
                unrated.append(rule.id)
        elif rule.fixed:
            given.extend(_fixed(programme, rule, folded))
    lost: list[Lost] = []
    if needs_contest(applicable):
        given, lost = contest(programme, given, [rule for rule in applicable if rule.multiplication])
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


def _rated(programme: Programme, rule: Rule, folded: Folded) -> tuple[list[Entitlement], bool]:
    """Return what a rule gives by its rates, miles over all currencies in one and a discount per currency.

    The second value tells whether it rates any currency of the purchase.
    """
    totals: dict[str, tuple[int, int]] = {}
    rated = False
    for amounts in folded.amounts(rule.base):
        rate = rule.rate(amounts.currency)
        if rate is None:
            continue
        rated = True
        if not _counts(rule, amounts):
            continue
        unit = programme.unit if rule.benefit is Benefit.MILES else amounts.currency
        total, cleared = totals.get(unit, (0, 0))
        whole = (amounts.open_minor + amounts.cleared_minor) * rate.numerator
        given = divide(whole, rate.denominator, rule.rounding)
        total += given
        if amounts.open_minor:
            cleared += divide(amounts.cleared_minor * rate.numerator, rate.denominator, rule.rounding)
        else:
            cleared += given
        totals[unit] = (total, cleared)
    found = [
        Entitlement(rule=rule, unit=unit, total=total, cleared=cleared) for unit, (total, cleared) in totals.items()
    ]
    return found, rated


def _fixed(programme: Programme, rule: Rule, folded: Folded) -> list[Entitlement]:
    """Return what a rule gives whatever the amount, from the first part that clears on; a lone refund gives nothing.

    Fixed money is never more than what was paid.
    """
    counted = [
        amounts
        for amounts in folded.amounts(rule.base)
        if amounts.open_minor + amounts.cleared_minor > 0 and _counts(rule, amounts)
    ]
    if rule.benefit is Benefit.MILES:
        if not counted:
            return []
        miles = rule.fixed[programme.unit]
        cleared = any(amounts.cleared_minor > 0 for amounts in counted)
        return [Entitlement(rule=rule, unit=programme.unit, total=miles, cleared=miles if cleared else 0)]
    return [
        Entitlement(
            rule=rule,
            unit=amounts.currency,
            total=min(rule.fixed[amounts.currency], amounts.open_minor + amounts.cleared_minor),
            cleared=max(0, min(rule.fixed[amounts.currency], amounts.cleared_minor)),
        )
        for amounts in counted
        if amounts.currency in rule.fixed
    ]


def _counts(rule: Rule, amounts: Amounts) -> bool:
    """Tell whether the whole amount in one currency lies in the range that the rule asks for, if it asks for one."""
    if not rule.when.amounts:
        return True
    wanted = rule.when.amounts.get(amounts.currency)
    return wanted is not None and wanted.holds(amounts.open_minor + amounts.cleared_minor)


def by_rule_and_unit(entitled: Entitled) -> Mapping[tuple[str, str], Entitlement]:
    """Index entitlements by rule and unit, in the rules' order."""
    return {(entry.rule.id, entry.unit): entry for entry in entitled.entitlements}
