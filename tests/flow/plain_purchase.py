"""A plain model of what a purchase comes to: what is still awaited, and what has cleared, in each currency.

docs/purchase.md says the rules; everything is looked up in the list of messages again and again.
"""

from collections.abc import Callable, Iterable, Sequence
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
    """

    anchor: CardMessage | None
    awaited: Sums
    cleared: Sums
    billed_awaited: Sums
    billed_cleared: Sums


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counted:
    """A message that counts, with what is left of it."""

    message: CardMessage
    amount: Money
    billing: Money


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
    awaited, cleared = bought.sums(lambda entry: entry.amount, [part.amount for part in refunded], placed)
    billed = bought.sums(lambda entry: entry.billing, [part.billing for part in refunded], placed, billed=True)
    return Bought(
        anchor=bought.anchor(),
        awaited=awaited,
        cleared=cleared,
        billed_awaited=billed[0],
        billed_cleared=billed[1],
    )


class _Purchase:
    """The messages of one purchase in their order."""

    def __init__(self, messages: Sequence[CardMessage], link: Link) -> None:
        self.messages = messages
        self.words = {entry.message_id: word_of(entry, link) for entry in messages}
        self.said = self._said()
        self.records = [entry for entry in messages if entry.kind in TAKEN_BACK_BY and not self._withdrawn(entry)]
        presentments = [entry for entry in self.records if entry.kind is MessageKind.PRESENTMENT]
        self.presented = [self._whole(entry) for entry in presentments if not entry.credit]
        self.credited = [self._whole(entry) for entry in presentments if entry.credit] or self._credited()

    def anchor(self) -> CardMessage | None:
        """Return the first that tells most: no refund, online rather than cleared, decided rather than asked."""
        telling = [entry for entry in self.messages if self.words[entry.message_id] or self._clears(entry)]
        credits_last = sorted(telling, key=lambda entry: self.words[entry.message_id] == ASKED)
        credits_last.sort(key=self._clears)
        credits_last.sort(key=lambda entry: entry.credit)
        return credits_last[0] if credits_last else None

    def sums(
        self,
        money: Callable[[_Counted], Money],
        refunded: Iterable[Money],
        placed: Iterable[Part],
        *,
        billed: bool = False,
    ) -> tuple[Sums, Sums]:
        """Return what is awaited and what has cleared, in one of the two views."""
        final = [entry for entry in self._authorizations() if self.words[entry.message.message_id] == FINAL]
        held = _add(map(money, final if any(entry.amount.amount_minor for entry in final) else self._promised()))
        posted = _add(map(money, self.presented or final))
        given = _add([*map(money, self.credited), *refunded])
        elsewhere = _add(part.billing if billed else part.amount for part in placed)
        disputes = [_add(map(money, self._disputes(stage, billed=billed))) for stage in STAGES]
        awaited, cleared = {}, {}
        for currency in set().union(held, posted, given, elsewhere, *disputes):
            has = posted.get(currency, 0)
            gave = given.get(currency, 0) - elsewhere.get(currency, 0)
            first, again, arbitration = [stage.get(currency, 0) for stage in disputes]
            disputed = first - min(first, max(again, arbitration)) + arbitration
            awaited[currency] = 0 if self._closed() else max(0, held.get(currency, 0) - has)
            cleared[currency] = has - gave - min(disputed, max(0, has - gave))
        return awaited, cleared

    def _clears(self, message: CardMessage) -> bool:
        return message.kind is MessageKind.PRESENTMENT

    def _withdrawn(self, record: CardMessage) -> bool:
        """Tell whether a clearing record's own reversal is there: of the same reference and part."""
        return any(
            (entry.kind, entry.acquirer_reference, entry.clearing_part)
            == (TAKEN_BACK_BY[record.kind], record.acquirer_reference, record.clearing_part)
            for entry in self.messages
        )

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

    def _reversal_of(self, trace: str) -> CardMessage | None:
        """Return the last reversal of a trace: one that names it, or that operations linked to its message."""
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
        return found[-1] if found else None

    def _left(self, message: CardMessage, traces: Iterable[str]) -> _Counted:
        """Return what the reversals of some traces leave of a message."""
        whole = self._whole(message)
        amount, billing = whole.amount, whole.billing
        for trace in traces:
            reversal = self._reversal_of(trace)
            if reversal is not None:
                amount = _at_most(reversal.replacement, amount)
                billing = _at_most(_billing_left(whole, reversal), billing)
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
        """
        latest: dict[str, _Counted] = {}
        for word in (APPROVED, FINAL):
            for entry in self.messages:
                if (word, entry) != self.said.get(entry.trace):
                    continue
                *completions, first = self._chain(entry)
                reversed_ = any(self._reversal_of(trace) for trace in completions)
                if reversed_ and self._left(entry, completions).amount.amount_minor == 0:
                    continue
                latest[first] = self._left(entry, [*completions, first])
        return list(latest.values())

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
        """Return the final messages that pay the holder, the last of each trace, which count until a record comes."""
        last = {e.trace: e for e in self.messages if e.credit and self.words[e.message_id] == FINAL}
        return [self._left(entry, [trace]) for trace, entry in last.items()]

    def _disputes(self, stage: MessageKind, *, billed: bool) -> list[_Counted]:
        """Return the disputes of one stage; what is billed, where they do not say it, is a part of a presentment's."""
        found = [self._whole(entry) for entry in self.records if entry.kind is stage]
        return [self._disputed(entry) for entry in found] if billed else found

    def _disputed(self, dispute: _Counted) -> _Counted:
        of = [entry for entry in self.presented if entry.amount.currency == dispute.amount.currency]
        if dispute.message.billing is not None or not of or not of[0].amount.amount_minor:
            return dispute
        billing = _share(of[0].billing, dispute.amount.amount_minor, of[0].amount.amount_minor)
        return _Counted(message=dispute.message, amount=dispute.amount, billing=billing)

    def _whole(self, message: CardMessage) -> _Counted:
        assert message.amount is not None
        return _Counted(message=message, amount=message.amount, billing=message.billing or message.amount)


def _billing_left(whole: _Counted, reversal: CardMessage) -> Money | None:
    """Return what a reversal leaves of what was billed: what it says, else its own share, else the message's share."""
    left = reversal.replacement
    if left is None:
        return None
    stated = reversal.replacement_billing
    own = reversal.billing or reversal.amount
    if stated is None and own is not None and reversal.amount is not None and reversal.amount.amount_minor:
        stated = _share(own, left.amount_minor, reversal.amount.amount_minor)
    if stated is not None and stated.currency == whole.billing.currency:
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
