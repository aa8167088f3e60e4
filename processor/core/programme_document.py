"""Reading a programme document: YAML text and its merchant file become one compiled revision, or every error in them.

This is how a programme manager's words enter the system; ``cobrand programme`` and ``apply`` go through here alone.
It takes texts and returns values: the caller reads the files that :func:`files_beside` names.
It never lets a rate pass through a float, and never compiles a document that has an error.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import time
from decimal import Decimal
from fractions import Fraction
from functools import cache
from itertools import chain
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson

import schemas
from processor.core.accrual_terms import compile_accruals
from processor.core.document_schema import schema_errors
from processor.core.exchange_file import RateList
from processor.core.exclusion import excluded_codes
from processor.core.instalments import AT_ONCE
from processor.core.located_document import DocumentError, LocatedDocument
from processor.core.located_yaml import locate_yaml
from processor.core.merchant_file import MerchantList, read_merchants
from processor.core.money import Rounding, exponent
from processor.core.programme import (
    BankCalendar,
    CardProduct,
    Enrolment,
    FinancialMeaning,
    Link,
    LinkMode,
    MilePrice,
    Partner,
    Party,
    PartyRole,
    Programme,
)
from processor.core.programme_base import base_of
from processor.core.programme_budgets import check_budgets, compile_budget
from processor.core.programme_caps import check_caps, compile_cap
from processor.core.programme_checks import check_programme, decimal, ids, instant
from processor.core.programme_conditions import WEEKDAYS, compile_conditions
from processor.core.programme_exchange import (
    check_exchange,
    check_quoted,
    compile_convert,
    compile_source,
    rate_files,
    read_rate_files,
)
from processor.core.programme_funding import compile_split
from processor.core.programme_qualification import compile_qualifications
from processor.core.programme_reward import compile_reward, compile_validity
from processor.core.programme_tallies import compile_cycle, compile_tally
from processor.core.programme_timing import clawback_of, spent_of, statement_day, statement_day_of_cap, timing_of
from processor.core.programme_velocity import check_velocity, compile_velocity
from processor.core.rule import AmountBase, Benefit, Best, Funder, Multiplication, Ratio, Rule, Stacking
from processor.core.taken_off import Part
from processor.core.tally import Tally

DEFAULT_PRICE_ROUNDING: Final = Rounding.HALF_EVEN
DEFAULT_QUOTE_SECONDS: Final = 600
DEFAULT_WEEKEND: Final = ("saturday", "sunday")


@cache
def programme_schema() -> Mapping[str, Any]:
    """Return the JSON Schema of programme documents, which ships with the code and never changes while it runs."""
    schema: Mapping[str, Any] = orjson.loads(schemas.read("programme", "programme.schema.json"))
    return schema


def files_beside(text: str, *, source: str) -> tuple[str, ...]:
    """Return the names of the files a document refers to, which stand beside it: of merchants and of exchange rates.

    A document that cannot be read, or whose file name is refused, refers to none; :func:`parse_programme` says why.
    """
    located = locate_yaml(text, source=source)
    if not isinstance(located, LocatedDocument):
        return ()
    document, _ = _checked(located)
    name = document.get("merchants", "file")
    return (*(() if name is None else (name,)), *rate_files(document))


def parse_programme(
    text: str, *, merchants: Mapping[str, str], source: str, revision: int
) -> Programme | tuple[DocumentError, ...]:
    """Compile one programme document, or return every error in it and in its merchant file, in reading order.

    ``merchants`` holds the text of each file that :func:`files_beside` named and the caller could read.
    ``source`` is the document's name for errors; ``revision`` is the number the compiled revision carries.
    """
    located = locate_yaml(text, source=source)
    if not isinstance(located, LocatedDocument):
        return located
    document, errors = _checked(located)
    errors.extend(check_programme(document))
    errors.extend(check_caps(document))
    errors.extend(check_budgets(document))
    errors.extend(check_velocity(document))
    errors.extend(check_exchange(document))
    rates = read_rate_files(document, merchants)
    errors.extend(check_quoted(document, rates))
    name = document.get("merchants", "file")
    listed = MerchantList(merchants={}, errors=())
    if name in merchants:
        listed = read_merchants(merchants[name], source=name, partners=ids(document, "partners"))
    for at in (("merchants", "file"), *((*path, "file") for path in document.entries("exchange_rates"))):
        name = document.get(*at)
        if name is not None and name not in merchants:
            problem, expected = f"{name!r} cannot be read", f"put a readable {name} beside {source}"
            errors.append(document.error(at, problem, expected))
    in_files = [*listed.errors, *chain.from_iterable(found.errors for found in rates.values())]
    if errors or in_files:
        return (*sorted(errors, key=lambda error: (error.line, error.column)), *in_files)
    return _programme(document.value, listed, rates, revision)


def _checked(located: LocatedDocument) -> tuple[LocatedDocument, list[DocumentError]]:
    """Check a document against its schema; the one returned knows which of its values are wrong."""
    found = schema_errors(located, programme_schema())
    broken = located.broken.union(path for path, _ in found)
    return replace(located, broken=broken), [*located.errors, *(error for _, error in found)]


def _programme(
    value: Mapping[str, Any], listed: MerchantList, rates: Mapping[str, RateList], revision: int
) -> Programme:
    """Compile a document without errors; from here on nothing is refused."""
    scale: int = 10 ** value["miles"]["decimals"]
    banks, excluded = value["banks"], excluded_codes(value)
    earning = {entry["id"]: entry for entry in value["earning"]}
    return Programme(
        id=value["programme"],
        name=value["name"],
        revision=revision,
        effective_from=instant(value["effective_from"]),
        unit=value["miles"]["unit"],
        unit_name=value["miles"]["name"],
        decimals=value["miles"]["decimals"],
        owner=value["owner"]["id"],
        parties={party.id: party for party in _parties(value, scale)},
        links=tuple(_link(bank["id"], link) for bank in banks for link in bank["links"]),
        calendars={bank["id"]: _calendar(bank) for bank in banks},
        products={entry["id"]: _product(entry, statement_day(value, entry)) for entry in value["card_products"]},
        partners={entry["id"]: Partner(**entry) for entry in value["partners"]},
        merchants=listed.merchants,
        excluded_mccs=excluded.mccs,
        excluded_processing_codes=excluded.processing_codes,
        rules=(
            *(
                replace(
                    _earning(entry, value["miles"]["unit"], scale, base_of(entry, earning)),
                    timing=timing_of(value, entry),
                    clawback=clawback_of(value, entry),
                    spent=spent_of(value, entry),
                )
                for entry in earning.values()
            ),
            *(_discount(entry) for entry in value.get("discounts", ())),
            *(_reward(entry) for entry in value.get("rewards", ())),
            *(_fee(entry) for entry in value.get("fees", ())),
        ),
        rewards={entry["id"]: compile_reward(entry) for entry in value.get("entitlements", ())},
        caps=tuple(
            compile_cap(entry, scale, statement_day_of_cap(value, entry["rules"])) for entry in value.get("caps", ())
        ),
        own_statement_days=any(bank.get("account_statement_days") for bank in banks),
        velocity=tuple(compile_velocity(entry, scale) for entry in value.get("velocity", ())),
        budgets=tuple(compile_budget(entry, scale) for entry in value.get("budgets", ())),
        mark_ups={
            bank["id"]: _ratio(Decimal(100), 100 + decimal(bank["mark_up_percent"]))
            for bank in banks
            if "mark_up_percent" in bank
        },
        parts_included=frozenset(value.get("included", ())).intersection(Part),
        groups={entry["id"]: Best(entry["best"]) for entry in value.get("exclusive", ())},
        stacking=Stacking(value.get("stacking", Stacking.BEST)),
        tiers={entry["id"]: entry["name"] for entry in value.get("tiers", ())},
        qualifications=compile_qualifications(value),
        segments={entry["id"]: entry["name"] for entry in value.get("segments", ())},
        accruals=compile_accruals(value["miles"]),
        rate_sources={
            entry["id"]: compile_source(entry, rates[entry["id"]]) for entry in value.get("exchange_rates", ())
        },
        **_purchases(value),
    )


def _purchases(value: Mapping[str, Any]) -> dict[str, Any]:
    stated = dict(value.get("purchases", {}))
    return {"instalments_at_once": stated.pop("instalments", None) == AT_ONCE, **stated}


def _parties(value: Mapping[str, Any], scale: int) -> Iterable[Party]:
    yield _party(value["owner"], PartyRole.OWNER, scale)
    for bank in value["banks"]:
        yield _party(bank, PartyRole.BANK, scale)
    for retailer in value["retailers"]:
        yield _party(retailer, PartyRole.RETAILER, scale)


def _party(entry: Mapping[str, Any], role: PartyRole, scale: int) -> Party:
    currency: str = entry["currency"]
    price = None
    if "mile_price" in entry:
        price = MilePrice(
            ratio=_ratio(decimal(entry["mile_price"]) * 10 ** exponent(currency), Decimal(scale)),
            currency=currency,
            rounding=Rounding(entry.get("price_rounding", DEFAULT_PRICE_ROUNDING)),
        )
    return Party(id=entry["id"], name=entry["name"], role=role, currency=currency, mile_price=price)


def _ratio(numerator: Decimal, denominator: Decimal) -> Ratio:
    """Return a quotient of two exact decimals in lowest terms."""
    fraction = Fraction(numerator) / Fraction(denominator)
    return Ratio(numerator=fraction.numerator, denominator=fraction.denominator)


def _link(bank: str, entry: Mapping[str, Any]) -> Link:
    return Link(
        bank=bank,
        dialect=entry["dialect"],
        mode=LinkMode(entry["mode"]),
        financial=FinancialMeaning(entry["financial"]),
        answers=entry.get("answers", True),
        quote_seconds=entry.get("quote_seconds", DEFAULT_QUOTE_SECONDS),
    )


def _calendar(bank: Mapping[str, Any]) -> BankCalendar:
    weekend = bank.get("weekend", DEFAULT_WEEKEND)
    return BankCalendar(
        cut_off=time.fromisoformat(bank["cut_off"]),
        time_zone=ZoneInfo(bank["time_zone"]),
        holidays=None if bank["holidays"] == "none" else bank["holidays"],
        weekend=frozenset(WEEKDAYS.index(day) + 1 for day in weekend),
    )


def _product(entry: Mapping[str, Any], statement_day: int | None) -> CardProduct:
    return CardProduct(
        id=entry["id"],
        bank=entry["bank"],
        name=entry["name"],
        card_ranges=tuple(entry["card_ranges"]),
        enrolment=Enrolment(entry["enrolment"]),
        statement_day=statement_day,
    )


def _earning(entry: Mapping[str, Any], unit: str, scale: int, base: AmountBase) -> Rule:
    if "rate" in entry:
        miles = decimal(entry["rate"]["miles"]) * scale
        rates = {
            currency: _ratio(miles, decimal(amount) * 10 ** exponent(currency))
            for currency, amount in entry["rate"]["per"].items()
        }
        return _rule(entry, Benefit.MILES, base, rates=rates, tally=compile_tally(entry, scale))
    if "bonus" in entry:
        fixed = {unit: int(decimal(entry["bonus"]["miles"]) * scale)}
        return _rule(entry, Benefit.MILES, base, fixed=fixed, tally=compile_tally(entry, scale))
    multiply = entry["multiply"]
    by = _ratio(decimal(multiply["by"]), Decimal(1))
    return _rule(entry, Benefit.MILES, base, multiplication=Multiplication(rules=frozenset(multiply["rules"]), by=by))


def _discount(entry: Mapping[str, Any]) -> Rule:
    base = AmountBase(entry["base"])
    if "percent" in entry:
        return _rule(entry, Benefit.DISCOUNT, base, rates={"*": _ratio(decimal(entry["percent"]), Decimal(100))})
    fixed = {currency: int(decimal(amount) * 10 ** exponent(currency)) for currency, amount in entry["amounts"].items()}
    tally = None
    if "every" in entry:
        ((currency, gives),) = fixed.items()
        tally = compile_cycle(entry, gives, currency)
    return _rule(entry, Benefit.DISCOUNT, base, fixed=fixed, tally=tally)


def _reward(entry: Mapping[str, Any]) -> Rule:
    entitlement: str = entry["entitlement"]
    count: int = entry.get("count", 1)
    tally = compile_cycle(entry, count, entitlement) if "every" in entry else None
    rule = _rule(entry, Benefit.REWARD, base_of(entry, {}), fixed={entitlement: count}, tally=tally)
    return replace(rule, entitlement=entitlement, validity=compile_validity(entry.get("valid")))


def _fee(entry: Mapping[str, Any]) -> Rule:
    rates = {"*": _ratio(decimal(entry["share"]), Decimal(100))}
    return _rule({**entry, "funder": Funder.BANK}, Benefit.FEE, AmountBase(entry["base"]), rates=rates)


def _rule(
    entry: Mapping[str, Any],
    benefit: Benefit,
    base: AmountBase,
    *,
    rates: Mapping[str, Ratio] | None = None,
    fixed: Mapping[str, int] | None = None,
    multiplication: Multiplication | None = None,
    tally: Tally | None = None,
) -> Rule:
    """Return a rule that gives in one of three ways; one that never divides rounds nothing."""
    return Rule(
        id=entry["id"],
        benefit=benefit,
        base=base,
        rates=rates or {},
        fixed=fixed or {},
        multiplication=multiplication,
        tally=tally,
        rounding=Rounding(entry.get("rounding", Rounding.DOWN)),
        funder=Funder(entry["funder"]),
        split=compile_split(entry),
        when=compile_conditions(entry),
        priority=entry.get("priority", 0),
        exclusive=entry.get("exclusive"),
        at_till=entry.get("mode") == "at-the-till",
        convert=compile_convert(entry),
    )
