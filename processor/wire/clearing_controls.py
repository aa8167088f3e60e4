"""The control totals of a clearing file of lines: what its records add up to, and whether its trailer says the same.

It decides that the count and the sums of the trailer are those of the file.
A record whose amount cannot be read leaves room in the totals, as in every format.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from processor.core.money import exponent
from processor.wire.clearing_layout import ClearingLayout
from processor.wire.clearing_values import BadValueError, ValueReader, currency_value

_LONGEST_SHOWN: Final = 11
"""A number that may be a card number, because the trailer's values are shifted, is not shown."""


class ControlError(ValueError):
    """The trailer says something else than the file; ``column`` is the trailer's field."""

    def __init__(self, column: str, problem: str, stated: str | None = None, calculated: str | None = None) -> None:
        super().__init__(problem)
        self.column = column
        self.problem = problem
        self.stated = stated
        self.calculated = calculated


class Controls:
    """What the records of one file have added up to so far; ``totals`` are minor units by currency letter code."""

    def __init__(self, layout: ClearingLayout, reader: ValueReader) -> None:
        self.totals: Final[Counter[str]] = Counter()
        self.records = 0
        self._counts: Final[Counter[str]] = Counter()
        self._unread = 0
        self._layout = layout
        self._reader = reader
        self._seen: Final[set[str]] = set()

    def add(self, currency: str, amount_minor: int) -> None:
        """Count one record."""
        self.records += 1
        self._counts[currency] += 1
        self.totals[currency] += amount_minor

    def add_unread(self) -> None:
        """Count one record whose amount or currency cannot be read."""
        self.records += 1
        self._unread += 1

    def check(self, stated: Mapping[str, str], file_id: str) -> None:
        """Compare one line of the trailer with the file; raises :class:`ControlError`."""
        if "file_id" in stated and stated["file_id"] != file_id:
            raise ControlError("file_id", "the trailer names another file")
        currency = None
        if self._layout.totals_by_currency:
            currency = self._currency(stated["currency"])
        if "record_count" in stated:
            self._check_count(stated["record_count"], currency)
        if "amount_total" in stated:
            self._check_total(stated["amount_total"], currency)

    def check_complete(self) -> None:
        """Raise :class:`ControlError` where a currency of the file has no line of the trailer."""
        missing = sorted(set(self._counts) - self._seen)
        if self._layout.totals_by_currency and missing:
            raise ControlError("currency", f"the trailer has no line of {missing[0]}, which the file has records of")

    def _currency(self, text: str) -> str:
        try:
            currency = currency_value("currency", text)
        except BadValueError as error:
            raise ControlError("currency", f"the trailer's currency {error.problem}") from None
        if currency in self._seen:
            raise ControlError("currency", f"the trailer has two lines of {currency}")
        self._seen.add(currency)
        return currency

    def _check_count(self, text: str, currency: str | None) -> None:
        if not (text.isascii() and text.isdecimal() and len(text) <= _LONGEST_SHOWN):
            raise ControlError("record_count", "the trailer's count is no number of records")
        stated = int(text)
        counted = self.records if currency is None else self._counts[currency]
        room = currency is not None and self._unread > 0
        if stated < counted or (stated > counted and not room) or stated > counted + self._unread:
            problem = "the trailer counts other records than the file has"
            raise ControlError("record_count", problem, str(stated), str(counted))

    def _check_total(self, text: str, currency: str | None) -> None:
        decimals = 0 if self._layout.minor else self._decimals(currency)
        try:
            stated = self._reader.total("amount_total", text, decimals)
        except BadValueError as error:
            raise ControlError("amount_total", f"the trailer's total {error.problem}") from None
        summed = self._sum(currency, decimals)
        if stated < summed or (stated != summed and not self._unread):
            problem = "the trailer's total is not the sum of the amounts"
            raise ControlError("amount_total", problem, self._shown(stated, decimals), self._shown(summed, decimals))

    def _decimals(self, currency: str | None) -> int:
        return max((exponent(code) for code in ([currency] if currency else self.totals)), default=2)

    def _sum(self, currency: str | None, decimals: int) -> int:
        """Return the sum in units of that many decimals, or of minor units where the layout's amounts are those."""
        if currency is not None:
            return self.totals[currency]
        if self._layout.minor:
            return self.totals.total()
        return sum(total * 10 ** (decimals - exponent(code)) for code, total in self.totals.items())

    def _shown(self, number: int, decimals: int) -> str:
        digits = f"{number:0{decimals + 1}d}"
        if len(digits) > _LONGEST_SHOWN:
            return f"a number of {len(digits)} digits"
        return f"{digits[:-decimals]}{self._layout.decimal}{digits[-decimals:]}" if decimals else digits
