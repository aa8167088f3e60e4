"""Discounts at the till: quoted on the request, confirmed by the outcome, undone with what clears."""

from collections import Counter
from dataclasses import replace
from itertools import permutations
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.core.cap import Cap, CapPeriod
from processor.core.conditions import AmountRange
from processor.core.event import Event
from processor.core.expression import Expression, compile_expression
from processor.core.message import CardMessage, MessageKind
from processor.core.outcome import Reason
from processor.core.posting import Posting, Template, party_of
from processor.core.programme import Programme
from processor.core.purchase import Lowered, moves_anchor
from processor.core.rule import AmountBase, Benefit, Best, Funder, Rule
from processor.core.till import lowered_of
from tests.core.strategies import (
    BANK,
    FIRST,
    OWNER,
    Books,
    Histories,
    arrivals,
    authorized,
    declined,
    disputed,
    eur,
    events,
    expired,
    financial,
    histories,
    presented,
    ratio,
    refunded,
    requested,
    reversed_,
    rule,
    usd,
)


def at_till(name: str, percent: int, funder: Funder, *partners: str) -> Rule:
    """Return a rule that takes a percentage off at the till."""
    started = rule(
        name,
        Benefit.DISCOUNT,
        {"*": ratio(percent, 100)},
        funder=funder,
        base=AmountBase.TRANSACTION,
        partners=partners,
    )
    return replace(started, at_till=True)


def with_rules(*rules: Rule, caps: tuple[Cap, ...] = ()) -> Programme:
    """Return a programme of these rules and one mile per euro from the bank."""
    miles = rule("base", Benefit.MILES, {"EUR": ratio(1, 100)}, funder=Funder.BANK)
    return replace(FIRST, rules=(miles, *rules), caps=caps)


TEN: Final = with_rules(at_till("ten", 10, Funder.OWNER, "fashion"))
REQUEST: Final = requested("a", eur(100_00), "fashion")
LOWERED: Final = authorized("a", eur(90_00), place="fashion")
WHOLE: Final = authorized("a", eur(100_00), place="fashion")
CLEARED: Final = presented("r", eur(90_00), place="fashion")


def asking(*messages: CardMessage) -> list[Event]:
    """Return the events of messages of a host that asks first."""
    return [event._replace(asked=event.effect == 1) for event in events(*messages)]


def booked(programme: Programme, *messages: CardMessage) -> Books:
    """Return the books after one purchase's messages over an inline link."""
    books = Books(revisions=(programme,))
    for event in asking(*messages):
        books.take(bytes(16), event, quote=event.asked)
    return books


def owed(postings: list[Posting]) -> dict[tuple[str, str, str], int]:
    """Return who owes whom for discounts at the till, netted by pair."""
    sums: Counter[tuple[str, str, str]] = Counter()
    for posting in postings:
        pair = party_of(posting.debit), party_of(posting.credit), posting.unit
        if posting.template is Template.TILL_DISCOUNT_CHARGED:
            sums[pair] += posting.amount
        elif posting.template is Template.TILL_DISCOUNT_RETURNED:
            sums[pair[1], pair[0], pair[2]] -= posting.amount
    return {pair: amount for pair, amount in sums.items() if amount}


