"""What transactions would earn under a programme: the service's own pure decision, run over a file, with no database.

Each line becomes a card message, each message is decided as the service decides it, and the postings add up to
balances.
It knows purchases by their ids in the file, where the service finds them by the traces in the messages.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from processor.core.account_terms import AccountTerms
from processor.core.awarding import Award
from processor.core.budget import Headroom
from processor.core.cap import CounterKey
from processor.core.closing_limits import (
    ClosingBudget,
    ClosingHousehold,
    closing_budgets,
    closing_households,
    limits_as_data,
)
from processor.core.converted import Converted, conversions_of
from processor.core.decision import Decision, decide
from processor.core.event import event_of
from processor.core.exclusion import excluding_category
from processor.core.held import Entry
from processor.core.household import household_in
from processor.core.kept_purchase import Purchase
from processor.core.located_document import DocumentError
from processor.core.message import CardMessage, Direction, MessageKind
from processor.core.outcome import Reason
from processor.core.person import Fact, FactKind
from processor.core.posting import MEMBER_AVAILABLE, MEMBER_PENDING, Posting, party_of
from processor.core.programme import Link, Programme
from processor.core.review import held_rules
from processor.core.ripening import expected_days
from processor.core.rule import Benefit
from processor.core.simulated_event import SAID_OF_PURCHASES, message_about, named_id
from processor.core.simulated_holding import bookings_of, held_in
from processor.core.simulated_tiers import simulated_tiers, tier_as_data
from processor.core.spent import Balance, Kept
from processor.core.tier_change import TierChange, with_changes
from processor.core.transaction_file import Transaction, TransactionType, read_transactions

APPROVED: Final = "00"
DECLINED: Final = "05"
"""Response codes (DE39) of a simulated authorization: approved, do not honour."""

_KINDS: Final[Mapping[TransactionType, tuple[MessageKind, Direction]]] = {
    TransactionType.REQUEST: (MessageKind.AUTHORIZATION, Direction.REQUEST),
    TransactionType.AUTHORIZATION: (MessageKind.AUTHORIZATION, Direction.RESPONSE),
    TransactionType.FINANCIAL: (MessageKind.FINANCIAL, Direction.RESPONSE),
    TransactionType.REVERSAL: (MessageKind.REVERSAL, Direction.ADVICE),
    TransactionType.CLEARING: (MessageKind.PRESENTMENT, Direction.ADVICE),
    TransactionType.CLEARING_REVERSAL: (MessageKind.PRESENTMENT_REVERSAL, Direction.ADVICE),
    TransactionType.REFUND: (MessageKind.PRESENTMENT, Direction.ADVICE),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedTransaction:
    """What one transaction changes, and why; ``partner`` is the one its purchase matched, None where none did.

    ``awards`` are changes of what rules grant the purchase: pending until it clears, then available.
    ``unrated`` names the rules that have no rate for its currency.
    ``kept`` is what the holder keeps of what refunds of the purchase took back.
    ``expected`` is the day on which what a rule has pending is expected to be posted.
    ``held`` are the rules of which something is held for review still.
    ``excluded_as`` is the category that is excluded, empty where none is by which it is told.
    ``taken_off`` are parts of its purchase that are not for goods: each with its currency and minor units.
    ``converted`` are the amounts that rules converted into another currency, and by which rates.
    ``tiers`` is what it changed of the member's tier, from its own time on.
    """

    transaction: Transaction
    reason: Reason
    partner: str | None
    awards: tuple[Award, ...]
    considered: tuple[Award, ...]
    unrated: tuple[str, ...]
    postings: tuple[Posting, ...]
    expected: Mapping[str, date] = field(default_factory=dict)
    held: tuple[str, ...] = ()
    kept: tuple[Kept, ...] = ()
    excluded_as: str = ""
    taken_off: tuple[tuple[str, str, int], ...] = ()
    converted: tuple[Converted, ...] = ()
    tiers: tuple[TierChange, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosingBalance:
    """What an account holds after the last transaction.

    ``pending`` and ``available`` are miles in the smallest unit; ``discounts`` are what was given, cleared or not, in
    minor units of each currency.
    ``rewards`` are soft rewards that have cleared, by what they are.
    """

    account: str
    pending: int
    available: int
    discounts: Mapping[str, int]
    rewards: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligation:
    """What one party owes another after the last transaction, in minor units of one currency."""

    debtor: str
    creditor: str
    currency: str
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """The result: one entry per transaction in the file's order, then the balances and who owes whom."""

    programme: Programme
    transactions: tuple[SimulatedTransaction, ...]
    balances: tuple[ClosingBalance, ...]
    obligations: tuple[Obligation, ...]
    budgets: tuple[ClosingBudget, ...] = ()
    households: tuple[ClosingHousehold, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Account:
    """One account while the simulation runs; all accounts share ``budgets``, and ``households`` by their names."""

    budgets: Headroom
    facts: tuple[Fact, ...]
    households: dict[str, dict[CounterKey, int]]
    used: dict[CounterKey, int] = field(default_factory=dict)
    purchases: dict[str, Purchase] = field(default_factory=dict)
    pending: int = 0
    available: int = 0
    discounts: dict[str, int] = field(default_factory=dict)
    rewards: dict[str, int] = field(default_factory=dict)
    booked: list[Entry] = field(default_factory=list)


def simulate(revisions: Sequence[Programme], text: str, *, source: str) -> Simulation | tuple[DocumentError, ...]:
    """Decide a file of transactions in its order; returns every error in the file instead where there is one.

    ``revisions`` are one programme's, at least one; each purchase is decided under the one in force when it happened,
    and products and partners are checked against the latest.
    ``source`` is the file's name for errors.
    """
    ordered = sorted(revisions, key=lambda programme: (programme.effective_from, programme.revision))
    latest = ordered[-1]
    file = read_transactions(text, source=source, programme=latest)
    if file.errors:
        return file.errors
    accounts: dict[str, _Account] = {}
    budgets = Headroom(untouched=True)
    households: dict[str, dict[CounterKey, int]] = {}
    results = tuple(
        _simulated(
            accounts.setdefault(
                transaction.account,
                _Account(budgets=budgets, households=households, facts=file.facts.get(transaction.account, ())),
            ),
            transaction,
            ordered,
        )
        for transaction in file.transactions
    )
    return Simulation(
        programme=latest,
        transactions=results,
        balances=tuple(
            ClosingBalance(
                account=name,
                pending=account.pending,
                available=account.available,
                discounts={unit: amount for unit, amount in sorted(account.discounts.items()) if amount},
                rewards={unit: count for unit, count in sorted(account.rewards.items()) if count},
            )
            for name, account in accounts.items()
        ),
        obligations=_obligations(results),
        budgets=tuple(closing_budgets(ordered, budgets)),
        households=tuple(closing_households(ordered, households)),
    )


def _together(account: _Account) -> dict[CounterKey, int]:
    """Return an account's counters beside those of the households that it is or was of."""
    used = dict(account.used)
    for household in {fact.value for fact in account.facts if fact.kind is FactKind.HOUSEHOLD}:
        used |= account.households.get(household, {})
    return used


def _keep(account: _Account, used: Mapping[CounterKey, int]) -> None:
    """Keep what a decision leaves of counters, each where it is counted."""
    for key, units in used.items():
        household = household_in(key[0])
        counters = account.households.setdefault(household, {}) if household else account.used
        counters[key] = units


def _simulated(account: _Account, transaction: Transaction, ordered: Sequence[Programme]) -> SimulatedTransaction:
    """Decide one transaction and bring its account up to date."""
    latest = ordered[-1]
    bank = latest.products[transaction.product].bank
    link = next(link for link in latest.links if link.bank == bank and transaction.dialect in {None, link.dialect})
    before = account.purchases.get(transaction.purchase) or Purchase(id=named_id(transaction.purchase))
    if transaction.type in SAID_OF_PURCHASES:
        programme = next((revision for revision in ordered if revision.revision == before.revision), None)
        message = None if programme is None else message_about(transaction, before, programme, link)
    else:
        message = message_of(transaction, link)
    if message is None:
        return _nothing(transaction, Reason.UNCHANGED, before.partner)
    event = event_of(message, link, transaction.product, card=transaction.card)
    stood = dict(account.used) if any(revision.qualifications for revision in ordered) else None
    used = _together(account)
    terms = AccountTerms(
        bank=bank,
        programme_at=lambda at: _in_force(ordered, at),
        revision_of=lambda number: next(revision for revision in ordered if revision.revision == number),
        used=used,
        reserved={},
        facts=(*account.facts, *held_in(account.booked, ordered, before, event)),
        budgets=account.budgets,
        balance=Balance(available=account.available),
    )
    decision = decide(before, event, terms, quote=event.asked)
    if decision is None:
        return _nothing(transaction, Reason.NO_PROGRAMME, None)
    _keep(account, used)
    account.purchases[transaction.purchase] = decision.purchase
    if decision.reason is not Reason.QUOTED:
        _add_up(account, decision.awards, decision.postings)
        account.booked += bookings_of(decision, transaction.at)
    held = held_rules(decision.purchase.grants, decision.purchase.events)
    tiers: tuple[TierChange, ...] = ()
    if stood is not None:
        tiers = simulated_tiers(terms, stood, decision, at=int(transaction.at.timestamp()))
        account.facts = with_changes(account.facts, tiers)
    return SimulatedTransaction(
        transaction=transaction,
        reason=decision.reason,
        partner=decision.partner.id if decision.partner else None,
        awards=decision.awards,
        considered=decision.considered,
        unrated=decision.unrated,
        postings=decision.postings,
        kept=decision.purchase.kept,
        expected=expected_days(decision.programme, decision.folded, decision.considered, held),
        held=held,
        excluded_as=_excluded_as(decision),
        taken_off=decision.folded.taken_off,
        converted=tuple(_converted(decision)),
        tiers=tiers,
    )


def _nothing(transaction: Transaction, reason: Reason, partner: str | None) -> SimulatedTransaction:
    return SimulatedTransaction(
        transaction=transaction, reason=reason, partner=partner, awards=(), considered=(), unrated=(), postings=()
    )


def _excluded_as(decision: Decision) -> str:
    anchor = decision.folded.anchor
    if decision.reason is not Reason.EXCLUDED or anchor is None:
        return ""
    category = excluding_category(decision.programme, mcc=anchor.mcc, processing_code=anchor.processing_code)
    return category or ""


def _converted(decision: Decision) -> Iterator[Converted]:
    """Yield what the rules that were weighed converted."""
    anchor = decision.folded.anchor
    if anchor is not None and decision.programme.rate_sources:
        weighed = dict.fromkeys(award.rule for award in decision.considered)
        yield from conversions_of(decision.programme, decision.folded, anchor.local_date, weighed)


def _in_force(ordered: Sequence[Programme], at: int) -> Programme | None:
    return next((revision for revision in reversed(ordered) if revision.effective_from.timestamp() <= at), None)


def message_of(transaction: Transaction, link: Link) -> CardMessage:
    """Return the card message that a transaction stands for, as ``wire/`` would read it from a host or a file."""
    kind, direction = _KINDS[transaction.type]
    refund = transaction.type is TransactionType.REFUND
    clears = kind in {MessageKind.PRESENTMENT, MessageKind.PRESENTMENT_REVERSAL}
    return CardMessage(
        message_id=named_id(transaction.id),
        content=named_id(transaction.id),
        bank=link.bank,
        dialect=link.dialect,
        mti="",
        kind=kind,
        direction=direction,
        card=None,
        transmitted_at=transaction.at,
        processing_code=transaction.processing_code,
        credit=refund or "20" <= transaction.processing_code <= "29",
        amount=transaction.amount,
        billing=transaction.billing,
        replacement=transaction.remaining,
        local_date=transaction.local_date,
        trace="" if clears else transaction.trace,
        original_trace=transaction.original_trace if kind is MessageKind.REVERSAL else None,
        response_code=""
        if clears or direction is Direction.REQUEST
        else APPROVED
        if transaction.approved
        else DECLINED,
        acquirer=transaction.acquirer,
        acceptor=transaction.acceptor,
        terminal=transaction.terminal,
        mcc=transaction.mcc,
        acquirer_reference=(transaction.original or transaction.id) if clears else "",
        clearing_part=transaction.part,
        local_time=transaction.local_time,
        channel=transaction.channel,
        country=transaction.country,
        taken_off=transaction.taken_off,
        product_codes=transaction.product_codes,
    )


def _add_up(account: _Account, awards: Sequence[Award], postings: Sequence[Posting]) -> None:
    for posting in postings:
        for side, sign in ((posting.debit, -1), (posting.credit, 1)):
            if side == MEMBER_PENDING:
                account.pending += sign * posting.amount
            elif side == MEMBER_AVAILABLE:
                account.available += sign * posting.amount
    for award in awards:
        if award.benefit is Benefit.DISCOUNT:
            change = award.pending_change + award.available_change
            account.discounts[award.grant.unit] = account.discounts.get(award.grant.unit, 0) + change
        elif award.benefit is Benefit.REWARD:
            account.rewards[award.grant.unit] = account.rewards.get(award.grant.unit, 0) + award.available_change


def _obligations(results: Sequence[SimulatedTransaction]) -> tuple[Obligation, ...]:
    """Add up what parties owe each other; what one owes and is owed by the same other is netted."""
    totals: dict[tuple[str, str, str], int] = {}
    for posting in (posting for result in results for posting in result.postings if posting.between_parties):
        debtor, creditor = party_of(posting.debit), party_of(posting.credit)
        low, high = sorted((debtor, creditor))
        key, sign = (low, high, posting.unit), 1 if debtor == low else -1
        totals[key] = totals.get(key, 0) + sign * posting.amount
    return tuple(
        Obligation(
            debtor=low if amount > 0 else high,
            creditor=high if amount > 0 else low,
            currency=currency,
            amount_minor=abs(amount),
        )
        for (low, high, currency), amount in sorted(totals.items())
        if amount
    )


def simulation_as_data(simulation: Simulation) -> dict[str, Any]:
    """Return a simulation as plain values for JSON; amounts are whole numbers of the smallest unit.

    Budgets are there where the programme has any.
    """
    data: dict[str, Any] = {
        "programme": simulation.programme.id,
        "revision": simulation.programme.revision,
        "unit": simulation.programme.unit,
        "decimals": simulation.programme.decimals,
        "transactions": [_transaction_as_data(result) for result in simulation.transactions],
        "balances": [
            {
                "account": balance.account,
                "pending": balance.pending,
                "available": balance.available,
                "discounts": dict(balance.discounts),
                **({"rewards": dict(balance.rewards)} if simulation.programme.rewards else {}),
            }
            for balance in simulation.balances
        ],
        "obligations": [
            {
                "debtor": owed.debtor,
                "creditor": owed.creditor,
                "currency": owed.currency,
                "amount_minor": owed.amount_minor,
            }
            for owed in simulation.obligations
        ],
    }
    data |= limits_as_data(simulation.budgets, simulation.households)
    return data


def _transaction_as_data(result: SimulatedTransaction) -> dict[str, Any]:
    return {
        "line": result.transaction.line,
        "id": result.transaction.id,
        "type": result.transaction.type.value,
        "account": result.transaction.account,
        "purchase": result.transaction.purchase,
        "partner": result.partner,
        "reason": result.reason.name,
        **({"excluded_as": result.excluded_as} if result.excluded_as else {}),
        **({"taken_off": [list(entry) for entry in result.taken_off]} if result.taken_off else {}),
        **({"converted": [*map(_converted_as_data, result.converted)]} if result.converted else {}),
        "awards": [
            {
                "rule": award.rule,
                "benefit": award.benefit.value,
                "unit": award.grant.unit,
                "funder": award.funder,
                **({"payers": [list(payer) for payer in award.payers]} if award.payers else {}),
                "pending_change": award.pending_change,
                "available_change": award.available_change,
                "granted": award.grant.granted,
                "entitled": award.grant.entitled,
                "cut_by": award.cut_by,
                **({"held_by": award.grant.review} if award.grant.review and award.rule in result.held else {}),
                **({"expected": result.expected[award.rule].isoformat()} if award.rule in result.expected else {}),
            }
            for award in result.awards
        ],
        "unrated": list(result.unrated),
        **({"tiers": [tier_as_data(change) for change in result.tiers]} if result.tiers else {}),
        **({"kept": [entry._asdict() for entry in result.kept]} if result.kept else {}),
    }


def _converted_as_data(entry: Converted) -> dict[str, Any]:
    """Return an amount that a rule converted; its worth is rounded half to even here alone."""
    conversion = entry.conversion
    return {
        "rule": entry.rule,
        "currency": conversion.currency,
        "amount_minor": entry.amount_minor,
        "to": conversion.to,
        "worth_minor": entry.worth_minor,
        "source": conversion.source.id,
        "rates": entry.figures(),
    }
