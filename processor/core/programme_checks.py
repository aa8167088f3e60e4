"""What must hold between the parts of a programme document that its schema cannot say.

Each check is a generator of errors over one :class:`LocatedDocument`; it reads only values that no earlier error names,
so that one mistake gives one error.
It never stops at the first: the document's author sees all of them at once.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from itertools import chain
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

import holidays
from iso4217 import Currency

import schemas
from processor.core.accrual_terms import check_accruals
from processor.core.exclusion import check_exclusions
from processor.core.instalments import check_instalments
from processor.core.located_document import DocumentError, LocatedDocument, Path, did_you_mean, shown, with_article
from processor.core.money import exponent
from processor.core.programme_base import measures_billing
from processor.core.programme_conditions import check_conditions
from processor.core.programme_cycles import check_cycles
from processor.core.programme_funding import banks_of, check_funding
from processor.core.programme_person import check_person
from processor.core.programme_qualification import check_qualifications
from processor.core.programme_reward import check_rewards
from processor.core.programme_rules import check_rules
from processor.core.programme_tallies import accumulated_amounts, check_tallies
from processor.core.programme_till import check_till
from processor.core.programme_timing import check_timing
from processor.core.rule_sections import RULES, rules_of

Errors = Iterator[DocumentError]

CURRENCIES: Final = frozenset(entry.code for entry in Currency if entry.exponent is not None)
"""The ISO 4217 currencies that have a minor unit; metals and test codes have none."""


def check_programme(document: LocatedDocument) -> tuple[DocumentError, ...]:
    """Return every error in what the document means."""
    return tuple(chain.from_iterable(check(document) for check in _CHECKS))


def ids(document: LocatedDocument, *sections: str) -> dict[str, Path]:
    """Return the identifiers of sections and where each is stated first."""
    found: dict[str, Path] = {}
    for section in sections:
        for path in document.entries(section):
            identifier = document.get(*path, "id")
            if isinstance(identifier, str):
                found.setdefault(identifier, (*path, "id"))
    return found


@cache
def countries() -> frozenset[str]:
    """Return the countries whose public holidays are known."""
    return frozenset(holidays.list_supported_countries(include_aliases=False))


def decimal(value: str | int | Decimal) -> Decimal:
    """Return a number as the document states it, quoted or not; it was never a float."""
    return Decimal(value)


def _rules(document: LocatedDocument, *keys: str) -> list[Path]:
    """Return where some keys of every rule stand, whether the rule has them or not."""
    return [(*path, *keys) for path in rules_of(document)]


def _check_ids(document: LocatedDocument) -> Errors:
    owner = [("owner",)] if document.get("owner", "id") is not None else []
    parties: list[Path] = [*owner, *document.entries("banks"), *document.entries("retailers")]
    groups: list[list[Path]] = [
        parties,
        list(document.entries("card_products")),
        list(document.entries("partners")),
        rules_of(document),
        list(document.entries("entitlements")),
        [*document.entries("caps"), *document.entries("budgets")],
        list(document.entries("exclusive")),
    ]
    for group in groups:
        first: dict[str, Path] = {}
        for path in group:
            identifier = document.get(*path, "id")
            if identifier is None:
                continue
            at = (*path, "id")
            earlier = first.setdefault(identifier, at)
            if earlier != at:
                problem = f"{shown(identifier)} is taken by line {document.position(earlier).line}"
                yield document.error(at, problem, "write another identifier")


def _check_references(document: LocatedDocument) -> Errors:
    rules = rules_of(document)
    multiplied = _rules(document, "multiply", "rules")
    references: list[tuple[Path, str, tuple[str, ...]]] = [
        *(((*path, "bank"), "bank", ("banks",)) for path in document.entries("card_products")),
        *(((*path, "retailer"), "retailer", ("retailers",)) for path in document.entries("partners")),
        *((item, "partner", ("partners",)) for path in rules for item in document.entries(*path, "partners")),
        *((item, "card product", ("card_products",)) for path in rules for item in document.entries(*path, "products")),
        *(((*path, "entitlement"), "entitlement", ("entitlements",)) for path in rules),
        *(((*path, "exclusive"), "group", ("exclusive",)) for path in rules),
        *((item, "earning rule", ("earning",)) for at in multiplied for item in document.entries(*at)),
        *((item, "rule", RULES) for path in document.entries("caps") for item in document.entries(*path, "rules")),
        *(
            (item, "earning or discount rule", ("earning", "discounts"))
            for path in document.entries("budgets")
            for item in document.entries(*path, "rules")
        ),
    ]
    known_in = {sections: ids(document, *sections) for _, _, sections in references}
    for path, what, sections in references:
        word, known = document.get(*path), known_in[sections]
        if isinstance(word, str) and word not in known:
            hint = f"{did_you_mean(word, known)}write the identifier of {with_article(what)} of this document"
            yield document.error(path, f"{shown(word)} is no {what}", hint)


def _check_currencies(document: LocatedDocument) -> Errors:
    parties: list[Path] = [("owner",), *document.entries("banks"), *document.entries("retailers")]
    limits = (*document.entries("caps"), *document.entries("budgets"))
    stated: list[tuple[Path, bool]] = [((*path, "currency"), False) for path in (*parties, *limits)]
    stated += [((*path, "price", "currency"), False) for path in document.entries("entitlements")]
    stated += [((*path, "base"), False) for path in document.entries("exchange_rates")]
    stated += [(at, False) for at in _rules(document, "convert", "to")]
    amounts = (("rate", "per"), ("amounts",), ("every", "amount"), ("when", "amounts"))
    for at in (at for keys in amounts for at in _rules(document, *keys)):
        stated += [((*at, code), True) for code in document.get(*at) or ()]
    for at in _rules(document, "when", "currencies"):
        stated += [(item, False) for item in document.entries(*at)]
    for path, at_key in stated:
        code = path[-1] if at_key else document.get(*path)
        if code is not None and path not in document.broken and code not in CURRENCIES:
            expected = "write an ISO 4217 letter code such as EUR"
            yield document.error(path, f"{code!r} is no currency", expected, at_key=at_key)


def _check_unit(document: LocatedDocument) -> Errors:
    unit = document.get("miles", "unit")
    if unit is not None and unit in {entry.code for entry in Currency}:
        problem = f"{unit!r} is an ISO 4217 code, and miles are no money"
        yield document.error(("miles", "unit"), problem, "write another code")


def _check_times(document: LocatedDocument) -> Errors:
    stated = document.get("effective_from")
    if stated is not None:
        try:
            instant(stated)
        except (ValueError, OverflowError):
            problem, expected = f"{stated!r} is no such time", "write a date and time of the calendar"
            yield document.error(("effective_from",), problem, expected)
    for bank in document.entries("banks"):
        zone = document.get(*bank, "time_zone")
        if zone is not None and not _is_zone(zone):
            hint = f"{did_you_mean(zone, available_timezones())}write an IANA time zone such as Europe/Vienna"
            yield document.error((*bank, "time_zone"), f"{shown(zone)} is no time zone", hint)
        country = document.get(*bank, "holidays")
        if country is not None and country != "none" and country not in countries():
            problem = f"no holidays are known for {country!r}"
            expected = "write an ISO 3166 country code such as AT, or none for weekends alone"
            yield document.error((*bank, "holidays"), problem, expected)


def instant(text: str) -> datetime:
    """Return an RFC 3339 time in UTC; raises ``ValueError`` where the calendar has no such time."""
    return datetime.fromisoformat(text.upper()).astimezone(UTC)


@cache
def _is_zone(key: str) -> bool:
    try:
        ZoneInfo(key)
    except (ValueError, OSError, KeyError):
        return False
    return key in available_timezones()


def _check_links(document: LocatedDocument) -> Errors:
    dialects = schemas.iso8583_dialects()
    known = ", ".join(sorted(dialects))
    for bank in document.entries("banks"):
        first: dict[str, Path] = {}
        for link in document.entries(*bank, "links"):
            at = (*link, "dialect")
            dialect = document.get(*at)
            if dialect is not None and dialect not in dialects:
                hint = f"{did_you_mean(dialect, dialects)}write one of {known}"
                yield document.error(at, f"{shown(dialect)} is no dialect", hint)
            earlier = first.setdefault(dialect, at)
            if dialect is not None and earlier != at:
                problem = f"{dialect!r} is a link already in line {document.position(earlier).line}"
                yield document.error(at, problem, "keep one link for each dialect of a bank")
            if document.get(*link, "mode") == "copy" and document.get(*link, "quote_seconds") is not None:
                problem, expected = "means nothing on a copy link, which never asks", "remove it, or write mode: inline"
                yield document.error((*link, "quote_seconds"), problem, expected, at_key=True)


def _check_card_ranges(document: LocatedDocument) -> Errors:
    """Refuse a range that begins with another, so that a card number has one product."""
    claimed: dict[str, Path] = {}
    beginnings: dict[str, Path] = {}
    for product in document.entries("card_products"):
        for path in document.entries(*product, "card_ranges"):
            digits = document.get(*path)
            if digits is None:
                continue
            prefixes = [digits[:length] for length in range(4, len(digits) + 1)]
            other = next((claimed[prefix] for prefix in prefixes if prefix in claimed), beginnings.get(digits))
            if other is not None:
                problem = f"{digits!r} and {document.get(*other)!r} in line {document.position(other).line} share cards"
                yield document.error(path, problem, "write ranges of which none begins with another")
            claimed.setdefault(digits, path)
            for prefix in prefixes:
                beginnings.setdefault(prefix, path)


def _check_amounts(document: LocatedDocument) -> Errors:
    """Refuse what the minor unit cannot express: more decimals than a currency or the miles have."""
    amounts = (("rate", "per"), ("amounts",), ("every", "amount"))
    rules = [at for keys in amounts for at in _rules(document, *keys)]
    stated = [((*at, code), code) for at in rules for code in document.get(*at) or ()]
    for at, code in (*stated, *accumulated_amounts(document)):
        yield from _check_decimals(document, at, code)
    for at in _rules(document, "when", "amounts"):
        for code in document.get(*at) or ():
            yield from _check_decimals(document, (*at, code, "from"), code)
            yield from _check_decimals(document, (*at, code, "to"), code)
    for path in document.entries("entitlements"):
        yield from _check_decimals(document, (*path, "price", "amount"), document.get(*path, "price", "currency"))
    limits = (*document.entries("caps"), *document.entries("budgets"))
    for limit in limits:
        currency = document.get(*limit, "currency")
        if currency is not None:
            yield from _check_decimals(document, (*limit, "amount"), currency)
    decimals = document.get("miles", "decimals")
    bounds = (*_rules(document, "accumulate", "most"), *((*limit, "miles") for limit in limits))
    for at in (*_rules(document, "bonus", "miles"), *bounds):
        miles = document.get(*at)
        if miles is not None and decimals is not None and _decimals(miles) > decimals:
            problem = f"{shown(miles)} is no whole number of the smallest mile"
            yield document.error(at, problem, f"write at most {decimals} decimals")


def _decimals(value: str | int | Decimal) -> int:
    return max(0, -int(decimal(value).normalize().as_tuple().exponent))


def _check_decimals(document: LocatedDocument, path: Path, currency: str) -> Errors:
    amount = document.get(*path)
    if amount is not None and currency in CURRENCIES and _decimals(amount) > exponent(currency):
        problem = f"{shown(amount)} is no whole number of the minor unit of {currency}"
        yield document.error(path, problem, f"write at most {exponent(currency)} decimals")


def _check_rates(document: LocatedDocument) -> Errors:
    """Demand that a rule on the billing amount rates the currency of every bank whose cards it covers."""
    for rule in document.entries("earning"):
        at = (*rule, "rate", "per")
        rated = document.get(*at)
        on_billing = measures_billing(document, rule)
        if not isinstance(rated, dict) or not on_billing or any((*at, code) in document.broken for code in rated):
            continue
        for bank in banks_of(document, rule):
            currency = document.get(*bank, "currency")
            if currency in CURRENCIES and currency not in rated:
                problem = f"has no rate for {currency}, in which cards of {document.get(*bank, 'id')!r} are billed"
                yield document.error(at, problem, f"write a rate for {currency}, or take those cards out of products")


_CHECKS: Final[tuple[Callable[[LocatedDocument], Errors], ...]] = (
    _check_ids,
    _check_references,
    _check_currencies,
    _check_unit,
    _check_times,
    _check_links,
    _check_card_ranges,
    _check_amounts,
    check_funding,
    _check_rates,
    check_conditions,
    check_person,
    check_qualifications,
    check_rules,
    check_till,
    check_timing,
    check_exclusions,
    check_instalments,
    check_rewards,
    check_accruals,
    check_tallies,
    check_cycles,
)