def granted(books: Books, name: str = "ten") -> tuple[int, int]:
    """Return what a rule has granted the purchase: pending and available."""
    grants = [grant for grant in books.purchases[bytes(16)].grants if grant.rule == name]
    return sum(grant.pending for grant in grants), sum(grant.available for grant in grants)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ((REQUEST,), (0, 0)),
        ((REQUEST, LOWERED), (10_00, 0)),
        ((REQUEST, WHOLE), (0, 0)),
        ((REQUEST, authorized("a", eur(85_00), place="fashion")), (0, 0)),
        ((REQUEST, authorized("a", eur(95_00), place="fashion")), (0, 0)),
        ((REQUEST, authorized("a", usd(90_00), place="fashion")), (0, 0)),
        ((REQUEST, declined("a", eur(90_00))), (0, 0)),
        ((LOWERED,), (0, 0)),
        ((LOWERED, CLEARED), (0, 0)),
        ((REQUEST, LOWERED, CLEARED), (0, 10_00)),
        ((REQUEST, LOWERED, presented("r", eur(100_00), place="fashion")), (0, 0)),
        ((REQUEST, LOWERED, presented("r", eur(45_00), part=(1, 2), place="fashion")), (5_00, 5_00)),
        ((REQUEST, LOWERED, CLEARED, refunded("r", eur(90_00))), (0, 0)),
        ((REQUEST, LOWERED, CLEARED, refunded("r", eur(30_00))), (0, 6_66)),
        ((REQUEST, LOWERED, CLEARED, disputed(MessageKind.CHARGEBACK, "r", eur(90_00))), (0, 0)),
        ((REQUEST, LOWERED, reversed_("b", "a")), (0, 0)),
        ((REQUEST, LOWERED, reversed_("b", "a", eur(45_00))), (5_00, 0)),
        ((REQUEST, LOWERED, expired()), (0, 0)),
        ((REQUEST, LOWERED, expired(), CLEARED), (0, 10_00)),
        ((REQUEST, financial("a", eur(90_00), place="fashion")), (0, 10_00)),
        ((REQUEST, LOWERED, financial("b", eur(81_00), "a", "fashion")), (0, 9_00)),
        ((REQUEST, financial("b", eur(90_00), "a", "fashion")), (0, 10_00)),
        ((replace(REQUEST, estimated=True), LOWERED), (0, 0)),
        ((LOWERED, REQUEST), (0, 0)),
    ],
)
def test_what_the_till_gave(messages: tuple[CardMessage, ...], expected: tuple[int, int]) -> None:
    """Only an outcome below its request by just the discount confirms it, and it follows what clears and is undone."""
    assert expected == granted(booked(TEN, *messages))


@pytest.mark.parametrize(
    ("funder", "expected"),
    [
        (Funder.OWNER, {(OWNER, "moda-group", "EUR"): 10_00}),
        (Funder.BANK, {(BANK, "moda-group", "EUR"): 10_00}),
        (Funder.PARTNER, {}),
    ],
)
def test_who_owes_the_retailer(funder: Funder, expected: dict[tuple[str, str, str], int]) -> None:
    """A funder other than the retailer owes it what its till gave, from the presentment on, and never before."""
    programme = with_rules(at_till("ten", 10, funder, "fashion"))
    assert {} == owed(booked(programme, REQUEST, LOWERED).postings)
    books = booked(programme, REQUEST, LOWERED, CLEARED)
    assert expected == owed(books.postings)
    assert {} == owed(booked(programme, REQUEST, LOWERED, CLEARED, refunded("r", eur(90_00))).postings)
    others = {posting.template for posting in books.postings} - {Template.TILL_DISCOUNT_CHARGED}
    assert Template.DISCOUNT_CHARGED not in others


def test_a_quote_offers_the_discount_and_counts_the_rest() -> None:
    """The answer offers the discount, and miles of the reduced amount; nothing is booked."""
    books = Books(revisions=(TEN,))
    decision = books.take(bytes(16), asking(REQUEST)[0], quote=True)

    assert Reason.QUOTED is decision.reason
    assert {"base": 90, "ten": 10_00} == {award.rule: award.pending_change for award in decision.awards}
    assert ([], 0) == (books.postings, sum(books.used.values()))


def test_miles_count_what_is_paid() -> None:
    """Miles of a purchase that the till reduced are those of the reduced amount."""
    assert (0, 90) == booked(TEN, REQUEST, LOWERED, CLEARED).miles()


