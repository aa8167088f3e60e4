"""What deciding costs beside decoding: one message under a programme of many rules and offers, in one process.

Run ``python -m benchmarks.deciding --rounds 20``.
Deciding is what the core does: the message's event, the fold, the merchant, the rules, the caps and the awards; ids,
postings and serialisation are not counted.
Decoding is one call of pyiso8583 on the same messages; both are measured in time of the processor.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Final

import iso8583

from examples.traffic.skyways import dialects
from processor.core.account_terms import AccountTerms
from processor.core.accrual import circumstances_of, entitle
from processor.core.awarding import awards_of
from processor.core.cap import Cap, CapPeriod
from processor.core.conditions import AmountRange, Conditions
from processor.core.event import Event, event_of
from processor.core.kept_purchase import Purchase
from processor.core.message import CardMessage
from processor.core.money import Rounding
from processor.core.programme import FinancialMeaning, Link, LinkMode, Merchant, Partner, Programme
from processor.core.purchase import fold
from processor.core.rule import AmountBase, Benefit, Best, Funder, Multiplication, Ratio, Rule
from processor.wire.card_message import to_card_message
from processor.wire.decode import decode
from processor.wire.dialect import Dialect
from processor.wire.encode import encode_message
from processor.wire.tokenise import Tokeniser

PARTNERS: Final = 40
RULES: Final = 200
OFFERS: Final = 50
MESSAGES: Final = 400
NOW: Final = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY: Final = date(2026, 11, 20)


def programme(*, by_partner: bool) -> Programme:
    """Return a programme of 200 rules with rates and 50 offers that run now, and caps on a third of them.

    Offers are for a sector, so that six of them meet at a brand, or for a partner.
    """
    rules = [_rule(number) for number in range(RULES)]
    rules += [_offer(number, by_partner=by_partner) for number in range(OFFERS)]
    return Programme(
        id="many",
        name="Many",
        revision=1,
        effective_from=datetime(2026, 1, 1, tzinfo=UTC),
        unit="SKY",
        unit_name="mile",
        decimals=0,
        owner="owner",
        parties={},
        links=(),
        calendars={},
        products={},
        partners={
            f"partner-{number}": Partner(id=f"partner-{number}", name="P", sector=f"sector-{number % 8}", retailer="r")
            for number in range(PARTNERS)
        },
        merchants={
            ("12345678", f"SHOP{number:011d}"): (
                Merchant(
                    acquirer="12345678",
                    acceptor=f"SHOP{number:011d}",
                    terminal=None,
                    mcc=None,
                    partner=f"partner-{number}",
                ),
            )
            for number in range(PARTNERS)
        },
        excluded_mccs=frozenset({"6011"}),
        excluded_processing_codes=frozenset({"01"}),
        rules=tuple(rules),
        caps=tuple(
            Cap(id=f"cap-{rule.id}", rules=frozenset({rule.id}), period=CapPeriod.MONTH, limit=10**9, currency=None)
            for rule in rules[::3]
        ),
        groups={"offers": Best.HOLDER},
    )


def _rule(number: int) -> Rule:
    """Return a rule with a rate: one for everybody, the others for a partner and a category each."""
    when = Conditions(
        partners=frozenset({f"partner-{number % PARTNERS}"}), mccs=frozenset({f"{5000 + number % 20:04d}"})
    )
    return Rule(
        id=f"rule-{number:03d}",
        benefit=Benefit.MILES,
        base=AmountBase.BILLING,
        rates={"EUR": Ratio(numerator=1 + number % 3, denominator=200)},
        rounding=Rounding.DOWN,
        funder=Funder.BANK,
        when=when if number else Conditions(),
    )


def _offer(number: int, *, by_partner: bool) -> Rule:
    """Return an offer that runs now: a bonus or a multiplier, by sector or partner, weekday and amount."""
    when = Conditions(
        sectors=frozenset() if by_partner else frozenset({f"sector-{number % 8}"}),
        partners=frozenset({f"partner-{number % PARTNERS}"}) if by_partner else frozenset(),
        dates=(date(2026, 11, 1), date(2026, 11, 30)),
        weekdays=frozenset({5, 6, 7}),
        hours=("0800", "2200") if number % 5 == 1 else None,
        amounts={"EUR": AmountRange(lowest=10_00 * (number % 7), highest=None)},
    )
    doubles = number % 5 == 0
    return Rule(
        id=f"offer-{number:02d}",
        benefit=Benefit.MILES,
        base=AmountBase.BILLING,
        rates={},
        rounding=Rounding.DOWN,
        funder=Funder.OWNER,
        when=when,
        fixed={} if doubles else {"SKY": 50 + number},
        multiplication=Multiplication(rules=frozenset({"rule-000"}), by=Ratio(numerator=2, denominator=1))
        if doubles
        else None,
        exclusive=None if doubles else "offers",
    )


def messages(dialect: Dialect) -> list[bytes]:
    """Return approved authorizations, most of them at partners."""
    return [
        encode_message(
            dialect,
            "0110",
            {
                "pan": f"400000{number * 617_283_947 % 10**9:09d}0",
                "processing_code": "000000",
                "amount": f"{100 * (number % 300 + 1):012d}",
                "transmission_date_time": "1120113000",
                "trace_number": f"{number:06d}",
                "local_time": "113000",
                "local_date": "1120",
                "mcc": f"{5000 + number % 20:04d}",
                "entry_mode": "051",
                "condition_code": "00",
                "acquirer": "12345678",
                "retrieval_reference": f"632411{number:06d}",
                "approval_code": f"{number:06d}",
                "response_code": "00",
                "terminal": "TERM0001",
                "acceptor": f"SHOP{number % (PARTNERS + 5):011d}",
                "currency": "978",
            },
        )
        for number in range(MESSAGES)
    ]


LINK: Final = Link(
    bank="alpha",
    dialect="iso87-ascii",
    mode=LinkMode.COPY,
    financial=FinancialMeaning.AWAITS_CLEARING,
    answers=True,
    quote_seconds=0,
)


def decided(purchase: Purchase, event: Event, programme: Programme, terms: AccountTerms) -> int:
    """Decide one event as the first of its purchase, and return how many awards it changes."""
    folded = fold((event,))
    awards = awards_of(purchase, programme, entitle(programme, folded), event, terms, (event,))
    return len(awards)


def measure(rounds: int) -> None:
    """Measure in turn, so that what disturbs one disturbs the other, and print medians and the ratio."""
    dialect = dialects()["iso87-ascii"]
    raws = messages(dialect)
    tokeniser = Tokeniser({"k1": bytes(32)}, "k1", {})
    card_messages: list[CardMessage] = [
        to_card_message(decode(dialect, raw), dialect=dialect, bank="alpha", received_at=NOW, tokeniser=tokeniser)
        for raw in raws
    ]
    for by_partner in (False, True):
        _measure(rounds, dialect, raws, card_messages, programme(by_partner=by_partner))


def _measure(
    rounds: int, dialect: Dialect, raws: list[bytes], card_messages: list[CardMessage], many: Programme
) -> None:
    terms = AccountTerms(bank=LINK.bank, programme_at=lambda _: many, revision_of=lambda _: many, used={}, reserved={})
    purchases = [Purchase(id=message.message_id) for message in card_messages]
    entitled = [entitle(many, fold((event_of(message, LINK, "gold"),))) for message in card_messages]
    weighed = statistics.mean(len(entry.entitlements) for entry in entitled)
    applying = statistics.mean(
        len(many.plan(circumstances_of(event_of(message, LINK, "gold"), entry.partner)).rules)
        for message, entry in zip(card_messages, entitled, strict=True)
    )

    def decide_all() -> None:
        for purchase, message in zip(purchases, card_messages, strict=True):
            decided(purchase, event_of(message, LINK, "gold"), many, terms)

    def decode_all() -> None:
        for raw in raws:
            iso8583.decode(raw, dialect.spec)

    times: dict[str, list[float]] = {"decode": [], "decide": []}
    for _ in range(rounds):
        times["decode"].append(_timed(decode_all))
        times["decide"].append(_timed(decide_all))
    decode_us, decide_us = (1e6 * statistics.median(times[name]) / MESSAGES for name in ("decode", "decide"))
    ratios = [decide / one for decide, one in zip(times["decide"], times["decode"], strict=True)]
    sys.stdout.write(
        f"{RULES} rules and {OFFERS} offers, {applying:.1f} apply and {weighed:.1f} give: decode {decode_us:.1f} us,"
        f" decide {decide_us:.1f} us, {statistics.median(ratios):.2f} times as long"
        f" ({min(ratios):.2f} to {max(ratios):.2f} over {rounds} rounds)\n"
    )


def _timed(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deciding", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="how often both are measured")
    measure(parser.parse_args().rounds)


if __name__ == "__main__":
    main()
