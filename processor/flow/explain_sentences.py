"""An explanation's sentences, in plain English: what the purchase matched, what each rule gave, what cut it, what lost.

It takes what was stored and recomputed and returns text; every amount is written in its unit's own decimals.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from processor.core.accrual import Entitled
from processor.core.budget import AtEdge, Budget
from processor.core.cap import Cap, CapHolder, CapPeriod
from processor.core.circumstances import Circumstances
from processor.core.conditions import AmountRange, Conditions, Unmet
from processor.core.contest import Lost
from processor.core.exclusion import CODES, excluding_category
from processor.core.expressed import amount_of, unmet_expression
from processor.core.outcome import Reason
from processor.core.person import Person, PersonUnmet
from processor.core.programme import Programme
from processor.core.programme_conditions import WEEKDAYS
from processor.core.purchase import Amounts, Folded
from processor.core.rule import AmountBase, Benefit, Best, Ratio, Rule
from processor.core.tally import NOTHING, Counted
from processor.flow.explain_amounts import money, units
from processor.flow.explain_exchange import exchange_sentences, without_rate
from processor.flow.explain_person import sentences_on_member, whom
from processor.flow.explain_tally import tally_sentence
from processor.flow.explain_tier_change import tier_sentences
from processor.flow.explain_timing import timing_sentences
from processor.flow.explain_velocity import review_sentences

CHANGED_LATER: Final = "The message was decided again later; what counts now is {name}."

WHY: Final[Mapping[Reason, str]] = {
    Reason.EARNED: "What the purchase is granted rose, or what was promised became available.",
    Reason.NETWORK_MANAGEMENT: "A sign-on, echo or sign-off is answered and earns nothing.",
    Reason.QUOTED: "The host asked before it decided: this is an estimate, and nothing is booked.",
    Reason.TAKEN_BACK: "What the purchase was granted fell: it was reversed or refunded, or cleared for less.",
    Reason.DECLINED: "The host declined, and a declined purchase earns nothing.",
    Reason.UNDECIDED: "The message does not say what the host decided; it earns nothing until the outcome arrives.",
    Reason.ACKNOWLEDGED: "The message acknowledges another one and changes nothing.",
    Reason.REVERSED: "The purchase is reversed or refunded in whole, so that nothing is due.",
    Reason.EXCLUDED: "The programme excludes the purchase by its merchant category or its processing code.",
    Reason.ZERO_AMOUNT: "The amount is zero: the message verifies an account and earns nothing.",
    Reason.NO_RULE: "No rule of the programme applies to this card product and partner.",
    Reason.CAP_REACHED: "A cap or a budget of the programme leaves nothing to grant in this period.",
    Reason.CURRENCY_NOT_RATED: "The rules that apply have no rate for the purchase's currency.",
    Reason.BELOW_ONE_UNIT: "The amount is too small for one unit under the rules' rounding.",
    Reason.UNCHANGED: "The purchase was granted all that it is due before.",
    Reason.AWAITING_ORIGINAL: "The message refers to an original that has not arrived; it takes effect when that does.",
    Reason.EXPIRED: "The authorization did not clear in time, so what it promised is taken off.",
    Reason.ESTIMATED: "The amount is an estimate: it promises nothing until the purchase clears.",
    Reason.NO_PURCHASE: "A fee or a record for information moves no purchase and earns nothing.",
    Reason.CHARGED_BACK: "What cleared is in dispute; nothing of it is due until it is presented again.",
    Reason.LINKED: "Operations said whether two messages are of one purchase; what they earn did not change.",
    Reason.NOT_LOWERED: "A discount at the till applies, and nothing confirms that the till gave it.",
    Reason.UNKNOWN_CARD: "No card of this number is enrolled; the message waits until the bank's card file names it.",
    Reason.TOO_OLD: "The message was sent more than 300 days before it came; operations decide about it.",
    Reason.NO_PROGRAMME: "No revision of a programme was in force for this card when the purchase happened.",
    Reason.POISON: "The processor failed on this message alone; it waits to be replayed once the fault is mended.",
}
"""Why a message ended as it did, for every reason a stored decision can have."""

_BEST: Final = {
    Best.HOLDER: "that which gives most",
    Best.FUNDER: "that which costs least",
    Best.FIRST: "the first by priority",
}
_NAMED: Final = {
    Unmet.PARTNERS: "partners",
    Unmet.PRODUCTS: "card products",
    Unmet.MCCS: "merchant category codes",
    Unmet.SECTORS: "sectors",
    Unmet.COUNTRIES: "countries",
    Unmet.PRODUCT_CODES: "product codes",
    Unmet.CHANNELS: "channels",
    Unmet.CURRENCIES: "currencies",
}
MOST_NAMED: Final = 12
"""More codes than these are counted rather than named."""
_PERIODS: Final = {
    CapPeriod.PURCHASE: "a purchase",
    CapPeriod.DAY: "a day",
    CapPeriod.WEEK: "a week",
    CapPeriod.MONTH: "a month",
    CapPeriod.QUARTER: "a quarter",
    CapPeriod.BILLING_PERIOD: "a billing period",
    CapPeriod.YEAR: "a year",
    CapPeriod.LIFETIME: "in all",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Considered:
    """One rule that was weighed, as stored: what it was entitled to and granted, and what was asked of it before.

    ``cut_by`` is the cap or budget that cut it, None where none did.
    ``stood`` is where the rule's tally stood before, None where it has none, and ``asked_counted`` what the purchase
    had counted in it; ``withheld`` is what limits had withheld of it from other purchases.
    """

    rule: str
    unit: str
    entitled: int
    granted: int
    available: int
    asked_entitled: int
    asked_granted: int
    cut_by: str | None
    stood: int | None = None
    asked_counted: Counted = NOTHING
    withheld: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recomputed:
    """A decision's stored inputs and candidates, and what the inputs entitle to when they are computed again.

    ``at`` is None where nothing says yet where the purchase was made; ``lost`` are the rules that would have given
    something, had another one not won.
    """

    folded: Folded
    considered: tuple[Considered, ...]
    entitled: Entitled
    at: Circumstances | None
    lost: tuple[Lost, ...]


def sentences_of(
    programme: Programme, reason: Reason, detail: Mapping[str, Any], recomputed: Recomputed
) -> Iterator[str]:
    """Yield the sentences that explain a decision under one revision of its programme."""
    yield WHY[reason]
    yield _terms(programme, detail)
    yield from _match(programme, detail)
    if reason is Reason.EXCLUDED and recomputed.at is not None:
        yield from _exclusion(programme, recomputed.at.mcc, detail["inputs"]["processing_code"])
    if recomputed.at is not None:
        yield from sentences_on_member(programme, recomputed.at)
    yield from _bases(recomputed.folded)
    for part, currency, minor in detail["inputs"].get("taken_off", ()):
        yield f"{_PARTS[part]} of {money(minor, currency)} is no purchase of goods and is taken off these amounts."
    weighed = [entry.rule for entry in recomputed.considered]
    yield from exchange_sentences(programme, recomputed.folded, recomputed.at, weighed)
    if detail["inputs"].get("product_codes"):
        yield f"It is of products {', '.join(detail['inputs']['product_codes'])}."
    for entry in recomputed.considered:
        yield from _weighed(programme, entry, recomputed)
    yield from _changes(programme, detail)
    for rule, unit, funder, amount in detail.get("kept", ()):
        yield (
            f"Of what refunds took back of rule {rule} the holder keeps {units(programme, amount, unit)}, "
            f"which stay charged to {funder}."
        )
    yield from tier_sentences(programme, detail)
    yield from timing_sentences(programme, detail, recomputed.folded)
    yield from review_sentences(programme, detail)
    for rule in recomputed.entitled.unrated:
        currencies = " or ".join(_currencies(recomputed.folded, programme.rule(rule)))
        yield without_rate(programme, programme.rule(rule), recomputed.at, currencies)
    yield from _outdone(programme, recomputed)
    if recomputed.considered or recomputed.entitled.unrated or reason is Reason.NO_RULE:
        yield from _losers(programme, recomputed)


_PARTS: Final = {"cashback": "Cash handed out with the goods", "surcharges": "A surcharge"}


def _terms(programme: Programme, detail: Mapping[str, Any]) -> str:
    inputs = detail["inputs"]
    text = f"It was decided under revision {programme.revision} of programme {programme.id}"
    if "product" not in inputs:
        return f"{text}."
    product = f"card product {inputs['product']}" if inputs["product"] else "no card product"
    return f"{text}, with {product}, as a purchase of {inputs['occurred_on']}."


def _exclusion(programme: Programme, mcc: str, processing_code: str) -> Iterator[str]:
    """Yield the category that the programme does not include; its own codes have none."""
    category = excluding_category(programme, mcc=mcc, processing_code=processing_code)
    if category is not None:
        told = f"merchant category code {mcc}" if mcc in CODES[category].mccs else f"processing code {processing_code}"
        yield f"By its {told} it is of category {category.value}, which the programme does not include."


def _match(programme: Programme, detail: Mapping[str, Any]) -> Iterator[str]:
    """Yield the partner, or that there is none; nothing where the message that would name it has not arrived."""
    if "partner" in detail:
        partner = programme.partners[detail["partner"]]
        yield f"Its card acceptor belongs to partner {partner.name} ({partner.id}) of retailer {partner.retailer}."
    elif "product" in detail["inputs"]:
        yield f"Its card acceptor belongs to no partner of {programme.name}."


def _bases(folded: Folded) -> Iterator[str]:
    """Yield what the purchase amounts to, once where it was billed in the currency it was made in."""
    if folded.transaction:
        yield f"The purchase amounts to {_listed(folded.transaction)}."
    if folded.billing != folded.transaction:
        yield f"It is billed as {_listed(folded.billing)}."


def _listed(amounts: tuple[Amounts, ...]) -> str:
    return ", and ".join(
        f"{money(entry.open_minor, entry.currency)} authorized, {money(entry.cleared_minor, entry.currency)} cleared"
        for entry in amounts
    )


def _weighed(programme: Programme, entry: Considered, recomputed: Recomputed) -> Iterator[str]:
    """Yield what one rule gave, and what a cap took of it."""
    granted = units(programme, entry.granted, entry.unit)
    available = units(programme, entry.available, entry.unit)
    own = [
        given for given in recomputed.entitled.entitlements if (given.rule.id, given.unit) == (entry.rule, entry.unit)
    ]
    if own:
        given = _given(programme, own[0].rule, entry, recomputed, own[0].cleared)
        yield f"{given}; granted are {granted}, {available} of them available."
    else:
        before = units(programme, entry.asked_granted, entry.unit)
        yield f"Rule {entry.rule} had granted {before} and gives the purchase nothing now; granted are {granted}."
    if entry.cut_by is not None:
        limits = [
            f"Cap {cap.id}, {_limit(programme, cap, entry.unit)}," for cap in programme.caps if cap.id == entry.cut_by
        ]
        limits += [_budget(programme, budget) for budget in programme.budgets if budget.id == entry.cut_by]
        wanted = entry.asked_granted + entry.entitled - entry.asked_entitled
        cut = units(programme, wanted - entry.granted, entry.unit)
        yield f"{''.join(limits)} cut rule {entry.rule} by {cut}."
    elif entry.granted < entry.entitled:
        yield f"What a limit took from rule {entry.rule} before is not given later."


def _mark_up(programme: Programme, recomputed: Recomputed) -> str:
    """Return that a bank's mark-up is taken off, where it is off some of the amounts."""
    folded = recomputed.folded
    left = programme.before_mark_up(recomputed.at.product) if recomputed.at is not None else None
    if left is None or {entry.currency for entry in folded.billing} <= {entry.currency for entry in folded.transaction}:
        return ""
    percent = Decimal(100) * left.denominator / left.numerator - 100
    return f" before the bank's mark-up of {percent.normalize():f} %"


