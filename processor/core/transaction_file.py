"""Reading transactions to simulate: JSON Lines, each line one card message or clearing record in order of arrival.

``schemas/simulation/transaction.schema.json`` says what a line may hold; this module checks what ties lines together.
A line with an error stops the simulation, because every later result would depend on it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Any, Final

import orjson

import schemas
from processor.core.document_schema import schema_errors
from processor.core.located_document import DocumentError, LocatedDocument, Position, choice, did_you_mean, shown
from processor.core.member_lines import check_member, facts_of, is_member_line, member_schema
from processor.core.money import Money, exponent
from processor.core.person import Fact
from processor.core.programme import Merchant, Programme
from processor.core.programme_checks import CURRENCIES
from processor.core.taken_off import Part

MAX_LINE_CHARACTERS: Final = 4096
"""A longer line is refused; the longest transaction needs a fraction of it."""


class TransactionType(StrEnum):
    """What a line stands for."""

    REQUEST = "request"
    AUTHORIZATION = "authorization"
    FINANCIAL = "financial"
    REVERSAL = "reversal"
    CLEARING = "clearing"
    CLEARING_REVERSAL = "clearing-reversal"
    REFUND = "refund"
    POST_DUE = "post-due"
    RELEASE = "release"
    REFUSE = "refuse"


_ONLY_FOR: Final[Mapping[str, frozenset[TransactionType]]] = {
    "original": frozenset({TransactionType.AUTHORIZATION, TransactionType.REVERSAL, TransactionType.CLEARING_REVERSAL}),
    "remaining": frozenset({TransactionType.REVERSAL}),
    "approved": frozenset({TransactionType.AUTHORIZATION, TransactionType.FINANCIAL}),
    "dialect": frozenset({TransactionType.FINANCIAL}),
    "part": frozenset({TransactionType.CLEARING}),
    "rules": frozenset({TransactionType.RELEASE, TransactionType.REFUSE}),
}
"""The keys that mean something for some types only."""

_PARTS: Final = {"cashback": Part.CASHBACK.value, "surcharge": Part.SURCHARGES.value}
"""The keys that state what of the amount is not for goods."""

_REFERS_TO: Final[Mapping[TransactionType, frozenset[TransactionType]]] = {
    TransactionType.AUTHORIZATION: frozenset({TransactionType.REQUEST}),
    TransactionType.REVERSAL: frozenset({TransactionType.AUTHORIZATION, TransactionType.FINANCIAL}),
    TransactionType.CLEARING_REVERSAL: frozenset({TransactionType.CLEARING, TransactionType.REFUND}),
}
"""What a type that undoes or decides something can refer to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """One line: what happened, when, on whose account and where.

    ``purchase`` is the id of the transaction that began the purchase, its own where it begins one.
    ``original`` is the id of what it undoes or decides, None where it does neither; ``remaining`` is what a partial
    reversal leaves of it.
    ``trace`` names its message, as it does the request that it decides; ``original_trace`` names what it undoes.
    ``local_time`` is HHMM where it was written, ``channel`` how the card was used, empty where the line does not say.
    ``amount`` and ``billing`` of a reversal are those of its original; what says something of a purchase has none.
    ``rules`` are those that a release is about, empty for all; ``card`` names the card, empty for the account's only
    one.
    ``product_codes`` are those of what was bought.
    ``taken_off`` are the parts of the amount that are not for goods, each with its minor units.
    """

    line: int
    id: str
    type: TransactionType
    at: datetime
    local_date: date
    account: str
    product: str
    purchase: str
    original: str | None
    trace: str
    original_trace: str | None
    amount: Money | None
    billing: Money | None
    remaining: Money | None
    acquirer: str
    acceptor: str
    terminal: str
    mcc: str
    processing_code: str
    approved: bool
    dialect: str | None
    part: tuple[int, int] | None
    local_time: str
    channel: str
    country: str
    rules: tuple[str, ...]
    taken_off: tuple[tuple[str, int], ...]
    card: str
    product_codes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionFile:
    """A file's transactions in its order and what it says of members by account, or every error in it."""

    transactions: tuple[Transaction, ...]
    errors: tuple[DocumentError, ...]
    facts: Mapping[str, tuple[Fact, ...]] = field(default_factory=dict)


