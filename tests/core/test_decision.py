"""Decisions: why a message changed what it did, and what changes when revision, funder or purchase do."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from processor.core.account_terms import AccountTerms
from processor.core.awarding import Award
from processor.core.decision import decide
from processor.core.event import Event, event_of
from processor.core.kept_purchase import Purchase
from processor.core.lifecycle import Effect
from processor.core.message import CardMessage, Direction
from processor.core.outcome import Reason
from processor.core.posting import Template
from processor.core.programme import FinancialMeaning, Programme
from processor.core.withdrawal import withdraw
from tests.core.strategies import (
    BANK,
    FIRST,
    SECOND,
    START,
    UNCAPPED,
    UNIT,
    Books,
    advised,
    authorized,
    balances_of,
    decided,
    declined,
    eur,
    events,
    financial,
    link,
    presented,
    refunded,
    requested,
    reversed_,
    taken_back,
    usd,
)

PAID = eur(100_00)
ONE, OTHER = b"1" * 16, b"2" * 16
MONTH = ("monthly", "2026-11")


def reasons(*messages: CardMessage) -> list[str]:
    """Return why each message of one purchase changed what it did, under the first revision."""
    books = Books(revisions=(FIRST,))
    return [books.take(ONE, event).reason.name for event in events(*messages)]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ((authorized("a", PAID),), ["EARNED"]),
        ((authorized("a", PAID), presented("r", PAID)), ["EARNED", "EARNED"]),
        ((authorized("a", PAID), presented("r", eur(110_00))), ["EARNED", "EARNED"]),
        ((authorized("a", PAID), presented("r", eur(90_00))), ["EARNED", "TAKEN_BACK"]),
        ((authorized("a", PAID), reversed_("r", "a")), ["EARNED", "TAKEN_BACK"]),
        ((authorized("a", PAID), reversed_("r", "a"), reversed_("s", "a")), ["EARNED", "TAKEN_BACK", "REVERSED"]),
        ((presented("r", PAID), refunded("c", PAID)), ["EARNED", "TAKEN_BACK"]),
        ((refunded("c", PAID),), ["TAKEN_BACK"]),
        ((reversed_("r", "a"), authorized("a", PAID)), ["AWAITING_ORIGINAL", "REVERSED"]),
        ((declined("a", PAID),), ["DECLINED"]),
        ((authorized("a", PAID), declined("b", PAID)), ["EARNED", "DECLINED"]),
        ((replace(declined("a", PAID), mcc="6011"),), ["DECLINED"]),
        ((requested("a", PAID), authorized("a", PAID)), ["UNDECIDED", "EARNED"]),
        ((authorized("a", PAID), requested("b", PAID)), ["EARNED", "UNDECIDED"]),
        ((replace(requested("a", eur(0)), mcc="6011"),), ["UNDECIDED"]),
        (
            (authorized("a", PAID), replace(authorized("a", PAID), direction=Direction.ADVICE_RESPONSE)),
            ["EARNED", "ACKNOWLEDGED"],
        ),
        ((replace(authorized("a", eur(0)), direction=Direction.ADVICE_RESPONSE),), ["ACKNOWLEDGED"]),
        ((replace(authorized("a", PAID), mcc="6011"),), ["EXCLUDED"]),
        ((authorized("a", eur(0)),), ["ZERO_AMOUNT"]),
        ((authorized("a", usd(220_00)),), ["EARNED"]),
        ((authorized("a", replace(PAID, currency="GBP")),), ["CURRENCY_NOT_RATED"]),
        ((authorized("a", eur(1_99)),), ["BELOW_ONE_UNIT"]),
        ((authorized("a", PAID), authorized("a", PAID)), ["EARNED", "UNCHANGED"]),
        ((authorized("a", eur(600_00)), authorized("b", PAID)), ["EARNED", "CAP_REACHED"]),
        ((authorized("a", eur(600_00)), presented("r", eur(600_00))), ["EARNED", "EARNED"]),
    ],
)
def test_why(messages: tuple[CardMessage, ...], expected: list[str]) -> None:
    """What changed comes first, then what the message is, then why its purchase earns nothing."""
    assert expected == reasons(*messages)


def test_a_full_cap_is_the_reason() -> None:
    """A purchase that meets a full cap is cut to nothing by it, and what it cleared with is due nothing new."""
    books = Books(revisions=(FIRST,), used={MONTH: 250})
    first, cleared = events(authorized("a", PAID), presented("r", PAID))
    decision = books.take(ONE, first)
    assert (Reason.CAP_REACHED, ()) == (decision.reason, decision.postings)
    assert ["monthly"] == [award.cut_by for award in decision.considered]
    assert Reason.UNCHANGED is books.take(ONE, cleared).reason


@pytest.mark.parametrize(
    ("messages", "used", "expected"),
    [
        (
            (
                authorized("a", usd(110_00), eur(100_00), "grocer"),
                presented("r", usd(120_00), eur(90_00), place="grocer"),
            ),
            0,
            ["EARNED", "EARNED"],
        ),
        ((authorized("a", eur(3_00)),), 250, ["CAP_REACHED"]),
        ((authorized("a", eur(3_00)), authorized("a", eur(3_00))), 0, ["EARNED", "UNCHANGED"]),
    ],
    ids=["one rule rises, another falls", "one rule is cut, another gives nothing", "one rule gives nothing"],
)
def test_why_where_rules_differ(messages: tuple[CardMessage, ...], used: int, expected: list[str]) -> None:
    """What one rule gains is a gain, one rule's cap is a cap, and one rule's unit is a unit."""
    books = Books(revisions=(FIRST,), used={MONTH: used})
    assert expected == [books.take(ONE, event).reason.name for event in events(*messages, product="gold")]


def test_no_rule_is_the_reason() -> None:
    """Where no rule applies to product and partner, the reason says so."""
    bare = replace(FIRST, rules=(), caps=())
    assert Reason.NO_RULE is Books(revisions=(bare,)).take(ONE, events(authorized("a", PAID))[0]).reason


def test_before_the_first_revision_nothing_is_decided() -> None:
    """Where no programme was in force when the purchase happened, there is no decision and no counter moves."""
    books = Books(revisions=(replace(FIRST, effective_from=START + timedelta(days=1)),))
    (event,) = events(authorized("a", PAID))
    assert decide(Purchase(id=ONE), event, books.terms()) is None
    assert {} == books.used


def test_a_decision_weighs_what_it_does_not_change() -> None:
    """Every rule that was weighed is kept for the explanation; only changes are awards."""
    books = Books(revisions=(FIRST,))
    (first, more) = events(authorized("a", PAID, place="grocer"), advised("b", "a", eur(101_00)))
    books.take(ONE, first)
    decision = books.take(ONE, more)
    assert ["base", "bonus"] == [award.rule for award in decision.considered]
    assert [("bonus", 1, 0)] == [
        (award.rule, award.pending_change, award.available_change) for award in decision.awards
    ]
    assert [(50, 50), (100, 101)] == [(award.asked.granted, award.grant.granted) for award in decision.considered]
    assert decision.partner is FIRST.partners["grocer"]
    assert [BANK, "fresh-foods"] == [award.funder for award in decision.considered]


def test_a_refund_before_the_purchase_clears_is_taken_back_exactly() -> None:
    """A refund of all that is authorized owes as much as is pending, and both are gone when the purchase clears."""
    books = decided(authorized("a", PAID), refunded("c", PAID), revisions=(FIRST,))
    assert (50, -50) == books.miles()
    cleared = events(presented("r", PAID))[0]._replace(at=int(START.timestamp()) + 5, message_id=b"cleared")
    books.take(bytes(16), cleared)
    assert {} == books.balances()


def test_a_purchase_in_two_currencies_is_charged_in_both() -> None:
    """A discount is kept and charged per currency; the miles of both currencies are one grant."""
    books = decided(
        presented("r", PAID, place="fashion"), presented("s", usd(220_00), place="fashion"), revisions=(FIRST,)
    )
    (purchase,) = books.purchases.values()
    assert {("base", UNIT): 150, ("five-off", "EUR"): 5_00, ("five-off", "USD"): 11_00} == {
        (grant.rule, grant.unit): grant.granted for grant in purchase.grants if grant.rule != "owner-off"
    }
    assert {"EUR", "USD"} == {key.currency for key in purchase.charges if key.debtor == "moda-group"}


def quoted(books: Books, purchase: bytes, message: CardMessage) -> dict[str, int]:
    """Return what a quote says each rule would grant more, and hold what it asks to hold."""
    decision = books.take(purchase, *events(message), quote=True)
    assert (Reason.QUOTED, ()) == (decision.reason, decision.postings)
    return {award.rule: award.pending_change + award.available_change for award in decision.awards}


def test_a_quote_books_nothing_and_holds_headroom() -> None:
    """The quote says what approval would give and which counters it would take from, and takes nothing."""
    books = Books(revisions=(FIRST,), used={MONTH: 220})
    decision = books.take(ONE, *events(requested("a", PAID, "grocer")), quote=True)
    assert {"base": 30, "bonus": 100} == {award.rule: award.pending_change for award in decision.awards}
    assert {
        MONTH: 30,
        ("yearly", "2026"): 130,
        ("daily", "2026-11-28"): 100,
        ("single", ONE.hex()): 100,
    } == decision.reserve
    assert ((), None, {MONTH: 220}) == (decision.purchase.grants, decision.purchase.revision, books.used)
    assert 1 == len(decision.purchase.events)
    assert {} == books.balances()


def test_a_quote_of_a_known_purchase_holds_the_rise_alone() -> None:
    """An incremental request is quoted as a change of what the purchase has, and holds no more than that."""
    books = decided(authorized("a", PAID), revisions=(FIRST,))
    later = events(requested("b", eur(40_00)))[0]._replace(at=int(START.timestamp()) + 9, message_id=b"later")
    decision = books.take(bytes(16), later, quote=True)
    assert {"base": 20} == {award.rule: award.pending_change for award in decision.awards}
    assert {MONTH: 20, ("yearly", "2026"): 20} == decision.reserve
    assert (50, 50) == (decision.purchase.grants[0].granted, books.miles()[0])


def test_a_quote_holds_the_first_unit() -> None:
    """Where nothing was counted yet, one unit is held as well."""
    decision = Books(revisions=(FIRST,)).take(ONE, *events(requested("a", eur(2_00))), quote=True)
    assert {MONTH: 1, ("yearly", "2026"): 1} == decision.reserve


def test_a_quote_sees_what_other_quotes_hold() -> None:
    """Headroom that other purchases' quotes hold is promised to nobody else."""
    books = Books(revisions=(FIRST,), reserved={MONTH: 225})
    assert {"base": 25} == quoted(books, ONE, requested("a", PAID))


