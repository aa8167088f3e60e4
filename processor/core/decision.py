"""Deciding one message: fold it into its purchase, and say what it changes.

This is the whole decision in one direction: fold, match, entitle, grant, post.
It takes values and returns values; ``flow/`` loads what it needs and commits what it says.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from processor.core.account_terms import AccountTerms
from processor.core.accrual import Entitled, entitle
from processor.core.awarding import Award, Carried, awards_of, rule_of
from processor.core.budget import PoolKey
from processor.core.cap import CounterKey
from processor.core.course import course_of
from processor.core.event import Event
from processor.core.funding import parts_of, unit_postings
from processor.core.grant import Grant
from processor.core.held import facts_seen, seen_by
from processor.core.instalments import at_once
from processor.core.kept_purchase import Purchase
from processor.core.lifecycle import Effect
from processor.core.links import OPERATIONS
from processor.core.message import MessageKind
from processor.core.outcome import Reason
from processor.core.person import NOBODY, Member, statement_day_at
from processor.core.posting import UNITS_POSTED, Posting, charge_postings, charges_due
from processor.core.product_codes import products_of
from processor.core.programme import Partner, Programme
from processor.core.purchase import Folded, fold
from processor.core.qualifying import Counts, Moved, counts_of, nothing_of, recount
from processor.core.review import refused_in
from processor.core.rule import Benefit
from processor.core.spent import Change, Kept, settle, take_over
from processor.core.taken_off import counting
from processor.core.tier_change import TierChange
from processor.core.till import is_decided, lowered_of
from processor.core.withdrawal import payers_of_rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What one message changes.

    ``purchase`` is the new state; ``awards`` and ``postings`` are only changes; ``considered`` holds every rule
    that was weighed, whether it changed anything or not, for the explanation.
    ``reserve`` is the capped headroom a quote asks to hold, ``holds`` what it asks to hold of budgets.
    ``refused`` are the rules of which operations refused what they give.
    ``elsewhere`` are awards of other purchases that the message changed: one that merged into this, or that a refund
    counts against.
    ``member`` is what the rules knew of who made the purchase.
    ``qualifying`` is what it moved of the counters of tiers, ``tiers`` what the message changed of the member's tier.
    """

    reason: Reason
    programme: Programme
    partner: Partner | None
    purchase: Purchase
    folded: Folded
    awards: tuple[Award, ...]
    considered: tuple[Award, ...]
    unrated: tuple[str, ...]
    postings: tuple[Posting, ...]
    reserve: Mapping[CounterKey, int]
    elsewhere: tuple[Award, ...] = ()
    member: Member = NOBODY
    holds: Mapping[PoolKey, int] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    qualifying: tuple[Moved, ...] = ()
    tiers: tuple[TierChange, ...] = ()


def decide(
    purchase: Purchase,
    event: Event,
    terms: AccountTerms,
    *,
    quote: bool = False,
    carried: Sequence[Carried] = (),
    kept: Sequence[Kept] = (),
) -> Decision | None:
    """Fold ``event`` into ``purchase`` and return what changes, or None where no programme was in force then.

    ``quote`` is true for a request on an inline link: it is computed as if approved, and books nothing.
    Where a till may have lowered it, a request that its own outcome overtook is booked: it says by how much.
    ``carried`` is what the tallies of withdrawn purchases leave to this one, ``kept`` what their holder kept.
    """
    events = (*purchase.events, event)
    folded = _folded(purchase, events, as_if_approved=quote)
    programme = terms.programme_at((folded.anchor or event).at)
    if programme is None:
        return None
    if quote and programme.at_till and is_decided(purchase.events, event):
        quote, folded = False, _folded(purchase, events)
    programme = _for_account(programme, folded.anchor, terms)
    folded = _as_read(programme, purchase, events, folded, as_if_approved=quote)
    entitled = _entitled(programme, purchase, folded, terms)
    if quote:
        return _quote(replace(purchase, events=events), event, programme, entitled, folded, terms)
    return _book(purchase, events, event, programme, entitled, folded, terms, carried, kept)


def decide_again(purchase: Purchase, terms: AccountTerms) -> Decision | None:
    """Return what changes in a purchase because its events, or the refunds that count against it, have changed.

    None where no programme was in force then.
    """
    folded = _folded(purchase, purchase.events)
    moment = folded.anchor or purchase.events[-1]
    programme = terms.programme_at(moment.at)
    if programme is None:
        return None
    programme = _for_account(programme, folded.anchor, terms)
    folded = _as_read(programme, purchase, purchase.events, folded)
    entitled = _entitled(programme, purchase, folded, terms)
    return _book(purchase, purchase.events, moment, programme, entitled, folded, terms)


def with_elsewhere(decision: Decision, awards: Sequence[Award]) -> Decision:
    """Return a decision that also says what its message changed in other purchases, and why where that is all."""
    if not awards:
        return decision
    reason = decision.reason if decision.awards else _gained_or_lost(awards)
    return replace(decision, reason=reason, elsewhere=tuple(awards))


