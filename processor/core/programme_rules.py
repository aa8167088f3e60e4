"""What must hold between the rules of a programme document: what they multiply, exclude and add, and what they may not.

It refuses contradictions before they run: a group that never decides, a multiplier of what has no rate.
"""

from collections.abc import Iterator
from decimal import Decimal

from processor.core.located_document import DocumentError, LocatedDocument, Path, did_you_mean, shown
from processor.core.money import exponent

Errors = Iterator[DocumentError]


def check_rules(document: LocatedDocument, currencies: frozenset[str]) -> Errors:
    """Yield what is wrong between the rules of a document; ``currencies`` are those that exist."""
    earning = {document.get(*path, "id"): path for path in document.entries("earning")}
    yield from _check_multipliers(document, earning)
    yield from _check_groups(document, earning)
    yield from _check_fixed(document, currencies)


def _check_multipliers(document: LocatedDocument, earning: dict[str, Path]) -> Errors:
    for rule in document.entries("earning"):
        by = document.get(*rule, "multiply", "by")
        if by is not None and Decimal(by) <= 1:
            problem = f"is {shown(by)}, which adds nothing"
            yield document.error((*rule, "multiply", "by"), problem, "write a factor over 1, such as 2")
        for item in document.entries(*rule, "multiply", "rules"):
            named = document.get(*item)
            if named is None:
                continue
            if named not in earning:
                hint = f"{did_you_mean(named, earning)}write the identifier of an earning rule with a rate"
                yield document.error(item, f"{shown(named)} is no earning rule", hint)
            elif document.get(*earning[named], "rate") is None and (*earning[named], "rate") not in document.broken:
                yield document.error(item, f"{shown(named)} has no rate to multiply", "name rules that have one")


def _check_groups(document: LocatedDocument, earning: dict[str, Path]) -> Errors:
    groups = {document.get(*path, "id"): path for path in document.entries("exclusive")}
    members: dict[str, list[Path]] = {}
    for rule in (*document.entries("earning"), *document.entries("discounts")):
        group = document.get(*rule, "exclusive")
        if group is not None and group not in groups:
            hint = f"{did_you_mean(group, groups)}write the identifier of a group under exclusive"
            yield document.error((*rule, "exclusive"), f"{shown(group)} is no group", hint)
        elif group is not None:
            members.setdefault(group, []).append(rule)
    for group, path in groups.items():
        rules = members.get(group, [])
        if group is not None and len(rules) < 2:
            expected = "name it under exclusive of two rules or more, or remove it"
            yield document.error((*path, "id"), f"{shown(group)} is the group of {len(rules)} rules", expected)
        for rule in rules if len(rules) > 1 else ():
            yield from _check_member(document, rule, rules, earning)


def _check_member(document: LocatedDocument, rule: Path, rules: list[Path], earning: dict[str, Path]) -> Errors:
    at, first = (*rule, "exclusive"), rules[0]
    if rule[0] != first[0]:
        problem = "is a group of earning rules, and this one gives a discount"
        yield document.error(at, problem, "put miles and money into groups of their own")
    elif rule[0] == "discounts" and document.get(*rule, "base") != document.get(*first, "base"):
        problem = "is a group whose rules have different bases, so that their discounts do not compare"
        yield document.error(at, problem, "give all rules of a group the same base")
    elif not any(_meet(document, rule, other) for other in rules if other != rule):
        problem = "is a group in which this rule never meets another: no card product and partner is common to both"
        yield document.error(at, problem, "remove it here")
    multiplied = {
        named for path in document.entries("earning") for named in document.get(*path, "multiply", "rules") or ()
    }
    has_multiplier = any(document.get(*other, "multiply") is not None for other in rules)
    identifier = document.get(*rule, "id")
    if has_multiplier and identifier in multiplied and rule == earning.get(identifier):
        problem = f"holds a multiplier, and {shown(identifier)} is multiplied itself"
        yield document.error(at, problem, "take the multiplied rule out of the group")


def _meet(document: LocatedDocument, one: Path, other: Path) -> bool:
    """Tell whether some purchase can match the partners and products of both rules."""
    for key in ("partners", "products"):
        mine, theirs = document.get(*one, key), document.get(*other, key)
        if isinstance(mine, list) and isinstance(theirs, list) and not set(mine) & set(theirs):
            return False
    return True


def _check_fixed(document: LocatedDocument, currencies: frozenset[str]) -> Errors:
    decimals = document.get("miles", "decimals")
    for rule in document.entries("earning"):
        miles = document.get(*rule, "bonus", "miles")
        if miles is not None and decimals is not None and Decimal(miles).scaleb(decimals) % 1:
            problem = f"{shown(miles)} is no whole number of the smallest mile"
            yield document.error((*rule, "bonus", "miles"), problem, f"write at most {decimals} decimals")
    for rule in document.entries("discounts"):
        for code in document.get(*rule, "amounts") or ():
            at = (*rule, "amounts", code)
            if at in document.broken:
                continue
            if code not in currencies:
                expected = "write an ISO 4217 letter code such as EUR"
                yield document.error(at, f"{shown(code)} is no currency", expected, at_key=True)
            elif Decimal(document.get(*at)).scaleb(exponent(code)) % 1:
                problem = f"{shown(document.get(*at))} is no whole number of the minor unit of {code}"
                yield document.error(at, problem, f"write at most {exponent(code)} decimals")
