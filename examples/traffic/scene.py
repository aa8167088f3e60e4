"""What a story is told with: one account of one bank, a time to begin, and a record of what was sent and presented.

It decides how a host of each kind tells an approval; the stories decide what happens.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from random import Random
from types import MappingProxyType
from typing import Final

from examples.traffic.host import PURCHASE, Entry, Host, Sale
from examples.traffic.outlets import Outlet, pick_outlet
from examples.traffic.portfolio import Account, Card
from examples.traffic.skyways import asks_first

APPROVED: Final = "00"
_ADVICE: Final = "2"
_AS_IT_IS: Final[Mapping[str, str]] = MappingProxyType({})
_AT_ONCE: Final = timedelta()
_ANSWER_TIME: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficMessage:
    """One card message as a host sends it to the processor.

    ``message`` and ``response`` are ISO 8583; ``response`` is None but where request and response come together.
    ``sent_at`` is when the host sends it, aware UTC; its transmission time is never later.
    Messages of one account have one ``stream``.
    """

    caller_id: str
    stream: int
    bank: str
    dialect: str
    message: bytes
    response: bytes | None
    story: str
    sent_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Presentment:
    """One clearing record before it has a place in a file: the day of its file, and its elements by name."""

    bank: str
    day: date
    story: str
    elements: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Everything told so far, in the order of telling; ``now`` is the moment after which nothing has happened."""

    now: datetime
    messages: list[TrafficMessage] = field(default_factory=list)
    presentments: list[Presentment] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One telling of one story."""

    story: str
    host: Host
    account: Account
    start: datetime
    random: Random
    record: Record

    def card(self, day: date) -> Card:
        """Return one of the cards that the account uses on a day."""
        return self.random.choice(self.account.cards_on(day))

    def sale(
        self,
        suits: Callable[[Outlet], bool] = lambda _: True,
        *,
        outlet: Outlet | None = None,
        card: Card | None = None,
        entry: Entry | None = None,
        at: datetime | None = None,
        processing_code: str = PURCHASE,
        amount_minor: int | None = None,
    ) -> Sale:
        """Return a new sale, by default at an outlet that suits, at the story's start and over a likely amount."""
        at = at or self.start
        outlet = outlet or pick_outlet(self.random, suits)
        return self.host.sale(
            card=card or self.card(at.date()),
            outlet=outlet,
            entry=entry,
            at=at,
            processing_code=processing_code,
            amount_minor=outlet.receipt(self.random) if amount_minor is None else amount_minor,
        )

    def put(self, message: bytes, sent_at: datetime, response: bytes | None = None) -> TrafficMessage:
        """Record bytes as sent to the processor; they get their id once the order of all messages is known."""
        sent = TrafficMessage(
            caller_id="",
            stream=self.account.stream,
            bank=self.host.bank,
            dialect=self.host.dialect.name,
            message=message,
            response=response,
            story=self.story,
            sent_at=sent_at,
        )
        self.record.messages.append(sent)
        return sent

    def again(self, message: TrafficMessage, delay: timedelta) -> None:
        """Send the very same bytes once more."""
        self.record.messages.append(replace(message, sent_at=message.sent_at + delay))

    def ask(self, sale: Sale, mti: str = "0100", *, delay: timedelta = _AT_ONCE) -> None:
        """Send a sale as the request it is before the host decides."""
        self.put(self.host.encode(mti, self.host.elements(sale) | self.host.secrets(sale)), sale.at + delay)

    def tell(
        self, sale: Sale, mti: str, response_code: str = APPROVED, *, delay: timedelta = _AT_ONCE, **elements: str
    ) -> TrafficMessage:
        """Send what the host decided about a sale; ``delay`` is how much later than usual it is sent."""
        written = self.host.elements(sale) | elements
        if mti[2] == _ADVICE:  # A response does not repeat what the terminal read.
            written |= self.host.secrets(sale)
        written["response_code"] = response_code
        if response_code == APPROVED:
            written["approval_code"] = sale.approval_code
        return self.put(self.host.encode(mti, written), sale.at + _ANSWER_TIME + delay)

    def decide(
        self, sale: Sale, response_code: str = APPROVED, *, mti: str = "", delay: timedelta = _AT_ONCE
    ) -> TrafficMessage:
        """Tell a decision as the bank's host does: a host that asks first sends its request before its outcome.

        The outcome is a copy of the response or an advice, whichever comes, unless ``mti`` names one.
        """
        mti = mti or self.random.choice(("0110", "0110", "0120"))
        if asks_first(self.host.bank):
            self.ask(sale, f"{mti[:2]}00", delay=delay)
        return self.tell(sale, mti, response_code, delay=delay)

    def reverse(
        self, sale: Sale, mti: str, *, after: timedelta, trace_number: str, delay: timedelta = _AT_ONCE, **elements: str
    ) -> None:
        """Send a reversal of a sale, dated so long after it, under its own trace number."""
        at = sale.at + after
        written = self.host.elements(sale, at=at, trace_number=trace_number) | elements
        written["approval_code"] = sale.approval_code
        written["original_data"] = self.host.original_data(sale)
        self.put(self.host.encode(mti, written), at + delay)

    def present(
        self,
        sale: Sale,
        *,
        days: int,
        amount_minor: int | None = None,
        card: Card | None = None,
        elements: Mapping[str, str] = _AS_IT_IS,
    ) -> Mapping[str, str]:
        """Put a sale into the clearing file of so many days later, and return the record's elements.

        ``elements`` are added to the record or take the place of its own.

        A day that has not come yet has no file: the sale stays authorized and not cleared.
        """
        day = sale.at.date() + timedelta(days)
        amount_minor = sale.amount_minor if amount_minor is None else amount_minor
        written = self.host.presentment(sale, amount_minor=amount_minor, day=day, card=card or sale.card)
        written.update(elements)
        if day <= self.record.now.date():
            self.record.presentments.append(
                Presentment(bank=self.host.bank, day=day, story=self.story, elements=written)
            )
        return written
