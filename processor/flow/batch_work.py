"""Deciding the messages of one locked batch in memory, one after another; duplicates within the batch included.

The working state begins as what the lock and the look-ups found, follows every decision, and is written once at the
end.
It never touches the database.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from hashlib import blake2b
from typing import Any, Final

from processor.core.decision import (
    AccountTerms,
    Award,
    Decision,
    Purchase,
    Withdrawal,
    decide,
    decide_again,
    with_elsewhere,
    withdraw,
)
from processor.core.event import Event, event_of
from processor.core.family import Regrouped, regroup
from processor.core.grant import CounterKey
from processor.core.message import CardMessage, Direction, MessageKind
from processor.core.outcome import Outcome, Reason
from processor.core.posting import MEMBER_AVAILABLE, MEMBER_PENDING, PROGRAMME_ADJUSTED, Posting, Template, move
from processor.core.programme import Benefit, LinkMode, Programme
from processor.core.purchase import Amounts
from processor.core.refund_match import place_refunds
from processor.flow.snapshot import Snapshot
from processor.flow.submission import Submission, Verdict
from processor.store.card_file import Adoption
from processor.store.card_side import AccountRow, BatchWrites, Key, KnownMessage
from processor.store.directory import CardAddress

OLDEST_DAYS: Final = 300
"""A message sent longer ago is parked: its repeat window has passed, so operations decide."""

NUMBERS_OF_AN_ATTEMPT: Final = 1024
"""Awards and postings that one decision on a message may number; the next attempt's begin behind them."""
NUMBERS_OF_A_JOIN: Final = 0xF000
"""Where the numbers of what a joined account gives back begin, beyond those of any attempt."""

TraceKey = tuple[int, bytes, bytes]


def numbered(message_id: bytes, number: int) -> bytes:
    """Return the id of the n-th award or posting of a message: the message's id, then the number in two bytes."""
    return message_id + number.to_bytes(2, "big")


def _purchase_id(submission: Submission, account: AccountRow) -> bytes:
    """Return the id of a purchase that begins with this message: the message's own.

    Where the message was moved from a joined account, which may share the bucket, it tells the two purchases apart.
    """
    message_id = submission.message.message_id
    if not submission.moved:
        return message_id
    moved = blake2b(account.id + message_id, digest_size=13, person=b"cobrand-moved").digest()
    return message_id[:3] + moved


def is_asked(submission: Submission) -> bool:
    """Tell whether a host asks, on an inline link, what a purchase would earn before it decides."""
    message = submission.message
    return (
        submission.link.mode is LinkMode.INLINE
        and message.direction is Direction.REQUEST
        and message.kind in {MessageKind.AUTHORIZATION, MessageKind.FINANCIAL}
    )


def explanation_name(account: bytes, message_id: bytes, attempt: int) -> str:
    """Return the resource name of a decision."""
    return f"accounts/{account.hex()}/decisions/{message_id.hex()}-{attempt}"


