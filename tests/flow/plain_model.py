"""A plain model of an account: all its messages at once, in one thread, without a database.

It says what must be so in the end, whatever order the messages came in: which of them are one purchase, what each
purchase is granted where no cap over several purchases binds, and what the account holds.
It shares no code with what it checks: only messages, money and the programme's terms as values.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from fractions import Fraction
from math import ceil, floor
from typing import Final

from processor.core.cap import CapPeriod
from processor.core.message import CardMessage
from processor.core.money import Money, Rounding
from processor.core.programme import Link, LinkMode, Programme
from processor.core.rule import AmountBase, Benefit, Rule
from tests.flow.plain_links import in_order, purchases_among
from tests.flow.plain_purchase import ASKED, Bought, Part, Sums, as_if_approved, comes_to, may_earn, word_of

Granted = tuple[str, str, int, int, int]
"""Rule, unit, what is entitled, what of it is granted, what of that has cleared."""

HALF: Final = Fraction(1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What an account comes to: its purchases as (message ids, grants), and its pending and available miles."""

    purchases: frozenset[tuple[frozenset[bytes], frozenset[Granted]]]
    pending: int
    available: int

    @property
    def entitled(self) -> frozenset[tuple[frozenset[bytes], frozenset[tuple[str, str, int]]]]:
        """What the purchases are entitled to, whatever caps leave of it."""
        return frozenset(
            (ids, frozenset(entry[:3] for entry in granted if entry[2])) for ids, granted in self.purchases
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the messages are read by: the programme's revisions, the link, the card product, what survives."""

    revisions: Sequence[Programme] = field(repr=False)
    link: Link
    product: str
    surviving: tuple[str, ...]

    @property
    def unit(self) -> str:
        """The programme's miles."""
        return self.revisions[0].unit

    def at(self, anchor: CardMessage) -> Programme:
        """Return the revision in force when a purchase happened."""
        return [entry for entry in self.revisions if entry.effective_from <= anchor.transmitted_at][-1]


@dataclass(slots=True, kw_only=True)
class _Purchase:
    """A purchase while refunds are placed: ``left`` is what it can take, or still gives back, by currency."""

    messages: list[CardMessage]
    bought: Bought
    left: Sums
    refunded: list[Part] = field(default_factory=list)
    placed: list[Part] = field(default_factory=list)


def promised(before: Sequence[CardMessage], message: CardMessage, terms: Terms) -> int | None:
    """Return the miles that a request on an inline link is quoted when it comes behind these messages of its account.

    None for what is no such request, for one that shows that purchases are one, or two, and for one that says anew
    where a purchase happened that earned: those are granted afresh.
    """
    if terms.link.mode is not LinkMode.INLINE or word_of(message, terms.link) != ASKED:
        return None
    known = [_purchase(group, terms) for group in purchases_among(before, terms.surviving)]
    groups = purchases_among([*before, message], terms.surviving)
    own = next(group for group in groups if message in group)
    rest = [entry for entry in own if entry != message]
    if any(
        group not in [purchase.messages for purchase in known] for group in (*groups, rest) if group not in ([], own)
    ):
        return None
    if comes_to(own, terms.link).anchor == message and any(may_earn(entry, terms.link) for entry in rest):
        return None
    _place_refunds(known, terms)
    joined = next((purchase for purchase in known if purchase.messages == rest), None)
    quoted = replace(joined or _purchase(rest, terms), messages=as_if_approved(own, terms.link))
    earned = sum(total for _, unit, _, total, _ in _grants(quoted, terms) if unit == terms.unit)
    return earned - sum(total for _, unit, _, total, _ in _grants(joined, terms) if unit == terms.unit)


def expected(messages: Sequence[CardMessage], terms: Terms) -> Expected:
    """Return what these messages of one account come to."""
    purchases = [_purchase(group, terms) for group in purchases_among(messages, terms.surviving)]
    _place_refunds(purchases, terms)
    found = []
    pending = available = 0
    for purchase in purchases:
        granted = _grants(purchase, terms)
        for _, unit, _, total, cleared in granted:
            if unit == terms.unit:
                pending, available = pending + total - cleared, available + cleared
        found.append((frozenset(entry.message_id for entry in purchase.messages), frozenset(granted)))
    return Expected(purchases=frozenset(found), pending=pending, available=available)


def _purchase(messages: list[CardMessage], terms: Terms) -> _Purchase:
    bought = comes_to(messages, terms.link)
    sign = -1 if bought.anchor is not None and bought.anchor.credit else 1
    left = {currency: max(0, sign * minor) for currency, minor in sorted(bought.cleared.items())}
    return _Purchase(messages=messages, bought=bought, left=left)


def _grants(purchase: _Purchase | None, terms: Terms) -> list[Granted]:
    if purchase is None:
        return []
    return _granted(comes_to(purchase.messages, terms.link, refunded=purchase.refunded, placed=purchase.placed), terms)


def _granted(bought: Bought, terms: Terms) -> list[Granted]:
    """Return what every rule that covers a purchase gives."""
    if bought.anchor is None or not any((*bought.awaited.values(), *bought.cleared.values())):
        return []
    programme = terms.at(bought.anchor)
    if _is_excluded(bought.anchor, programme):
        return []
    partner = _partner(bought.anchor, programme)
    granted: list[Granted] = []
    for rule in programme.rules:
        at_partner = not rule.when.partners or partner in rule.when.partners
        if at_partner and (not rule.when.products or terms.product in rule.when.products):
            granted += _given(rule, bought, programme)
    return granted


def _is_excluded(anchor: CardMessage, programme: Programme) -> bool:
    code = anchor.processing_code[:2]
    return anchor.mcc in programme.excluded_mccs or code in programme.excluded_processing_codes


def _given(rule: Rule, bought: Bought, programme: Programme) -> list[Granted]:
    """Return what one rule gives, by unit: miles in all, a discount in each currency."""
    by_billing = rule.base is AmountBase.BILLING
    awaited = bought.billed_awaited if by_billing else bought.awaited
    cleared = bought.billed_cleared if by_billing else bought.cleared
    totals: Sums = {}
    earned: Sums = {}
    for currency in cleared:
        rate = rule.rates.get(currency) or rule.rates.get("*")
        if rate is None:
            continue
        each = Fraction(rate.numerator, rate.denominator)
        unit = programme.unit if rule.benefit is Benefit.MILES else currency
        whole = rounded((awaited[currency] + cleared[currency]) * each, rule.rounding)
        totals[unit] = totals.get(unit, 0) + whole
        earned[unit] = earned.get(unit, 0) + rounded(cleared[currency] * each, rule.rounding)
    most = {unit: min([total, *_limits(rule, unit, programme)]) for unit, total in totals.items()}
    granted = [(rule.id, unit, total, most[unit], min(most[unit], earned[unit])) for unit, total in totals.items()]
    return [entry for entry in granted if entry[2] or entry[4]]


def _limits(rule: Rule, unit: str, programme: Programme) -> list[int]:
    """Return the limits of caps that count one purchase and this rule alone; those over more depend on the order."""
    return [
        cap.limit
        for cap in programme.caps
        if cap.period is CapPeriod.PURCHASE and cap.rules == {rule.id} and cap.currency in {None, unit}
    ]


def rounded(exact: Fraction, how: Rounding) -> int:
    """Round the magnitude and put the sign back."""
    size = abs(exact)
    whole = {
        Rounding.UP: ceil(size),
        Rounding.DOWN: floor(size),
        Rounding.HALF_UP: floor(size + HALF),
        Rounding.HALF_EVEN: round(size),
    }[how]
    return whole if exact >= 0 else -whole


def _partner(anchor: CardMessage, programme: Programme) -> str | None:
    """Return the brand of the merchant line that names a card acceptor most closely."""
    lines = programme.merchants.get((anchor.acquirer, anchor.acceptor), ())
    fit = [line for line in lines if line.terminal in {None, anchor.terminal} and line.mcc in {None, anchor.mcc}]
    closest = sorted(fit, key=lambda line: (line.terminal is None, line.mcc is None))
    return closest[0].partner if closest else None


def _place_refunds(purchases: Sequence[_Purchase], terms: Terms) -> None:
    """Let refunds without a purchase, the first one first, count against the newest purchases at their brand.

    What the programme excludes takes no part in it.
    """
    by_anchor = {
        entry.bought.anchor.message_id: entry
        for entry in purchases
        if entry.bought.anchor is not None and not _is_excluded(entry.bought.anchor, terms.at(entry.bought.anchor))
    }
    anchors = in_order([entry.bought.anchor for entry in by_anchor.values() if entry.bought.anchor is not None])
    for place, refund in enumerate(anchors):
        days = terms.at(refund).refund_days
        if not refund.credit or days is None:
            continue
        for purchase in reversed(anchors[:place]):
            near = (_local_date(refund) - _local_date(purchase)).days <= days
            if near and not purchase.credit and _brand(refund, terms) == _brand(purchase, terms):
                _place(by_anchor[refund.message_id], by_anchor[purchase.message_id])


def _local_date(message: CardMessage) -> date:
    return message.local_date or message.transmitted_at.date()


def _brand(anchor: CardMessage, terms: Terms) -> object:
    return _partner(anchor, terms.at(anchor)) or (anchor.acquirer, anchor.acceptor)


def _place(refund: _Purchase, purchase: _Purchase) -> None:
    """Let what one has left to give back and the other to take count for both, each at its own billing rate."""
    for currency in refund.left:
        minor = min(refund.left[currency], purchase.left.get(currency, 0))
        if minor > 0:
            purchase.refunded.append(_part(purchase, currency, minor))
            refund.placed.append(_part(refund, currency, minor))
            purchase.left[currency] -= minor
            refund.left[currency] -= minor


def _part(purchase: _Purchase, currency: str, minor: int) -> Part:
    """Return a part of what cleared; the billing amounts of all parts together are those of the whole.

    Where several currencies were charged, each has the rate at which its own messages were billed.
    """
    whole = share = abs(purchase.bought.cleared[currency])
    billed = [(unit, abs(cleared)) for unit, cleared in sorted(purchase.bought.billed_cleared.items()) if cleared]
    unit, of = billed[0] if billed else (currency, whole)
    own = purchase.bought.billed_for.get(currency)
    if billed and own is not None and own[0] and sum(map(bool, purchase.bought.cleared.values())) > 1:
        share, of, unit = own
    gone = whole - purchase.left[currency]
    billing = rounded(Fraction(of * (gone + minor), share), Rounding.HALF_EVEN) - rounded(
        Fraction(of * gone, share), Rounding.HALF_EVEN
    )
    return Part(amount=Money(amount_minor=minor, currency=currency), billing=Money(amount_minor=billing, currency=unit))
