"""Rate sources in a programme document: read, compiled, and what contradicts itself refused at its line and column."""

from pathlib import Path
from typing import Final

import pytest

from processor.core.exchange_file import MOST_LINES, read_rates
from processor.core.programme import Programme
from processor.core.programme_document import files_beside, parse_programme
from processor.core.rule import Convert

FOLDER: Final = Path(__file__).parents[2] / "examples" / "programmes" / "foreign-currencies"
DOCUMENT: Final = (FOLDER / "programme.yaml").read_text(encoding="utf-8")
FILES: Final = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.csv")}


def errors_of(old: str, new: str, files: dict[str, str] = FILES) -> list[str]:
    """Return the errors of the example with one change, as people read them."""
    assert old in DOCUMENT
    found = parse_programme(DOCUMENT.replace(old, new, 1), merchants=files, source="p", revision=1)
    return [] if isinstance(found, Programme) else [str(error) for error in found]


def test_the_files_of_rates_are_named() -> None:
    """The caller reads the merchants and each file of rates, once."""
    assert ("merchants.csv", "rates-ecb.csv", "rates-nbu.csv") == files_beside(DOCUMENT, source="p")
    assert ("merchants.csv", "rates-ecb.csv") == files_beside(
        DOCUMENT.replace("rates-nbu.csv", "rates-ecb.csv"), source="p"
    )


def test_a_rule_converts_by_its_source() -> None:
    """The compiled revision holds the figures, and the rule how it converts."""
    found = parse_programme(DOCUMENT, merchants=FILES, source="p", revision=1)
    assert isinstance(found, Programme)
    assert Convert(to="EUR", by="ecb") == found.rule("base").convert
    assert (3, 7) == tuple(found.rate_sources[name].days for name in ("ecb", "nbu"))
    assert {"GBP", "JPY", "USD"} == set(found.rate_sources["ecb"].quotes)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("by: ecb}", "by: ebc}", "p:49:28 earning[0].convert.by: 'ebc' is no rate source; did you mean 'ecb'? write"),
        ("{to: EUR, by: ecb}", "{to: XXX, by: ecb}", "p:49:19 earning[0].convert.to: 'XXX' is no currency; write"),
        (
            "{to: EUR, by: ecb}",
            "{to: USD, by: ecb}",
            "'USD' has no amount under rate.per; write one there, or convert to CHF or EUR",
        ),
        ("{to: EUR, by: ecb}", "{to: CHF, by: ecb}", "'CHF' is no currency of 'ecb', whose base is EUR"),
        ("id: nbu", "id: ecb", "exchange_rates[1].id: 'ecb' is taken by line 30; write another identifier"),
        ("base: UAH", "base: UAX", "exchange_rates[1].base: 'UAX' is no currency"),
        ("rates-nbu.csv", "merchants.csv", "exchange_rates[1].file: is the file of the merchants"),
        ("rates-nbu.csv", "rates.csv", "'rates.csv' cannot be read; put a readable rates.csv beside p"),
        ("quotation: direct", "quotation: both", "exchange_rates[1].quotation"),
        ('    when: {amounts: {EUR: {from: "100.00"}}}\n', "", "earning[1].convert: converts nothing: the rule states"),
        (
            '    when: {mccs: ["5812"]}\n    rate: {miles: 3, per: {USD: "1.00"}}\n',
            "    multiply: {rules: [base], by: 2}\n",
            "earning[3].convert: converts nothing: a multiplier looks at what other rules give",
        ),
    ],
)  # fmt: skip
def test_a_contradiction_is_refused(old: str, new: str, said: str) -> None:
    """What can never convert is refused before it runs, at its place and with what to write instead."""
    errors = errors_of(old, new)
    assert [error for error in errors if said in error] == [errors[0]]


def test_a_discount_at_the_till_does_not_convert() -> None:
    """The till compares what it charges, and knows no rates."""
    discount = (
        "discounts:\n  - {id: off, partners: all, products: all, base: transaction, percent: 5, rounding: down,"
        " funder: bank, mode: at-the-till, convert: {to: EUR, by: ecb}, when: {amounts: {EUR: {from: 5}}}}\n"
    )
    errors = errors_of("earning:\n", f"{discount}\nearning:\n")
    assert any("discounts[0].convert: converts amounts, and the till compares only" in error for error in errors)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "r:1:1 header: is ''; write date,currency,rate"),
        ("currency,date,rate\n", "r:1:1 header: is 'currency,date,rate'"),
        ("date,currency,rate\n", "r:1:1 file: holds no rate"),
        ("date,currency,rate\n2026-11-10,USD\n", "r:2:1 line: has 2 values where the header has 3"),
        ("date,currency,rate\n\n2026-02-30,USD,1.1\n", "r:3:1 date: '2026-02-30' is no day"),
        ("date,currency,rate\n20261110,USD,1.1\n", "r:2:1 date: '20261110' is no day"),
        ("date,currency,rate\n2026-11-10,USX,1.1\n", "r:2:12 currency: 'USX' is no currency"),
        ("date,currency,rate\n2026-11-10,EUR,1\n", "r:2:12 currency: 'EUR' is the base itself"),
        ("date,currency,rate\n2026-11-10,USD,0.000\n", "r:2:16 rate: '0.000' is no rate"),
        ('date,currency,rate\n2026-11-10,USD,"1,1"\n', "r:2:1 line: has 4 values"),
        ("date,currency,rate\n2026-11-10,USD,1e5\n", "r:2:16 rate: '1e5' is no rate"),
        (
            "date,currency,rate\n2026-11-10,USD,1.1\n2026-11-10,USD,1.2\n",
            "r:3:1 line: is the second rate of USD for 2026-11-10, after line 2",
        ),
        ("date,currency,rate\n" + "\n" * MOST_LINES, f"r:{MOST_LINES}:1 line: is one of {MOST_LINES + 2}"),
    ],
)
def test_a_file_of_rates_is_refused_at_its_place(text: str, said: str) -> None:
    """Each mistake is named by line and column, and nothing is repaired."""
    errors = read_rates(text, source="r", base="EUR").errors
    assert [said] == [str(error)[: len(said)] for error in errors]


def test_an_error_in_the_file_is_one_of_the_document() -> None:
    """A document whose rates have a mistake does not compile."""
    files = {**FILES, "rates-nbu.csv": "date,currency,rate\n2026-11-10,EUR,48,7\n"}
    assert ["rates-nbu.csv:2:1 line: has 4 values where the header has 3; write a date, a currency and a rate"] == (
        errors_of("name: Foreign currencies", "name: Other", files)
    )


def test_lines_may_end_as_spreadsheets_end_them() -> None:
    """A mark at the beginning and carriage returns are no part of the values; the order of lines does not matter."""
    text = "\ufeffdate,currency,rate\r\n2026-11-11,USD,1.2\r\n2026-11-10,USD,1.1\r\n"
    found = read_rates(text, source="r", base="EUR")
    assert ((), ["1.1", "1.2"]) == (found.errors, [str(quote.rate) for quote in found.quotes["USD"]])