@cache
def transaction_schema() -> Mapping[str, Any]:
    """Return the JSON Schema of one line, which ships with the code."""
    schema: Mapping[str, Any] = orjson.loads(schemas.read("simulation", "transaction.schema.json"))
    return schema


def read_transactions(text: str, *, source: str, programme: Programme) -> TransactionFile:
    """Read a file of transactions; products, partners and links are those of ``programme``."""
    lines: list[LocatedDocument] = []
    members: list[LocatedDocument] = []
    errors: list[DocumentError] = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        if line.strip():
            located = _located(line, source, number)
            is_member = is_member_line(located)
            schema = member_schema() if is_member else transaction_schema()
            found = [error for _, error in schema_errors(located, schema)] if not located.errors else []
            errors += [*located.errors, *found]
            (members if is_member else lines).extend([] if located.errors or found else [located])
    by_id: dict[str, LocatedDocument] = {}
    for line_of in lines:
        earlier = by_id.setdefault(line_of.value["id"], line_of)
        if earlier is not line_of:
            problem = f"{shown(line_of.value['id'])} is taken by line {earlier.position(()).line}"
            errors.append(line_of.error(("id",), problem, "write another"))
    if not errors:
        errors += [error for line_of in lines for error in _check(line_of, by_id, programme)]
        errors += [error for line_of in members for error in check_member(line_of, programme)]
        errors += _check_accounts(lines, programme)
    if errors:
        return TransactionFile(transactions=(), errors=tuple(sorted(errors, key=lambda error: error.line)))
    transactions = tuple(_transaction(line_of, by_id, programme) for line_of in lines)
    return TransactionFile(transactions=transactions, errors=(), facts=facts_of(members))