def with_tiers(decision: Decision, changes: Sequence[TierChange]) -> Decision:
    """Return a decision that also says what its message changed of the member's tier."""
    return replace(decision, tiers=tuple(changes)) if changes else decision


def _gained_or_lost(awards: Sequence[Award]) -> Reason:
    gained = any(award.pending_change + award.available_change >= 0 for award in awards)
    return Reason.EARNED if gained else Reason.TAKEN_BACK


def _folded(purchase: Purchase, events: tuple[Event, ...], *, as_if_approved: bool = False) -> Folded:
    return fold(events, as_if_approved=as_if_approved, refunded=purchase.refunded, placed=purchase.placed)


def _as_read(
    programme: Programme,
    purchase: Purchase,
    events: tuple[Event, ...],
    folded: Folded,
    *,
    as_if_approved: bool = False,
) -> Folded:
    """Return a folded purchase as a programme reads it: with what else its rules look at, and nothing more."""
    read = events
    if programme.parts_included and (read := counting(events, programme.parts_included)) is not events:
        folded = _folded(purchase, read, as_if_approved=as_if_approved)
    if programme.at_till:
        folded = folded._replace(lowered=lowered_of(read, as_if_approved=as_if_approved))
    if programme.asks_products:
        folded = folded._replace(product_codes=products_of(read))
    if programme.is_followed:
        folded = folded._replace(course=course_of(read))
    return at_once(read, folded) if programme.instalments_at_once else folded


def _for_account(programme: Programme, anchor: Event | None, terms: AccountTerms) -> Programme:
    """Return a revision as it is read for an account, with its own statement day at a purchase's instant, if known."""
    if anchor is None or not programme.by_statement:
        return programme
    return programme.of_statement_day(statement_day_at(terms.facts, at=anchor.at))


def _entitled(programme: Programme, purchase: Purchase, folded: Folded, terms: AccountTerms) -> Entitled:
    """Return what a purchase is entitled to, with what its account held as it was seen before."""
    facts = terms.facts
    if purchase.seen is not None and folded.anchor is not None:
        facts = facts_seen(facts, purchase.seen, at=folded.anchor.at)
    return entitle(programme, folded, facts)


def _book(
    purchase: Purchase,
    events: tuple[Event, ...],
    event: Event,
    programme: Programme,
    entitled: Entitled,
    folded: Folded,
    terms: AccountTerms,
    carried: Sequence[Carried] = (),
    taken_over: Sequence[Kept] = (),
) -> Decision:
    moment = folded.anchor or event
    considered = awards_of(purchase, programme, entitled, moment, terms, events, carried)
    partner = entitled.partner.id if entitled.partner else None
    postings: list[Posting] = []
    for award in considered:
        if award.benefit in UNITS_POSTED:
            postings.extend(_units_of(award, purchase, terms))
    kept = purchase.kept
    if terms.balance is not None:
        kept, moved = take_over(kept, taken_over, terms.balance)
        postings.extend(moved)
        kept, moved = settle(kept, _changes(considered, programme, purchase, terms), terms.balance)
        postings.extend(moved)
    charges = charges_due(
        programme,
        _charged(considered, kept),
        bank=terms.bank,
        partner=entitled.partner,
    )
    postings.extend(charge_postings(purchase.charges, charges))
    awards = tuple(award for award in considered if award.pending_change or award.available_change)
    qualifying = purchase.qualifying
    counted: tuple[Moved, ...] = ()
    if programme.measures or qualifying:
        qualifying = _counts(programme, entitled, folded, considered, moment)
        counted = recount(purchase.qualifying, qualifying, terms.used)
    return Decision(
        reason=_reason(event, entitled, considered, awards),
        programme=programme,
        partner=entitled.partner,
        purchase=replace(
            purchase,
            events=events,
            revision=programme.revision,
            occurred_on=moment.local_date,
            card=moment.card,
            statement_day=programme.account_day,
            seen=seen_by(programme.asked, entitled.member, at=folded.anchor.at if folded.anchor is not None else None),
            partner=partner,
            grants=tuple(award.grant for award in considered if _is_something(award.grant)),
            charges={key: amount for key, amount in charges.items() if amount},
            kept=kept,
            qualifying=qualifying,
        ),
        folded=folded,
        awards=awards,
        considered=considered,
        unrated=entitled.unrated,
        postings=tuple(postings),
        reserve={},
        member=entitled.member,
        qualifying=counted,
        refused=refused_in(programme.velocity_of_rule, events) if programme.velocity else (),
    )


