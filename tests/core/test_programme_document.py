"""Programme documents: what compiles, into what, and every mistake at its exact line and column."""

import re
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from processor.core.cap import Cap, CapPeriod
from processor.core.conditions import Conditions
from processor.core.exclusion import excluded_codes
from processor.core.located_document import DocumentError
from processor.core.located_yaml import MAX_CHARACTERS, MAX_DEPTH
from processor.core.money import Rounding
from processor.core.programme import (
    BankCalendar,
    CardProduct,
    Enrolment,
    FinancialMeaning,
    Link,
    LinkMode,
    Merchant,
    MilePrice,
    Partner,
    Party,
    PartyRole,
    Programme,
)
from processor.core.programme_document import files_beside, parse_programme, programme_schema
from processor.core.rule import AmountBase, Benefit, Funder, Ratio, Rule

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "skyways"

DOCUMENT = """\
programme: demo
name: Demo Miles
effective_from: 2026-01-01T00:00:00+01:00
miles: {unit: DEM, name: mile, decimals: 1}
owner: {id: air, name: Air, currency: EUR}
banks:
  - id: alpha
    name: Alpha
    currency: EUR
    cut_off: "23:00"
    time_zone: Europe/Vienna
    holidays: AT
    mile_price: "0.0080"
    links:
      - {dialect: iso87-ascii, mode: copy, financial: final}
      - {dialect: iso87-bcd, mode: inline, financial: awaits-clearing, answers: false, quote_seconds: 60}
  - id: yen
    name: Yen Bank
    currency: JPY
    cut_off: 20:30
    time_zone: Asia/Tokyo
    holidays: none
    weekend: [sunday]
    mile_price: 1.25
    price_rounding: up
    links:
      - {dialect: iso87-bcd, mode: copy, financial: final}
retailers:
  - {id: shop, name: Shop, currency: EUR, mile_price: "0.01"}
  - {id: wear, name: Wear, currency: EUR}
card_products:
  - {id: gold, bank: alpha, name: Gold, card_ranges: ["400000", "40000101"], enrolment: automatic}
  - {id: blue, bank: yen, name: Blue, card_ranges: ["541333"], enrolment: card-file}
partners:
  - {id: mart, name: Mart, sector: grocery, retailer: shop}
  - {id: moda, name: Moda, sector: fashion, retailer: wear}
merchants: {file: merchants.csv}
excluded:
  mccs: ["6011"]
  processing_codes: ["01"]
earning:
  - id: base
    partners: all
    products: all
    rate: {miles: 1, per: {EUR: "2.00", JPY: 300}}
    rounding: down
    funder: bank
  - id: mart-bonus
    partners: [mart]
    products: [gold]
    base: transaction
    rate: {miles: 1.5, per: {EUR: 1.25}}
    rounding: half-up
    funder: partner
discounts:
  - id: five
    partners: [moda]
    products: [gold]
    percent: 5
    base: billing
    rounding: half-even
    funder: partner
caps:
  - {id: monthly, rules: [base, mart-bonus], period: month, miles: 50.5}
  - {id: yearly, rules: [five], period: year, amount: "20.00", currency: EUR}
"""

MERCHANTS = """\
acquirer_id,card_acceptor_id,terminal_id,mcc,partner
412345,MART 1,,,mart
412345,MODA 1,T1,5691,moda
"""


def parse(text: str, merchants: str = MERCHANTS) -> Programme | tuple[DocumentError, ...]:
    """Parse a document beside the merchants of this test."""
    return parse_programme(text, merchants={"merchants.csv": merchants}, source="programme.yaml", revision=7)


def errors_of(text: str, merchants: str = MERCHANTS) -> tuple[DocumentError, ...]:
    """Return the errors of a document that has some."""
    parsed = parse(text, merchants)
    assert isinstance(parsed, tuple)
    return parsed


def compiled(text: str) -> Programme:
    """Return a document that compiles."""
    parsed = parse(text)
    assert isinstance(parsed, Programme), "\n".join(map(str, parsed))
    return parsed


def changed(old: str, new: str) -> tuple[str, tuple[int, int]]:
    """Return the document with a change, and the line and column of the mark that the change holds."""
    assert DOCUMENT.count(old) == 1, f"{old!r} stands {DOCUMENT.count(old)} times in the document"
    marked = DOCUMENT.replace(old, new)
    before = marked[: marked.index("\u00a7")]
    return marked.replace("\u00a7", ""), (before.count("\n") + 1, len(before) - before.rfind("\n"))


