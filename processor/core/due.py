"""Which day has come for a purchase on which something is posted; the pure part of ``flow/post_due.py``.

It looks at what rules have pending and at what is due of the purchase, so that an event is booked where something that
has cleared becomes due, and nowhere else.
"""

from collections.abc import Collection
from datetime import date
from typing import NamedTuple

from processor.core.clawback import gross_of
from processor.core.course import Course, course_of
from processor.core.grant import Grant
from processor.core.kept_purchase import Purchase
from processor.core.programme import Programme
from processor.core.purchase import Folded, fold
from processor.core.review import held_rules
from processor.core.ripening import due_days, expected_days, ripe_by
from processor.core.statement import LAST_DAY
from processor.core.taken_off import counting


def folded_under(programme: Programme, purchase: Purchase) -> Folded:
    """Fold a purchase as the decisions under a revision do."""
    events = counting(purchase.events, programme.parts_included) if programme.parts_included else purchase.events
    folded = fold(events, refunded=purchase.refunded, placed=purchase.placed)
    return folded._replace(course=course_of(events)) if programme.is_followed else folded


class Due(NamedTuple):
    """A day that has come for a purchase, and the clearing message that its event is about."""

    day: date
    message_id: bytes


def day_to_post(programme: Programme, purchase: Purchase, as_of: date) -> Due | None:
    """Return the latest day up to ``as_of`` on which something of a purchase is due that is not posted yet.

    It does not depend on when it is asked, save for how far, so that runs on different days find the same event.
    None where nothing is due, so that an event would change nothing.
    """
    programme = programme.of_statement_day(purchase.statement_day)
    folded = gross_of(folded_under(programme, purchase))
    course, anchor = folded.course, folded.anchor
    if course is None or anchor is None:
        return None
    through = course.due_through or date.min
    pending = {grant.rule for grant in purchase.grants if grant.pending}
    timings = {rule.timing for rule in programme.rules_behind(pending) if rule.timing is not None}
    ripe = {
        day: [ripe_by(programme, folded, timing, anchor.product, day) for timing in timings]
        for day in due_days(programme, folded, anchor.product)
        if through < day <= as_of
    }
    before = [ripe_by(programme, folded, timing, anchor.product, through) for timing in timings]
    if not ripe or ripe[max(ripe)] == before:
        return None
    day = min(day for day, amounts in ripe.items() if amounts == ripe[max(ripe)])
    return Due(day, course.cleared[0].message_id)


def waiting_for_release(programme: Programme, purchase: Purchase, rules: Collection[str]) -> tuple[bytes, ...]:
    """Return the clearing messages of which something waits for operations to release it.

    ``rules`` are those that are asked about, none meaning all.
    Where something is held for review, the purchase's first message stands for it.
    """
    course = folded_under(programme, purchase).course or Course()
    pending = _pending_rules(programme, purchase)
    asked = [rule for rule in programme.rules if rule.id in pending and (not rules or rule.id in rules)]
    waiting = [rule for rule in asked if rule.timing and rule.timing.is_on_release]
    cleared = [
        part.message_id
        for part in course.cleared
        if any(rule.timing and not course.is_due(part, rule.timing, rule.id, LAST_DAY) for rule in waiting)
    ]
    return tuple(dict.fromkeys([*cleared, *held_for_review(purchase, rules)]))


def _pending_rules(programme: Programme, purchase: Purchase) -> set[str]:
    """Return the rules of which a purchase has something pending; a multiplier's waits with what it multiplies."""
    pending = {grant.rule for grant in purchase.grants if grant.pending}
    multiplied = [rule.multiplication.rules for rule in programme.rules if rule.multiplication and rule.id in pending]
    return pending.union(*multiplied)


def held_for_review(purchase: Purchase, rules: Collection[str]) -> tuple[bytes, ...]:
    """Return the message that stands for what is held of a purchase for review under some rules, none meaning all."""
    if not held_rules(purchase.grants, purchase.events, rules):
        return ()
    return (min(purchase.events, key=lambda event: event.order).message_id,)


class _Weighed(NamedTuple):
    rule: str
    grant: Grant


def expected_in(programme: Programme, purchase: Purchase) -> dict[str, date]:
    """Return the day on which what each rule has pending for a purchase is expected to be posted."""
    weighed = [_Weighed(grant.rule, grant) for grant in purchase.grants]
    programme = programme.of_statement_day(purchase.statement_day)
    held = held_rules(purchase.grants, purchase.events)
    return expected_days(programme, folded_under(programme, purchase), weighed, held)