def test_a_till_that_did_not_lower_is_the_reason() -> None:
    """Where the discount is all a rule gives and the till gave none, the reason says so."""
    alone = replace(TEN, rules=(at_till("ten", 10, Funder.OWNER, "fashion"),))
    books = Books(revisions=(alone,))
    first, second = asking(REQUEST, WHOLE)
    books.take(bytes(16), first, quote=True)
    assert Reason.NOT_LOWERED is books.take(bytes(16), second).reason


def test_a_host_that_only_tells_gives_nothing() -> None:
    """On a copy link nobody was told of a discount, so that a lower amount is a partial approval."""
    books = Books(revisions=(TEN,))
    for event in events(REQUEST, LOWERED, CLEARED):
        books.take(bytes(16), event)
    assert (0, 0) == granted(books)


def capped(limit: int) -> Programme:
    """Return the programme with a monthly cap on its discount."""
    cap = Cap(id="few", rules=frozenset({"ten"}), period=CapPeriod.MONTH, limit=limit, currency="EUR")
    return with_rules(at_till("ten", 10, Funder.OWNER, "fashion"), caps=(cap,))


@pytest.mark.parametrize(("approved", "expected"), [(96_00, (4_00, 0)), (90_00, (4_00, 0)), (97_00, (3_00, 0))])
def test_a_capped_quote_is_confirmed_by_less(approved: int, expected: tuple[int, int]) -> None:
    """Where a cap may have cut the quote, whatever the till lowered by up to the discount counts, as the cap allows."""
    lowered = authorized("a", eur(approved), place="fashion")
    assert expected == granted(booked(capped(4_00), REQUEST, lowered))


def test_what_has_no_cap_is_given_first() -> None:
    """Of two rules the till gave both, and the cap had cut one: the other has all of its own."""
    capped_ten = capped(4_00)
    programme = replace(capped_ten, rules=(*capped_ten.rules, at_till("zwei", 2, Funder.BANK, "fashion")))
    books = booked(programme, REQUEST, authorized("a", eur(94_00), place="fashion"))
    assert ((4_00, 0), (2_00, 0)) == (granted(books), granted(books, "zwei"))


def test_one_rule_of_a_group_is_quoted_and_confirmed() -> None:
    """Rules at the till that exclude each other are quoted and confirmed as one."""
    five, ten = (
        replace(at_till(f"p{percent}", percent, Funder.OWNER, "fashion"), exclusive="g") for percent in (5, 10)
    )
    programme = replace(with_rules(five, ten), groups={"g": Best.HOLDER})
    books = booked(programme, REQUEST, LOWERED)
    assert ((0, 0), (10_00, 0)) == (granted(books, "p5"), granted(books, "p10"))


@pytest.mark.parametrize(("asked", "expected"), [(19_99, {}), (20_00, {"two": 2_00}), (1_50, {})])
def test_fixed_money_at_the_till(asked: int, expected: dict[str, int]) -> None:
    """Fixed money counts the amount that was asked for, and never leaves nothing to pay."""
    fixed = replace(at_till("two", 1, Funder.BANK, "fashion"), rates={}, fixed={"EUR": 2_00})
    when = replace(fixed.when, amounts={"EUR": AmountRange(lowest=20_00, highest=None)})
    books = Books(revisions=(with_rules(replace(fixed, when=when)),))
    decision = books.take(bytes(16), asking(requested("a", eur(asked), "fashion"))[0], quote=True)
    assert expected == {award.rule: award.pending_change for award in decision.awards if award.rule == "two"}


def test_two_requests_of_a_purchase_add_up() -> None:
    """A second request is offered what comes on top, and both are confirmed."""
    messages = (
        REQUEST,
        LOWERED,
        requested("b", eur(50_00), "fashion"),
        authorized("b", eur(45_00), place="fashion"),
        presented("r", eur(135_00), place="fashion"),
    )
    assert (0, 15_00) == granted(booked(TEN, *messages))
    assert (Lowered("EUR", 150_00, 15_00, 0),) == lowered_of(asking(*messages))