def test_a_document_compiles() -> None:
    """Every element of the document stands in the compiled revision, rates as exact ratios of smallest units."""
    base = Rule(
        id="base",
        benefit=Benefit.MILES,
        base=AmountBase.BILLING,
        rates={"EUR": Ratio(numerator=1, denominator=20), "JPY": Ratio(numerator=1, denominator=30)},
        rounding=Rounding.DOWN,
        funder=Funder.BANK,
        when=Conditions(),
    )
    bonus = Rule(
        id="mart-bonus",
        benefit=Benefit.MILES,
        base=AmountBase.TRANSACTION,
        rates={"EUR": Ratio(numerator=3, denominator=25)},
        rounding=Rounding.HALF_UP,
        funder=Funder.PARTNER,
        when=Conditions(partners=frozenset({"mart"}), products=frozenset({"gold"})),
    )
    five = Rule(
        id="five",
        benefit=Benefit.DISCOUNT,
        base=AmountBase.BILLING,
        rates={"*": Ratio(numerator=1, denominator=20)},
        rounding=Rounding.HALF_EVEN,
        funder=Funder.PARTNER,
        when=Conditions(partners=frozenset({"moda"}), products=frozenset({"gold"})),
    )
    expected = Programme(
        id="demo",
        name="Demo Miles",
        revision=7,
        effective_from=datetime(2025, 12, 31, 23, tzinfo=UTC),
        unit="DEM",
        unit_name="mile",
        decimals=1,
        owner="air",
        parties={
            "air": Party(id="air", name="Air", role=PartyRole.OWNER, currency="EUR", mile_price=None),
            "alpha": Party(
                id="alpha",
                name="Alpha",
                role=PartyRole.BANK,
                currency="EUR",
                mile_price=MilePrice(
                    ratio=Ratio(numerator=2, denominator=25), currency="EUR", rounding=Rounding.HALF_EVEN
                ),
            ),
            "yen": Party(
                id="yen",
                name="Yen Bank",
                role=PartyRole.BANK,
                currency="JPY",
                mile_price=MilePrice(ratio=Ratio(numerator=1, denominator=8), currency="JPY", rounding=Rounding.UP),
            ),
            "shop": Party(
                id="shop",
                name="Shop",
                role=PartyRole.RETAILER,
                currency="EUR",
                mile_price=MilePrice(
                    ratio=Ratio(numerator=1, denominator=10), currency="EUR", rounding=Rounding.HALF_EVEN
                ),
            ),
            "wear": Party(id="wear", name="Wear", role=PartyRole.RETAILER, currency="EUR", mile_price=None),
        },
        links=(
            Link(
                bank="alpha",
                dialect="iso87-ascii",
                mode=LinkMode.COPY,
                financial=FinancialMeaning.FINAL,
                answers=True,
                quote_seconds=600,
            ),
            Link(
                bank="alpha",
                dialect="iso87-bcd",
                mode=LinkMode.INLINE,
                financial=FinancialMeaning.AWAITS_CLEARING,
                answers=False,
                quote_seconds=60,
            ),
            Link(
                bank="yen",
                dialect="iso87-bcd",
                mode=LinkMode.COPY,
                financial=FinancialMeaning.FINAL,
                answers=True,
                quote_seconds=600,
            ),
        ),
        calendars={
            "alpha": BankCalendar(
                cut_off=time(23), time_zone=ZoneInfo("Europe/Vienna"), holidays="AT", weekend=frozenset({6, 7})
            ),
            "yen": BankCalendar(
                cut_off=time(20, 30), time_zone=ZoneInfo("Asia/Tokyo"), holidays=None, weekend=frozenset({7})
            ),
        },
        products={
            "gold": CardProduct(
                id="gold",
                bank="alpha",
                name="Gold",
                card_ranges=("400000", "40000101"),
                enrolment=Enrolment.AUTOMATIC,
            ),
            "blue": CardProduct(
                id="blue", bank="yen", name="Blue", card_ranges=("541333",), enrolment=Enrolment.CARD_FILE
            ),
        },
        partners={
            "mart": Partner(id="mart", name="Mart", sector="grocery", retailer="shop"),
            "moda": Partner(id="moda", name="Moda", sector="fashion", retailer="wear"),
        },
        merchants={
            ("412345", "MART 1"): (
                Merchant(acquirer="412345", acceptor="MART 1", terminal=None, mcc=None, partner="mart"),
            ),
            ("412345", "MODA 1"): (
                Merchant(acquirer="412345", acceptor="MODA 1", terminal="T1", mcc="5691", partner="moda"),
            ),
        },
        excluded_mccs=frozenset({"6011"}) | excluded_codes({}).mccs,
        excluded_processing_codes=frozenset({"01"}) | excluded_codes({}).processing_codes,
        rules=(base, bonus, five),
        caps=(
            Cap(
                id="monthly",
                rules=frozenset({"base", "mart-bonus"}),
                period=CapPeriod.MONTH,
                limit=505,
                currency=None,
            ),
            Cap(id="yearly", rules=frozenset({"five"}), period=CapPeriod.YEAR, limit=2000, currency="EUR"),
        ),
    )
    assert expected == parse(DOCUMENT)


