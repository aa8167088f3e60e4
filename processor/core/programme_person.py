"""Who a rule is for, as a programme document writes it: compiled, and checked where the schema cannot.

It reads the keys ``tiers`` and ``segments`` of the document, and those under ``when`` that are about the member.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from processor.core.expressed_member import words_named
from processor.core.expression import Expression
from processor.core.located_document import DocumentError, LocatedDocument, Path, did_you_mean, shown, with_article
from processor.core.person import Age, Person
from processor.core.rule_sections import rules_of

Errors = Iterator[DocumentError]

_SHORTEST_MONTH: Final = 28
_LONGEST_MONTH: Final = 31
_KEYS: Final = frozenset({"tiers", "tier_from", "segments", "member_for", "birthday", "opted_in", "listed", "holds"})


def compile_person(rule: Mapping[str, Any]) -> Person | None:
    """Return who a rule that was checked is for, None where it is for everybody."""
    when = rule.get("when", {})
    if not _KEYS & when.keys():
        return None
    birthday = when.get("birthday")
    return Person(
        tiers=frozenset(when.get("tiers", ())),
        tier_from=when.get("tier_from", ""),
        segments=frozenset(when.get("segments", ())),
        member_for=Age(**when["member_for"]) if "member_for" in when else None,
        birthday=None if birthday is None else (birthday.get("days_before", 0), birthday.get("days_after", 0)),
        opted_in=rule["id"] if when.get("opted_in") else "",
        listed=rule["id"] if when.get("listed") else "",
        holds=frozenset(when.get("holds", ())),
    )


def check_person(document: LocatedDocument) -> Errors:
    """Yield what is wrong with tiers and segments, and with what rules ask of members."""
    declared = {key: _declared(document, key) for key in ("tiers", "segments")}
    for key in declared:
        yield from _check_ids(document, key)
    rewards = _declared(document, "entitlements")
    for rule in rules_of(document):
        when = (*rule, "when")
        for item in document.entries(*when, "tiers"):
            yield from _check_named(document, item, "tier", declared["tiers"])
        for item in document.entries(*when, "segments"):
            yield from _check_named(document, item, "segment", declared["segments"])
        yield from _check_named(document, (*when, "tier_from"), "tier", declared["tiers"])
        for item in document.entries(*when, "holds"):
            yield from _check_named(document, item, "entitlement", rewards)
        yield from _check_holds(document, rule)
        yield from _check_tiers(document, when, declared["tiers"])
        yield from _check_age(document, (*when, "member_for"))
        for key in ("opted_in", "listed"):
            if document.get(*when, key) is False:
                yield document.error((*when, key), "is false, which asks for nothing", "write true, or remove it")


def check_expressed(document: LocatedDocument, at: Path, expression: Expression) -> Errors:
    """Yield what an expression asks of members that no member can have: a tier or a segment that is not declared."""
    declared = {"tier": _declared(document, "tiers"), "segment": _declared(document, "segments")}
    for what, fields in (("tier", ("tier", "reached")), ("segment", ("segments",))):
        for name in [name for name in fields if name in expression.member and not declared[what]]:
            problem = f"reads member.{name}, and the document declares no {what}s"
            yield document.error(at, problem, f"declare {what}s, or leave it out")
    for what, word in words_named(expression.source):
        if declared[what] and word not in declared[what]:
            hint = f"{did_you_mean(word, declared[what])}write the identifier of {with_article(what)} of this document"
            yield document.error(at, f"{shown(word)} is no {what}", hint)


def tiers_of(document: LocatedDocument, rule: Path) -> frozenset[str] | None:
    """Return the tiers whose members a rule is for, None where it does not ask for one."""
    named, lowest = document.get(*rule, "when", "tiers"), document.get(*rule, "when", "tier_from")
    declared = _declared(document, "tiers")
    if isinstance(named, list):
        return frozenset(named)
    return frozenset(declared[declared.index(lowest) :]) if lowest in declared else None


def _declared(document: LocatedDocument, key: str) -> list[str]:
    stated = [document.get(*path, "id") for path in document.entries(key)]
    return [identifier for identifier in stated if isinstance(identifier, str)]


def _check_ids(document: LocatedDocument, key: str) -> Errors:
    first: dict[str, Path] = {}
    for path in document.entries(key):
        at, identifier = (*path, "id"), document.get(*path, "id")
        earlier = first.setdefault(identifier, at)
        if identifier is not None and earlier != at:
            problem = f"{shown(identifier)} is taken by line {document.position(earlier).line}"
            yield document.error(at, problem, "write another identifier")


def _check_named(document: LocatedDocument, at: Path, what: str, declared: list[str]) -> Errors:
    word = document.get(*at)
    if word is not None and word not in declared:
        hint = f"{did_you_mean(word, declared)}write the identifier of {with_article(what)} of this document"
        yield document.error(at, f"{shown(word)} is no {what}", hint)


def _check_tiers(document: LocatedDocument, when: Path, declared: list[str]) -> Errors:
    """Refuse what every member meets, and two ways to say the same."""
    named, lowest = document.get(*when, "tiers"), document.get(*when, "tier_from")
    if named is not None and lowest is not None:
        problem, expected = "stands beside tiers", "write either tiers or tier_from"
        yield document.error((*when, "tier_from"), problem, expected, at_key=True)
    elif named is not None and declared and set(declared) <= set(named):
        problem = "names every tier, and each member has one of them"
        yield document.error((*when, "tiers"), problem, "remove it, or leave a tier out", at_key=True)
    elif lowest is not None and declared[:1] == [lowest]:
        problem = f"{shown(lowest)} is the lowest tier, which every member has at least"
        yield document.error((*when, "tier_from"), problem, "remove it, or write a higher tier")


def _check_holds(document: LocatedDocument, rule: Path) -> Errors:
    """Refuse a reward for those who hold it already, where nothing else gives it: nobody would ever begin."""
    given, at = document.get(*rule, "entitlement"), (*rule, "when", "holds")
    if given is None or document.get(*at) != [given]:
        return
    others = [other for other in document.entries("rewards") if document.get(*other, "entitlement") == given]
    if all(document.get(*other, "when", "holds") == [given] for other in others):
        problem = f"asks for {shown(given)}, which only rules for its holders give, so that nobody ever has it"
        yield document.error(at, problem, "give it by a rule for others, or ask for something else")


def _check_age(document: LocatedDocument, at: Path) -> Errors:
    """Refuse two ways to say the same end, and ends between which no membership lies, whatever its months are."""
    for end in ("at_least", "less_than"):
        if all(document.get(*at, f"{end}_{unit}") is not None for unit in ("days", "months")):
            problem, expected = f"has {end} in days and in months", "write one of the two"
            yield document.error((*at, f"{end}_months"), problem, expected, at_key=True)
            return
    for at_least, shortest in (("at_least_days", 1), ("at_least_months", _SHORTEST_MONTH)):
        for less_than, longest in (("less_than_days", 1), ("less_than_months", _LONGEST_MONTH)):
            least, most = document.get(*at, at_least), document.get(*at, less_than)
            if least is None or most is None:
                continue
            same = at_least.removeprefix("at_least") == less_than.removeprefix("less_than")
            if (least >= most) if same else (least * shortest >= most * longest):
                problem = f"is {most}, and {at_least} is {least}: no membership is as old"
                yield document.error((*at, less_than), problem, f"write more than {at_least} asks for")
