"""An explanation's sentences, in plain English: what the purchase matched, what each rule gave, what cut it, what lost.

It takes what was stored and recomputed and returns text; every amount is written in its unit's own decimals.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from processor.core.exclusion import CODES, excluding_category
from processor.core.outcome import Reason
from processor.core.programme import Programme
from processor.core.purchase import Amounts, Folded
from processor.core.rule import AmountBase, Benefit, Ratio, Rule
from processor.flow.explain_amounts import money, units
from processor.flow.explain_exchange import exchange_sentences, without_rate
from processor.flow.explain_limits import limit_sentence
from processor.flow.explain_losers import losing_sentences, outdone_sentences
from processor.flow.explain_person import sentences_on_member
from processor.flow.explain_tally import tally_sentence
from processor.flow.explain_tier_change import tier_sentences
from processor.flow.explain_timing import timing_sentences
from processor.flow.explain_velocity import review_sentences
from processor.flow.recomputed import Considered, Recomputed

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
    yield from outdone_sentences(programme, recomputed)
    if recomputed.considered or recomputed.entitled.unrated or reason is Reason.NO_RULE:
        yield from losing_sentences(programme, recomputed)


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
        if own[0].rule.split:
            shares = ", ".join(f"{percent} % by the {funder.value}" for funder, percent in own[0].rule.split)
            yield f"What rule {entry.rule} gives is paid {shares}."
    else:
        before = units(programme, entry.asked_granted, entry.unit)
        yield f"Rule {entry.rule} had granted {before} and gives the purchase nothing now; granted are {granted}."
    if entry.cut_by is not None:
        yield limit_sentence(programme, entry)
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


def _currencies(folded: Folded, rule: Rule) -> list[str]:
    return [amounts.currency for amounts in folded.amounts(rule.base)]