def _counts(
    programme: Programme, entitled: Entitled, folded: Folded, considered: Sequence[Award], moment: Event
) -> tuple[Counts, ...]:
    """Return what a purchase counts towards tiers; one of a kind that earns nothing counts only what it owes."""
    if folded.anchor is None or entitled.reason is Reason.EXCLUDED:
        folded = nothing_of(folded)
    return counts_of(
        programme,
        folded,
        product=moment.product,
        day=moment.local_date,
        applying={entry.rule.id for entry in entitled.entitlements},
        posted={award.rule: award.grant.available for award in considered if award.grant.unit == programme.unit},
    )


def _charged(considered: Sequence[Award], kept: Sequence[Kept]) -> Iterator[tuple[Grant, Benefit, str]]:
    """Yield what funders pay for: what is granted, and what a holder keeps."""
    for award in considered:
        if award.payers:
            for payer, part in parts_of(award.grant, award.funder, award.payers):
                yield part, award.benefit, payer
        else:
            yield award.grant, award.benefit, award.funder
    for entry in kept:
        yield Grant(entry.rule, entry.unit, available=entry.units), Benefit.MILES, entry.funder


def _changes(
    considered: Sequence[Award], programme: Programme, purchase: Purchase, terms: AccountTerms
) -> Iterator[Change]:
    """Yield what a decision changes of available miles, rule by rule."""
    for award in considered:
        if award.benefit is Benefit.MILES and award.available_change:
            spent = rule_of(award.rule, programme, purchase, terms).spent
            yield Change(award.rule, award.grant.unit, award.funder, spent, award.available_change)


def _is_something(grant: Grant) -> bool:
    """Tell whether a grant must be kept: one of nothing in all may still be pending against a refund that is posted."""
    return bool(grant.entitled or grant.granted or grant.available or any(grant.counted))


def _units_of(award: Award, purchase: Purchase, terms: AccountTerms) -> Iterator[Posting]:
    """Yield the postings of an award of miles or rewards; where who pays changed, the old ones are made whole first."""
    benefit = award.benefit
    nothing = Grant(rule=award.rule, unit=award.grant.unit)
    before = next((old for old in purchase.grants if (old.rule, old.unit) == (award.rule, award.grant.unit)), nothing)
    if before.available and purchase.revision is not None:
        old = terms.revision_of(purchase.revision)
        rule = rule_of(award.rule, old, purchase, terms)
        funder, payers = payers_of_rule(old, rule, bank=terms.bank, partner=purchase.partner)
        if (funder, payers) != (award.funder, award.payers):
            whole = before._replace(granted=before.pending, available=0)
            yield from unit_postings(benefit, before, whole, funder, payers)
            before = whole
    yield from unit_postings(benefit, before, award.grant, award.funder, award.payers)


def _quote(
    purchase: Purchase, event: Event, programme: Programme, entitled: Entitled, folded: Folded, terms: AccountTerms
) -> Decision:
    """Compute what the purchase would be granted if the host approves; only the event is kept and headroom reserved."""
    used = dict(terms.used)
    budgets = terms.budgets.copy() if terms.budgets is not None else None
    moment = folded.anchor or event
    estimated = replace(terms, used=used, budgets=budgets)
    considered = awards_of(purchase, programme, entitled, moment, estimated, purchase.events)
    reserve = {key: units - terms.used.get(key, 0) for key, units in used.items() if units > terms.used.get(key, 0)}
    return Decision(
        reason=Reason.QUOTED,
        programme=programme,
        partner=entitled.partner,
        purchase=purchase,
        folded=folded,
        awards=tuple(award for award in considered if award.pending_change or award.available_change),
        considered=considered,
        unrated=entitled.unrated,
        postings=(),
        reserve=reserve,
        member=entitled.member,
        refused=refused_in(programme.velocity_of_rule, purchase.events) if programme.velocity else (),
        holds=budgets.held_beyond(terms.budgets) if budgets is not None and terms.budgets is not None else {},
    )


_NO_PURCHASE: Final = frozenset(
    {MessageKind.ADMINISTRATIVE, MessageKind.FEE_COLLECTION, MessageKind.FEE_COLLECTION_REVERSAL}
)


def _reason(event: Event, entitled: Entitled, considered: Sequence[Award], awards: Sequence[Award]) -> Reason:
    """Return why the message changed what it did; the guards stand in order of precedence."""
    if awards:
        return _gained_or_lost(awards)
    if event.kind in OPERATIONS:
        return Reason.LINKED
    if event.kind in _NO_PURCHASE:
        return Reason.NO_PURCHASE
    if event.effect is Effect.DECLINED:
        return Reason.DECLINED
    if event.effect is Effect.REQUESTED:
        return Reason.UNDECIDED
    if event.effect is Effect.NONE:
        return Reason.ACKNOWLEDGED
    if entitled.reason is not None:
        return entitled.reason
    if any(award.cut_by for award in considered):
        return Reason.CAP_REACHED
    if not any(award.grant.entitled for award in considered):
        return Reason.BELOW_ONE_UNIT
    return Reason.UNCHANGED
