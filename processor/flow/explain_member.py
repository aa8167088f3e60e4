"""An explanation in a member's words: what the purchase gives, what reduced it and by how much, and when it is theirs.

No identifier and no word of ours stands in it: amounts carry the name of their currency or unit, days are written out.
It says the same as the sentences for operations, from the same stored inputs, and decides nothing.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final

from iso4217 import Currency

from processor.core.cap import CapHolder, CapPeriod
from processor.core.money import decimal_amount
from processor.core.outcome import Reason
from processor.core.programme import Programme
from processor.core.reward import is_reward
from processor.core.rule import Best
from processor.flow.explain_tier_change import last_day
from processor.flow.recomputed import Considered, Recomputed
from processor.flow.stored_tiers import tiers_from_data

WHY_TO_MEMBER: Final[Mapping[Reason, str]] = {
    Reason.EARNED: "This purchase counts.",
    Reason.NETWORK_MANAGEMENT: "This is not a purchase, so there is nothing to earn.",
    Reason.QUOTED: "The payment was still being asked for; this is what it would give once it goes through.",
    Reason.TAKEN_BACK: "The purchase was given back, or came to less than it was first, so that less is due for it.",
    Reason.DECLINED: "The payment was declined, so there is nothing to earn.",
    Reason.UNDECIDED: "Your bank has not said yet whether the payment went through; it earns once that is known.",
    Reason.ACKNOWLEDGED: "This only confirms an earlier step of the payment and changes nothing.",
    Reason.REVERSED: "The purchase was given back as a whole, so there is nothing to earn.",
    Reason.EXCLUDED: "Payments of this kind, such as cash or betting, do not earn.",
    Reason.ZERO_AMOUNT: "Nothing was paid: this only checked your card.",
    Reason.NO_RULE: "No offer covers this purchase.",
    Reason.CAP_REACHED: "You have already been given all that can be given.",
    Reason.CURRENCY_NOT_RATED: "The offers that cover this purchase do not cover the currency you paid in.",
    Reason.BELOW_ONE_UNIT: "The amount was too small to earn anything.",
    Reason.UNCHANGED: "You were given everything for this purchase before.",
    Reason.AWAITING_ORIGINAL: "This belongs to a payment that has not reached us yet; it counts once that has.",
    Reason.EXPIRED: "The shop never collected this payment, so what was expected for it is taken off.",
    Reason.ESTIMATED: "The final amount is not known yet; the purchase earns once it is.",
    Reason.NO_PURCHASE: "This is a fee or a note, not a purchase, so there is nothing to earn.",
    Reason.CHARGED_BACK: "The payment is in dispute; it earns once that is settled in the shop's favour.",
    Reason.LINKED: "Two entries were found to be, or not to be, one purchase; what you earn did not change.",
    Reason.NOT_LOWERED: "There is a discount at the till, and the till did not say that it gave it.",
    Reason.UNKNOWN_CARD: "The programme does not know your card yet; the purchase counts once your bank has named it.",
    Reason.TOO_OLD: "The purchase reached us very late; somebody is looking at it.",
    Reason.NO_PROGRAMME: "The programme did not cover your card when you paid.",
    Reason.POISON: "Something went wrong on our side; the purchase is kept and will be counted.",
}
"""Why a payment ended as it did, in a member's words, for every reason a stored decision can have."""

LIMITED: Final[Mapping[CapPeriod, str]] = {
    CapPeriod.PURCHASE: "for one purchase",
    CapPeriod.DAY: "in a day",
    CapPeriod.WEEK: "in a week",
    CapPeriod.MONTH: "in a month",
    CapPeriod.QUARTER: "in a quarter of the year",
    CapPeriod.BILLING_PERIOD: "between two card statements",
    CapPeriod.YEAR: "in a year",
    CapPeriod.LIFETIME: "in all",
}
"""The time over which a limit counts, for every period there is."""

YIELDS: Final[Mapping[Best, str]] = {
    Best.HOLDER: "only the one that gives you most counts",
    Best.FUNDER: "only one of them counts",
    Best.FIRST: "only one of them counts",
}
"""Why an offer gave way to another, for every way in which one is chosen."""


