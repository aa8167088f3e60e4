"""A plain model of what a purchase comes to: what is still awaited, and what has cleared, in each currency.

docs/purchase.md says the rules; everything is looked up in the list of messages again and again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Final

from processor.core.message import CardMessage, Direction, MessageKind
from processor.core.money import Money
from processor.core.programme import FinancialMeaning, Link

ASKED, APPROVED, FINAL, DECLINED = "asked", "approved", "final", "declined"
ONLINE: Final = (MessageKind.AUTHORIZATION, MessageKind.FINANCIAL)
STAGES: Final = (MessageKind.CHARGEBACK, MessageKind.SECOND_PRESENTMENT, MessageKind.ARBITRATION_CHARGEBACK)
TAKEN_BACK_BY: Final = {
    MessageKind.PRESENTMENT: MessageKind.PRESENTMENT_REVERSAL,
    MessageKind.CHARGEBACK: MessageKind.CHARGEBACK_REVERSAL,
    MessageKind.SECOND_PRESENTMENT: MessageKind.SECOND_PRESENTMENT_REVERSAL,
    MessageKind.ARBITRATION_CHARGEBACK: MessageKind.ARBITRATION_CHARGEBACK_REVERSAL,
}

NEVER: Final = datetime.min.replace(tzinfo=UTC)

Sums = dict[str, int]
"""Minor units by currency."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a refund that counts elsewhere, as charged and as billed."""

    amount: Money
    billing: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Bought:
    """What a purchase comes to: still awaited and cleared, each by currency, as charged and as billed.

    ``anchor`` says where and when it happened, None while only messages that refer to it have arrived.
    ``billed_for`` has, by currency, the amount of what counts, what was billed for it, and in which currency.
    """

    anchor: CardMessage | None
    awaited: Sums
    cleared: Sums
    billed_awaited: Sums
    billed_cleared: Sums
    billed_for: dict[str, tuple[int, int, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counted:
    """A message that counts, with what is left of it; ``billing`` is None where it does not say what is billed."""

    message: CardMessage
    amount: Money
    billing: Money | None


def word_of(message: CardMessage, link: Link) -> str:
    """Return what an online message says of its authorization, nothing for every other message."""
    if message.kind not in ONLINE:
        return ""
    if message.direction is Direction.REQUEST:
        return ASKED
    if message.response_code != "00":
        return DECLINED
    final = message.kind is MessageKind.FINANCIAL and link.financial is FinancialMeaning.FINAL
    return FINAL if final else APPROVED


def may_earn(message: CardMessage, link: Link) -> bool:
    """Tell whether a message alone can make a purchase earn, or take miles back."""
    return word_of(message, link) in {APPROVED, FINAL} or message.kind is MessageKind.PRESENTMENT


def as_if_approved(messages: Sequence[CardMessage], link: Link) -> list[CardMessage]:
    """Return a purchase's messages with approvals in place of the requests that no decision follows."""
    decided = {e.trace: e.transmitted_at for e in messages if word_of(e, link) not in {"", ASKED}}
    return [
        replace(entry, kind=MessageKind.AUTHORIZATION, direction=Direction.RESPONSE, response_code="00")
        if word_of(entry, link) == ASKED and decided.get(entry.trace, NEVER) < entry.transmitted_at
        else entry
        for entry in messages
    ]


def comes_to(
    messages: Sequence[CardMessage], link: Link, *, refunded: Sequence[Part] = (), placed: Sequence[Part] = ()
) -> Bought:
    """Return what a purchase's messages, in their order, come to.

    ``refunded`` are parts of other purchases' refunds that count here, ``placed`` parts of this one's that count there.
    """
    bought = _Purchase(messages, link)
    awaited, cleared = bought.sums(refunded, placed, billed=False)
    billed = bought.sums(refunded, placed, billed=True)
    return Bought(
        anchor=bought.anchor(),
        awaited=awaited,
        cleared=cleared,
        billed_awaited=billed[0],
        billed_cleared=billed[1],
        billed_for=bought.billed_for(),
    )


class _Purchase:
    """The messages of one purchase in their order."""

    def __init__(self, messages: Sequence[CardMessage], link: Link) -> None:
        self.messages = messages
        self.words = {entry.message_id: word_of(entry, link) for entry in messages}
        self.said = self._said()
        recorded = [entry for entry in messages if entry.kind in TAKEN_BACK_BY and not self._withdrawn(entry)]
        self.records = [entry for entry in recorded if self._clears(entry) or not self._void(entry, recorded)]
        presentments = [entry for entry in self.records if self._clears(entry)]
        self.presented = [self._whole(entry) for entry in presentments if not entry.credit]
        self.credited = [self._whole(entry) for entry in presentments if entry.credit] or self._credited()

    def anchor(self) -> CardMessage | None:
        """Return the first that tells most: no refund, online rather than cleared, decided rather than asked."""
        telling = [entry for entry in self.messages if self.words[entry.message_id] or self._clears(entry)]
        credits_last = sorted(telling, key=lambda entry: self.words[entry.message_id] == ASKED)
        credits_last.sort(key=self._clears)
        credits_last.sort(key=lambda entry: entry.credit)
        return credits_last[0] if credits_last else None

    def sums(self, refunded: Iterable[Part], placed: Iterable[Part], *, billed: bool) -> tuple[Sums, Sums]:
        """Return what is awaited and what has cleared, in one of the two views."""
        final = [entry for entry in self._authorizations() if self.words[entry.message.message_id] == FINAL]
        counts = self.presented or final

        def add(entries: Iterable[_Counted], parts: Iterable[Part] = ()) -> Sums:
            amounts = [self._billed(entry, counts) if billed else entry.amount for entry in entries]
            return _add([*amounts, *(part.billing if billed else part.amount for part in parts)])

        held = add(final if any(entry.amount.amount_minor for entry in final) else self._promised())
        posted, given, elsewhere = add(counts), add(self.credited, refunded), add((), placed)
        disputes = [add(self._disputes(stage)) for stage in STAGES]
        awaited, cleared = {}, {}
        for currency in set().union(held, posted, given, elsewhere, *disputes):
            has = posted.get(currency, 0)
            gave = given.get(currency, 0) - elsewhere.get(currency, 0)
            first, again, arbitration = [stage.get(currency, 0) for stage in disputes]
            disputed = first - min(first, max(again, arbitration)) + arbitration
            awaited[currency] = 0 if self._closed() else max(0, held.get(currency, 0) - has)
            cleared[currency] = has - gave - min(disputed, max(0, has - gave))
        return awaited, cleared

    def billed_for(self) -> dict[str, tuple[int, int, str]]:
        """Return, by currency, what the messages that count amount to, what was billed for them, and in which currency.

        Of a refund that stands alone these are the refunds; another billing currency than the first one is left out.
        """
        final = [entry for entry in self._authorizations() if self.words[entry.message.message_id] == FINAL]
        anchor = self.anchor()
        found: dict[str, tuple[int, int, str]] = {}
        for entry in self.credited if anchor and anchor.credit else self.presented or final:
            billing = self._billed(entry, self.presented)
            amount, billed, unit = found.get(entry.amount.currency, (0, 0, billing.currency))
            if unit == billing.currency:
                minor = entry.amount.amount_minor
                found[entry.amount.currency] = amount + minor, billed + billing.amount_minor, unit
        return found

    def _clears(self, message: CardMessage) -> bool:
        return message.kind is MessageKind.PRESENTMENT

    def _withdrawn(self, record: CardMessage) -> bool:
        """Tell whether a clearing record was taken back: by a reversal of the same direction, reference and part.

        Without a reference a reversal takes back one record of the same amount, and the last ones go first.
        """
        reversals = [e for e in self.messages if e.kind is TAKEN_BACK_BY[record.kind] and _alike(e, record)]
        if record.acquirer_reference:
            return bool(reversals)
        same = [e.message_id for e in self.messages if e.kind is record.kind and _alike(e, record)]
        return same[::-1].index(record.message_id) < len(reversals)

    def _void(self, dispute: CardMessage, recorded: Sequence[CardMessage]) -> bool:
        """Tell whether every presentment that a dispute names has come and was taken back."""
        named = [e for e in self.messages if self._clears(e) and e.acquirer_reference == dispute.acquirer_reference]
        return bool(named) and not any(entry in recorded for entry in named)

    def _closed(self) -> bool:
        """Tell whether the clearing is whole: a record that stands alone, or every part."""
        parts = [entry.message.clearing_part for entry in self.presented]
        numbered = [part for part in parts if part]
        return None in parts or (bool(numbered) and len({one for one, _ in numbered}) >= max(of for _, of in numbered))

    def _said(self) -> dict[str, tuple[str, CardMessage]]:
        """Return the last word on each trace, and the message that said it first.

        A decision outranks a question and a final word an approval; what expires waits for another approval.
        """
        said: dict[str, tuple[str, CardMessage]] = {}
        for entry in self.messages:
            word = self.words[entry.message_id]
            if entry.kind is MessageKind.EXPIRY:
                expired = {trace: ("expired", by) for trace, (last, by) in said.items() if last == APPROVED}
                said.update(expired)
            elif word and not (entry.credit and word != ASKED):
                last, _ = said.get(entry.trace, ("", entry))
                if (word == ASKED and last not in {"", ASKED}) or (word == APPROVED and last == FINAL):
                    continue
                said[entry.trace] = word, entry
        return said

    def _reversals_of(self, trace: str) -> list[CardMessage]:
        """Return the reversals of a trace: those that name it, or that operations linked to its message.

        A reversal's request and its answer are one, and the last that says what remains speaks for both.
        """
        named = [entry for entry in self.messages if entry.kind is MessageKind.REVERSAL]
        found = [entry for entry in named if (entry.original_trace or entry.trace) == trace]
        rulings = {frozenset(entry.refers_to): entry for entry in self.messages if entry.kind.name.startswith("LINK")}
        for pair, ruling in rulings.items():
            if ruling.kind is not MessageKind.LINK_CONFIRMED:
                continue
            decided = [
                entry
                for entry in self.messages
                if entry.message_id in pair and self.words[entry.message_id] not in {"", ASKED} and trace == entry.trace
            ]
            if decided and trace in self.said:
                lone = [entry for entry in named if entry.message_id in pair]
                found += [entry for entry in lone if (entry.original_trace or entry.trace) not in self.said]
        found.sort(key=lambda entry: entry.replacement is not None)
        return list({entry.trace or entry.message_id: entry for entry in found}.values())

    def _left(self, message: CardMessage, traces: Iterable[str]) -> _Counted:
        """Return what the reversals of some traces leave of a message."""
        whole = self._whole(message)
        amount, billing = whole.amount, whole.billing
        for trace in traces:
            for reversal in self._reversals_of(trace):
                amount = _at_most(reversal.replacement, amount)
                billing = billing and _at_most(_billing_left(whole, reversal), billing)
        return _Counted(message=message, amount=amount, billing=billing)

    def _chain(self, message: CardMessage) -> list[str]:
        """Return a message's trace, and behind it those of what it completes, one through the other."""
        chain = [message.trace]
        while True:
            named = [
                entry.original_trace
                for entry in self.messages
                if entry.trace == chain[-1] and self.words[entry.message_id] and entry.original_trace
            ]
            if not named:
                return chain
            if named[-1] in chain:
                return [message.trace]
            chain.append(named[-1])

    def _authorizations(self) -> list[_Counted]:
        """Return one message for each authorization, less what was reversed: its last completion, a final one first.

        A completion that is reversed in whole brings back what was said before it.
        The authorization that was spoken of first is the first, whatever was said of it then.
        """
        latest: dict[str, _Counted] = {}
        spoken: dict[str, list[str]] = {}
        for word in (APPROVED, FINAL):
            for entry in self.messages:
                if (word, entry) != self.said.get(entry.trace):
                    continue
                *completions, first = self._chain(entry)
                reversed_ = any(self._reversals_of(trace) for trace in completions)
                if reversed_ and self._left(entry, completions).amount.amount_minor == 0:
                    continue
                latest[first] = self._left(entry, [*completions, first])
                spoken.setdefault(first, []).append(entry.trace)
        order = list(self.said)
        return [latest[first] for first in sorted(latest, key=lambda one: min(map(order.index, spoken[one])))]

    def _promised(self) -> list[_Counted]:
        """Return the approvals that promise something: no estimates, and none before one that takes their place."""
        approved = [e for e in self._authorizations() if self.words[e.message.message_id] == APPROVED]
        standing = {entry.message.message_id: entry for entry in approved}
        ordered = [standing[entry.message_id] for entry in self.messages if entry.message_id in standing]
        for place, entry in reversed(list(enumerate(ordered))):
            if entry.message.supersedes:
                ordered = ordered[place:]
                break
        return [entry for entry in ordered if not entry.message.estimated]

    def _credited(self) -> list[_Counted]:
        """Return the messages that pay the holder where the last word is final; they count until a record comes."""
        last = {e.trace: e for e in self.messages if e.credit and self.words[e.message_id] in {FINAL, DECLINED}}
        final = [entry for entry in last.values() if self.words[entry.message_id] == FINAL]
        return [self._left(entry, [entry.trace]) for entry in final]

    def _disputes(self, stage: MessageKind) -> list[_Counted]:
        return [self._whole(entry) for entry in self.records if entry.kind is stage]

    def _billed(self, entry: _Counted, presented: Sequence[_Counted]) -> Money:
        """Return what was billed; a refund or a dispute that does not say it has its part of its own presentment's.

        Its own is the first of the same reference and part, else of the same reference, else of the same part, else
        the first; without presentments, so with what was final.
        """
        of = [other for other in presented if other.amount.currency == entry.amount.currency]
        if entry.billing is not None or not of:
            return entry.billing or entry.amount
        of.sort(key=lambda other: other.message.clearing_part != entry.message.clearing_part)
        of.sort(key=lambda other: other.message.acquirer_reference != entry.message.acquirer_reference)
        own = of[0]
        if own.billing is None or not own.amount.amount_minor:
            return entry.amount
        return _share(own.billing, entry.amount.amount_minor, own.amount.amount_minor)

    def _whole(self, message: CardMessage) -> _Counted:
        """Return a message with nothing taken off; refunds and disputes may leave open what is billed."""
        assert message.amount is not None
        may_be_silent = message.credit or message.kind in STAGES
        billing = message.billing or (None if may_be_silent else message.amount)
        return _Counted(message=message, amount=message.amount, billing=billing)


def _alike(one: CardMessage, other: CardMessage) -> bool:
    """Tell whether two clearing records are about one thing; without a reference their amount tells."""
    if (one.credit, one.clearing_part) != (other.credit, other.clearing_part):
        return False
    if one.acquirer_reference or other.acquirer_reference:
        return one.acquirer_reference == other.acquirer_reference
    return one.amount == other.amount


def _billing_left(whole: _Counted, reversal: CardMessage) -> Money | None:
    """Return what a reversal leaves of what was billed: what it says, else its own share, else the message's share."""
    left = reversal.replacement
    if left is None:
        return None
    stated = reversal.replacement_billing
    own = reversal.billing or (None if reversal.credit else reversal.amount)
    if stated is None and own is not None and reversal.amount is not None and reversal.amount.amount_minor:
        stated = _share(own, left.amount_minor, reversal.amount.amount_minor)
    if whole.billing is None or (stated is not None and stated.currency == whole.billing.currency):
        return stated
    if left.currency != whole.amount.currency or not whole.amount.amount_minor:
        return None
    return _share(whole.billing, left.amount_minor, whole.amount.amount_minor)


def _share(whole: Money, part_minor: int, of_minor: int) -> Money:
    return Money(amount_minor=round(Fraction(whole.amount_minor * part_minor, of_minor)), currency=whole.currency)


def _at_most(left: Money | None, money: Money) -> Money:
    minor = min(left.amount_minor, money.amount_minor) if left and left.currency == money.currency else 0
    return Money(amount_minor=minor, currency=money.currency)


def _add(amounts: Iterable[Money]) -> Sums:
    sums: Sums = {}
    for money in amounts:
        sums[money.currency] = sums.get(money.currency, 0) + money.amount_minor
    return sums