def _given(programme: Programme, rule: Rule, entry: Considered, recomputed: Recomputed, cleared: int) -> str:
    """Return what a rule gives for the amounts it measures, up to what they entitle to; ``cleared`` is as it counts."""
    folded = recomputed.folded
    entitled = units(programme, entry.entitled, entry.unit)
    if rule.at_till:
        return f"{_at_till(rule, entry.unit, folded)}, and {entitled} are due for what is left of the purchase"
    if rule.tally is not None and entry.stood is not None:
        return tally_sentence(
            programme,
            rule,
            rule.tally,
            stood=entry.stood,
            before=entry.asked_counted,
            cleared=cleared,
            entitled=entitled,
        )
    if rule.multiplication is not None:
        by = Decimal(rule.multiplication.by.numerator) / rule.multiplication.by.denominator
        named = ", ".join(sorted(rule.multiplication.rules))
        return f"Rule {rule.id} multiplies {named} by {by.normalize():f}, which adds {entitled}"
    if rule.fixed:
        return f"Rule {rule.id} gives {entitled} whatever the amount"
    base = "paid"
    if rule.base is AmountBase.BILLING:
        base = f"billed{_mark_up(programme, recomputed)}"
    rated = [(amounts, rate) for amounts in folded.amounts(rule.base) if (rate := _stated(rule, amounts.currency))]
    if rule.benefit is not Benefit.MILES:
        rated = [(amounts, rate) for amounts, rate in rated if amounts.currency == entry.unit]
    stated = {amounts.currency if rule.rate(amounts.currency) else _to(rule): rate for amounts, rate in rated}
    gives = " and ".join(_rate(programme, rule, currency, rate) for currency, rate in stated.items())
    totals = " and ".join(money(amounts.open_minor + amounts.cleared_minor, amounts.currency) for amounts, _ in rated)
    return f"Rule {rule.id} gives {gives} {base}, rounded {rule.rounding.value}: {totals} entitle to {entitled}"


