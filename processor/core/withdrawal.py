"""Withdrawing a purchase because another one takes over its events: all that it was granted is taken back.

``core/decision.py`` then decides the survivor, which asks the counters anew.
"""

from dataclasses import dataclass

from processor.core.account_terms import AccountTerms
from processor.core.awarding import Award, Carried, rule_of
from processor.core.funding import Payers, payers_of, unit_postings
from processor.core.grant import Grant, release
from processor.core.kept_purchase import Purchase
from processor.core.posting import UNITS_POSTED, Posting, charge_postings, payer_of
from processor.core.programme import Programme
from processor.core.qualifying import recount
from processor.core.rule import Rule
from processor.core.spent import Kept, kept_postings


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """What changes when a purchase gives its events to another: everything it was granted is taken back.

    ``programme`` is the revision it was granted under, None where it was granted nothing yet.
    ``earned`` is what tallies have earned all the same, and ``kept`` what its holder kept of what refunds took back;
    the survivor takes over both.
    """

    purchase: Purchase
    programme: Programme | None
    partner: str | None
    awards: tuple[Award, ...]
    postings: tuple[Posting, ...]
    earned: tuple[Carried, ...] = ()
    kept: tuple[Kept, ...] = ()


def withdraw(purchase: Purchase, survivor: bytes, terms: AccountTerms) -> Withdrawal:
    """Take back everything a purchase was granted because another one takes over its events.

    The counters are given back; the survivor then asks them anew.
    """
    empty = Purchase(id=purchase.id, merged_into=survivor, parted=purchase.parted)
    if purchase.revision is None or purchase.occurred_on is None:
        return Withdrawal(purchase=empty, programme=None, partner=None, awards=(), postings=())
    programme = terms.revision_of(purchase.revision).of_statement_day(purchase.statement_day)
    earned = release(
        programme, purchase.grants, purchase.occurred_on, purchase.id, terms.used, terms.budgets, purchase.card
    )
    recount(purchase.qualifying, (), terms.used)
    awards: list[Award] = []
    postings: list[Posting] = []
    for grant in purchase.grants:
        rule = rule_of(grant.rule, programme, purchase, terms)
        funder, payers = payers_of_rule(programme, rule, bank=terms.bank, partner=purchase.partner)
        nothing = Grant(rule=grant.rule, unit=grant.unit)
        if rule.benefit in UNITS_POSTED:
            postings.extend(unit_postings(rule.benefit, grant, nothing, funder, payers))
        awards.append(
            Award(
                rule=rule.id,
                benefit=rule.benefit,
                funder=funder,
                grant=nothing,
                pending_change=-grant.pending,
                available_change=-grant.available,
                cut_by=None,
                asked=grant,
                payers=payers,
            )
        )
    postings.extend(charge_postings(purchase.charges, {}))
    postings.extend(kept_postings(purchase.kept, ()))
    if terms.balance is not None:
        terms.balance.available -= sum(grant.available for grant in purchase.grants if grant.unit == programme.unit)
        terms.balance.available -= sum(kept.units for kept in purchase.kept)
    return Withdrawal(
        purchase=empty,
        programme=programme,
        partner=purchase.partner,
        awards=tuple(award for award in awards if award.pending_change or award.available_change),
        postings=tuple(postings),
        earned=tuple(earned.items()),
        kept=purchase.kept,
    )


def payers_of_rule(programme: Programme, rule: Rule, *, bank: str, partner: str | None) -> tuple[str, Payers]:
    """Return who pays for a rule at a brand, None where no brand matched, and who pays together if several do."""
    matched = programme.partners[partner] if partner else None
    funder = payer_of(programme, rule, bank=bank, partner=matched)
    return funder, payers_of(programme, rule, bank=bank, partner=matched)
