"""Telling the stories: a seed and a day become messages in the order of their sending, and clearing records.

It decides which stories are told, when and about whom.
It reads no clock, so the same arguments give the same bytes.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Final

from examples.traffic.host import PURCHASE, Host
from examples.traffic.outlets import ELSEWHERE, partner_outlets
from examples.traffic.portfolio import STREAMS, Account, Card, card_number, open_accounts
from examples.traffic.scene import APPROVED, Presentment, Record, Scene, TrafficMessage
from examples.traffic.skyways import links, product_of
from examples.traffic.stories import FAULTS, STORIES, Story
from processor.core.programme import Enrolment

DAYS: Final = 30
"""How many days before ``today`` the traffic begins."""

BENCHMARK_STORY: Final = "purchase"
BENCHMARK_MESSAGES_A_SECOND: Final = 200
"""How many authorizations of a benchmark are dated with one second."""

_MESSAGES_TO_A_FAULT: Final = 1000
_BENCHMARK_SERIAL: Final = 900_000_000
"""Where the serial numbers of a benchmark's cards begin; no card of the portfolio has one as high."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What happened to a portfolio of accounts: messages in the order of sending, and clearing records.

    ``institutions`` are the banks' own identification codes; ``stories`` counts how often each story was told.
    """

    accounts: tuple[Account, ...]
    institutions: Mapping[str, str]
    messages: tuple[TrafficMessage, ...]
    presentments: tuple[Presentment, ...]
    stories: Counter[str]


def tell(*, seed: int, accounts: int, messages: int, today: date, now: datetime) -> Traffic:
    """Tell stories until at least ``messages`` messages are sent; each story at each bank before any by chance.

    Everything happens in the thirty days before ``today`` and, where ``now`` (aware) lies later, on the day itself.
    """
    now = min(now.astimezone(UTC).replace(microsecond=0), _midnight(today + timedelta(1)))
    first_day = min(today, now.date()) - timedelta(DAYS)
    random = Random(f"{seed} {today}")
    opened = open_accounts(accounts, first_day)
    hosts = {bank: Host(bank, random) for bank in links()}
    record, told = Record(now=now), Counter[str]()
    casts: dict[tuple[str, str], list[Account]] = {}
    for story, bank in _plan(random, messages):
        if len(record.messages) >= messages:
            break
        if (story.name, bank) not in casts:
            casts[story.name, bank] = [
                entry for entry in opened if entry.bank == bank and entry.holding in story.holdings
            ]
        scene = Scene(
            story=story.name,
            host=hosts[bank],
            account=random.choice(casts[story.name, bank]),
            start=_between(random, _midnight(first_day), now - story.span),
            random=random,
            record=record,
        )
        story.tell(scene)
        told[story.name] += 1
    return Traffic(
        accounts=opened,
        institutions={bank: host.institution for bank, host in hosts.items()},
        messages=tuple(_in_order(record.messages)),
        presentments=tuple(record.presentments),
        stories=told,
    )


def history(seed: int, accounts: int, messages: int, today: date) -> list[TrafficMessage]:
    """Return a small traffic's messages, for tests; it ends as ``today`` begins.

    From 140 messages on, every story that sends any occurs.
    """
    return list(tell(seed=seed, accounts=accounts, messages=messages, today=today, now=_midnight(today)).messages)


def authorizations(
    count: int, *, seed: int, now: datetime, bank: str, dialect: str, accounts: int = 10_000
) -> Iterator[TrafficMessage]:
    """Yield approved purchase authorizations for a benchmark: copies of responses, each of a purchase of its own.

    They come from the cards of ``accounts`` accounts in turn, all of a product that enrols automatically, and end with
    ``now`` (aware).
    Another ``seed`` gives other purchases of the same cards.
    """
    random = Random(f"{seed} {bank}")
    host = Host(bank, random, dialect=dialect)
    outlets = (*partner_outlets(), *ELSEWHERE)
    cards = _benchmark_cards(bank, min(accounts, count))
    end = now.astimezone(UTC).replace(microsecond=0)
    for number in range(count):
        at = end - timedelta(seconds=(count - 1 - number) // BENCHMARK_MESSAGES_A_SECOND)
        outlet = random.choice(outlets)
        sale = host.sale(
            card=cards[number % len(cards)],
            outlet=outlet,
            entry=None,
            at=at,
            processing_code=PURCHASE,
            amount_minor=outlet.receipt(random),
        )
        elements = host.elements(sale) | {"response_code": APPROVED, "approval_code": sale.approval_code}
        yield TrafficMessage(
            caller_id=f"{bank}-{seed}-{number}",
            stream=number % len(cards) % STREAMS,
            bank=bank,
            dialect=dialect,
            message=host.encode("0110", elements),
            response=None,
            story=BENCHMARK_STORY,
            sent_at=at,
        )


def _plan(random: Random, messages: int) -> Iterator[tuple[Story, str]]:
    """Yield what to tell at which bank: everything once, the faults, and then without end whatever chance says."""
    banks = list(links())
    for story in STORIES:
        yield from ((story, bank) for bank in banks if story.banks(bank))
    for number in range(max(len(FAULTS), messages // _MESSAGES_TO_A_FAULT)):
        turn, kind = divmod(number, len(FAULTS))
        yield FAULTS[kind], banks[(turn + kind) % len(banks)]
    weights = [story.weight for story in STORIES]
    while True:
        (story,) = random.choices(STORIES, weights)
        yield story, random.choice([bank for bank in banks if story.banks(bank)])


def _in_order(messages: Sequence[TrafficMessage]) -> Iterator[TrafficMessage]:
    """Yield the messages in the order of their sending, each with an id of its own."""
    for number, message in enumerate(sorted(messages, key=lambda message: message.sent_at), start=1):
        yield replace(message, caller_id=f"{message.bank}-{number:07d}")


def _between(random: Random, earliest: datetime, latest: datetime) -> datetime:
    return earliest + timedelta(seconds=random.randint(0, int((latest - earliest).total_seconds())))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)


def _benchmark_cards(bank: str, accounts: int) -> list[Card]:
    product = product_of(bank, Enrolment.AUTOMATIC)
    serials = range(_BENCHMARK_SERIAL, _BENCHMARK_SERIAL + accounts)
    return [
        Card(pan=card_number(product, serial), product=product, role="primary", expiry="3012") for serial in serials
    ]