def _to(rule: Rule) -> str:
    return "" if rule.convert is None else rule.convert.to


def _stated(rule: Rule, currency: str) -> Ratio | None:
    """Return the rate that counts for amounts in a currency: its own, or that of the one they are converted to."""
    return rule.rate(currency) or rule.rate(_to(rule))


def _at_till(rule: Rule, currency: str, folded: Folded) -> str:
    """Return what a rule takes off at the till, of what was asked for, and what the outcome confirmed."""
    rate = rule.rate(currency)
    off = money(rule.fixed.get(currency, 0), currency)
    if rate is not None:
        off = f"{(Decimal(100) * rate.numerator / rate.denominator).normalize():f} %"
    parts = []
    for lowered in folded.lowered:
        if lowered.currency == currency and lowered.awaited_minor:
            parts.append(f"{money(lowered.awaited_minor, currency)} are asked for")
        if lowered.currency == currency and lowered.asked_minor:
            asked, given = money(lowered.asked_minor, currency), money(lowered.given_minor, currency)
            parts.append(f"of {asked} asked for, the till took off {given}")
    return f"Rule {rule.id} takes {off} off at the till: {', '.join(parts)}"


def _rate(programme: Programme, rule: Rule, currency: str, rate: Ratio) -> str:
    if rule.benefit is not Benefit.MILES:
        return f"{(Decimal(100) * rate.numerator / rate.denominator).normalize():f} % of what is"
    return f"{units(programme, rate.numerator, programme.unit)} for each {money(rate.denominator, currency)}"


