"""Postings: each moves one amount of one unit from one ledger account to another.

``docs/ledger.md`` lists the accounts and templates in the domain's words; :class:`Template` and ``REVERSE_OF`` are the
same table as code.
What is due is always *granted minus posted*: nothing here looks at which message caused it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from processor.core.grant import Grant
from processor.core.money import divide
from processor.core.programme import Partner, Programme
from processor.core.rule import Benefit, Funder, Rule

MEMBER_PENDING: Final = "member/pending"
MEMBER_AVAILABLE: Final = "member/available"
MEMBER_PROVISIONAL: Final = "member/provisional"
MEMBER_SUSPENSE: Final = "member/suspense"
PROGRAMME_PROMISED: Final = "programme/promised"
PROGRAMME_ADJUSTED: Final = "programme/adjusted"
MEMBER_REWARDS_PENDING: Final = "member/rewards-pending"
MEMBER_REWARDS: Final = "member/rewards"
PROGRAMME_REWARDS_PROMISED: Final = "programme/rewards-promised"
PROGRAMME_REWARDS_USED: Final = "programme/rewards-used"
PROGRAMME_WRITTEN_OFF: Final = "programme/written-off"


def party_miles(party: str) -> str:
    """Return the ledger account of the miles issued at a party's cost."""
    return f"party/{party}/miles"


def party_kept(party: str) -> str:
    """Return the ledger account of the miles that members keep at a party's cost although they were taken back."""
    return f"party/{party}/kept"


def party_rewards(party: str) -> str:
    """Return the ledger account of the soft rewards granted at a party's cost."""
    return f"party/{party}/rewards"


def party_settlement(party: str) -> str:
    """Return the ledger account of what a party owes and is owed."""
    return f"party/{party}/settlement"


def party_of(account: str) -> str:
    """Return the party of a ``party/ID/...`` ledger account."""
    return account.split("/")[1]


class Template(IntEnum):
    """The posting templates of ``docs/ledger.md``; the numbers are stored and never reused."""

    MILES_PROMISED = 1
    MILES_PROMISE_RELEASED = 2
    MILES_ISSUED = 3
    MILES_CLAWED_BACK = 4
    MILES_CHARGED = 5
    MILES_CHARGE_RETURNED = 6
    DISCOUNT_CHARGED = 7
    DISCOUNT_RETURNED = 8
    ADJUSTMENT_GIVEN = 9
    ADJUSTMENT_TAKEN = 10
    TILL_DISCOUNT_CHARGED = 11
    TILL_DISCOUNT_RETURNED = 12
    REWARD_PROMISED = 13
    REWARD_PROMISE_RELEASED = 14
    REWARD_GRANTED = 15
    REWARD_TAKEN_BACK = 16
    REWARD_CHARGED = 17
    REWARD_CHARGE_RETURNED = 18
    REWARD_USED = 19
    REWARD_USE_RETURNED = 20
    FEE_SHARED = 21
    FEE_SHARE_RETURNED = 22
    MILES_ACCEPTED = 23
    MILES_RETURN_ACCEPTED = 24
    MILES_SUSPENDED = 25
    MILES_UNSUSPENDED = 26
    MILES_WRITTEN_OFF = 27
    MILES_RETURN_WRITTEN_OFF = 28
    MILES_KEPT = 29
    MILES_KEPT_TAKEN = 30


BETWEEN_PARTIES: Final = frozenset(
    {
        Template.MILES_CHARGED,
        Template.MILES_CHARGE_RETURNED,
        Template.DISCOUNT_CHARGED,
        Template.DISCOUNT_RETURNED,
        Template.TILL_DISCOUNT_CHARGED,
        Template.TILL_DISCOUNT_RETURNED,
        Template.REWARD_CHARGED,
        Template.REWARD_CHARGE_RETURNED,
        Template.FEE_SHARED,
        Template.FEE_SHARE_RETURNED,
    }
)
"""Templates whose postings two parties settle; every other posting stays inside the programme."""

