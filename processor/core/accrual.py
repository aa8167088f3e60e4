"""What a purchase is entitled to: every rule that applies, computed on the purchase's total, before any cap.

Step four of a decision, after the fold and the merchant match; it reads no balance and no counter, so the same events
give the same entitlement at any time and in any order.
"""

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from processor.core.circumstances import Circumstances
from processor.core.clawback import whole_of
from processor.core.contest import Entitlement, Lost, add, contest
from processor.core.event import CLEARING_KINDS, Event
from processor.core.expressed import unexpressed
from processor.core.lifecycle import PurchaseState
from processor.core.merchant_match import match_merchant
from processor.core.money import scaled
from processor.core.outcome import Reason
from processor.core.person import NOBODY, Fact, Member, member_at
from processor.core.plan import Plan
from processor.core.programme import Partner, Programme
from processor.core.purchase import Amounts, Folded
from processor.core.ripening import follow
from processor.core.rule import Clawback
from processor.core.steps import PLAIN, Bearing, Step, Steps, bearing_of
from processor.core.taken_off import for_goods
from processor.core.till import entitle_at_till


class Entitled(NamedTuple):
    """A purchase's entitlements, the partner it matched, and, where there are none, why.

    ``unrated`` names the rules that would apply but have no rate for the purchase's currency.
    ``member`` is what the rules knew of who made it.
    """

    partner: Partner | None
    entitlements: tuple[Entitlement, ...]
    unrated: tuple[str, ...]
    reason: Reason | None
    member: Member = NOBODY


def entitle(programme: Programme, folded: Folded, facts: Sequence[Fact] = ()) -> Entitled:
    """Return what a folded purchase is entitled to under one revision of its programme.

    ``facts`` are known of the member; those in force when the purchase happened count.
    The guards stand in order of precedence; each returns the reason why nothing is due.
    """
    anchor = folded.anchor
    if anchor is None:
        return _nothing(None, Reason.AWAITING_ORIGINAL)
    partner = partner_of(programme, anchor)
    member = NOBODY
    if programme.asked is not None:
        member = member_at(programme.asked, facts, at=anchor.at, on=anchor.local_date)
    if is_excluded(programme, mcc=anchor.mcc, processing_code=anchor.processing_code):
        return _nothing(partner, Reason.EXCLUDED, member)
    if not has_amounts(folded):
        return _nothing(partner, _why_nothing(folded, anchor), member)
    at = circumstances_of(anchor, partner, member, folded.product_codes)
    return entitle_amounts(programme, folded, partner=partner, at=at)


def has_amounts(folded: Folded) -> bool:
    """Tell whether anything of a purchase is promised, cleared or paid back."""
    for _, open_minor, cleared_minor in folded.transaction:  # noqa: SIM110 - every message comes here.
        if open_minor or cleared_minor:
            return True
    return False


def circumstances_of(
    anchor: Event, partner: Partner | None, member: Member = NOBODY, product_codes: tuple[str, ...] = ()
) -> Circumstances:
    """Return where, when and how a purchase was made, as its anchor and the brand that it matched say, and of what."""
    return Circumstances(
        partner.id if partner is not None else None,
        partner.sector if partner is not None else "",
        anchor.product,
        anchor.mcc,
        anchor.acquirer,
        anchor.acceptor,
        anchor.channel,
        anchor.amount.currency if anchor.amount is not None else "",
        anchor.local_date,
        anchor.local_time,
        member,
        anchor.country,
        None if anchor.kind in CLEARING_KINDS else anchor.at,
        product_codes,
    )


def is_excluded(programme: Programme, *, mcc: str, processing_code: str) -> bool:
    """Tell whether the programme gives nothing for this kind of purchase, whatever its rules say."""
    return mcc in programme.excluded_mccs or processing_code[:2] in programme.excluded_processing_codes


def entitle_amounts(
    programme: Programme, folded: Folded, *, partner: Partner | None, at: Circumstances, lost: list[Lost] | None = None
) -> Entitled:
    """Return what the rules give for a purchase's amounts in some circumstances; its anchor is not looked at.

    A decision comes here behind its guards, an explanation with the amounts and circumstances that were stored.
    ``lost`` receives the rules that would give something, had another one not won: only an explanation asks for them.
    """
    plan = programme.plan(at)
    if plan.expressed:
        plan = plan.without(unexpressed(plan.expressed, folded, at))
    at_till: list[Entitlement] = []
    if plan.at_till is not None:
        at_till, folded = entitle_at_till(programme, plan.at_till, folded, lost)
    if lost is None and folded.course is None and len(folded.billing) == len(folded.transaction) == 1:
        steps = _steps(plan, folded.billing[0], folded.transaction[0])
        unrated, bearing = steps.unrated, steps.bearing
        given = _given(steps.settled, folded.billing[0], folded.transaction[0])
        if steps.additions is not None:
            given = add(given, steps.additions) if steps.additions else given
            bearing = PLAIN
    else:
        unrated, bearing, given = _measured(plan, folded)
        if folded.course is not None:
            given = follow(programme, folded, at.product, given, lambda other: _measured(plan, other)[2])
        if programme.in_proportion and plan.has_edges:
            bearing = _followed(programme, bearing, _measured(plan, whole_of(folded))[1])
    if bearing.contested or bearing.multipliers:
        given = contest(programme, bearing, given, lost)
    given += at_till
    reason = None
    if not given:
        reason = Reason.CURRENCY_NOT_RATED if unrated else Reason.NO_RULE
        reason = reason if plan.at_till is None else Reason.NOT_LOWERED
    return Entitled(partner, tuple(given), unrated, reason, at.member)