def _changes(programme: Programme, detail: Mapping[str, Any]) -> Iterator[str]:
    booked = "would change" if detail.get("quote") else "changed"
    for place, where in (("changes", ""), ("elsewhere", " in another purchase")):
        for rule, unit, pending_change, available_change, _, _ in detail.get(place, ()):
            pending = units(programme, pending_change, unit, sign="+")
            available = units(programme, available_change, unit, sign="+")
            yield f"The message {booked} rule {rule} by {pending} pending and {available} available{where}."


def _losers(programme: Programme, recomputed: Recomputed) -> Iterator[str]:
    """Yield the rules that do not apply, each with the first reason why."""
    if recomputed.at is None:
        return
    weighed = {entry.rule for entry in recomputed.considered} | set(recomputed.entitled.unrated)
    weighed |= {entry.rule for entry in recomputed.lost}
    for rule in programme.rules:
        if rule.id in weighed:
            continue
        unmet = rule.when.unmet(recomputed.at)
        if unmet is not None:
            yield f"Rule {rule.id} does not apply: it is for {_wanted(programme, rule.when, unmet)}."
        elif (
            failing := unmet_expression(rule, recomputed.at, amount_of(recomputed.folded, recomputed.at))
        ) is not None:
            yield f"Rule {rule.id} does not apply: it is for {_wanted(programme, rule.when, failing)}."
        elif rule.at_till:
            yield f"Rule {rule.id} gives its discount at the till, and nothing confirms that the till gave it."
        elif rule.when.amounts:
            yield f"Rule {rule.id} does not apply: it is for {_wanted(programme, rule.when, Unmet.AMOUNT)}."
        elif rule.multiplication is not None:
            named = ", ".join(sorted(rule.multiplication.rules))
            yield f"Rule {rule.id} multiplies nothing: none of {named} gives anything."