REVERSE_OF: Final = {
    Template.MILES_PROMISED: Template.MILES_PROMISE_RELEASED,
    Template.MILES_ISSUED: Template.MILES_CLAWED_BACK,
    Template.MILES_CHARGED: Template.MILES_CHARGE_RETURNED,
    Template.DISCOUNT_CHARGED: Template.DISCOUNT_RETURNED,
    Template.ADJUSTMENT_GIVEN: Template.ADJUSTMENT_TAKEN,
    Template.TILL_DISCOUNT_CHARGED: Template.TILL_DISCOUNT_RETURNED,
    Template.REWARD_PROMISED: Template.REWARD_PROMISE_RELEASED,
    Template.REWARD_GRANTED: Template.REWARD_TAKEN_BACK,
    Template.REWARD_CHARGED: Template.REWARD_CHARGE_RETURNED,
    Template.REWARD_USED: Template.REWARD_USE_RETURNED,
    Template.FEE_SHARED: Template.FEE_SHARE_RETURNED,
    Template.MILES_ACCEPTED: Template.MILES_RETURN_ACCEPTED,
    Template.MILES_SUSPENDED: Template.MILES_UNSUSPENDED,
    Template.MILES_WRITTEN_OFF: Template.MILES_RETURN_WRITTEN_OFF,
    Template.MILES_KEPT: Template.MILES_KEPT_TAKEN,
}
"""Which template takes back what another gave, with debit and credit exchanged."""

MAKE_AVAILABLE: Final = (
    Template.MILES_ISSUED,
    Template.MILES_CLAWED_BACK,
    Template.ADJUSTMENT_GIVEN,
    Template.ADJUSTMENT_TAKEN,
)
"""Templates that change what a member has; where the owner keeps the ledger they do so provisionally."""
ANSWER: Final = (
    Template.MILES_ACCEPTED,
    Template.MILES_RETURN_ACCEPTED,
    Template.MILES_SUSPENDED,
    Template.MILES_UNSUSPENDED,
    Template.MILES_WRITTEN_OFF,
    Template.MILES_RETURN_WRITTEN_OFF,
)
"""Templates that post what became of an accrual; their cause is no message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """``amount`` (above zero) of ``unit`` moves from ``debit`` to ``credit``; ``rule`` is empty for charges."""

    template: Template
    debit: str
    credit: str
    unit: str
    amount: int
    rule: str

    @property
    def between_parties(self) -> bool:
        """Tell whether two parties settle this posting."""
        return self.template in BETWEEN_PARTIES


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ChargeKey:
    """What a purchase's money charges are totalled by: the template that charges, who owes whom, and the currency."""

    template: Template
    debtor: str
    creditor: str
    currency: str


def move(template: Template, debit: str, credit: str, unit: str, amount: int, rule: str = "") -> Iterator[Posting]:
    """Yield the posting of a signed amount: none for zero, the reverse template for a negative one."""
    if amount > 0:
        yield Posting(template=template, debit=debit, credit=credit, unit=unit, amount=amount, rule=rule)
    elif amount < 0:
        reverse = REVERSE_OF[template]
        yield Posting(template=reverse, debit=credit, credit=debit, unit=unit, amount=-amount, rule=rule)


def funder_party(programme: Programme, funder: Funder, *, bank: str, partner: Partner | None) -> str:
    """Return the party that pays for a rule's benefit on one purchase.

    A rule funded by the partner always has one: the document's check refuses such a rule without partners.
    """
    if funder is Funder.BANK:
        return bank
    if funder is Funder.PARTNER and partner is not None:
        return partner.retailer
    return programme.owner


def payer_of(
    programme: Programme, rule: Rule, *, bank: str, partner: Partner | None, funder: Funder | None = None
) -> str:
    """Return the party that pays for what a rule gives on one purchase; ``funder`` names one of several that do.

    What a period's purchases earn together is paid by the retailer of the rule's partners, also where a purchase that
    counted there turns out to be another one's: nobody else has back what that retailer paid.
    """
    funder = funder or rule.funder
    if rule.tally is not None and funder is Funder.PARTNER:
        own = rule.when.partners
        if partner is None or partner.id not in own:
            partner = next((programme.partners[name] for name in sorted(own) if name in programme.partners), partner)
    return funder_party(programme, funder, bank=bank, partner=partner)


