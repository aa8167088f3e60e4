"""The purchases of one locked batch in memory: which one a message joins, what merges, parts and is decided again.

The working state begins as what the look-ups found, follows every decision, and is written once at the end.
It never touches the database, and knows nothing of duplicates or of what is parked.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

from processor.core.account_terms import AccountTerms
from processor.core.cap import CounterKey
from processor.core.decision import (
    Decision,
    decide,
    decide_again,
    with_elsewhere,
    with_tiers,
)
from processor.core.event import Event, event_of
from processor.core.family import Regrouped, regroup
from processor.core.household import household_in
from processor.core.kept_purchase import Purchase
from processor.core.message import CardMessage
from processor.core.outcome import Reason
from processor.core.person import Fact
from processor.core.posting import MEMBER_AVAILABLE, PROGRAMME_ADJUSTED, Template, move
from processor.core.purchase import moves_anchor
from processor.core.refund_match import place_refunds
from processor.core.spent import Balance
from processor.core.withdrawal import Withdrawal, withdraw
from processor.flow.booking import Booking
from processor.flow.budget_work import HELD, BudgetWork, is_hold
from processor.flow.household_work import HouseholdWork
from processor.flow.snapshot import Snapshot
from processor.flow.submission import Submission
from processor.flow.tier_work import TierWork
from processor.store.card_side import AccountRow, BatchWrites, Key, KnownMessage

TraceKey = tuple[int, bytes, bytes]


def _purchase_id(submission: Submission, account: AccountRow) -> bytes:
    """Return the id of a purchase that begins with this message: the message's own.

    Where the message was moved from a joined account, which may share the bucket, it tells the two purchases apart.
    """
    message_id = submission.message.message_id
    if not submission.moved:
        return message_id
    moved = blake2b(account.id + message_id, digest_size=13, person=b"cobrand-moved").digest()
    return message_id[:3] + moved


@dataclass(slots=True, kw_only=True)
class PurchaseWork:
    """The purchases of one batch, their traces, and the counters of their accounts.

    ``known`` holds the decided messages, by which events of operations name theirs.
    ``recent`` names the purchases of the accounts whose refunds without a reference may count against them.
    ``budgets`` is what the batch takes of budgets, None where its programmes have none.
    ``facts`` are what is known of the accounts' members, where rules ask for any.
    ``tiers`` is what the batch changes of their tiers, None where no programme computes any.
    ``households`` is what the batch counts for households, None where its accounts are of none that a cap counts.
    """

    snapshot: Snapshot
    writes: BatchWrites
    booking: Booking
    known: Mapping[Key, KnownMessage]
    traces: dict[TraceKey, bytes]
    purchases: dict[Key, Purchase]
    counters: dict[Key, dict[CounterKey, int]]
    recent: dict[Key, set[bytes]] = field(default_factory=dict)
    budgets: BudgetWork | None = None
    facts: Mapping[Key, Sequence[Fact]] = field(default_factory=dict)
    tiers: TierWork | None = None
    households: HouseholdWork | None = None

    def decide(self, submission: Submission, account: AccountRow, card: str) -> Decision | None:
        """Find the message's family, decide what it changes there, and bring the working state up to date.

        A request that merges or parts purchases, or says anew where one happened that earned, is no quote: what they
        were granted must be granted afresh.
        ``card`` names the message's card in the directory, empty where it has none.
        None, with nothing changed, where no programme was in force.
        """
        keys: list[TraceKey] = [(account.bucket, account.id, trace) for trace in submission.traces]
        family = self._family(account, submission.message, keys)
        card = card if account.programme in self.snapshot.carded else ""
        event = event_of(submission.message, submission.link, account.product or "", submission.surviving, card)
        regrouped = regroup(family, event, _purchase_id(submission, account))
        quote = regrouped.is_plain and event.asked and not moves_anchor(regrouped.own.events, event)
        used = self.counters.setdefault((account.bucket, account.id), {})
        own = {regrouped.own.id, *(purchase.id for purchase in family)}
        terms = self._terms(account, own, dict(used))
        if not quote:
            regrouped = self._place_refunds(account, regrouped, event, terms)
        withdrawn = [withdraw(purchase, regrouped.head, terms) for purchase in regrouped.gone]
        others = [decide_again(purchase, terms) for purchase in regrouped.changed]
        carried = [earned for withdrawal in withdrawn for earned in withdrawal.earned]
        kept = [entry for withdrawal in withdrawn for entry in withdrawal.kept]
        decision = decide(regrouped.own, event, terms, quote=quote, carried=carried, kept=kept)
        if decision is None or None in others:
            return None
        quote = decision.reason is Reason.QUOTED
        elsewhere = [award for withdrawal in withdrawn for award in withdrawal.awards]
        elsewhere += [award for other in filter(None, others) for award in other.awards]
        self._link(account, family, regrouped, keys)
        for withdrawal in withdrawn:
            self._withdraw(account, withdrawal, submission.message.message_id)
        for other in filter(None, others):
            self._take_decision(account, other, submission.message.message_id)
        if self.tiers is not None:
            moment = decision.folded.anchor or event
            cause = submission.message.message_id
            decision = with_tiers(decision, self.tiers.look(account, used, terms, after=moment.at, cause=cause))
        self._store_limits(account, used, terms)
        self._reserve(account, decision, own, quote_seconds=submission.link.quote_seconds if quote else 0)
        if quote:
            self._store_purchase(account, decision.purchase)
        else:
            self._take_decision(account, decision, submission.message.message_id)
        return with_elsewhere(decision, elsewhere)

    def _family(self, account: AccountRow, message: CardMessage, keys: Sequence[TraceKey]) -> list[Purchase]:
        """Return the purchases of the families that a message's traces, or the messages it is about, lead to."""
        heads = {self._head(account.bucket, self.traces[key]) for key in keys if key in self.traces}
        for named in message.refers_to:
            known = self.known.get((account.bucket, named))
            if known is not None and known.purchase_id is not None:
                heads.add(self._head(account.bucket, known.purchase_id))
        ids = {found for head in heads if head for found in (head, *self.purchases[account.bucket, head].siblings)}
        return [self.purchases[account.bucket, found] for found in sorted(ids)]

    def _head(self, bucket: int, purchase_id: bytes) -> bytes | None:
        """Return the purchase that a family's traces lead to, from any purchase of it; None where it left the account.

        A purchase of a joined account names the account that took it over, which is no purchase.
        """
        purchase = self.purchases.get((bucket, purchase_id))
        while purchase is not None and purchase.merged_into is not None:
            purchase = self.purchases.get((bucket, purchase.merged_into))
        return None if purchase is None else purchase.head or purchase.id

    def _place_refunds(self, account: AccountRow, regrouped: Regrouped, event: Event, terms: AccountTerms) -> Regrouped:
        """Let an account's refunds without a reference count against its purchases, as they are after an event.

        Only accounts with such refunds have all their purchases at hand.
        """
        known = self.recent.get((account.bucket, account.id))
        if known is None:
            return regrouped
        own, gone = regrouped.own, {purchase.id for purchase in regrouped.gone}
        moved = {purchase.id: purchase for purchase in (*regrouped.changed, *regrouped.kept)}
        others = {
            found: moved.get(found) or self.purchases[account.bucket, found]
            for found in known | moved.keys()
            if found not in gone and found != own.id
        }
        with_event = replace(own, events=(*own.events, event))
        placement = place_refunds((with_event, *others.values()), terms.programme_at)
        if placement.refunds_from != account.refunds_from:
            account.refunds_from = placement.refunds_from
            account.changed = True
        again = {purchase.id for purchase in regrouped.changed}
        again |= {found for found, purchase in others.items() if not placement.applies_to(purchase)}
        return replace(
            regrouped,
            own=placement.applied_to(own),
            changed=tuple(placement.applied_to(others[found]) for found in sorted(again)),
            kept=tuple(purchase for purchase in regrouped.kept if purchase.id not in again),
        )

    def _link(
        self, account: AccountRow, family: Sequence[Purchase], regrouped: Regrouped, keys: list[TraceKey]
    ) -> None:
        """Let all traces of a family lead to its head, and store the purchases whose events did not change."""
        for purchase in family:
            led = purchase.head is None and purchase.merged_into is None
            if led and purchase.id != regrouped.head:
                self._move_traces(account, purchase.id, regrouped.head)
        for purchase in regrouped.kept:
            if purchase is not self.purchases.get((account.bucket, purchase.id)):
                self._store_purchase(account, purchase)
        self._store_traces(keys, regrouped.head)

    def _withdraw(self, account: AccountRow, withdrawal: Withdrawal, cause: bytes) -> None:
        """Store that a purchase has given everything back, and book it."""
        self._store_purchase(account, withdrawal.purchase)
        if withdrawal.programme is not None:
            self.booking.book(
                cause,
                account,
                withdrawal.purchase.id,
                withdrawal.programme,
                withdrawal.partner,
                withdrawal.awards,
                withdrawal.postings,
            )

    def _take_decision(self, account: AccountRow, decision: Decision, cause: bytes) -> None:
        """Store what a decision leaves of its purchase, and book what it changes."""
        self._store_purchase(account, decision.purchase)
        self.booking.book(
            cause,
            account,
            decision.purchase.id,
            decision.programme,
            decision.purchase.partner,
            decision.awards,
            decision.postings,
        )

    def _terms(self, account: AccountRow, own: Collection[bytes], used: dict[CounterKey, int]) -> AccountTerms:
        """Return an account's terms; what quotes of the purchases in ``own`` hold is theirs to be granted."""
        programme = account.programme or ""
        now = self.writes.now.timestamp()
        reserved: dict[CounterKey, int] = {}
        for holder, cap, period, units, expires in account.reservations:
            if bytes.fromhex(holder) not in own and expires > now:
                reserved[cap, period] = reserved.get((cap, period), 0) + units
        if self.households is not None:
            used = {**used, **self.households.counters(account)}
            reserved |= self.households.reserved(account, own)
        return AccountTerms(
            bank=account.bank,
            programme_at=lambda at: self.snapshot.programme_at(programme, at),
            revision_of=lambda revision: self.snapshot.revision(programme, revision),
            used=used,
            reserved=reserved,
            budgets=None if self.budgets is None else self.budgets.headroom(account, own),
            facts=self.facts.get((account.bucket, account.id), ()) if self.facts else (),
            balance=Balance(available=account.available) if self.snapshot.keeps_spent(account.programme) else None,
        )

    def _reserve(self, account: AccountRow, decision: Decision, own: Collection[bytes], *, quote_seconds: int) -> None:
        """Hold capped headroom for a quote; an outcome, and time, give back what the purchases in ``own`` reserved."""
        now = self.writes.now.timestamp()
        holder = decision.purchase.id.hex()
        kept = [held for held in account.reservations if bytes.fromhex(held[0]) not in own and held[4] > now]
        expires = int(now) + quote_seconds
        if self.budgets is not None:
            for held in account.reservations:
                if held not in kept and is_hold(held[1]):
                    self.budgets.drop_hold(account, held)
            for key, units in decision.holds.items():
                self.budgets.keep_hold(account, decision.purchase.id, key, units, expires)
        reserved: list[list[Any]] = [
            [holder, cap, period, units, expires] for (cap, period), units in decision.reserve.items()
        ]
        if self.households is not None:
            self.households.reserve(account, own, reserved)
            reserved = [entry for entry in reserved if not household_in(entry[1])]
        kept.extend(reserved)
        kept.extend([holder, HELD + pool, period, units, expires] for (pool, period), units in decision.holds.items())
        if kept != account.reservations:
            account.reservations = kept
            account.changed = True

    def _store_purchase(self, account: AccountRow, purchase: Purchase) -> None:
        key = (account.bucket, purchase.id)
        if (account.bucket, account.id) in self.recent:
            self.recent[account.bucket, account.id].add(purchase.id)
        if key in self.writes.new_purchases or key not in self.purchases:
            self.writes.new_purchases[key] = (account.id, purchase)
        else:
            self.writes.changed_purchases[key] = purchase
        self.purchases[key] = purchase

    def _store_traces(self, keys: list[TraceKey], purchase_id: bytes) -> None:
        for key in keys:
            if key not in self.traces:
                self.traces[key] = purchase_id
                self.writes.traces[key] = (purchase_id, self.writes.now.date())

    def _move_traces(self, account: AccountRow, gone: bytes, survivor: bytes) -> None:
        for key, purchase_id in self.traces.items():
            if purchase_id == gone and key[:2] == (account.bucket, account.id):
                self.traces[key] = survivor
                if key in self.writes.traces:
                    self.writes.traces[key] = (survivor, self.writes.traces[key][1])
        self.writes.moved_traces = [
            (bucket, owner, moved, survivor if taker == gone else taker)
            for bucket, owner, moved, taker in self.writes.moved_traces
        ]
        self.writes.moved_traces.append((account.bucket, account.id, gone, survivor))

    def _store_limits(self, account: AccountRow, before: dict[CounterKey, int], terms: AccountTerms) -> None:
        """Store what decisions under an account's terms leave of its counters, and what they took of budgets."""
        used = terms.used
        if self.households is not None:
            for key, units in used.items():
                if household_in(key[0]):
                    self.households.take(account, key, units)
            used = {key: units for key, units in used.items() if not household_in(key[0])}
        for (cap, period), units in used.items():
            if before.get((cap, period), 0) != units:
                self.writes.counters[account.bucket, account.id, cap, period] = units
        before.update(used)
        if self.budgets is not None and terms.budgets is not None:
            self.budgets.take(account, terms.budgets)

    def empty_account(self, account: AccountRow, survivor: bytes) -> None:
        """Take back everything an account's loaded purchases were granted, because another account takes them over."""
        used = self.counters.setdefault((account.bucket, account.id), {})
        for (bucket, purchase_id), purchase in list(self.purchases.items()):
            if bucket != account.bucket or purchase.merged_into is not None:
                continue
            terms = self._terms(account, {purchase_id}, dict(used))
            withdrawal = withdraw(purchase, survivor, terms)
            self._store_limits(account, used, terms)
            self.booking.begin_join(purchase_id)
            self._withdraw(account, withdrawal, purchase_id)

    def look_again(self, account: AccountRow, cause: bytes) -> None:
        """Look at the account's tiers once all that moved its counters is decided."""
        if self.tiers is not None:
            used = self.counters.get((account.bucket, account.id), {})
            self.tiers.look_again(account, self._terms(account, (), used), cause)

    def move_adjusted(self, gone: AccountRow, taker: AccountRow, join_id: bytes) -> int:
        """Move what an emptied account still has, which only adjustments gave it, and return how many miles that is.

        The two postings are numbered 1 and 2 under ``join_id``.
        What an owner's ledger holds for the emptied account's member stays there; nothing moves then.
        """
        miles = gone.available
        if not miles or gone.programme is None:
            return 0
        programme = self.snapshot.latest(gone.programme)
        if programme.accruals is not None:
            return 0
        for account, given in ((gone, -miles), (taker, miles)):
            posting = move(Template.ADJUSTMENT_GIVEN, PROGRAMME_ADJUSTED, MEMBER_AVAILABLE, programme.unit, given)
            self.booking.book(join_id, account, join_id, programme, None, (), tuple(posting))
        return miles