@pytest.mark.parametrize(
    ("old", "new", "path", "problem"),
    [
        # What the schema finds.
        ("programme: demo", "programme: \u00a7Demo", "programme", "is 'Demo'"),
        ("name: Demo Miles", 'name: \u00a7""', "name", "is empty"),
        ("name: Demo Miles", "name:\u00a7", "name", "is empty"),
        ("name: Demo Miles", f"name: \u00a7{'x' * 101}", "name", "is longer than 100"),
        ("decimals: 1", "decimals: \u00a77", "miles.decimals", "is the number 7"),
        ("decimals: 1", "decimals: \u00a71.0", "miles.decimals", "is the number 1.0"),
        ("decimals: 1", "decimals: \u00a7true", "miles.decimals", "is the word true"),
        ("unit: DEM", "unit: \u00a7dem", "miles.unit", "is 'dem'"),
        ("unit: DEM", "unit: \u00a7DE", "miles.unit", "is 'DE'"),
        ("owner: {id: air, name: Air, currency: EUR}", "owner: \u00a7[air]", "owner", "is a list"),
        ("owner: {id: air", "\u00a7ownr: {}\nowner: {id: air", "ownr", "is no known key"),
        ("    name: Yen Bank\n", "    name: Yen Bank\n    \u00a7wekend: []\n", "banks[1].wekend", "is no known key"),
        ("cut_off: 20:30", "cut_off: \u00a724:00", "banks[1].cut_off", "is '24:00'"),
        ("cut_off: 20:30", "cut_off: \u00a720:30:00", "banks[1].cut_off", "is '20:30:00'"),
        ("cut_off: 20:30", "cut_off: \u00a72030", "banks[1].cut_off", "is the number 2030"),
        ("weekend: [sunday]", "weekend: [\u00a7sun]", "banks[1].weekend[0]", "is 'sun'"),
        (
            "weekend: [sunday]",
            "weekend: \u00a7[sunday, monday, tuesday, friday]",
            "banks[1].weekend",
            "is longer than 3",
        ),
        ("answers: false", "answers: \u00a7no", "banks[0].links[1].answers", "is 'no'"),
        ("quote_seconds: 60", "quote_seconds: \u00a70", "banks[0].links[1].quote_seconds", "is the number 0"),
        ("mode: inline", "mode: \u00a7inlin", "banks[0].links[1].mode", "is 'inlin'"),
        ("iso87-ascii", "\u00a7ISO87", "banks[0].links[0].dialect", "is 'ISO87'"),
        ("mile_price: 1.25", "mile_price: \u00a70", "banks[1].mile_price", "is the number 0"),
        ("mile_price: 1.25", "mile_price: \u00a7-1.25", "banks[1].mile_price", "is the number -1.25"),
        ("mile_price: 1.25", 'mile_price: \u00a7"0.00"', "banks[1].mile_price", "is '0.00'"),
        ("mile_price: 1.25", "mile_price: \u00a71e3", "banks[1].mile_price", "is '1e3'"),
        ("mile_price: 1.25", "mile_price: \u00a7.inf", "banks[1].mile_price", "is '.inf'"),
        ("mile_price: 1.25", 'mile_price: \u00a7"1,25"', "banks[1].mile_price", "is '1,25'"),
        ("mile_price: 1.25", "mile_price: \u00a71_000.0", "banks[1].mile_price", "is '1_000.0'"),
        (
            "effective_from: 2026-01-01T00:00:00+01:00",
            "effective_from: \u00a72026-01-01",
            "effective_from",
            "is '2026-01-01'",
        ),
        (
            "effective_from: 2026-01-01T00:00:00+01:00",
            "effective_from: \u00a72026-01-01T00:00:00",
            "effective_from",
            "is '2026-01-01T00:00:00'",
        ),
        ('"541333"', "\u00a7541333", "card_products[1].card_ranges[0]", "is the number 541333"),
        ('"541333"', '\u00a7"541"', "card_products[1].card_ranges[0]", "is '541'"),
        (
            '"541333"',
            '\u00a7"5413330089010434"',
            "card_products[1].card_ranges[0]",
            "is '541333...'",
        ),
        ('["541333"]', '\u00a7["541333", "541333"]', "card_products[1].card_ranges", "names something twice"),
        ('["541333"]', "\u00a7[]", "card_products[1].card_ranges", "is empty"),
        ("file: merchants.csv", "file: \u00a7../merchants.csv", "merchants.file", "is '../merchants.csv'"),
        ("file: merchants.csv", "file: \u00a7/etc/passwd", "merchants.file", "is '/etc/passwd'"),
        ('mccs: ["6011"]', 'mccs: [\u00a7"601"]', "excluded.mccs[0]", "is '601'"),
        ('processing_codes: ["01"]', "processing_codes: [\u00a71]", "excluded.processing_codes[0]", "is the number 1"),
        ("partners: all", "partners: \u00a7everyone", "earning[0].partners", "is 'everyone'"),
        ("partners: [mart]", "partners: \u00a7[]", "earning[1].partners", "is empty"),
        ("partners: [mart]", "partners: [\u00a7Mart]", "earning[1].partners[0]", "is 'Mart'"),
        ("partners: [mart]", "partners: \u00a7{mart: 1}", "earning[1].partners", "is keys with values"),
        ("{EUR: 1.25}", "{\u00a7eur: 1.25}", "earning[1].rate.per.eur", "cannot be a key here"),
        ("{EUR: 1.25}", "\u00a7{}", "earning[1].rate.per", "is empty"),
        ("rounding: half-up", "rounding: \u00a7halfup", "earning[1].rounding", "is 'halfup'"),
        ("percent: 5", "percent: \u00a7101", "discounts[0].percent", "is the number 101"),
        ("percent: 5", 'percent: \u00a7"5%"', "discounts[0].percent", "is '5%'"),
        ("period: month", "period: \u00a7weekly", "caps[0].period", "is 'weekly'"),
        ("miles: 50.5", "miles: \u00a70", "caps[0].miles", "is the number 0"),
        ("miles: 50.5", "miles: 50.5, per: \u00a7family", "caps[0].per", "is 'family'"),
        (
            "  - {id: monthly, rules: [base, mart-bonus], period: month, miles: 50.5}",
            "  - \u00a7{id: monthly, rules: [base, mart-bonus], period: month}",
            "caps[0]",
            "has neither miles nor amount nor purchases nor count",
        ),
        (
            'amount: "20.00", currency: EUR',
            '\u00a7amount: "20.00"',
            "caps[1].amount",
            "has 'amount' without 'currency'",
        ),
        # What the checks find.
        (
            "retailers:\n",
            "retailers:\n  - {id: \u00a7air, name: Air, currency: EUR}\n",
            "retailers[0].id",
            "'air' is taken by line 5",
        ),
        (
            "card_products:\n",
            "  - {id: \u00a7wear, name: S, currency: EUR}\ncard_products:\n",
            "retailers[2].id",
            "'wear' is taken by line 30",
        ),
        ("id: blue", "id: \u00a7gold", "card_products[1].id", "'gold' is taken by line 32"),
        (
            "caps:\n",
            (
                "  - {id: \u00a7five, partners: [moda], products: all, percent: 1, base: billing, "
                "rounding: up, funder: bank}\ncaps:\n"
            ),
            "discounts[1].id",
            "'five' is taken by line 56",
        ),
        ("id: yearly", "id: \u00a7monthly", "caps[1].id", "'monthly' is taken by line 64"),
        ("bank: yen", "bank: \u00a7yan", "card_products[1].bank", "'yan' is no bank"),
        ("retailer: wear", "retailer: \u00a7alpha", "partners[1].retailer", "'alpha' is no retailer"),
        (
            "products: [gold]\n    base: t",
            "products: [\u00a7glod]\n    base: t",
            "earning[1].products[0]",
            "'glod' is no card product",
        ),
        ("rules: [five]", "rules: [five, \u00a7six]", "caps[1].rules[1]", "'six' is no rule"),
        (
            "owner: {id: air, name: Air, currency: EUR}",
            "owner: {id: air, name: Air, currency: \u00a7EUX}",
            "owner.currency",
            "'EUX' is no currency",
        ),
        ("{EUR: 1.25}", "{EUR: 1.25, \u00a7XAU: 1}", "earning[1].rate.per.XAU", "'XAU' is no currency"),
        ("unit: DEM", "unit: \u00a7CHF", "miles.unit", "'CHF' is an ISO 4217 code, and miles are no money"),
        (
            "effective_from: 2026-01-01T",
            "effective_from: \u00a72026-02-30T",
            "effective_from",
            "'2026-02-30T00:00:00+01:00' is no such time",
        ),
        ("Europe/Vienna", "\u00a7Europe/Viena", "banks[0].time_zone", "'Europe/Viena' is no time zone"),
        ("Europe/Vienna", "\u00a7../etc/passwd", "banks[0].time_zone", "is '../etc/passwd'"),
        ("holidays: AT", "holidays: \u00a7XX", "banks[0].holidays", "no holidays are known for 'XX'"),
        (
            "dialect: iso87-bcd, mode: inline",
            "dialect: \u00a7iso87-ascii, mode: inline",
            "banks[0].links[1].dialect",
            "'iso87-ascii' is a link already in line 15",
        ),
        (
            "mode: inline, financial: awaits-clearing, answers: false, q",
            "mode: copy, financial: final, answers: false, \u00a7q",
            "banks[0].links[1].quote_seconds",
            "means nothing on a copy link, which never asks",
        ),
        (
            '"541333"',
            '\u00a7"4000001"',
            "card_products[1].card_ranges[0]",
            "'4000001' and '400000' in line 32 share cards",
        ),
        ('"541333"', '\u00a7"4000"', "card_products[1].card_ranges[0]", "'4000' and '400000' in line 32 share cards"),
        (
            "JPY: 300",
            "JPY: \u00a7300.5",
            "earning[0].rate.per.JPY",
            "300.5 is no whole number of the minor unit of JPY",
        ),
        (
            'amount: "20.00"',
            'amount: \u00a7"20.005"',
            "caps[1].amount",
            "'20.005' is no whole number of the minor unit of EUR",
        ),
        (
            "period: month",
            "period: purchase, per: \u00a7card",
            "caps[0].per",
            "means nothing: one purchase is of one card",
        ),
        ("miles: 50.5", "miles: \u00a750.55", "caps[0].miles", "50.55 is no whole number of the smallest mile"),
        (
            "rules: [five]",
            "rules: [five, \u00a7base]",
            "caps[1].rules[1]",
            "'yen' pays for the miles of 'base' in JPY",
        ),
        (
            "rules: [base, mart-bonus]",
            "rules: [base, \u00a7five]",
            "caps[0].rules[1]",
            "'five' gives a discount, and the cap counts miles",
        ),
        (
            "miles: 50.5",
            "miles: \u00a71.4",
            "caps[0].miles",
            "1.4 is less than one step of 'mart-bonus', which gives 1.5",
        ),
        (
            'amount: "20.00"',
            "amount: \u00a70.04",
            "caps[1].amount",
            "0.04 is less than the discount of 'five' on 1 EUR",
        ),
        ("file: merchants.csv", "file: \u00a7shops.csv", "merchants.file", "'shops.csv' cannot be read"),
        # What reading YAML finds.
        ("name: Demo Miles", "name: Demo Miles\n\u00a7name: Demo", "name", "is written a second time, first in line 2"),
        (
            "wear, name: Wear",
            "wear, \u00a7id: wear, name: Wear",
            "retailers[1].id",
            "is written a second time, first in line 30",
        ),
        ("name: Demo Miles", "name: \u00a7&a Demo", "name", "uses an anchor or an alias (& or *)"),
        ("partners: [mart]", "partners: \u00a7*all", "earning[1].partners", "uses an anchor or an alias (& or *)"),
        ("name: Demo Miles", "name: \u00a7!!str Demo", "name", "uses a tag (!)"),
        ("name: Demo Miles", "name: \u00a7!!python/object:os.system Demo", "name", "uses a tag (!)"),
        ("name: Demo Miles", "name: \u00a7|\n  Demo\n  Miles", "name", "spans lines or holds a control character"),
        ("name: Demo Miles", 'name: \u00a7"Demo\\u0007"', "name", "spans lines or holds a control character"),
        ("name: Demo Miles", "name: Demo Miles\n\u00a7<<: {}", "<<", "is no known key"),
        ("name: Demo Miles", "name: Demo Miles\n? \u00a7[a]\n: b", "document", "has a key that is not plain text"),
        ("name: Demo Miles", "name: Demo\u00a7\u0007", "document", "holds a character that YAML does not allow"),
        ("name: Demo Miles", "name: Demo\u00a7: Miles", "document", "is not YAML: mapping values are not allowed here"),
    ],
)
def test_each_mistake_is_reported_at_its_place(old: str, new: str, path: str, problem: str) -> None:
    """One mistake gives one error, at the line and column of what is wrong."""
    text, place = changed(old, new)
    (error,) = errors_of(text)
    assert (path, problem, place) == (error.path, error.problem, (error.line, error.column))
    assert error.source == "programme.yaml"
    assert error.expected