def miles_postings(before: Grant, after: Grant, funder: str) -> Iterator[Posting]:
    """Yield the miles postings that turn one grant of a rule into another."""
    yield from move(
        Template.MILES_PROMISED,
        PROGRAMME_PROMISED,
        MEMBER_PENDING,
        after.unit,
        after.pending - before.pending,
        after.rule,
    )
    yield from move(
        Template.MILES_ISSUED,
        party_miles(funder),
        MEMBER_AVAILABLE,
        after.unit,
        after.available - before.available,
        after.rule,
    )


def reward_postings(before: Grant, after: Grant, funder: str) -> Iterator[Posting]:
    """Yield the postings that turn one grant of soft rewards into another, in their own unit."""
    yield from move(
        Template.REWARD_PROMISED,
        PROGRAMME_REWARDS_PROMISED,
        MEMBER_REWARDS_PENDING,
        after.unit,
        after.pending - before.pending,
        after.rule,
    )
    yield from move(
        Template.REWARD_GRANTED,
        party_rewards(funder),
        MEMBER_REWARDS,
        after.unit,
        after.available - before.available,
        after.rule,
    )


UNITS_POSTED: Final[Mapping[Benefit, Callable[[Grant, Grant, str], Iterator[Posting]]]] = {
    Benefit.MILES: miles_postings,
    Benefit.REWARD: reward_postings,
}
"""What posts the units of each benefit that gives some; money is posted as a charge."""


def charges_due(
    programme: Programme, grants: Iterable[tuple[Grant, Benefit, str]], *, bank: str, partner: Partner | None = None
) -> dict[ChargeKey, int]:
    """Return what each funder owes in all for one purchase, signed, in minor units.

    ``grants`` pairs each grant with its benefit and its funder's party.
    Miles are priced over the funder's total on the purchase and rounded once; the funder keeps the remainder.
    A discount is owed to whoever gave it: to the bank that billed less, or to the retailer whose till took it off.
    """
    miles: dict[str, int] = {}
    due: dict[ChargeKey, int] = {}
    for grant, benefit, funder in grants:
        if benefit is Benefit.MILES:
            miles[funder] = miles.get(funder, 0) + grant.available
            continue
        if benefit is Benefit.REWARD:
            _add_reward(programme, grant, funder, due)
            continue
        template, giver = Template.DISCOUNT_CHARGED, bank
        if benefit is Benefit.FEE:
            template, giver = Template.FEE_SHARED, programme.owner
        if partner is not None and grant.rule in programme.at_till:
            template, giver = Template.TILL_DISCOUNT_CHARGED, partner.retailer
        if funder != giver:
            key = ChargeKey(template=template, debtor=funder, creditor=giver, currency=grant.unit)
            due[key] = due.get(key, 0) + grant.available
    for funder, available in miles.items():
        price = programme.parties[funder].mile_price
        if price is None or funder == programme.owner:
            continue
        key = ChargeKey(
            template=Template.MILES_CHARGED, debtor=funder, creditor=programme.owner, currency=price.currency
        )
        due[key] = divide(available * price.ratio.numerator, price.ratio.denominator, price.rounding)
    return due


def _add_reward(programme: Programme, grant: Grant, funder: str, due: dict[ChargeKey, int]) -> None:
    """Add what a funder other than the owner owes the owner for rewards that have a price."""
    reward = programme.rewards.get(grant.unit)
    if reward is None or reward.price is None or funder == programme.owner:
        return
    key = ChargeKey(
        template=Template.REWARD_CHARGED, debtor=funder, creditor=programme.owner, currency=reward.price.currency
    )
    due[key] = due.get(key, 0) + grant.available * reward.price.amount_minor


def charge_postings(before: Mapping[ChargeKey, int], after: Mapping[ChargeKey, int]) -> Iterator[Posting]:
    """Yield the money postings that turn one purchase's charges into others, in a stable order."""
    for key in sorted({*before, *after}):
        yield from move(
            key.template,
            party_settlement(key.debtor),
            party_settlement(key.creditor),
            key.currency,
            after.get(key, 0) - before.get(key, 0),
        )