def _measured(plan: Plan, folded: Folded) -> tuple[tuple[str, ...], Bearing, list[Entitlement]]:
    """Return what the rules give for a purchase's amounts, in their order, before they bear on each other.

    Beside it stand the rules without any rate, and how those that apply bear on each other.
    """
    if len(folded.billing) == len(folded.transaction) == 1:
        steps = _steps(plan, folded.billing[0], folded.transaction[0])
        return steps.unrated, steps.bearing, _given(steps.steps, folded.billing[0], folded.transaction[0])
    return _measured_in_several(plan, folded)


def _followed(programme: Programme, now: Bearing, whole: Bearing) -> Bearing:
    """Return how rules bear on each other where what multiplies a rule follows it, also in the amounts it asks for.

    What multiplies a rule that takes back in proportion asks for those before anything was given back.
    """
    multipliers = {
        rule: own
        for bearing, clawback in ((now, Clawback.EXACT), (whole, Clawback.PROPORTIONAL))
        for rule, own in bearing.multipliers.items()
        if programme.rule(rule).clawback is clawback
    }
    return Bearing(now.contested or whole.contested, now.late | whole.late, multipliers)


def _steps(plan: Plan, billing: Amounts, transaction: Amounts) -> Steps:
    return plan.steps(
        billing.currency,
        billing.open_minor + billing.cleared_minor,
        transaction.currency,
        transaction.open_minor + transaction.cleared_minor,
    )


def _nothing(partner: Partner | None, reason: Reason, member: Member = NOBODY) -> Entitled:
    return Entitled(partner, (), (), reason, member)


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
    if anchor.taken_off and anchor.amount is not None and for_goods(anchor, anchor.amount).amount_minor == 0:
        return Reason.EXCLUDED
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


def _given(steps: Iterable[Step], billing: Amounts, transaction: Amounts) -> list[Entitlement]:
    """Return what rules give for one amount as billed and as paid, in the rules' order.

    A fixed benefit is given from the first part that clears on; fixed money is never more than what was paid.
    """
    given: list[Entitlement] = []
    billed_cleared, paid_cleared = billing.cleared_minor, transaction.cleared_minor
    billed_whole, paid_whole = billing.open_minor + billed_cleared, transaction.open_minor + paid_cleared
    for rule, billed, unit, numerator, more, denominator, fixed, is_money in steps:
        whole, cleared = (billed_whole, billed_cleared) if billed else (paid_whole, paid_cleared)
        if fixed is None:
            total = scaled(whole, numerator, more, denominator)
            if cleared:
                cleared = total if cleared == whole else scaled(cleared, numerator, more, denominator)
        elif is_money:
            total, cleared = min(fixed, whole), max(0, min(fixed, cleared))
        else:
            total, cleared = fixed, fixed if cleared > 0 else 0
        given.append(Entitlement(rule, unit, total, cleared))
    return given


def _measured_in_several(plan: Plan, folded: Folded) -> tuple[tuple[str, ...], Bearing, list[Entitlement]]:
    """Return the same where amounts are in several currencies or none.

    Miles add up over the currencies, a fixed number of them is given once; money is given in each.
    A multiplier counts where one of the amounts is in its range.
    """
    paid = {entry.currency for entry in folded.transaction}
    parts = []
    for entry in folded.billing:
        whole, domestic = entry.open_minor + entry.cleared_minor, entry.currency in paid
        parts.append(_given(plan.steps(entry.currency, whole, None, 0, domestic=domestic).steps, entry, entry))
    for entry in folded.transaction:
        whole = entry.open_minor + entry.cleared_minor
        parts.append(_given(plan.steps(None, 0, entry.currency, whole).steps, entry, entry))
    summed: dict[tuple[str, str], Entitlement] = {}
    for gives in (gives for part in parts for gives in part):
        key = gives.rule.id, gives.unit
        before = summed.get(key)
        if before is None:
            summed[key] = gives
        elif gives.rule.once:
            summed[key] = gives._replace(cleared=max(before.cleared, gives.cleared))
        else:
            summed[key] = gives._replace(total=before.total + gives.total, cleared=before.cleared + gives.cleared)
    unrated = tuple(
        rule.id
        for rule in plan.rules
        if (rule.rates or rule.convert)
        and all(plan.terms.lacks_rate(rule, entry.currency) for entry in folded.amounts(rule.base))
    )
    bearing = plan.bearing
    if plan.has_edges:
        holds = plan.terms.holds
        applying = [
            rule
            for rule in plan.rules
            if any(
                holds(rule, entry.currency, entry.open_minor + entry.cleared_minor)
                for entry in folded.amounts(rule.base)
            )
        ]
        bearing = bearing_of(applying, plan.terms)
    return unrated, bearing, sorted(summed.values(), key=attrgetter("rule.order"))


def by_rule_and_unit(entitled: Entitled) -> Mapping[tuple[str, str], Entitlement]:
    """Index entitlements by rule and unit, in the rules' order."""
    return {(entry.rule.id, entry.unit): entry for entry in entitled.entitlements}