def _outdone(programme: Programme, recomputed: Recomputed) -> Iterator[str]:
    """Yield the rules that would have given something and lost to another."""
    for entry in recomputed.lost:
        given = units(programme, entry.total, entry.unit)
        if entry.group:
            how = f"one rule of group {entry.group} counts, {_BEST[programme.groups[entry.group]]}"
        else:
            how = "the highest multiplier counts"
        yield f"Rule {entry.rule} would have given {given} and lost to rule {entry.winner}: {how}."


def _wanted(programme: Programme, when: Conditions, unmet: Unmet | PersonUnmet) -> str:
    """Return what a condition asks for."""
    if isinstance(unmet, PersonUnmet):
        return whom(programme, when.person or Person(), unmet)
    where = f" in {when.zone}" if when.zone is not None else ""
    if unmet is Unmet.DATES and when.dates is not None:
        first, last = when.dates
        since = "" if first == date.min else f" from {first.isoformat()}"
        until = "" if last == date.max else f" until {last.isoformat()}"
        return f"purchases{since}{until}{where}"
    if unmet is Unmet.WEEKDAYS:
        return ", ".join(WEEKDAYS[day - 1] for day in sorted(when.weekdays)) + where
    if unmet is Unmet.HOURS and when.hours is not None:
        first_minute, behind = when.hours
        return f"purchases from {_clock(first_minute)} to {_clock(behind)}{where}"
    if unmet in {Unmet.EXPRESSION, Unmet.EXPRESSION_FAILS} and when.expression is not None:
        fails = ", which cannot be evaluated for this one" if unmet is Unmet.EXPRESSION_FAILS else ""
        return f"purchases with {when.expression.source}{fails}"
    if unmet is Unmet.MERCHANTS:
        return "certain card acceptors"
    if unmet is Unmet.MCCS and len(when.mccs) > MOST_NAMED:
        return f"{len(when.mccs)} merchant category codes"
    if unmet is Unmet.PRODUCT_CODES and len(when.product_codes) > MOST_NAMED:
        return f"{len(when.product_codes)} product codes"
    if unmet is Unmet.AMOUNT:
        return "other amounts than this purchase's: " + ", ".join(
            _range(currency, wanted) for currency, wanted in sorted(when.amounts.items())
        )
    return f"{_NAMED[unmet]} {', '.join(sorted(getattr(when, unmet.value)))}"


def _range(currency: str, wanted: AmountRange) -> str:
    least = f"from {money(wanted.lowest, currency)}" if wanted.lowest else ""
    most = "" if wanted.highest is None else f"to {money(wanted.highest, currency)}"
    return " ".join(filter(None, (least, most)))


def _clock(minute: str) -> str:
    return f"{minute[:2]}:{minute[2:]}"


def _currencies(folded: Folded, rule: Rule) -> list[str]:
    return [amounts.currency for amounts in folded.amounts(rule.base)]


def _limit(programme: Programme, cap: Cap, unit: str) -> str:
    """Return a cap's terms for what it cut in one unit."""
    holder = {CapHolder.CARD: " for each card", CapHolder.HOUSEHOLD: " for each household"}.get(cap.per, "")
    if cap.purchases:
        return f"{cap.limit} {'purchase' if cap.limit == 1 else 'purchases'} {_PERIODS[cap.period]}{holder}"
    paid = " of the funder's money" if cap.currency not in {None, unit} else ""
    return f"{units(programme, cap.limit, cap.currency or programme.unit)} {_PERIODS[cap.period]}{holder}{paid}"


def _budget(programme: Programme, budget: Budget) -> str:
    """Return a budget's name and terms; what an award gets at its edge explains a cut of more than is lacking."""
    terms = []
    if budget.limit is not None:
        terms.append(units(programme, budget.limit, budget.currency or programme.unit))
    if budget.holders is not None:
        terms.append(f"{budget.holders:,} holders")
    edge = "which gives whole awards alone" if budget.at_edge is AtEdge.REFUSE else "which gives what is left"
    return f"Budget {budget.id}, {' and '.join(terms)} {_PERIODS[budget.period]} for all accounts, {edge},"