@pytest.mark.parametrize(
    ("old", "new", "place", "path", "problem"),
    [
        ("name: Demo Miles\n", "", (1, 1), "document", "lacks the key 'name'"),
        ("name: mile, ", "", (4, 8), "miles", "lacks the key 'name'"),
        ("    base: billing\n", "", (56, 5), "discounts[0]", "lacks the key 'base'"),
        (
            "    partners: [mart]",
            "    partners: all",
            (54, 13),
            "earning[1].funder",
            "is the partner, and purchases at no partner match the rule as well",
        ),
        (
            '    mile_price: "0.0080"\n',
            "",
            (46, 13),
            "earning[0].funder",
            "is 'alpha' for some purchases, which states no mile_price",
        ),
        (
            ', mile_price: "0.01"',
            "",
            (54, 13),
            "earning[1].funder",
            "is 'shop' for some purchases, which states no mile_price",
        ),
        (", JPY: 300", "", (45, 27), "earning[0].rate.per", "has no rate for JPY, in which cards of 'yen' are billed"),
        (
            '"20.00", currency: EUR',
            '"20.00", currency: USD',
            (65, 26),
            "caps[1].rules[0]",
            "'five' discounts in EUR, and the cap counts USD",
        ),
    ],
)
def test_a_mistake_elsewhere_is_reported_where_it_shows(
    old: str, new: str, place: tuple[int, int], path: str, problem: str
) -> None:
    """What is missing, or does not fit what stands elsewhere, is reported where it is missed."""
    assert DOCUMENT.count(old) == 1
    (error,) = errors_of(DOCUMENT.replace(old, new))
    assert (path, problem, place) == (error.path, error.problem, (error.line, error.column))


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (
            "rounding: half-up",
            "rounding: halfup",
            (
                "programme.yaml:53:15 earning[1].rounding: is 'halfup'; "
                "did you mean 'half-up'? write up, down, half-up or half-even"
            ),
        ),
        (
            "cut_off: 20:30",
            "cut_off: 8pm",
            (
                "programme.yaml:20:14 banks[1].cut_off: is '8pm'; "
                "write the local time at which the bank's business day ends, such as 23:00"
            ),
        ),
        (
            "answers: false",
            "answers: no",
            (
                "programme.yaml:16:81 banks[0].links[1].answers: is 'no'; "
                "write true or false: whether the host wants ISO 8583 bytes back; true where absent"
            ),
        ),
        (
            "bank: yen",
            "bank: yan",
            (
                "programme.yaml:33:22 card_products[1].bank: 'yan' is no bank; "
                "did you mean 'yen'? write the identifier of a bank of this document"
            ),
        ),
        (
            "name: mile, ",
            "",
            "programme.yaml:4:8 miles: lacks the key 'name'; write name: the unit's name as people see it",
        ),
    ],
)
def test_an_error_says_what_to_do(old: str, new: str, text: str) -> None:
    """An error reads file, line, column, path, what is wrong, and what to write instead."""
    assert DOCUMENT.count(old) == 1
    assert [text] == [str(error) for error in errors_of(DOCUMENT.replace(old, new))]


