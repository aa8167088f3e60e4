"""What an explanation says of tiers: what a purchase counts towards them, and which it gave or took."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from processor.core.cap import CapPeriod
from processor.core.money import Rounding, divide
from processor.core.programme import Programme
from processor.core.qualification import Measure, Qualifying
from processor.flow.explain_amounts import money, units
from processor.flow.stored_tiers import moved_from_data, tiers_from_data

_IN_ALL: Final = "in all"


def tier_sentences(programme: Programme, detail: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a purchase counts towards tiers, and what that gave or took."""
    measures = {measure.counter: measure for measure in programme.measures}
    for moved in moved_from_data(detail):
        measure = measures.get(moved.counter)
        if measure is None:
            continue
        counts, stood, stands = (
            progress_text(programme, measure, progress)
            for progress in (moved.now, moved.stood, moved.stood - moved.before + moved.now)
        )
        when = _when(measure, moved.period)
        yield f"It counts {counts} towards tiers {when}, which stood at {stood} and stand at {stands} now."
    for change in tiers_from_data(detail):
        tier, since = change.reached.tier, _instant(change.since)
        name = f"{programme.tiers.get(tier, tier)} ({tier})"
        measure = measures.get(change.counter)
        why = f"revision {change.reached.revision} asks for more than there is"
        if measure is not None:
            least, stands = (progress_text(programme, measure, each) for each in (change.least, change.stands))
            when = _when(measure, change.reached.period)
            why = f"revision {change.reached.revision} asks for {least} {when}, and there are {stands}"
        if change.reached.after:
            after = change.reached.after
            if change.holds and change.until is not None:
                ends = f"from {since} until {_instant(change.until)}"
                yield f"Where tier {programme.tiers.get(after, after)} ({after}) runs out, tier {name} follows {ends}."
        elif change.holds:
            until = "for good" if change.until is None else f"until {_instant(change.until)}"
            yield f"With it the member reached tier {name}: {why}; it is in force from {since} {until}."
        else:
            yield f"It took tier {name} back from {since} on: {why}."


def progress_text(programme: Programme, measure: Measure, progress: int) -> str:
    """Return progress as people write it; amounts in several currencies as what they come to in the first."""
    if measure.counts is Qualifying.MILES:
        return units(programme, progress, programme.unit)
    if measure.counts is Qualifying.PURCHASES:
        return f"{progress:,} {'purchase' if progress == 1 else 'purchases'}"
    currency, scale = next(iter(measure.scale.items()))
    amount = money(divide(progress, scale, Rounding.DOWN), currency)
    return amount if len(measure.scale) == 1 else f"{amount} (other currencies counted in)"


def _when(measure: Measure, period: str) -> str:
    return _IN_ALL if measure.period is CapPeriod.LIFETIME else f"in {period}"


def _instant(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def last_day(programme: Programme, detail: Mapping[str, Any], until: int) -> date:
    """Return the last whole day before a moment, where the bank of the stored card product is."""
    product = programme.products.get(detail["inputs"].get("product", ""))
    calendar = programme.calendars.get(product.bank) if product else None
    zone = calendar.time_zone if calendar else UTC
    return (datetime.fromtimestamp(until, UTC).astimezone(zone) - timedelta(seconds=1)).date()