def member_sentences(
    programme: Programme, reason: Reason, detail: Mapping[str, Any], recomputed: Recomputed
) -> Iterator[str]:
    """Yield the sentences that explain a decision to the member."""
    yield from _purchase(programme, detail, recomputed)
    yield WHY_TO_MEMBER[reason]
    yield from _given(programme, detail, recomputed)
    for entry in recomputed.considered:
        yield from _together(programme, entry, recomputed)
        yield from _reduced(programme, entry)
    yield from _reviewed(programme, detail, recomputed)
    yield from _tiers(programme, detail)
    if reason is not Reason.CURRENCY_NOT_RATED and recomputed.entitled.unrated:
        yield "Another offer covers this purchase, but not the currency you paid in."
    for lost in recomputed.lost:
        how = YIELDS[programme.groups[lost.group]] if lost.group else "only the highest multiplier counts"
        yield f"Another offer would have given {units(programme, lost.total, lost.unit)}; {how}."


def _purchase(programme: Programme, detail: Mapping[str, Any], recomputed: Recomputed) -> Iterator[str]:
    """Yield what was bought, where, when and for how much, as far as it is known."""
    occurred_on = detail["inputs"].get("occurred_on")
    sums = {entry.currency: entry.open_minor + entry.cleared_minor for entry in recomputed.folded.transaction}
    paid = " and ".join(money(amount, currency) for currency, amount in sums.items() if amount)
    if occurred_on is None:
        return
    where = f" at {programme.partners[detail['partner']].name}" if "partner" in detail else ""
    what = f"you paid {paid}{where}" if paid else f"you had a payment{where} of which nothing is left"
    yield f"On {day(date.fromisoformat(occurred_on))} {what}."


def _given(programme: Programme, detail: Mapping[str, Any], recomputed: Recomputed) -> Iterator[str]:
    """Yield what the purchase gives in all, unit by unit, and when what is still to come is expected."""
    held = _held(detail)
    granted: dict[str, int] = {}
    available: dict[str, int] = {}
    waits: dict[str, int] = {}
    expected: dict[str, set[str]] = {}
    for entry in recomputed.considered:
        granted[entry.unit] = granted.get(entry.unit, 0) + entry.granted
        available[entry.unit] = available.get(entry.unit, 0) + entry.available
        if (entry.rule, entry.unit) in held:
            waits[entry.unit] = waits.get(entry.unit, 0) + entry.granted - entry.available
        elif entry.granted != entry.available and entry.rule in detail.get("expected", {}):
            expected.setdefault(entry.unit, set()).add(detail["expected"][entry.rule])
    would = "would give" if detail.get("quote") else "gives"
    for unit, amount in granted.items():
        if amount:
            yield f"It {would} you {units(programme, amount, unit)} in all."
        if not detail.get("quote"):
            given = amount, available[unit], waits.get(unit, 0)
            yield from _when(programme, unit, given, expected.get(unit, set()))


def _when(programme: Programme, unit: str, given: tuple[int, int, int], expected: set[str]) -> Iterator[str]:
    """Yield when what is given becomes the member's, save for what somebody is still to look at.

    ``given`` is what there is in all, what of it has come, and what of it is looked at.
    """
    granted, available, held = given
    coming = granted - available - held
    at_owner = programme.accruals is not None and unit == programme.unit
    if available > 0 and at_owner:
        owner = programme.parties[programme.owner].name
        yield f"{units(programme, available, unit)} of it go to {owner}, and are yours once it confirms them."
    elif 0 < available < granted:
        yield f"{units(programme, available, unit)} of it are yours already."
    if coming > 0 and expected:
        days = " and ".join(day(date.fromisoformat(each)) for each in sorted(expected))
        yield f"{units(programme, coming, unit)} of it are still to come, expected on {days}."
    elif coming > 0:
        yield f"{units(programme, coming, unit)} of it are still to come, once the shop has collected the payment."


