"""What must hold between the rules of a programme document: what they multiply, exclude and add, and what they may not.

It refuses contradictions before they run: a group that never decides, a multiplier of what has no rate.
"""

from collections.abc import Iterator
from decimal import Decimal

from processor.core.located_document import DocumentError, LocatedDocument, Path, shown
from processor.core.programme_overlap import apart_in, outdone_in

Errors = Iterator[DocumentError]


def check_rules(document: LocatedDocument) -> Errors:
    """Yield what is wrong between the rules of a document; that they name what exists is looked at elsewhere."""
    earning = {document.get(*path, "id"): path for path in document.entries("earning")}
    yield from _check_multipliers(document, earning)
    yield from _check_groups(document, earning)


def _check_multipliers(document: LocatedDocument, earning: dict[str, Path]) -> Errors:
    for rule in document.entries("earning"):
        by = document.get(*rule, "multiply", "by")
        if by is not None and Decimal(by) <= 1:
            problem = f"is {shown(by)}, which adds nothing"
            yield document.error((*rule, "multiply", "by"), problem, "write a factor over 1, such as 2")
        for item in document.entries(*rule, "multiply", "rules"):
            at = earning.get(document.get(*item))
            if at is not None and document.get(*at, "rate") is None and (*at, "rate") not in document.broken:
                problem = f"{shown(document.get(*item))} has no rate to multiply"
                yield document.error(item, problem, "name rules that have one")


def _check_groups(document: LocatedDocument, earning: dict[str, Path]) -> Errors:
    members: dict[str, list[Path]] = {}
    for rule in (*document.entries("earning"), *document.entries("discounts")):
        members.setdefault(document.get(*rule, "exclusive"), []).append(rule)
    for path in document.entries("exclusive"):
        group = document.get(*path, "id")
        rules = members.get(group, [])
        if group is not None and len(rules) < 2:
            expected = "name it under exclusive of two rules or more, or remove it"
            yield document.error((*path, "id"), f"{shown(group)} is the group of {len(rules)} rules", expected)
        for rule in rules if group is not None and len(rules) > 1 else ():
            yield from _check_member(document, rule, rules, earning, document.get(*path, "best"))


def _check_member(
    document: LocatedDocument, rule: Path, rules: list[Path], earning: dict[str, Path], best: str | None
) -> Errors:
    at, first = (*rule, "exclusive"), rules[0]
    if rule[0] != first[0]:
        problem = "is a group of earning rules, and this one gives a discount"
        yield document.error(at, problem, "put miles and money into groups of their own")
    elif rule[0] == "discounts" and document.get(*rule, "base") != document.get(*first, "base"):
        problem = "is a group whose rules have different bases, so that their discounts do not compare"
        yield document.error(at, problem, "give all rules of a group the same base")
    else:
        apart = [apart_in(document, rule, other) for other in rules if other != rule]
        if None not in apart:
            reasons = " or ".join(dict.fromkeys(what for what in apart if what is not None))
            problem = f"is a group in which this rule never meets another: no {reasons} is common to both"
            yield document.error(at, problem, "remove it here, or let the conditions of its rules overlap")
        elif (outdone := outdone_in(document, rule, rules, best)) is not None:
            problem = f"is a group in which this rule never counts: {outdone}"
            yield document.error(at, problem, "remove the rule, or let the other one apply to less")
    multiplied = {
        named for path in document.entries("earning") for named in document.get(*path, "multiply", "rules") or ()
    }
    has_multiplier = any(document.get(*other, "multiply") is not None for other in rules)
    identifier = document.get(*rule, "id")
    if has_multiplier and identifier in multiplied and rule == earning.get(identifier):
        problem = f"holds a multiplier, and {shown(identifier)} is multiplied itself"
        yield document.error(at, problem, "take the multiplied rule out of the group")