def _located(text: str, source: str, number: int) -> LocatedDocument:
    """Read one line; every error in it stands at its first column, under the path of what is wrong."""
    problem = f"is longer than {MAX_LINE_CHARACTERS} characters" if len(text) > MAX_LINE_CHARACTERS else ""
    value: Any = None
    twice: list[str] = []

    def paired(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        twice.extend(key for index, key in enumerate(keys) if key in keys[:index])
        return dict(pairs)

    if not problem:
        try:
            value = json.loads(text, parse_float=Decimal, parse_constant=Decimal, object_pairs_hook=paired)
        except json.JSONDecodeError as error:
            problem = f"is not JSON: {error.msg} in column {error.colno}"
        except RecursionError:
            problem = "nests too deeply"
    if twice:
        problem = f"has the key {shown(twice[0])} twice"
    document = LocatedDocument(source=source, value=value, values_at={(): Position(line=number, column=1)})
    if not problem:
        return document
    refused = document.error((), problem, "write one JSON object in one line")
    return replace(document, errors=(refused,))


def _check(
    line: LocatedDocument, by_id: Mapping[str, LocatedDocument], programme: Programme
) -> Iterator[DocumentError]:
    """Yield what is wrong with a line that the schema cannot say."""
    value = line.value
    for key, types in _ONLY_FOR.items():
        if key in value and value["type"] not in types:
            expected = f"remove it; only {choice(sorted(types))} takes it"
            yield line.error((key,), f"means nothing for {value['type']!r}", expected)
    known = {"product": programme.products, "partner": programme.partners}
    for key, entries in known.items():
        if key in value and value[key] not in entries:
            hint = f"{did_you_mean(value[key], entries)}write the identifier of one of the programme's {key}s"
            yield line.error((key,), f"{shown(value[key])} is no {key}", hint)
    yield from _check_merchant(line, programme)
    yield from _check_money(line)
    yield from _check_original(line, by_id)
    try:
        _moment(value["at"])
    except (ValueError, OverflowError):
        yield line.error(("at",), f"{shown(value['at'])} is no such time", "write a date and time of the calendar")


def _moment(text: str) -> tuple[datetime, date]:
    """Return an instant in UTC, and its date where it was written."""
    local = datetime.fromisoformat(text.upper())
    return local.astimezone(UTC), local.date()


def _check_merchant(line: LocatedDocument, programme: Programme) -> Iterator[DocumentError]:
    partner = line.get("partner")
    if partner is not None and any(key in line.value for key in ("acquirer", "acceptor", "terminal", "mcc")):
        expected = "write either partner, or acquirer, acceptor, terminal and mcc"
        yield line.error(("partner",), "stands beside a merchant's own fields", expected)
    elif partner in programme.partners and _merchant_of(programme, partner) is None:
        yield line.error(("partner",), f"{partner!r} has no line in the merchant file", "add one, or name another")
    dialect, product = line.get("dialect"), programme.products.get(line.value["product"])
    if dialect is not None and product is not None:
        dialects = [link.dialect for link in programme.links if link.bank == product.bank]
        if dialect not in dialects:
            problem = f"{shown(dialect)} is no link of {product.bank!r}"
            yield line.error(("dialect",), problem, f"write {choice(dialects)}")


def _merchant_of(programme: Programme, partner: str) -> Merchant | None:
    return next(
        (line for lines in programme.merchants.values() for line in lines if line.partner == partner),
        None,
    )


def _check_money(line: LocatedDocument) -> Iterator[DocumentError]:
    for amount_key, currency_key in (("amount", "currency"), ("billing_amount", "billing_currency")):
        amount, currency = line.get(amount_key), line.get(currency_key)
        if currency is None:
            continue
        if currency not in CURRENCIES:
            expected = "write an ISO 4217 letter code such as EUR"
            yield line.error((currency_key,), f"{shown(currency)} is no currency", expected)
        elif amount_key == "amount":
            yield from _check_parts(line, amount, currency)
        if currency in CURRENCIES and not _fits(amount, currency):
            problem = f"{shown(amount)} is no whole number of the minor unit of {currency}"
            yield line.error((amount_key,), problem, f"write at most {exponent(currency)} decimals")


def _check_parts(line: LocatedDocument, amount: str, currency: str) -> Iterator[DocumentError]:
    """Check that what is not for goods is a part of the amount."""
    stated = [key for key in _PARTS if key in line.value]
    for key in stated:
        if not _fits(line.value[key], currency):
            problem = f"{shown(line.value[key])} is no whole number of the minor unit of {currency}"
            yield line.error((key,), problem, f"write at most {exponent(currency)} decimals")
    if stated and sum(Decimal(line.value[key]) for key in stated) > Decimal(amount):
        yield line.error((stated[0],), f"is more than the amount of {shown(amount)}", "write a part of it")


def _fits(amount: str, currency: str) -> bool:
    return Decimal(amount).scaleb(exponent(currency)) % 1 == 0


def _check_original(line: LocatedDocument, by_id: Mapping[str, LocatedDocument]) -> Iterator[DocumentError]:
    """Check the references to other lines, which may also stand later: messages overtake each other."""
    value = line.value
    for key in ("purchase", "original"):
        if key in value and value[key] not in by_id:
            hint = f"{did_you_mean(value[key], by_id)}write the id of another line"
            yield line.error((key,), f"no line has the id {shown(value[key])}", hint)
        elif key in value and by_id[value[key]].value["account"] != value["account"]:
            yield line.error((key,), f"{shown(value[key])} is of another account", "write the id of a line of this one")
    beginning = by_id.get(value.get("purchase"))
    if beginning is not None and _root(beginning.value) != beginning.value["id"]:
        root = _root(beginning.value)
        yield line.error(("purchase",), f"{shown(value['purchase'])} begins no purchase", f"write {root!r}")
    original = by_id.get(value.get("original"))
    undoes = _REFERS_TO.get(value["type"])
    if original is not None and undoes is not None:
        if original.value["type"] not in undoes:
            problem = f"{shown(value['original'])} is of type {original.value['type']!r}"
            yield line.error(("original",), problem, f"name a line of type {choice(sorted(undoes))}")
        elif "remaining" in value and not _fits(value["remaining"], original.value["currency"]):
            currency = original.value["currency"]
            problem = f"{shown(value['remaining'])} is no whole number of the minor unit of {currency}"
            yield line.error(("remaining",), problem, f"write at most {exponent(currency)} decimals")


def _root(value: Mapping[str, Any]) -> str:
    """Return the id of the transaction that began a line's purchase, as the line itself states it."""
    root: str = value.get("purchase") or value.get("original") or value["id"]
    return root


def _decides(value: Mapping[str, Any]) -> bool:
    """Tell whether a line is a host's decision on a request of the file."""
    return value["type"] == TransactionType.AUTHORIZATION and "original" in value


def _trace(value: Mapping[str, Any]) -> str:
    trace: str = value["original"] if _decides(value) else value["id"]
    return trace


def _check_accounts(lines: Sequence[LocatedDocument], programme: Programme) -> Iterator[DocumentError]:
    """Check that an account stays with one bank."""
    first: dict[str, tuple[str, int]] = {}
    for line in lines:
        product = programme.products.get(line.value["product"])
        if product is None:
            continue
        bank, number = first.setdefault(line.value["account"], (product.bank, line.position(()).line))
        if bank != product.bank:
            problem = f"{shown(product.id)} is of bank {product.bank!r}, and line {number} has the account at {bank!r}"
            yield line.error(("product",), problem, "use another account")


def _transaction(line: LocatedDocument, by_id: Mapping[str, LocatedDocument], programme: Programme) -> Transaction:
    value = line.value
    original = by_id[value["original"]].value if "original" in value else None
    at, local_date = _moment(value["at"])
    merchant = _merchant_of(programme, value["partner"]) if "partner" in value else None
    paid = value if original is None or _decides(value) else original
    refund = value["type"] == TransactionType.REFUND
    return Transaction(
        line=line.position(()).line,
        id=value["id"],
        type=TransactionType(value["type"]),
        at=at,
        local_date=local_date,
        account=value["account"],
        product=value["product"],
        purchase=_root(original or value),
        original=value.get("original"),
        trace=_trace(value),
        original_trace=_trace(original) if original is not None and not _decides(value) else None,
        amount=_money(paid["amount"], paid["currency"]) if "amount" in paid else None,
        billing=_money(paid["billing_amount"], paid["billing_currency"]) if "billing_amount" in paid else None,
        remaining=_money(value["remaining"], paid["currency"]) if "remaining" in value else None,
        acquirer=merchant.acquirer if merchant else value.get("acquirer", ""),
        acceptor=merchant.acceptor if merchant else value.get("acceptor", ""),
        terminal=(merchant.terminal or "") if merchant else value.get("terminal", ""),
        mcc=(merchant.mcc or "") if merchant else value.get("mcc", ""),
        processing_code=value.get("processing_code", "20" if refund else "00"),
        approved=value.get("approved", True),
        dialect=value.get("dialect"),
        part=(value["part"][0], value["part"][1]) if "part" in value else None,
        local_time=value["at"][11:13] + value["at"][14:16],
        channel=value.get("channel", ""),
        country=value.get("country", ""),
        rules=tuple(value.get("rules", ())),
        taken_off=tuple(
            (part, _money(paid[key], paid["currency"]).amount_minor) for key, part in _PARTS.items() if key in paid
        ),
        card=value.get("card", ""),
        product_codes=tuple(sorted(value.get("product_codes", ()))),
    )


def _money(amount: str, currency: str) -> Money:
    return Money(amount_minor=int(Decimal(amount).scaleb(exponent(currency))), currency=currency)