def test_every_mistake_is_reported_at_once() -> None:
    """Mistakes of reading, of the schema, of meaning and of the merchant file come together, in reading order."""
    text = (
        DOCUMENT.replace("name: Demo Miles", "name: &a Demo")
        .replace("unit: DEM", "unit: EUR")
        .replace("mode: inline", "mode: inlin")
        .replace("bank: yen", "bank: yan")
        .replace("rules: [five]", "rules: [six]")
    )
    errors = errors_of(text, MERCHANTS.replace("T1", "TERMINAL-1"))
    assert [(error.source, error.line, error.path) for error in errors] == [
        ("programme.yaml", 2, "name"),
        ("programme.yaml", 4, "miles.unit"),
        ("programme.yaml", 16, "banks[0].links[1].mode"),
        ("programme.yaml", 33, "card_products[1].bank"),
        ("programme.yaml", 65, "caps[1].rules[0]"),
        ("merchants.csv", 3, "terminal_id"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", 1, "is empty"),
        ("# Nothing but a comment.\n", 1, "is empty"),
        ("- a\n", 1, "is a list"),
        ("word", 1, "is 'word'"),
        (f"{DOCUMENT}---\n{DOCUMENT}", 66, "starts a second document"),
        (f"{DOCUMENT}#{'x' * MAX_CHARACTERS}", 1, f"has {len(DOCUMENT) + 1 + MAX_CHARACTERS} characters"),
        (f"a: {'[' * (MAX_DEPTH + 1)}", 1, f"nests deeper than {MAX_DEPTH} levels"),
        ("a: [b\n", 2, "is not YAML: expected ',' or ']', but got '<stream end>'"),
        ("a:\n\tb: c\n", 2, "is not YAML: found character '\\t' that cannot start any token"),
    ],
)
def test_a_text_that_is_no_programme(text: str, line: int, problem: str) -> None:
    """What cannot be read as one programme is refused where reading fails."""
    first = errors_of(text)[0]
    assert (line, problem) == (first.line, first.problem)


