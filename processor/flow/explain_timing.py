"""An explanation's sentences about when miles are posted: what is due of what has cleared, and when the rest is."""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from processor.core.clawback import given_back
from processor.core.programme import Programme
from processor.core.purchase import Folded
from processor.core.rule import Clawback, Rule
from processor.core.timing import Moment, Timing


def timing_sentences(programme: Programme, detail: Mapping[str, Any], folded: Folded) -> Iterator[str]:
    """Yield when the rules that were weighed post what has cleared, and when what they have pending is expected."""
    through = detail["inputs"].get("course", {}).get("due_through")
    if through is not None:
        yield f"What is due up to {through} is posted."
    rules = {rule.id: rule for rule in programme.rules}
    for rule_id, *_ in detail.get("considered", ()):
        if rule_id in rules and rules[rule_id].clawback is Clawback.PROPORTIONAL:
            back = _part(given_back(folded, rules[rule_id].base).of_whole)
            yield f"Rule {rule_id} takes back in proportion: {back} of what was bought was given back."
    expected = {} if detail.get("quote") else detail.get("expected", {})
    for rule_id, _, _, granted, available, *_ in detail.get("considered", ()):
        rule = rules.get(rule_id)
        if rule is not None and granted != available:
            yield from _pending(rule, expected.get(rule_id))


def _pending(rule: Rule, expected: str | None) -> Iterator[str]:
    """Yield why something of a rule is pending, and when it is expected to be posted."""
    if rule.timing is not None:
        yield f"Rule {rule.id} posts {_moment(rule.timing)}."
    if expected is not None:
        yield f"What rule {rule.id} has pending is expected to be posted on {expected}."


def _part(part: Fraction) -> str:
    return "nothing" if not part else "all" if part == 1 else f"{part.numerator}/{part.denominator}"


def _moment(timing: Timing) -> str:
    if timing.moment is Moment.AFTER_DAYS:
        return f"what has cleared {timing.days} days later"
    if timing.moment is Moment.STATEMENT:
        return "what has cleared on the card's next statement date"
    return "what has cleared once operations release it"