@dataclass(slots=True, kw_only=True)
class BatchWork:
    """The working state of one batch.

    ``own`` holds the messages that an earlier run of this batch may have committed: found present, they are its own,
    and only a second one of them in the batch is a duplicate.
    ``recent`` names the purchases of the accounts whose refunds without a reference may count against them.
    ``business_dates`` maps a bank to the business date of what is booked now.
    ``enrolled`` receives the terms of accounts that wait no longer, as ``adopt_accounts`` takes them.
    """

    snapshot: Snapshot
    writes: BatchWrites
    accounts: dict[Key, AccountRow]
    known: dict[Key, KnownMessage]
    traces: dict[TraceKey, bytes]
    purchases: dict[Key, Purchase]
    counters: dict[Key, dict[CounterKey, int]]
    business_dates: dict[str, date]
    recent: dict[Key, set[bytes]] = field(default_factory=dict)
    own: set[bytes] = field(default_factory=set)
    enrolled: dict[CardAddress, Adoption] = field(default_factory=dict)
    _numbers: dict[bytes, int] = field(default_factory=dict)

    def decide(self, submission: Submission, address: CardAddress) -> Verdict:
        """Decide one message; the guards stand in the outcomes' order, then the purchase is decided."""
        message = submission.message
        key = (address.bucket, message.message_id)
        account = self.accounts[address.bucket, address.account]
        known = self.known.get(key)
        again = submission.moved or (submission.replay and known is not None and known.outcome == Outcome.PARKED)
        if known is not None and not again:
            return self._known(submission, key, account, known)
        attempt = known.attempt + 1 if known else 1
        self._numbers[message.message_id] = (attempt - 1) * NUMBERS_OF_AN_ATTEMPT
        if known is None:
            self.writes.add_message(key, account.id, message.bank, message.dialect, message.content, submission.fields)
        if account.provisional:
            self._enrol(account, address, message)
        reason = self._why_park(submission, account)
        decision = None if reason else self._decide_purchase(submission, account)
        if reason is None and decision is None:
            reason = Reason.NO_PROGRAMME
        if reason is not None:
            return self._park(submission, key, account, attempt, reason, again=known is not None)
        assert decision is not None  # noqa: S101 - a missing decision is parked above.
        detail = decision_detail(decision)
        if known is not None:
            self.writes.unparked.append(key)
        return self._conclude(
            submission, key, account, attempt, Outcome.ACCEPTED, decision.reason, detail, decision.purchase.id
        )

    def park_poison(self, submission: Submission, address: CardAddress) -> Verdict:
        """Park a message that the processor fails on, without deciding it; one that is known is answered as such."""
        key = (address.bucket, submission.message.message_id)
        account = self.accounts[address.bucket, address.account]
        known = self.known.get(key)
        if known is not None and not submission.replay:
            return self._known(submission, key, account, known)
        if known is None:
            message = submission.message
            self.writes.add_message(key, account.id, message.bank, message.dialect, message.content, submission.fields)
        return self._park(submission, key, account, 1, Reason.POISON, again=known is not None)

    def empty_account(self, account: AccountRow, survivor: bytes) -> None:
        """Take back everything an account's loaded purchases were granted, because another account takes them over."""
        used = self.counters.setdefault((account.bucket, account.id), {})
        for (bucket, purchase_id), purchase in list(self.purchases.items()):
            if bucket != account.bucket or purchase.merged_into is not None:
                continue
            terms = self._terms(account, {purchase_id}, dict(used))
            withdrawal = withdraw(purchase, survivor, terms)
            self._store_counters(account, used, terms.used)
            self._numbers[purchase_id] = NUMBERS_OF_A_JOIN
            self._withdraw(account, withdrawal, purchase_id)

    def move_adjusted(self, gone: AccountRow, taker: AccountRow, join_id: bytes) -> int:
        """Move what an emptied account still has, which only adjustments gave it, and return how many miles that is.

        The two postings are numbered 1 and 2 under ``join_id``.
        """
        miles = gone.available
        if not miles or gone.programme is None:
            return 0
        programme = self.snapshot.latest(gone.programme)
        for account, given in ((gone, -miles), (taker, miles)):
            posting = move(Template.ADJUSTMENT_GIVEN, PROGRAMME_ADJUSTED, MEMBER_AVAILABLE, programme.unit, given)
            self._book(join_id, account, join_id, programme, None, (), tuple(posting))
        return miles

    def _known(self, submission: Submission, key: Key, account: AccountRow, known: KnownMessage) -> Verdict:
        """Answer a message that was decided before with its stored decision, or refuse what claims its identity."""
        message = submission.message
        name = explanation_name(account.id, message.message_id, known.attempt)
        if known.content != message.content:
            self.writes.conflicts.append(
                (*key, message.content, account.id, submission.fields.decode(), self.writes.now)
            )
            problem = (
                "another message with the same identity and other content was taken before; the identity is what the "
                "dialect lists (DE7, DE11, DE32, DE33; in clearing the reference DE31): give a new message its own"
            )
            return Verdict(
                outcome=Outcome.REJECTED,
                reason=Reason.IDENTITY_CONFLICT,
                detail={},
                explanation=name,
                problem=problem,
            )
        own = message.message_id in self.own
        self.own.discard(message.message_id)
        return Verdict(
            outcome=Outcome(known.outcome) if own else Outcome.DUPLICATE,
            reason=Reason(known.reason),
            detail=known.detail,
            explanation=name,
        )

    def _enrol(self, account: AccountRow, address: CardAddress, message: CardMessage) -> None:
        """Let an account wait no longer whose card's product enrols by itself now, as it did not when first seen."""
        product = message.card.product if message.card else None
        programme = self.snapshot.enrols_in(message.bank, product)
        if programme is not None and product is not None:
            account.bank, account.programme, account.product = message.bank, programme, product
            account.status, account.provisional = "active", False
            self.enrolled[address] = Adoption(message.bank, programme, product, leads=True)

    def _why_park(self, submission: Submission, account: AccountRow) -> Reason | None:
        if submission.age_days > OLDEST_DAYS and not submission.replay:
            return Reason.TOO_OLD
        if account.provisional or account.bank != submission.message.bank:
            return Reason.UNKNOWN_CARD
        if account.programme is None or account.programme not in self.snapshot.programmes:
            return Reason.NO_PROGRAMME
        return None

    def _park(
        self, submission: Submission, key: Key, account: AccountRow, attempt: int, reason: Reason, *, again: bool
    ) -> Verdict:
        """Keep a message that cannot be decided; one that waits already is left as it is."""
        if again:
            known = self.known[key]
            name = explanation_name(account.id, key[1], known.attempt)
            return Verdict(outcome=Outcome.PARKED, reason=reason, detail={}, explanation=name)
        self.writes.park(key, account.id, int(reason))
        return self._conclude(submission, key, account, attempt, Outcome.PARKED, reason, {}, None)

    def _conclude(
        self,
        submission: Submission,
        key: Key,
        account: AccountRow,
        attempt: int,
        outcome: Outcome,
        reason: Reason,
        detail: dict[str, Any],
        purchase_id: bytes | None,
    ) -> Verdict:
        """Append the decision, and remember it for a duplicate later in the batch."""
        self.writes.add_decision(key, attempt, account.id, purchase_id, int(outcome), int(reason), detail)
        self.known[key] = KnownMessage(
            content=submission.message.content,
            attempt=attempt,
            outcome=int(outcome),
            reason=int(reason),
            purchase_id=purchase_id,
            detail=detail,
        )
        name = explanation_name(account.id, key[1], attempt)
        return Verdict(outcome=outcome, reason=reason, detail=detail, explanation=name)

    def _decide_purchase(self, submission: Submission, account: AccountRow) -> Decision | None:
        """Find the message's family, decide what it changes there, and bring the working state up to date.

        A request that merges or parts purchases is no quote: what they were granted must be granted afresh.
        None, with nothing changed, where no programme was in force.
        """
        keys: list[TraceKey] = [(account.bucket, account.id, trace) for trace in submission.traces]
        family = self._family(account, submission.message, keys)
        event = event_of(submission.message, submission.link, account.product or "", submission.surviving)
        regrouped = regroup(family, event, _purchase_id(submission, account))
        quote = regrouped.is_plain and is_asked(submission)
        used = self.counters.setdefault((account.bucket, account.id), {})
        own = {regrouped.own.id, *(purchase.id for purchase in family)}
        terms = self._terms(account, own, dict(used))
        if not quote:
            regrouped = self._place_refunds(account, regrouped, event, terms)
        withdrawn = [withdraw(purchase, regrouped.head, terms) for purchase in regrouped.gone]
        others = [decide_again(purchase, terms) for purchase in regrouped.changed]
        decision = decide(regrouped.own, event, terms, quote=quote)
        if decision is None or None in others:
            return None
        elsewhere = [award for withdrawal in withdrawn for award in withdrawal.awards]
        elsewhere += [award for other in filter(None, others) for award in other.awards]
        self._link(account, family, regrouped, keys)
        for withdrawal in withdrawn:
            self._withdraw(account, withdrawal, submission.message.message_id)
        for other in filter(None, others):
            self._take_decision(account, other, submission.message.message_id)
        self._store_counters(account, used, terms.used)
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
            self._book(
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
        self._book(
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
        return AccountTerms(
            bank=account.bank,
            programme_at=lambda at: self.snapshot.programme_at(programme, at),
            revision_of=lambda revision: self.snapshot.revision(programme, revision),
            used=used,
            reserved=reserved,
        )

    def _reserve(self, account: AccountRow, decision: Decision, own: Collection[bytes], *, quote_seconds: int) -> None:
        """Hold capped headroom for a quote; an outcome, and time, give back what the purchases in ``own`` reserved."""
        now = self.writes.now.timestamp()
        holder = decision.purchase.id.hex()
        kept = [held for held in account.reservations if bytes.fromhex(held[0]) not in own and held[4] > now]
        kept.extend(
            [holder, cap, period, units, int(now) + quote_seconds] for (cap, period), units in decision.reserve.items()
        )
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

    def _store_counters(
        self, account: AccountRow, before: dict[CounterKey, int], after: Mapping[CounterKey, int]
    ) -> None:
        for (cap, period), units in after.items():
            if before.get((cap, period), 0) != units:
                self.writes.counters[account.bucket, account.id, cap, period] = units
        before.update(after)

    def _book(
        self,
        message_id: bytes,
        account: AccountRow,
        purchase_id: bytes,
        programme: Programme,
        partner: str | None,
        awards: tuple[Award, ...],
        postings: tuple[Posting, ...],
    ) -> None:
        """Append awards and postings, and move the account's cached balances with them."""
        for award in awards:
            self.writes.add_award(
                (account.bucket, self._next_id(message_id)),
                message_id,
                account.id,
                purchase_id,
                (
                    programme.id,
                    programme.revision,
                    award.rule,
                    award.benefit.value,
                    partner,
                    award.funder,
                    award.grant.unit,
                    award.pending_change,
                    award.available_change,
                ),
            )
        business_date = self.business_dates[account.bank]
        for posting in postings:
            self.writes.add_posting(
                (account.bucket, self._next_id(message_id)),
                message_id,
                account.id,
                purchase_id,
                (
                    account.bank,
                    programme.id,
                    int(posting.template),
                    posting.debit,
                    posting.credit,
                    posting.unit,
                    posting.amount,
                    posting.rule,
                    posting.between_parties,
                    business_date,
                ),
            )
            _move_balance(account, posting)

    def _next_id(self, message_id: bytes) -> bytes:
        number = self._numbers.get(message_id, 0) + 1
        self._numbers[message_id] = number
        return numbered(message_id, number)


def _move_balance(account: AccountRow, posting: Posting) -> None:
    for side, sign in ((posting.debit, -1), (posting.credit, 1)):
        if side == MEMBER_PENDING:
            account.pending += sign * posting.amount
            account.changed = True
        elif side == MEMBER_AVAILABLE:
            account.available += sign * posting.amount
            account.changed = True


def decision_detail(decision: Decision) -> dict[str, Any]:
    """Return what is stored of a decision: what changed, and the inputs and candidates that explain it."""
    detail: dict[str, Any] = {
        "programme": decision.programme.id,
        "revision": decision.programme.revision,
        "inputs": {
            "transaction": _amounts_to_lists(decision.folded.transaction),
            "billing": _amounts_to_lists(decision.folded.billing),
        },
    }
    anchor = decision.folded.anchor
    if anchor is not None:
        detail["inputs"]["product"] = anchor.product
        detail["inputs"]["occurred_on"] = anchor.local_date.isoformat()
        detail["inputs"]["mcc"] = anchor.mcc
        detail["inputs"]["processing_code"] = anchor.processing_code
    if decision.partner is not None:
        detail["partner"] = decision.partner.id
    if decision.reason is Reason.QUOTED:
        detail["quote"] = True
    if decision.awards:
        detail["changes"] = [_change_to_list(award) for award in decision.awards]
    if decision.elsewhere:
        detail["elsewhere"] = [_change_to_list(award) for award in decision.elsewhere]
    if decision.considered:
        detail["considered"] = [_considered_to_list(award) for award in decision.considered]
    if decision.unrated:
        detail["unrated"] = list(decision.unrated)
    return detail


def _amounts_to_lists(amounts: tuple[Amounts, ...]) -> list[list[Any]]:
    return [[entry.currency, entry.open_minor, entry.cleared_minor] for entry in amounts]


def _change_to_list(award: Award) -> list[Any]:
    return [
        award.rule,
        award.grant.unit,
        award.pending_change,
        award.available_change,
        award.grant.granted,
        award.benefit is Benefit.DISCOUNT,
    ]


def _considered_to_list(award: Award) -> list[Any]:
    grant, asked = award.grant, award.asked
    return [
        award.rule,
        grant.unit,
        grant.entitled,
        grant.granted,
        grant.available,
        asked.entitled,
        asked.granted,
        award.cut_by,
    ]