def test_a_billion_laughs_are_refused_at_the_first() -> None:
    """Aliases are never followed, so that a small text cannot become a large value."""
    lines = ['a: &a ["lol","lol","lol"]']
    lines += [
        f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    errors = [error for error in errors_of("\n".join(lines)) if error.path == "a"]
    assert (errors[0].line, errors[0].path, errors[0].problem) == (1, "a", "uses an anchor or an alias (& or *)")


def test_no_error_repeats_a_card_number() -> None:
    """A card number written by mistake shows with its first six digits only, wherever it stands."""
    number = "5413330089010434"
    places = [
        '"541333"',
        "id: blue",
        "name: Blue",
        "Asia/Tokyo",
        "file: merchants.csv",
        "miles: 50.5",
        "programme: demo",
    ]
    for place in places:
        for wrong in (f'"{number}"', number, f"{place.split(':')[0]}: {number}", f"{number}: 1"):
            parsed = parse(DOCUMENT.replace(place, wrong), MERCHANTS.replace("MART 1", f"{number} 1"))
            assert isinstance(parsed, tuple)
            assert number not in "".join(map(str, parsed))


@pytest.mark.parametrize(
    ("old", "new", "element"),
    [
        ("holidays: AT", "holidays: NO", ("calendars", "alpha", "holidays", "NO")),
        ("cut_off: 20:30", "cut_off: 02:30", ("calendars", "yen", "cut_off", time(2, 30))),
        ("name: Demo Miles", "name: Null & Void", ("name", "Null & Void")),
        ('"6011"', "'0012'", ("excluded_mccs", frozenset({"0012"}) | excluded_codes({}).mccs)),
        (
            "effective_from: 2026-01-01T00:00:00+01:00",
            "effective_from: 2026-01-01t00:00:00.5z",
            ("effective_from", datetime(2026, 1, 1, microsecond=500_000, tzinfo=UTC)),
        ),
    ],
)
def test_words_stay_words(old: str, new: str, element: tuple[Any, ...]) -> None:
    """No scalar turns into what YAML 1.1 would make of it: a boolean, a number to base 60, a date, an octal."""
    found: Any = compiled(DOCUMENT.replace(old, new))
    *path, expected = element
    for step in path:
        found = found[step] if isinstance(found, dict) else getattr(found, step)
    assert expected == found


@given(st.decimals(min_value="0.000001", max_value="99999", places=6), st.booleans())
def test_a_price_is_exact(price: Any, quoted: bool) -> None:
    """A price is the ratio of integers that its digits say, in quotes or not."""
    text = f"{price:f}"
    programme = compiled(DOCUMENT.replace('"0.01"', f'"{text}"' if quoted else text))
    stated = programme.parties["shop"].mile_price
    assert stated is not None
    assert price * 10 * stated.ratio.denominator == stated.ratio.numerator


def test_sections_that_may_be_absent() -> None:
    """A programme without exclusions, discounts, caps and retailers compiles."""
    text = re.sub(r"(?ms)^(excluded|discounts|caps):.*?(?=^\S|\Z)", "", DOCUMENT)
    programme = compiled(text)
    assert (*excluded_codes({}), ()) == (
        programme.excluded_mccs,
        programme.excluded_processing_codes,
        programme.caps,
    )


def test_the_document_names_its_merchant_file() -> None:
    """The caller learns which file to read, and never one outside the document's folder."""
    assert files_beside(DOCUMENT, source="programme.yaml") == ("merchants.csv",)
    assert files_beside(DOCUMENT.replace("programme: demo", "programme: 7"), source="p") == ("merchants.csv",)
    for wrong in ("../merchants.csv", "/etc/passwd", "a/b.csv", ".hidden", "[a.csv]"):
        assert files_beside(DOCUMENT.replace("merchants.csv", wrong), source="p") == ()
    assert files_beside("a: [", source="p") == ()


fragments = st.sampled_from(
    [
        "",
        "x",
        "\n",
        "- ",
        ": ",
        "[",
        "}",
        '"',
        "&a ",
        "*a",
        "!!x ",
        "all",
        "null",
        "0",
        "-1.5",
        "2026-01-01",
        "EUR",
        "#",
        "\t",
        "|",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_text_gives_a_programme_or_errors(data: st.DataObject) -> None:
    """A document with pieces cut out or put in compiles or is refused with places inside it; it never raises."""
    text = DOCUMENT
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 12)))
        text = text[:start] + data.draw(fragments) + text[end:]
    parsed = parse(text)
    if isinstance(parsed, tuple):
        assert parsed
        lines = text.count("\n") + 1
        assert all(1 <= error.line <= lines + 1 and error.column >= 1 for error in parsed)