SIXTY: Final = with_rules(
    at_till("sixty", 60, Funder.OWNER, "fashion", "hotel"), at_till("grocer-off", 60, Funder.BANK, "grocer")
)


def kept(history: list[tuple[bytes, Event]]) -> Books:
    """Return the books after events in this order of arrival, each that asks answered with a quote."""
    books = Books(revisions=(SIXTY,))
    for purchase, event in history:
        asked = event._replace(asked=event.effect == 1)
        known = books.purchases[purchase].events if purchase in books.purchases else ()
        books.take(purchase, asked, quote=asked.asked and not moves_anchor(known, asked))
    return books


LAW: Final = settings(max_examples=150, deadline=None)


@given(history=histories(2), random=st.randoms(use_true_random=False))
@LAW
def test_no_order_of_arrival_changes_what_the_till_gave(history: Histories, random: object) -> None:
    """Whatever order the messages of a purchase come in, the books are the same once all are there."""
    arrived = arrivals(history)
    shuffled = list(arrived)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a Random.
    books = [kept(arrived), kept(shuffled)]
    assert balances(books[0]) == balances(books[1])


STORY: Final = asking(REQUEST, LOWERED, presented("r", eur(81_00), place="fashion"), refunded("r", eur(27_00)))


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_every_order_of_one_reduced_purchase_books_the_same(order: tuple[int, ...]) -> None:
    """A request that its outcome, or clearing, overtook still says by how much the till lowered."""
    books = Books(revisions=(TEN,))
    for index in order:
        event = STORY[index]
        known = books.purchases[bytes(16)].events if books.purchases else ()
        books.take(bytes(16), event, quote=event.asked and not moves_anchor(known, event))
    assert ({(OWNER, "moda-group", "EUR"): 6_00}, (0, 6_00), (0, 54)) == (
        owed(books.postings),
        granted(books),
        books.miles(),
    )


def balances(books: Books) -> tuple[object, object]:
    """Return what the ledger holds and who owes whom."""
    return books.balances(), owed(books.postings)


@given(history=histories(3))
@LAW
def test_the_retailer_is_owed_what_its_till_gave(history: Histories) -> None:
    """Postings between parties equal the discounts that have cleared, and never exceed what was lowered."""
    books = kept(arrivals(history))
    due: Counter[tuple[str, str, str]] = Counter()
    for purchase in books.purchases.values():
        lowered = sum(entry.given_minor for entry in lowered_of(purchase.events))
        off = [grant for grant in purchase.grants if grant.rule in SIXTY.at_till]
        assert 0 <= sum(grant.granted for grant in off) <= lowered
        for grant in off:
            assert purchase.partner is not None
            retailer = SIXTY.partners[purchase.partner].retailer
            payer = {"sixty": OWNER, "grocer-off": BANK}[grant.rule]
            due[payer, retailer, grant.unit] += grant.available
    assert {pair: amount for pair, amount in due.items() if amount} == owed(books.postings)


@pytest.mark.parametrize(
    ("expression", "amounts", "expected"),
    [
        ("amount_minor >= 10000", {}, (0, 10_00)),
        ("amount_minor < 10000", {}, (0, 0)),
        ("mcc == '0000'", {"EUR": AmountRange(lowest=100_00, highest=None)}, (0, 0)),
    ],
)
def test_an_expression_is_asked_of_what_was_asked_for(
    expression: str, amounts: dict[str, AmountRange], expected: tuple[int, int]
) -> None:
    """The reduced amount changes nothing: what was offered for the whole is confirmed, and nothing else."""
    condition = compile_expression(expression)
    assert isinstance(condition, Expression)
    ten = at_till("ten", 10, Funder.OWNER, "fashion")
    conditions = replace(ten.when, amounts=amounts, expression=condition)
    assert expected == granted(booked(with_rules(replace(ten, when=conditions)), REQUEST, LOWERED, CLEARED))