def test_a_declined_request_leaves_nothing() -> None:
    """The outcome of a quoted request books what the host decided: after a decline nothing."""
    books = Books(revisions=(FIRST,))
    assert {"base": 50} == quoted(books, ONE, requested("a", PAID))
    decision = books.take(ONE, events(requested("a", PAID), declined("a", PAID))[1])
    assert (Reason.DECLINED, (), {}) == (decision.reason, decision.postings, decision.reserve)
    assert {} == books.balances()


BOUNDARY = int(SECOND.effective_from.timestamp())


def dated(message: CardMessage, at: datetime, number: int, product: str = "classic") -> Event:
    """Return the event of a message sent at a time; its purchase's date is that of the time."""
    sent = replace(message, transmitted_at=at, message_id=bytes([number] * 16))
    return event_of(sent, link(FinancialMeaning.FINAL), product)


BEFORE, AFTER = datetime(2026, 11, 29, 12, tzinfo=UTC), datetime(2026, 12, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("place", ["corner", "grocer", "fashion", "hotel"])
@pytest.mark.parametrize("revisions", [(FIRST, SECOND), UNCAPPED])
def test_a_late_earlier_event_changes_the_revision(place: str, revisions: tuple[Programme, ...]) -> None:
    """A clearing record decided under the new terms is decided anew under the old ones when its authorization comes."""
    paid = dated(authorized("a", PAID, place=place), BEFORE, 1, "gold")
    cleared = dated(presented("r", PAID, place=place), AFTER, 2, "gold")
    late, punctual = Books(revisions=revisions), Books(revisions=revisions)
    for book, order in ((late, (cleared, paid)), (punctual, (paid, cleared))):
        for event in order:
            book.take(ONE, event)
    assert punctual.balances() == late.balances()
    one, other = punctual.purchases[ONE], late.purchases[ONE]
    assert (1, date(2026, 11, 29)) == (other.revision, other.occurred_on)
    assert (set(one.grants), one.charges) == (set(other.grants), other.charges)
    assert punctual.used == {key: units for key, units in late.used.items() if units}


def test_a_changed_funder_is_made_whole() -> None:
    """The old funder gets back its miles and money in full, and the new one pays for all that is available."""
    books = Books()
    books.take(ONE, dated(presented("r", PAID, place="hotel"), AFTER, 1))
    assert -100 == books.balances()["party/fresh-foods/miles", UNIT]
    decision = books.take(ONE, dated(authorized("a", eur(120_00), place="hotel"), BEFORE, 2))
    bonus = [posting for posting in decision.postings if posting.rule == "bonus"]
    assert [
        (Template.MILES_CLAWED_BACK, "member/available", "party/fresh-foods/miles", 100),
        (Template.MILES_ISSUED, "party/harbor-hotels/miles", "member/available", 100),
    ] == [(posting.template, posting.debit, posting.credit, posting.amount) for posting in bonus]
    balances = books.balances()
    assert -100 == balances["party/harbor-hotels/miles", UNIT]
    assert not {account for account, _ in balances if "fresh-foods" in account}
    assert -130 == balances["party/harbor-hotels/settlement", "USD"]


def test_a_changed_funder_leaves_promises_alone() -> None:
    """Nobody funds a promise: where only pending miles change their funder, nothing moves between parties."""
    books = Books()
    books.take(ONE, dated(advised("b", "a", PAID), AFTER, 1))
    decision = books.take(ONE, dated(authorized("a", eur(80_00)), BEFORE, 2))
    assert {"member/pending", "programme/promised"} == {
        side for posting in decision.postings for side in (posting.debit, posting.credit)
    }
    assert (50, 0) == books.miles()


def test_a_rule_that_the_earlier_revision_lacks_is_taken_back() -> None:
    """What a rule of the later revision gave is taken back, under that rule and from its funder."""
    books = Books()
    books.take(ONE, dated(presented("r", PAID), AFTER, 1))
    assert {"base", "extra"} == {grant.rule for grant in books.purchases[ONE].grants}
    decision = books.take(ONE, dated(authorized("a", PAID), BEFORE, 2))
    assert {"base"} == {grant.rule for grant in decision.purchase.grants}
    assert [(Template.MILES_CLAWED_BACK, "party/alpha/miles", 34)] == [
        (posting.template, posting.credit, posting.amount) for posting in decision.postings if posting.rule == "extra"
    ]
    assert {"monthly": 50, "yearly": 50} == {cap: units for (cap, _), units in books.used.items() if units}


def test_another_partner_s_rules_take_over() -> None:
    """Where an earlier event shows another acceptor, the first partner's rules give back and the other's give."""
    books = Books(revisions=(FIRST,))
    books.take(ONE, dated(presented("r", PAID, place="fashion"), BEFORE, 1))
    books.take(ONE, dated(authorized("a", PAID, place="grocer"), BEFORE - timedelta(hours=1), 2))
    assert "grocer" == books.purchases[ONE].partner
    assert {"base", "bonus"} == {grant.rule for grant in books.purchases[ONE].grants}
    assert not {account for account, _ in books.balances() if "moda-group" in account}
    assert (0, 150) == books.miles()


WITHDRAWN: dict[str, tuple[CardMessage, ...]] = {
    "pending": (authorized("a", PAID, place="grocer"),),
    "available": (presented("r", PAID, place="hotel"),),
    "both": (authorized("a", PAID, place="grocer"), presented("r", eur(60_00), part=(1, 2))),
    "discount": (presented("r", PAID, place="fashion"),),
    "pending against a refund": (authorized("a", PAID), refunded("c", PAID)),
    "a refund alone": (refunded("c", PAID),),
    "final": (financial("f", PAID, place="grocer"),),
}


@pytest.mark.parametrize("messages", WITHDRAWN.values(), ids=list(WITHDRAWN))
def test_a_withdrawn_purchase_leaves_nothing(messages: tuple[CardMessage, ...]) -> None:
    """All that a purchase was granted, charged and counted is taken back, and it names its survivor."""
    books = decided(*messages, revisions=(FIRST,))
    before = books.purchases[bytes(16)]
    withdrawal = books.merge(bytes(16), OTHER)
    assert {} == books.balances()
    assert not any(books.used.values())
    assert Purchase(id=bytes(16), merged_into=OTHER) == withdrawal.purchase
    assert before.events == books.purchases[OTHER].events
    assert (withdrawal.programme, withdrawal.partner) == (FIRST, before.partner)
    assert Counter({(grant.rule, grant.unit): -grant.pending for grant in before.grants if grant.pending}) == Counter(
        {(award.rule, award.grant.unit): award.pending_change for award in withdrawal.awards if award.pending_change}
    )
    assert all((award.grant.granted, award.cut_by) == (0, None) for award in withdrawal.awards)


def test_a_purchase_of_the_old_terms_is_withdrawn_under_them() -> None:
    """The revision that granted is the one that takes back, funder and counters included."""
    books = Books()
    books.take(ONE, dated(presented("r", PAID, place="hotel"), BEFORE, 1, "gold"))
    withdrawal = books.merge(ONE, OTHER)
    assert withdrawal.programme is FIRST
    assert {"base": BANK, "premium": "skyways", "bonus": "harbor-hotels", "bank-off": BANK, "owner-off": "skyways"} == {
        award.rule: award.funder for award in withdrawal.awards
    }
    assert {} == balances_of(books.postings)


@pytest.mark.parametrize("quote", [True, False], ids=["a quote alone", "nothing"])
def test_a_purchase_that_was_granted_nothing_is_withdrawn(*, quote: bool) -> None:
    """A purchase that was never booked has nothing to take back and names no programme."""
    purchase = Purchase(id=ONE)
    books = Books(revisions=(FIRST,))
    if quote:
        purchase = books.take(ONE, *events(requested("a", PAID)), quote=True).purchase
    withdrawal = withdraw(purchase, OTHER, books.terms())
    assert (None, (), ()) == (withdrawal.programme, withdrawal.awards, withdrawal.postings)
    assert OTHER == withdrawal.purchase.merged_into


def test_a_merge_asks_the_caps_once() -> None:
    """What the purchase that disappears had taken from a cap is there for the survivor, within the same limit."""
    books = Books(revisions=(FIRST,))
    first, second = events(presented("r", eur(300_00)), presented("s", eur(300_00)))
    third = events(taken_back("s", eur(300_00)))[0]._replace(at=second.at + 1, message_id=b"third")
    books.take(ONE, first)
    books.take(OTHER, second)
    assert 250 == books.used[MONTH]
    books.merge(OTHER, ONE)
    assert 150 == books.used[MONTH]
    books.take(ONE, third)
    assert (0, 150) == books.miles()
    assert 150 == books.used[MONTH]


def test_a_decision_takes_nothing_for_granted() -> None:
    """The purchase and the terms handed in are not changed, save the counters, which are brought up to date."""
    books = Books(revisions=(FIRST,))
    terms: AccountTerms = books.terms()
    purchase = Purchase(id=ONE)
    (event,) = events(authorized("a", PAID))
    decision = decide(purchase, event, terms)
    assert decision is not None
    assert Purchase(id=ONE) == purchase
    assert (event,) == decision.purchase.events
    assert {MONTH: 50, ("yearly", "2026"): 50} == terms.used
    (award,) = decision.awards
    assert isinstance(award, Award)
    assert ("base", 50, 0, None) == (award.rule, award.pending_change, award.available_change, award.cut_by)


def test_an_event_has_what_its_message_says() -> None:
    """Each field of an event that a message has as well is that of the message, with the references that survive."""
    sent = replace(
        presented("r", PAID),
        local_date=date(2026, 11, 29),
        original_trace="before",
        lifecycle_id="life",
        approval_code="appr",
        retrieval_reference="retr",
        trace_number="000123",
        terminal="T1",
        channel="contactless",
        country="PT",
        local_time="1130",
        acquirer_reference="arn",
        clearing_part=(1, 2),
        refers_to=(b"other",),
        rules=("base",),
        taken_off=(("surcharge", 5),),
        product_codes=("fuel",),
        estimated=True,
        supersedes=True,
    )
    names = {"original": "original_trace", "part": "clearing_part", "lifecycle": "lifecycle_id"}
    names |= {"approval": "approval_code", "retrieval": "retrieval_reference", "billing": "amount"}
    own: dict[str, object] = {"at": int(sent.transmitted_at.timestamp()), "effect": Effect.CLEARED, "asked": False}
    own |= {"product": "gold", "card": "card"}

    surviving = ("lifecycle_id", "approval_code", "retrieval_reference", "trace_number")
    event = event_of(sent, link(FinancialMeaning.FINAL), "gold", surviving, "card")

    expected = {name: own[name] if name in own else getattr(sent, names.get(name, name)) for name in Event._fields}
    assert expected == event._asdict()
