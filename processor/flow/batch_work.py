"""Deciding the messages of one locked batch in memory, one after another; duplicates within the batch included.

It says which messages are known, which are parked and which are decided; ``flow/purchase_work.py`` decides those.
It never touches the database.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from processor.core.message import CardMessage
from processor.core.outcome import Outcome, Reason
from processor.flow.decision_detail import decision_detail
from processor.flow.purchase_work import PurchaseWork
from processor.flow.snapshot import Snapshot
from processor.flow.submission import Submission, Verdict
from processor.store.card_file import Adoption
from processor.store.card_side import AccountRow, BatchWrites, Key, KnownMessage
from processor.store.directory import CardAddress

OLDEST_DAYS: Final = 300
"""A message sent longer ago is parked: its repeat window has passed, so operations decide."""


def explanation_name(account: bytes, message_id: bytes, attempt: int) -> str:
    """Return the resource name of a decision."""
    return f"accounts/{account.hex()}/decisions/{message_id.hex()}-{attempt}"


@dataclass(slots=True, kw_only=True)
class BatchWork:
    """The working state of one batch.

    ``own`` holds the messages that an earlier run of this batch may have committed: found present, they are its own,
    and only a second one of them in the batch is a duplicate.
    ``attempts`` counts the decisions on messages that another account had before, so that no two of them book under the
    same numbers.
    ``enrolled`` receives the terms of accounts that wait no longer, as ``adopt_accounts`` takes them.
    """

    snapshot: Snapshot
    writes: BatchWrites
    accounts: dict[Key, AccountRow]
    known: dict[Key, KnownMessage]
    purchases: PurchaseWork
    own: set[bytes] = field(default_factory=set)
    attempts: dict[bytes, int] = field(default_factory=dict)
    enrolled: dict[CardAddress, Adoption] = field(default_factory=dict)

    def decide(self, submission: Submission, address: CardAddress) -> Verdict:
        """Decide one message; the guards stand in the outcomes' order, then the purchase is decided."""
        message = submission.message
        key = (address.bucket, message.message_id)
        account = self.accounts[address.bucket, address.account]
        known = self.known.get(key)
        again = submission.moved or (submission.replay and known is not None and known.outcome == Outcome.PARKED)
        if known is not None and not again:
            return self._known(submission, key, account, known)
        attempt = max(known.attempt if known else 0, self.attempts.get(message.message_id, 0)) + 1
        self.purchases.booking.begin(message.message_id, attempt=attempt)
        if known is None:
            self.writes.add_message(key, account.id, message.bank, message.dialect, message.content, submission.fields)
        if account.provisional:
            self._enrol(account, address, message)
        reason = self._why_park(submission, account)
        decision = None if reason else self.purchases.decide(submission, account, address.card)
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
