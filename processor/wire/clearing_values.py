"""The values of a clearing file's lines: text as a layout writes it to the digits that ISO 8583 carries.

It decides whether a value is what its column takes; an error says what to write instead and never what is written.
It never repairs a value: a leading zero that a spreadsheet took away would make another record.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date
from functools import lru_cache
from typing import Final

from processor.core.money import CURRENCY_OF_NUMERIC_CODE, NUMERIC_CODE_OF_CURRENCY, exponent
from processor.wire.clearing_layout import ClearingLayout

AMOUNT_DIGITS: Final = 12
"""How many digits ISO 8583 gives an amount in minor units (DE4)."""

_TEXT: Final = r"[^\x00-\x1f\x7f-\x9f]"

_FORMS: Final[Mapping[str, tuple[re.Pattern[str], str]]] = {
    "card_number": (re.compile(r"[0-9]{12,19}"), "write all 12 to 19 digits of the card number"),
    "card_token": (re.compile(r"[0-9a-fA-F]{64}"), "write the card's token: 64 hexadecimal digits"),
    "card_token_key": (re.compile(r"[!-~]{1,32}"), "write the id of the token's key"),
    "card_last_four": (re.compile(r"[0-9]{4}"), "write the last four digits of the card number"),
    "card_product": (re.compile(r"[a-z][a-z0-9-]{0,31}"), "write the identifier of a card product"),
    "acquirer": (re.compile(r"[0-9]{1,11}"), "write the acquirer's identification code (DE32): 1 to 11 digits"),
    "acceptor": (re.compile(rf"{_TEXT}{{1,15}}"), "write the card acceptor's code (DE42): 15 characters at most"),
    "acceptor_name": (re.compile(rf"{_TEXT}{{1,99}}"), "write the card acceptor's name (DE43): 99 characters at most"),
    "terminal": (re.compile(rf"{_TEXT}{{1,8}}"), "write the terminal's identification (DE41): 8 characters at most"),
    "mcc": (re.compile(r"[0-9]{4}"), "write the merchant category code: 4 digits"),
    "acquirer_reference": (re.compile(r"[0-9A-Za-z]{23}"), "write all 23 characters of the ARN, leading zeros too"),
    "approval_code": (re.compile(rf"{_TEXT}{{1,6}}"), "write the approval code (DE38): 6 characters at most"),
    "retrieval_reference": (re.compile(r"[0-9A-Za-z ]{1,12}"), "write the reference (DE37): 12 characters at most"),
    "lifecycle_id": (re.compile(rf"{_TEXT}{{1,16}}"), "write the network's own id: 16 characters at most"),
    "product_codes": (
        re.compile(r"[0-9A-Za-z]{1,8}(?:[ ,;/|][0-9A-Za-z]{1,8}){0,15}"),
        "write at most 16 codes of 8 letters and digits, with a space between them",
    ),
    "processing_code": (re.compile(r"[0-9]{6}"), "write the processing code (DE3): 6 digits"),
    "function_code": (re.compile(r"[0-9]{3}"), "write the function code (DE24): 3 digits"),
    "file_id": (re.compile(r"[ -~]{1,64}"), "write the file's own id: 64 characters at most"),
}
"""What the columns take that hold text or a code."""

_YEAR, _MONTH, _DAY = r"(?P<year>20[0-9]{2})", r"(?P<month>[0-9]{2})", r"(?P<day>[0-9]{2})"
_OFFSET: Final = r"(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])"

_DATES: Final[Mapping[str, str]] = {
    "YYYY-MM-DD": f"{_YEAR}-{_MONTH}-{_DAY}",
    "YYYYMMDD": f"{_YEAR}{_MONTH}{_DAY}",
    "YYMMDD": f"(?P<year>[0-9]{{2}}){_MONTH}{_DAY}",
    "DD.MM.YYYY": rf"{_DAY}\.{_MONTH}\.{_YEAR}",
    "DD/MM/YYYY": f"{_DAY}/{_MONTH}/{_YEAR}",
    "MM/DD/YYYY": f"{_MONTH}/{_DAY}/{_YEAR}",
}
_TIMES: Final[Mapping[str, str]] = {
    "HH:MM:SS": r"(?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9]):(?P<second>[0-5][0-9])",
    "HHMMSS": r"(?P<hour>[01][0-9]|2[0-3])(?P<minute>[0-5][0-9])(?P<second>[0-5][0-9])",
    "HH:MM": r"(?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9])",
    "HHMM": r"(?P<hour>[01][0-9]|2[0-3])(?P<minute>[0-5][0-9])",
}
_DATE_TIMES: Final[Mapping[str, str]] = {
    "YYYY-MM-DDTHH:MM:SS+HH:MM": f"{_DATES['YYYY-MM-DD']}T{_TIMES['HH:MM:SS']}{_OFFSET}",
    "YYYY-MM-DD HH:MM:SS": f"{_DATES['YYYY-MM-DD']} {_TIMES['HH:MM:SS']}",
    "YYYYMMDDHHMMSS": f"{_DATES['YYYYMMDD']}{_TIMES['HHMMSS']}",
    "DD.MM.YYYY HH:MM:SS": f"{_DATES['DD.MM.YYYY']} {_TIMES['HH:MM:SS']}",
}


class BadValueError(ValueError):
    """A value is not what its column takes; ``column`` is our name of it, the text says what to write."""

    def __init__(self, column: str, problem: str) -> None:
        super().__init__(problem)
        self.column = column
        self.problem = problem


def text_value(column: str, text: str) -> str:
    """Return a value of a column that holds text or a code; raises :class:`BadValueError` where its form is another."""
    form, expected = _FORMS[column]
    if form.fullmatch(text) is None:
        raise BadValueError(column, f"is not what the column takes; {expected}")
    return text


def currency_value(column: str, text: str) -> str:
    """Return the ISO 4217 letter code of a currency written in letters or digits."""
    code = text if text in NUMERIC_CODE_OF_CURRENCY else CURRENCY_OF_NUMERIC_CODE.get(text)
    if code is None:
        raise BadValueError(column, "is no ISO 4217 currency; write its three letters or digits")
    return code


def part_value(column: str, text: str) -> str:
    """Return the sequence and count of a presentment in several parts as four digits: 1/2 is 0102."""
    found = re.fullmatch(r"([0-9]{1,2})/([0-9]{1,2})|([0-9]{2})([0-9]{2})", text)
    if found is not None:
        sequence, count = (int(digits) for digits in found.groups() if digits is not None)
        if 1 <= sequence <= count:
            return f"{sequence:02d}{count:02d}"
    raise BadValueError(column, "is no sequence and count; write the first of two parts as 1/2")


class ValueReader:
    """Reads what one layout writes in forms of its own: amounts, dates and times."""

    __slots__ = ("_amount", "_date", "_date_time", "_layout", "_time")

    def __init__(self, layout: ClearingLayout) -> None:
        self._layout = layout
        decimals = "" if layout.minor else rf"(?:{re.escape(layout.decimal)}([0-9]{{1,6}}))?"
        self._amount: Final = re.compile(rf"([0-9]{{1,{AMOUNT_DIGITS + 6}}}){decimals}")
        # A day's file holds few dates, each on many lines.
        self._date: Final = _reader(_DATES[layout.dates])
        self._time: Final = _reader(_TIMES[layout.times])
        self._date_time: Final = _reader(_DATE_TIMES[layout.date_times])

    def amount(self, column: str, text: str, currency: str) -> int:
        """Return an amount in minor units of its currency."""
        amount_minor = self.total(column, text, exponent(currency))
        if amount_minor >= 10**AMOUNT_DIGITS:
            raise BadValueError(column, f"is too large; an amount has at most {AMOUNT_DIGITS} digits in minor units")
        return amount_minor

    def total(self, column: str, text: str, decimals: int) -> int:
        """Return an amount of any size, counted in units of that many decimals."""
        found = self._amount.fullmatch(text)
        if found is not None and self._layout.minor:
            return int(found[1])
        if found is not None:
            fraction = found[2] or ""
            if not fraction[decimals:].strip("0"):
                return int(found[1] + fraction[:decimals].ljust(decimals, "0"))
        if self._layout.minor:
            raise BadValueError(column, "is no amount; write a whole number of minor units, without a sign")
        sign = self._layout.decimal
        problem = f"is no amount; write digits, {sign!r} and at most {decimals} decimals, without a sign"
        raise BadValueError(column, problem)

    def date(self, column: str, text: str) -> str:
        """Return a date as YYMMDD."""
        found = self._date(text)
        if found is None:
            raise BadValueError(column, f"is no date {self._layout.dates} of 2000 or later")
        return found

    def time(self, column: str, text: str) -> str:
        """Return a time as hhmmss."""
        found = self._time(text)
        if found is None:
            raise BadValueError(column, f"is no time {self._layout.times}")
        return found

    def date_time(self, column: str, text: str) -> str:
        """Return a date and time as YYMMDDhhmmss, as it was at the card acceptor; an offset changes nothing."""
        found = self._date_time(text)
        if found is None:
            raise BadValueError(column, f"is no date and time {self._layout.date_times} of 2000 or later")
        return found


def _reader(pattern: str) -> Callable[[str], str | None]:
    form = re.compile(pattern)

    @lru_cache(maxsize=4096)
    def read(text: str) -> str | None:
        found = form.fullmatch(text)
        if found is None:
            return None
        said = found.groupdict()
        day = ""
        if "year" in said:
            try:
                day = f"{date(2000 + int(said['year'][-2:]), int(said['month']), int(said['day'])):%y%m%d}"
            except ValueError:
                return None
        clock = f"{said['hour']}{said['minute']}{said.get('second') or '00'}" if "hour" in said else ""
        return day + clock

    return read
