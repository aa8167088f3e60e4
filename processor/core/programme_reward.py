"""What a programme document says of soft rewards and fees: compiled, and checked where the schema cannot.

It reads ``entitlements``, ``rewards``, ``fees`` and the caps that count rewards.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from processor.core.located_document import DocumentError, LocatedDocument, Path, shown
from processor.core.money import exponent
from processor.core.reward import Price, SoftReward, Validity

Errors = Iterator[DocumentError]


def compile_reward(entry: Mapping[str, Any]) -> SoftReward:
    """Return a soft reward that was checked."""
    price = entry.get("price")
    return SoftReward(
        id=entry["id"],
        name=entry["name"],
        counted=entry["kind"] == "counted",
        price=None if price is None else _price(price),
    )


def _price(entry: Mapping[str, Any]) -> Price:
    amount_minor = int(Decimal(entry["amount"]) * 10 ** exponent(entry["currency"]))
    return Price(amount_minor=amount_minor, currency=entry["currency"])


def compile_validity(valid: Mapping[str, Any] | str | None) -> Validity:
    """Return how long a reward is valid; for ever where nothing is stated."""
    if valid is None:
        return Validity()
    if isinstance(valid, str):
        return Validity(end_of_year=True)
    until = valid.get("until")
    return Validity(days=valid.get("days"), until=None if until is None else date.fromisoformat(until))


def check_rewards(document: LocatedDocument) -> Errors:
    """Yield what is wrong with soft rewards, the rules that give them, and fees."""
    kinds = {document.get(*path, "id"): document.get(*path, "kind") for path in document.entries("entitlements")}
    given = {document.get(*rule, "entitlement") for rule in document.entries("rewards")}
    for path in document.entries("entitlements"):
        identifier = document.get(*path, "id")
        if identifier is not None and identifier not in given:
            problem = f"{shown(identifier)} is given by no rule"
            yield document.error((*path, "id"), problem, "name it under entitlement of a reward, or remove it")
    for rule in document.entries("rewards"):
        yield from _check_rule(document, rule, kinds)
    for rule in document.entries("fees"):
        if document.get(*rule, "partners") == "all":
            problem = "is all, and every purchase would be a fee"
            yield document.error((*rule, "partners"), problem, "name the partner at which the bank bills the fee")
    yield from _check_caps(document)


def _check_rule(document: LocatedDocument, rule: Path, kinds: Mapping[str, str]) -> Errors:
    count = document.get(*rule, "count")
    if count is not None and kinds.get(document.get(*rule, "entitlement")) == "status":
        problem = f"counts {shown(document.get(*rule, 'entitlement'))}, which is a status and is held or not"
        yield document.error((*rule, "count"), problem, "remove it, or write kind: counted", at_key=True)
    until = document.get(*rule, "valid", "until") if isinstance(document.get(*rule, "valid"), dict) else None
    if until is not None:
        try:
            date.fromisoformat(until)
        except ValueError:
            yield document.error(
                (*rule, "valid", "until"), f"{shown(until)} is no such day", "write a day of the calendar"
            )


def _check_caps(document: LocatedDocument) -> Errors:
    """Let a cap that counts limit reward rules alone, and leave room for one grant of each."""
    counts = {document.get(*rule, "id"): document.get(*rule, "count") or 1 for rule in document.entries("rewards")}
    fees = {document.get(*rule, "id") for rule in document.entries("fees")}
    for cap in document.entries("caps"):
        limit = document.get(*cap, "count")
        for item in document.entries(*cap, "rules"):
            named = document.get(*item)
            if named in fees:
                yield document.error(item, f"{shown(named)} is a fee, and gives nothing to cap", "remove it here")
            elif limit is None and named in counts:
                problem = f"{shown(named)} gives a reward, and the cap counts none"
                yield document.error(item, problem, "write count, or name other rules")
            elif limit is not None and named is not None and named not in counts:
                problem = f"{shown(named)} gives no reward, and the cap counts rewards"
                yield document.error(item, problem, "name reward rules, or write miles or amount")
            elif limit is not None and named in counts and limit < counts[named]:
                problem = f"{shown(limit)} is less than what {shown(named)} gives, which is {shown(counts[named])}"
                yield document.error((*cap, "count"), problem, f"write {counts[named]} or more")
