"""Booking: what decisions award and post becomes rows with ids of their own, and moves the accounts' cached balances.

The last step of a decision in memory; ``store/`` writes the rows.
"""

from dataclasses import dataclass, field
from datetime import date
from typing import Final

from processor.core.awarding import Award
from processor.core.owner_accrual import at_owner
from processor.core.posting import MEMBER_AVAILABLE, MEMBER_PENDING, Posting
from processor.core.programme import Programme
from processor.store.card_side import AccountRow, BatchWrites

NUMBERS_OF_AN_ATTEMPT: Final = 1024
"""Awards and postings that one decision on a message may number; the next attempt's begin behind them."""
NUMBERS_OF_A_JOIN: Final = 0xF000
"""Where the numbers of what a joined account gives back begin, beyond those of any attempt."""


def numbered(message_id: bytes, number: int) -> bytes:
    """Return the id of the n-th award or posting of a message: the message's id, then the number in two bytes."""
    return message_id + number.to_bytes(2, "big")


@dataclass(slots=True, kw_only=True)
class Booking:
    """What one batch books; ``business_dates`` maps a bank to the business date of what is booked now."""

    writes: BatchWrites
    business_dates: dict[str, date]
    _numbers: dict[bytes, int] = field(default_factory=dict)

    def begin(self, cause: bytes, *, attempt: int) -> None:
        """Give what the n-th decision on a message books numbers behind what the ones before it may have booked."""
        self._numbers[cause] = (attempt - 1) * NUMBERS_OF_AN_ATTEMPT

    def begin_join(self, cause: bytes) -> None:
        """Give what a joined account's purchase gives back numbers behind all that its messages booked."""
        self._numbers[cause] = NUMBERS_OF_A_JOIN

    def book(
        self,
        message_id: bytes,
        account: AccountRow,
        purchase_id: bytes,
        programme: Programme,
        partner: str | None,
        awards: tuple[Award, ...],
        postings: tuple[Posting, ...],
    ) -> None:
        """Append awards and postings, and move the account's cached balances with them.

        Where the owner keeps the miles ledger, what becomes available is provisional until it has accepted it.
        """
        if programme.accruals is not None:
            postings = at_owner(postings)
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