def _together(programme: Programme, entry: Considered, recomputed: Recomputed) -> Iterator[str]:
    """Yield what the purchase comes to together with others, where an offer is for what they come to."""
    tally = programme.rule(entry.rule).tally if programme.has(entry.rule) else None
    own = [given for given in recomputed.entitled.entitlements if given.rule.id == entry.rule]
    if tally is None or entry.stood is None or not own:
        return
    stands = entry.stood - entry.asked_counted.progress + own[0].cleared
    worth = units(programme, tally.worth(stands), entry.unit)
    what = ""
    if not tally.scale:
        what = f"{_purchases(stands)}, "
    elif len(tally.scale) == 1:
        ((currency, scale),) = tally.scale.items()
        what = f"{money(stands // scale, currency)}, "
    yield f"An offer counts what you buy {LIMITED[tally.period]} together: it comes to {what}which gives {worth}."


def _purchases(count: int) -> str:
    return f"{count:,} {'purchase' if count == 1 else 'purchases'}"


def _reduced(programme: Programme, entry: Considered) -> Iterator[str]:
    """Yield what a limit took of what one offer would have given."""
    lacking = entry.entitled - entry.granted
    if lacking <= 0:
        return
    less = f"{units(programme, lacking, entry.unit)} less were given"
    for cap in programme.caps:
        if cap.id == entry.cut_by:
            most = units(programme, cap.limit, cap.currency or programme.unit)
            holder = {CapHolder.CARD: " for one card", CapHolder.HOUSEHOLD: " for one household"}.get(cap.per, "")
            if cap.purchases:
                yield f"The offer is for {_purchases(cap.limit)} {LIMITED[cap.period]}{holder}, so that {less}."
                return
            if cap.currency not in {None, entry.unit}:
                yield f"The offer has only so much to give {LIMITED[cap.period]}{holder}, so that {less}."
                return
            yield f"At most {most} can be given {LIMITED[cap.period]}{holder}, so that {less}."
            return
    if any(budget.id == entry.cut_by for budget in programme.budgets):
        yield f"The offer had only so much to give to everybody together, so that {less}."
    else:
        yield f"A limit had been reached when you paid, so that {less}."


def _reviewed(programme: Programme, detail: Mapping[str, Any], recomputed: Recomputed) -> Iterator[str]:
    """Yield what somebody is still to look at, and that something was refused."""
    held = _held(detail)
    for entry in recomputed.considered:
        if (entry.rule, entry.unit) in held and entry.granted > entry.available:
            waits = units(programme, entry.granted - entry.available, entry.unit)
            yield f"You earned much in a short time, so that somebody looks at {waits} before they are yours."
    if detail.get("refused"):
        yield "Somebody looked at this purchase and decided that part of what it would give is not given."


def _held(detail: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return the rules, each with its unit, of which somebody is still to look at what they give."""
    return {(rule, unit) for rule, unit, _ in detail.get("held", ()) if rule not in detail.get("released", ())}


def _tiers(programme: Programme, detail: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the purchase changes of the member's tier, and through which day it is kept."""
    for change in tiers_from_data(detail):
        name = programme.tiers.get(change.reached.tier, change.reached.tier)
        if change.reached.after:
            if change.holds and change.until is not None:
                yield f"Then you are {name}, until the end of {day(last_day(programme, detail, change.until))}."
        elif not change.holds:
            yield f"Without it you no longer reach {name}."
        elif change.until is None:
            yield f"With it you reach {name}, for good."
        else:
            yield f"With it you reach {name}, until the end of {day(last_day(programme, detail, change.until))}."


def units(programme: Programme, amount: int, unit: str) -> str:
    """Write an amount of miles, of a soft reward or of money with the name of its unit."""
    if is_reward(unit):
        return f"{amount:,} x {programme.rewards[unit].name}"
    if unit == programme.unit:
        return f"{Decimal(amount).scaleb(-programme.decimals):,f} x {programme.unit_name}"
    return money(amount, unit)


def money(amount_minor: int, currency: str) -> str:
    """Write an amount of money with the name of its currency."""
    return f"{decimal_amount(amount_minor, currency):,f} {Currency(currency).currency_name}"


def day(on: date) -> str:
    """Write a day out."""
    return f"{on.day} {on:%B %Y}"
