"""What every format of clearing file has in common: its records one after another, and how it is refused as a whole.

A reading goes through a file once, yields its records, and raises where the file is not sound: what was yielded until
then must not count.
It never shows a record's content.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, Protocol

from processor.core.card import CardReference
from processor.core.message import CardMessage
from processor.wire.decode import Decoded, DecodeFailure
from processor.wire.dialect import Dialect

_LIKE_A_CARD_NUMBER: Final = re.compile(r"(?<![0-9])[0-9]{12,19}(?![0-9])")
_NOT_SAID: Final = "not repeated, it may be a card number"


class ClearingFileError(ValueError):
    """A clearing file is refused as a whole; says where and, for a control, the stated and the calculated value.

    ``place`` is ``record 3 at byte 412``, or ``line 3, column 5 (AMOUNT)`` in a file of lines.
    """

    def __init__(
        self, problem: str, *, place: str, stated: int | str | None = None, calculated: int | str | None = None
    ) -> None:
        stated, calculated = _sayable(stated), _sayable(calculated)
        control = "" if stated is None else f" (stated {stated}, calculated {calculated})"
        super().__init__(f"{place}: {problem}{control}")
        self.problem = problem
        self.place = place
        self.stated = stated
        self.calculated = calculated


def _sayable(control: int | str | None) -> int | str | None:
    """Return a control as an error may say it: a text may be a card number where a file's columns are shifted."""
    return _NOT_SAID if isinstance(control, str) and _LIKE_A_CARD_NUMBER.search(control) else control


class ClearingSource(Protocol):
    """Where a file's bytes come from: a file, or a stream that cannot go back."""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, none at the end."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearingRecord:
    """One record between header and trailer: decoded, or why it does not decode.

    ``number`` counts the file's records, or its lines, from 1; ``place`` says the same to a person, more exactly.
    ``card`` stands for the card where the file names it by its token instead of its number.
    """

    number: int
    place: str
    raw: bytes = field(repr=False)
    decoded: Decoded | None = None
    failure: DecodeFailure | None = None
    card: CardReference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearingSummary:
    """What a sound clearing file holds.

    ``records`` counts what lies between header and trailer, ``broken`` those of them that do not decode.
    ``totals`` are the sums that the trailer states, in minor units by currency letter code; under no code where the
    sum is over all currencies.
    """

    file_id: str
    records: int
    broken: int
    totals: dict[str, int]


class ClearingReading(Protocol):
    """One file being read; ``file_id`` is known from the first record on, the summary at the end."""

    @property
    def dialect(self) -> Dialect:
        """What the names of the records' fields mean, and what tells two records apart."""
        ...

    @property
    def file_id(self) -> str:
        """The file's own id, empty before its header was read."""
        ...

    def records(self) -> Iterator[ClearingRecord]:
        """Yield the records between header and trailer; raises :class:`ClearingFileError` where the file is unsound."""
        ...

    def summary(self) -> ClearingSummary:
        """Return what the file held; call it when every record was read."""
        ...


def claim_digest(message: CardMessage) -> bytes:
    """Return 16 bytes over what a record claims: kind, card, amount, and whether it pays the holder.

    Two formats tell one presentment with other details beside that, and must not contradict each other by them.
    """
    amount = f"{message.amount.amount_minor} {message.amount.currency}" if message.amount else ""
    last_four = message.card.last_four if message.card else ""
    said = f"{int(message.kind)}/{last_four}/{amount}/{int(message.credit)}"
    return blake2b(said.encode(), digest_size=16, person=b"cobrand-claim").digest()


def record_place(number: int, offset: int) -> str:
    """Return where a record of a binary file stands: its number from 1, and its length's offset in bytes."""
    return f"record {number} at byte {offset}"
