"""What each party owes each other: the postings that two parties settle, added up pair by pair.

A pair has a direction: a charge that was taken back is a posting from the creditor to the debtor, and adds to the
other direction's obligation instead of lowering this one, so that both can be found in the books.
``netting`` brings the two together.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from processor.core.posting import Template


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledPosting:
    """A posting between two parties, as a settlement file shows it.

    ``debtor`` owes ``amount_minor`` (above zero) minor units of ``currency`` to ``creditor``.
    ``business_date`` is the posting's own, not later than its cycle's; ``partner`` is the brand that the purchase
    matched, empty where it matched none; ``rule`` is empty where the charge sums several rules.
    """

    posting_id: bytes
    purchase_id: bytes
    template: Template
    rule: str
    partner: str
    debtor: str
    creditor: str
    currency: str
    amount_minor: int
    booked_at: datetime
    business_date: date


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Obligation:
    """``debtor`` owes ``creditor`` the sum of ``postings`` postings: ``amount_minor``, above zero, of ``currency``."""

    debtor: str
    creditor: str
    currency: str
    amount_minor: int
    postings: int


class ObligationSums:
    """Adds postings up one by one, so that a cycle of any size needs memory for its pairs alone."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str, str], tuple[int, int]] = {}

    def add(self, posting: SettledPosting) -> None:
        """Add one posting to its pair."""
        pair = posting.debtor, posting.creditor, posting.currency
        amount_minor, postings = self._sums.get(pair, (0, 0))
        self._sums[pair] = amount_minor + posting.amount_minor, postings + 1

    def obligations(self) -> tuple[Obligation, ...]:
        """Return one obligation per ordered pair and currency, in that order."""
        return tuple(
            Obligation(
                debtor=debtor, creditor=creditor, currency=currency, amount_minor=amount_minor, postings=postings
            )
            for (debtor, creditor, currency), (amount_minor, postings) in sorted(self._sums.items())
        )


def obligations_of(postings: Iterable[SettledPosting]) -> tuple[Obligation, ...]:
    """Return what each party owes each other because of these postings, in order of the pairs."""
    sums = ObligationSums()
    for posting in postings:
        sums.add(posting)
    return sums.obligations()
