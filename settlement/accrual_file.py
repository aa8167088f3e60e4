"""Rendering an accrual file: header, one detail for each accrual, trailer; and what stands in place of it for a call.

It takes rows of the database and returns bytes, and reads no clock, so that a file made again is the same to the byte.
"""

import csv
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from processor.store.accrual import SentRow
from processor.store.accrual_state import Pair
from settlement.layout import Layout, Record


class Target(Protocol):
    """Where a rendered file goes."""

    def write(self, data: bytes, /) -> object:
        """Take the next bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccrualHeader:
    """Whose file it is, and its place among what left for the owner of this programme and bank."""

    pair: Pair
    sequence: int
    unit: str
    decimals: int
    made_at: datetime

    @property
    def file_name(self) -> str:
        """The file's name: programme, bank and sequence number."""
        return f"accruals-{self.pair.programme}-{self.pair.bank}-{self.sequence:06d}.csv"


@dataclass(slots=True, kw_only=True)
class Totals:
    """What a dispatch holds; it grows with every accrual."""

    size_bytes: int = 0
    sha256: bytes = b""
    record_count: int = 0
    accrued: int = 0
    taken_back: int = 0

    def count(self, sent: SentRow) -> None:
        """Count one accrual."""
        self.record_count += 1
        self.accrued += max(sent.miles, 0)
        self.taken_back += max(-sent.miles, 0)


class _Line:
    """What the CSV writer writes to: it hands each finished line back."""

    @staticmethod
    def write(line: str) -> str:
        return line


def reference_of(bucket: int, id_: bytes) -> bytes:
    """Return how an accrual is named to the owner: its bucket in two bytes, then its id."""
    return bucket.to_bytes(2, "big") + id_


def key_of(reference: bytes) -> tuple[int, bytes]:
    """Return the bucket and id of the accrual that a reference names."""
    return int.from_bytes(reference[:2], "big"), reference[2:]


def render_accruals(layout: Layout, header: AccrualHeader, sent: Iterable[SentRow], target: Target) -> Totals:
    """Render a file, and return its size, digest and totals."""
    write_line: Callable[[list[str]], str] = csv.writer(_Line(), lineterminator=layout.line_end).writerow
    totals, digest = Totals(), hashlib.sha256()

    def write(kind: str, record: Record) -> None:
        data = write_line(layout.row(kind, {"record_type": kind, "decimals": header.decimals, **record})).encode(
            layout.encoding
        )
        target.write(data)
        digest.update(data)
        totals.size_bytes += len(data)

    write("H", _header(layout, header))
    for entry in sent:
        totals.count(entry)
        write("D", _detail(entry))
    write(
        "T",
        {
            "record_count": totals.record_count,
            "accrued": totals.accrued,
            "taken_back": totals.taken_back,
            "net": totals.accrued - totals.taken_back,
        },
    )
    totals.sha256 = digest.digest()
    return totals


def _header(layout: Layout, header: AccrualHeader) -> Record:
    return {
        "layout": layout.id,
        "programme": header.pair.programme,
        "bank": header.pair.bank,
        "sequence": header.sequence,
        "unit": header.unit,
        "made_at": header.made_at,
    }


def _detail(sent: SentRow) -> Record:
    return {
        "number": sent.number,
        "accrual": reference_of(sent.bucket, sent.id),
        "attempt": sent.attempt,
        "member": sent.member,
        "kind": "A" if sent.miles > 0 else "R",
        "miles": sent.miles,
        "purchase": sent.purchase_id,
        "rule": sent.rule,
        "partner": sent.partner,
        "booked_at": sent.booked_at,
        "business_date": sent.business_date,
    }