def test_the_example_compiles() -> None:
    """The example programme has two banks, six retailers in at least four sectors and more than twenty merchants."""
    text = (EXAMPLE / "programme.yaml").read_text(encoding="utf-8")
    (name,) = files_beside(text, source="programme.yaml")
    merchants = {name: (EXAMPLE / name).read_text(encoding="utf-8")}
    programme = parse_programme(text, merchants=merchants, source="programme.yaml", revision=1)
    assert isinstance(programme, Programme)
    roles = [party.role for party in programme.parties.values()]
    assert (roles.count(PartyRole.OWNER), roles.count(PartyRole.BANK), roles.count(PartyRole.RETAILER)) == (1, 2, 6)
    assert len({partner.sector for partner in programme.partners.values()}) >= 4
    assert sum(map(len, programme.merchants.values())) > 20


def test_the_schema_is_valid_and_describes_every_key() -> None:
    """An editor that reads the schema can complete and explain each key."""
    schema = programme_schema()
    Draft202012Validator.check_schema(schema)
    undescribed = [key for key, described in keys_of(schema) if len(described.get("description", "")) < 10]
    assert undescribed == []


def test_the_documentation_covers_every_key() -> None:
    """docs/programme.md explains every key of the schema, and no key that the schema lacks."""
    text = (ROOT / "docs" / "programme.md").read_text(encoding="utf-8").split("\n## Simulation\n")[0]
    documented = set(re.findall(r"(?m)^\| `([a-z_.\[\]]+)` \|", text))
    assert {key for key, _ in keys_of(programme_schema())} == documented


def keys_of(schema: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return every key of the schema as the documentation writes it, ``banks[].links[].mode``, and its definition."""
    found: list[tuple[str, dict[str, Any]]] = []
    waiting: list[tuple[str, dict[str, Any]]] = [("", schema)]
    while waiting:
        prefix, node = waiting.pop()
        if "$ref" in node:
            node = {**schema["$defs"][node["$ref"].rsplit("/", 1)[1]], **node}
        for key, described in node.get("properties", {}).items():
            found.append((f"{prefix}{key}", described))
            # The conditions of all rules are explained once.
            waiting.append((f"{'' if key == 'when' else prefix}{key}.", described))
        if isinstance(node.get("items"), dict):
            waiting.append((f"{prefix.removesuffix('.')}[].", node["items"]))
    return found
