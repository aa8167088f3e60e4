"""What a decision awards: every rule that is weighed, with what it grants now and what that changes.

Last step before the postings; ``core/grant.py`` says what limits leave of each rule.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from processor.core.account_terms import AccountTerms
from processor.core.accrual import Entitled
from processor.core.contest import Entitlement
from processor.core.event import Event
from processor.core.funding import Payers, payers_of
from processor.core.grant import Grant, grant_first, regrant, release
from processor.core.kept_purchase import Purchase
from processor.core.lifecycle import Effect
from processor.core.posting import funder_party, payer_of
from processor.core.programme import Programme
from processor.core.review import Rulings, reviewed
from processor.core.rule import Benefit, Rule
from processor.core.tally import cut_counter


class Award(NamedTuple):
    """A change of what one rule grants a purchase, and the totals after it.

    ``pending_change`` and ``available_change`` are signed; ``grant`` holds the totals; ``cut_by`` is the cap or budget
    that cut it, None where none did; ``asked`` is the grant that the rise or fall of entitled was measured against.
    ``stood`` is where the rule's tally stood before, None where it has none, and ``withheld`` what limits have withheld
    of it from other purchases.
    ``payers`` are those who pay for it together, empty where ``funder`` pays alone.
    """

    rule: str
    benefit: Benefit
    funder: str
    grant: Grant
    pending_change: int
    available_change: int
    cut_by: str | None
    asked: Grant
    stood: int | None = None
    withheld: int = 0
    payers: Payers = ()


Carried = tuple[tuple[str, str], int]
"""A rule and unit, and what is earned by its tally although no purchase has counted it any more."""

END_OF_TIME: Final = 2**40
"""In seconds since 1970; no revision takes effect later."""
_NEVER: Final = Grant("", "")
"""What was granted before by a rule that never gave a purchase anything."""


def awards_of(
    purchase: Purchase,
    programme: Programme,
    entitled: Entitled,
    moment: Event,
    terms: AccountTerms,
    events: tuple[Event, ...],
    carried: Sequence[Carried] = (),
) -> tuple[Award, ...]:
    """Return one award per rule weighed now or granted before, with its change and its totals.

    Where the revision, the date or the card changed, because an earlier event arrived late, the old counters are given
    back first and the whole grant is asked for anew.
    """
    rulings = Rulings(events) if programme.velocity else None
    if purchase.grants or purchase.revision is not None or carried:
        return _awarded_again(purchase, programme, entitled, moment, terms, rulings, carried)
    return _awarded_first(purchase, programme, entitled, moment, terms, rulings)


def _awarded_first(
    purchase: Purchase,
    programme: Programme,
    entitled: Entitled,
    moment: Event,
    terms: AccountTerms,
    rulings: Rulings | None,
) -> tuple[Award, ...]:
    """Return the awards of a purchase that was granted nothing before.

    It runs for most messages: what nothing limits is granted as it is, and what caps alone limit as far as they allow.
    """
    awards: list[Award] = []
    watched, bank, partner, day, card = programme.watched, terms.bank, entitled.partner, moment.local_date, moment.card
    for entry in entitled.entitlements:
        rule, unit, total, cleared = entry
        rule_id = rule.id
        if rule_id in watched:
            never = Grant(rule_id, unit)
            awards.append(_awarded(purchase, programme, entitled, moment, terms, rulings, rule, entry, never, never))
            continue
        granted, cut_by = total, None
        if total > 0 and rule_id in programme.caps_of_rule:
            limits = programme.limits(rule_id, unit, day, card)
            granted, cut_by = grant_first(limits, total, purchase.id, terms.used, terms.reserved)
        available = min(granted, cleared)
        awards.append(
            Award(
                rule_id,
                rule.benefit,
                funder_party(programme, rule.funder, bank=bank, partner=partner),
                Grant(rule_id, unit, total, granted, available),
                granted - available,
                available,
                cut_by,
                _NEVER,
                None,
                0,
                payers_of(programme, rule, bank=bank, partner=partner) if rule.split else (),
            )
        )
    return tuple(awards)


def _awarded_again(
    purchase: Purchase,
    programme: Programme,
    entitled: Entitled,
    moment: Event,
    terms: AccountTerms,
    rulings: Rulings | None,
    carried: Sequence[Carried],
) -> tuple[Award, ...]:
    """Return the awards of a purchase that was decided before, or that takes over what another was granted."""
    anew = purchase.revision is not None
    decided_under = (purchase.revision, purchase.occurred_on, purchase.card, purchase.statement_day)
    anew = anew and decided_under != (programme.revision, moment.local_date, moment.card, programme.account_day)
    if anew and purchase.revision is not None:
        old = terms.revision_of(purchase.revision).of_statement_day(purchase.statement_day)
        moved_from = purchase.occurred_on or moment.local_date
        released = release(old, purchase.grants, moved_from, purchase.id, terms.used, terms.budgets, purchase.card)
        carried = (*carried, *released.items())
    before = {(grant.rule, grant.unit): grant for grant in purchase.grants}
    now = {(entry.rule.id, entry.unit): entry for entry in entitled.entitlements}
    left = {key for key, _ in carried if key not in now and key not in before}
    awards: list[Award] = []
    for key in (*now, *(key for key in before if key not in now), *sorted(left)):
        entry = now.get(key)
        rule = entry.rule if entry is not None else rule_of(key[0], programme, purchase, terms)
        posted = measured = before.get(key) or Grant(*key)
        if anew:
            measured = Grant(*key)
        earned = sum(units for of, units in carried if of == key)
        if earned:
            counted = measured.counted
            measured = measured._replace(counted=counted._replace(earned=counted.earned + earned))
        awards.append(_awarded(purchase, programme, entitled, moment, terms, rulings, rule, entry, posted, measured))
    return tuple(awards)


def _awarded(
    purchase: Purchase,
    programme: Programme,
    entitled: Entitled,
    moment: Event,
    terms: AccountTerms,
    rulings: Rulings | None,
    rule: Rule,
    entitlement: Entitlement | None,
    posted: Grant,
    measured: Grant,
) -> Award:
    """Return one rule's award: its rise or fall is measured against ``measured``, its change against ``posted``."""
    stood, withheld = None, 0
    if rule.tally is not None:
        counter = rule.tally.counter(rule.id, moment.local_date)
        stood = terms.used.get(counter, 0)
        withheld = terms.used.get(cut_counter(counter), 0) - measured.counted.cut
    funder = payer_of(programme, rule, bank=terms.bank, partner=entitled.partner)
    velocity = programme.velocity_of_rule.get(rule.id) if rulings is not None else None
    ruling = rulings.on(rule.id) if rulings is not None and velocity else None
    grant, cut_by = regrant(
        programme,
        measured,
        entitlement if ruling is not Effect.REFUSED else None,
        occurred_on=moment.local_date,
        purchase_id=purchase.id,
        used=terms.used,
        reserved=terms.reserved,
        budgets=terms.budgets,
        funder=funder,
        card=moment.card,
        household=entitled.member.household,
    )
    if velocity:
        grant = reviewed(velocity, measured, grant, moment, terms.used, released=ruling is Effect.RELEASED)
    available_change = grant.available - posted.available
    pending_change = grant.granted - posted.granted - available_change
    payers = payers_of(programme, rule, bank=terms.bank, partner=entitled.partner)
    return Award(
        rule.id,
        rule.benefit,
        funder,
        grant,
        pending_change,
        available_change,
        cut_by,
        measured,
        stood,
        withheld,
        payers,
    )


def rule_of(rule_id: str, programme: Programme, purchase: Purchase, terms: AccountTerms) -> Rule:
    """Return a rule of this revision, or of the latest one that has it, first of those until the purchase's own."""
    if programme.has(rule_id):
        return programme.rule(rule_id)
    newest = terms.programme_at(END_OF_TIME) or programme
    for latest in (purchase.revision or 0, newest.revision):
        for revision in range(latest, 0, -1):
            other = terms.revision_of(revision)
            if other.has(rule_id):
                return other.rule(rule_id)
    return programme.rule(rule_id)
