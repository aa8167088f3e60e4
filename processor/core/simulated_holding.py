"""What simulated accounts hold of soft rewards: booked when their messages are sent, as the service books at once."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from processor.core.decision import Decision
from processor.core.event import Event
from processor.core.held import Entry, first_second, held_facts
from processor.core.kept_purchase import Purchase
from processor.core.person import Fact
from processor.core.programme import Programme
from processor.core.rule import Benefit


def held_in(
    booked: Collection[Entry], revisions: Sequence[Programme], purchase: Purchase, event: Event
) -> tuple[Fact, ...]:
    """Return what an account held of the soft rewards that rules ask for, since a purchase or its new event."""
    units = {unit for programme in revisions if programme.asked is not None for unit in programme.asked.held}
    if not units:
        return ()
    return held_facts(booked, units, since=min([event.at, *(entry.at for entry in purchase.events)]))


def bookings_of(decision: Decision, at: datetime) -> Iterator[Entry]:
    """Yield what a decision changes of the soft rewards that an account has."""
    day = decision.purchase.occurred_on
    for award in decision.awards:
        change = award.available_change
        if day is None or award.benefit is not Benefit.REWARD or not decision.programme.has(award.rule):
            continue
        rule = decision.programme.rule(award.rule)
        cycle = "" if rule.tally is None else "/".join(rule.tally.counter(rule.id, day))
        last_day = rule.validity.last_day(day)
        unit, first = award.grant.unit, first_second(at.timestamp())
        yield Entry(first, decision.purchase.id, rule.id, unit, change, 0, last_day, cycle)
