"""Rendering one party's settlement file: header, one detail per posting, totals, trailer.

It takes rows of the database and returns bytes, and reads no clock, so that a file made again is the same to the byte.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from settlement.layout import Layout, Record
from settlement.obligations import SettledPosting


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHeader:
    """Whose file it is, of which cycle, and its place among the party's files of this bank and programme."""

    party: str
    bank: str
    programme: str
    business_date: date
    sequence: int
    closed_at: datetime

    @property
    def file_name(self) -> str:
        """The file's name: party, bank, programme, date and sequence number."""
        cycle = f"{self.bank}-{self.programme}-{self.business_date.isoformat()}"
        return f"{self.party}-{cycle}-{self.sequence:06d}.csv"


@dataclass(slots=True, kw_only=True)
class CurrencyTotal:
    """A file's totals in one currency, in minor units; it grows with every detail."""

    currency: str
    record_count: int = 0
    debit_minor: int = 0
    credit_minor: int = 0

    @property
    def net_minor(self) -> int:
        """Credit less debit: above zero the party receives, below zero it pays."""
        return self.credit_minor - self.debit_minor


class _Line:
    """What the CSV writer writes to: it hands each finished line back."""

    @staticmethod
    def write(line: str) -> str:
        return line


class PartyFile:
    """One party's file while it is rendered: call ``header`` once, ``details`` for each posting, ``trailer`` once."""

    def __init__(self, layout: Layout, header: FileHeader) -> None:
        self.of = header
        self.record_count = 0
        self.hash_total = 0
        self._totals: dict[str, CurrencyTotal] = {}
        self._layout = layout
        self._write: Callable[[list[str]], str] = csv.writer(_Line(), lineterminator=layout.line_end).writerow

    @property
    def totals(self) -> tuple[CurrencyTotal, ...]:
        """The totals so far, one per currency, by currency."""
        return tuple(total for _, total in sorted(self._totals.items()))

    def header(self) -> bytes:
        """Return the header record."""
        of = self.of
        return self._line(
            "H",
            {
                "record_type": "H",
                "layout": self._layout.id,
                "party": of.party,
                "bank": of.bank,
                "programme": of.programme,
                "business_date": of.business_date,
                "sequence": of.sequence,
                "closed_at": of.closed_at,
            },
        )

    def detail(self, posting: SettledPosting) -> bytes:
        """Return the detail record of a posting in which the party owes or is owed, and count it."""
        owes = posting.debtor == self.of.party
        self.record_count += 1
        self.hash_total += posting.amount_minor
        total = self._totals.setdefault(posting.currency, CurrencyTotal(currency=posting.currency))
        total.record_count += 1
        if owes:
            total.debit_minor += posting.amount_minor
        else:
            total.credit_minor += posting.amount_minor
        return self._line(
            "D",
            {
                "record_type": "D",
                "number": self.record_count,
                "posting": posting.posting_id,
                "purchase": posting.purchase_id,
                "template": posting.template.name.lower(),
                "rule": posting.rule,
                "partner": posting.partner,
                "counterparty": posting.creditor if owes else posting.debtor,
                "currency": posting.currency,
                "amount": posting.amount_minor,
                "direction": "D" if owes else "C",
                "booked_at": posting.booked_at,
                "business_date": posting.business_date,
            },
        )

    def trailer(self) -> bytes:
        """Return the currency totals and the trailer record."""
        totals = [
            self._line(
                "C",
                {
                    "record_type": "C",
                    "currency": total.currency,
                    "record_count": total.record_count,
                    "debit": total.debit_minor,
                    "credit": total.credit_minor,
                    "net": total.net_minor,
                },
            )
            for total in self.totals
        ]
        last = {"record_type": "T", "record_count": self.record_count, "hash_total": self.hash_total}
        return b"".join([*totals, self._line("T", last)])

    def _line(self, record_type: str, record: Record) -> bytes:
        return self._write(self._layout.row(record_type, record)).encode(self._layout.encoding)
