"""Weak links: found once, confirmed and broken once, undone exactly, in any order of arrival."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace as changed
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from processor.core.message import MessageKind
from processor.flow.event_message import EventNotBookedError, EventRefusal, EventRefused
from processor.flow.link_review import FoundLinks, Ruling, find_links, rule_on_link
from processor.flow.replay import ReplayResult, replay
from processor.flow.submission import IncomingMessage
from processor.flow.sweep import Sweep
from processor.store.card_side import Key
from processor.store.directory import bucket_of
from processor.store.purchases import LinkReviewRow
from tests.flow.audit import assert_books_agree, award_sums, balances, count, ledger_sums, purchases, rows, totals
from tests.flow.clearing_records import clear, presentment
from tests.flow.conftest import BUCKETS, NOW, Pipeline, iso87, make_pipeline
from tests.flow.test_card_file import record, submit

CONFIRM = Ruling(kind=MessageKind.LINK_CONFIRMED, reason="Ticket 4711", actor="maria")
BREAK = Ruling(kind=MessageKind.LINK_BROKEN, reason="Ticket 4712", actor="otto")
AUTHORIZATION = iso87("0110", response_code="00", retrieval_reference="")
TIED = iso87("0110", response_code="00", retrieval_reference="", approval_code="APPR01")
PRESENTMENT = presentment()


def find(pipeline: Pipeline) -> FoundLinks:
    """Look for weak links in every bucket."""
    sweep, result = Sweep(buckets=BUCKETS), FoundLinks()
    while sweep.position is not None:
        done = find_links(pipeline.decider, sweep)
        result.examined += done.examined
        result.found += done.found
    return result


def tell(pipeline: Pipeline, *items: IncomingMessage | bytes) -> None:
    """Decide messages and clearing records one by one."""
    for item in items:
        if isinstance(item, bytes):
            clear(pipeline, item)
        else:
            pipeline.send(item)


def listed(pipeline: Pipeline) -> list[tuple[str, int]]:
    """Return verdict and confidence of every review."""
    found = rows(pipeline.database, "SELECT verdict, confidence FROM link_review ORDER BY found_at, first, second")
    return [(verdict, confidence) for verdict, confidence in found]


def pair_of(pipeline: Pipeline) -> tuple[Key, tuple[bytes, bytes]]:
    """Return the account and the two messages of the only review."""
    ((bucket, account, first, second),) = rows(
        pipeline.database, "SELECT bucket, account, first, second FROM link_review"
    )
    return (bucket, bytes(account)), (bytes(first), bytes(second))


def messages_of(pipeline: Pipeline) -> tuple[Key, tuple[bytes, ...]]:
    """Return the account that has messages, and its messages of purchases by the time they were decided."""
    found = rows(
        pipeline.database,
        "SELECT account, message_id FROM decision WHERE purchase_id IS NOT NULL ORDER BY decided_at, message_id",
    )
    (account,) = {bytes(account) for account, _ in found}
    return (bucket_of(account, BUCKETS), account), tuple(bytes(message) for _, message in found)


def rule(pipeline: Pipeline, ruling: Ruling) -> LinkReviewRow:
    """Rule on the only review."""
    done = rule_on_link(pipeline.decider, *pair_of(pipeline), ruling)
    assert isinstance(done, LinkReviewRow), done
    return done


def state_of(pipeline: Pipeline) -> dict[str, Any]:
    """Return all that the books say, events of operations left out."""
    operations = {
        bytes(found)
        for (found,) in rows(pipeline.database, "SELECT id FROM message WHERE fields ->> 'kind' IN ('70', '71')")
    }
    return {
        "balances": balances(pipeline.database),
        "ledger": ledger_sums(pipeline.database),
        "awards": award_sums(pipeline.database),
        "purchases": {changed(seen, messages=seen.messages - operations) for seen in purchases(pipeline.database)},
        "counters": set(rows(pipeline.database, "SELECT cap, period, used FROM limit_counter WHERE used <> 0")),
    }


def test_a_pair_is_found_once(pipeline: Pipeline) -> None:
    """A presentment beside an authorization of the same amount and place is listed, with reasons, and not again."""
    tell(pipeline, AUTHORIZATION, PRESENTMENT)
    assert FoundLinks(examined=1, found=1) == find(pipeline)
    assert FoundLinks(examined=1, found=0) == find(pipeline)
    assert [("open", 5)] == listed(pipeline)
    ((reasons,),) = rows(pipeline.database, "SELECT detail -> 'reasons' FROM link_review")
    assert [
        "the presentment shares no reference with any other purchase",
        "both are of 100.00 EUR at card acceptor NOBODY000000001 of acquirer 12345678",
        "they were sent less than a minute apart",
    ] == reasons


@pytest.mark.parametrize(
    ("messages", "found"),
    [
        ([AUTHORIZATION, presentment(amount="000000009999")], 0),
        ([AUTHORIZATION, presentment(acceptor="NOBODY000000002")], 0),
        ([AUTHORIZATION, presentment(acquirer="12345679")], 0),
        ([AUTHORIZATION, presentment(currency="840")], 0),
        ([AUTHORIZATION, presentment(local_date_time="261109112959")], 0),
        ([AUTHORIZATION, presentment(local_date_time="261111113000")], 1),
        ([TIED, presentment(approval_code="APPR01")], 0),
        ([PRESENTMENT], 0),
        ([AUTHORIZATION], 0),
        ([iso87("0110", response_code="05", retrieval_reference=""), PRESENTMENT], 0),
        ([AUTHORIZATION, PRESENTMENT, presentment(2)], 2),
    ],
)
def test_what_is_a_pair(pipeline: Pipeline, messages: Sequence[IncomingMessage | bytes], found: int) -> None:
    """Amount, currency, acquirer and acceptor agree, within ten days, and nothing ties the two already."""
    tell(pipeline, *messages)
    assert found == find(pipeline).found


def test_confirming_makes_one_purchase(pipeline: Pipeline) -> None:
    """What both had earned becomes what one purchase earns: the pending part is released, and the audit says who."""
    tell(pipeline, AUTHORIZATION, PRESENTMENT)
    find(pipeline)
    assert (75, 75) == totals(pipeline.database)
    assert "confirmed" == rule(pipeline, CONFIRM).verdict
    assert (0, 75) == totals(pipeline.database)
    assert [("confirmed", 5)] == listed(pipeline)
    audit = rows(pipeline.database, "SELECT actor, action, reason FROM audit WHERE action LIKE '%link'")
    assert [("maria", "confirm-link", "Ticket 4711")] == audit
    assert_books_agree(pipeline)


def test_breaking_parts_them_exactly(pipeline: Pipeline) -> None:
    """Confirmed and then broken, everything is as if nothing had been said; confirmed again, it is one again."""
    tell(pipeline, AUTHORIZATION, PRESENTMENT)
    find(pipeline)
    before = state_of(pipeline)
    rule(pipeline, CONFIRM)
    confirmed = state_of(pipeline)
    assert "broken" == rule(pipeline, BREAK).verdict
    assert before == state_of(pipeline)
    assert FoundLinks(examined=1) == find(pipeline)
    assert "confirmed" == rule(pipeline, CONFIRM).verdict
    assert confirmed == state_of(pipeline)
    assert "broken" == rule(pipeline, BREAK).verdict
    assert before == state_of(pipeline)
    assert [("broken", 5)] == listed(pipeline)
    assert_books_agree(pipeline)


def test_saying_it_again_changes_nothing(pipeline: Pipeline) -> None:
    """A second confirmation, on another day, books no event and writes no audit row."""
    tell(pipeline, AUTHORIZATION, PRESENTMENT)
    find(pipeline)
    first = rule(pipeline, CONFIRM)
    pipeline.now = NOW + timedelta(days=2)
    assert first == rule(pipeline, CONFIRM)
    assert 3 == count(pipeline.database, "message")
    assert 1 == count(pipeline.database, "audit", "action = 'confirm-link'")


def test_a_tie_that_acted_by_itself_can_be_broken(pipeline: Pipeline) -> None:
    """An approval code joined two messages; operations part them, the row is made, and what comes later keeps apart."""
    tell(pipeline, TIED, presentment(approval_code="APPR01"))
    assert (0, 75) == totals(pipeline.database)
    key, (first, second) = messages_of(pipeline)
    done = rule_on_link(pipeline.decider, key, (second, first), BREAK)
    assert isinstance(done, LinkReviewRow)
    assert ("broken", 3, (min(first, second), max(first, second))) == (
        done.verdict,
        done.confidence,
        (done.first, done.second),
    )
    assert (75, 75) == totals(pipeline.database)
    assert_books_agree(pipeline)
    tell(pipeline, iso87("0420", original_data=f"01100000011120113000{'12345678':0>11}{'0':0>11}"))
    assert (0, 75) == totals(pipeline.database)
    assert_books_agree(pipeline)


CERTAIN: dict[str, list[IncomingMessage | bytes]] = {
    "original data": [
        iso87("0110", response_code="00"),
        iso87("0420", trace_number="000002", original_data=f"01100000011120113000{'12345678':0>11}{'0':0>11}"),
    ],
    "acquirer's reference": [
        presentment(clearing_part="0102", amount="1000"),
        presentment(clearing_part="0202", amount="9000"),
    ],
}


@pytest.mark.parametrize("how", list(CERTAIN))
def test_a_certain_tie_is_not_broken(pipeline: Pipeline, how: str) -> None:
    """What the messages themselves say is certain: breaking it is refused, and nothing is recorded."""
    tell(pipeline, *CERTAIN[how])
    key, (first, second) = messages_of(pipeline)
    done = rule_on_link(pipeline.decider, key, (first, second), BREAK)
    assert isinstance(done, EventRefused)
    assert EventRefusal.LINK_CERTAIN == done.refusal
    assert (2, 0) == (count(pipeline.database, "message"), count(pipeline.database, "audit", "action = 'break-link'"))


def test_a_link_held_by_another_is_refused(pipeline: Pipeline) -> None:
    """Breaking one of several confirmed links would leave the purchase whole, so it is refused."""
    other = iso87("0110", response_code="00", retrieval_reference="", trace_number="000002", amount="5000")
    tell(pipeline, AUTHORIZATION, PRESENTMENT, other)
    key, (one, two, three) = messages_of(pipeline)
    for pair in ((one, two), (two, three), (one, three)):
        assert isinstance(rule_on_link(pipeline.decider, key, pair, CONFIRM), LinkReviewRow)
    done = rule_on_link(pipeline.decider, key, (one, two), BREAK)
    assert isinstance(done, EventRefused)
    assert EventRefusal.LINK_HELD == done.refusal
    assert isinstance(rule_on_link(pipeline.decider, key, (two, three), BREAK), EventRefused)
    assert_books_agree(pipeline)


@pytest.mark.parametrize("said", [CONFIRM, BREAK])
def test_what_no_message_is_is_refused(pipeline: Pipeline, said: Ruling) -> None:
    """An unknown account, an unknown message, one message twice, and an event of operations are refused."""
    tell(pipeline, AUTHORIZATION, PRESENTMENT)
    key, (first, second) = messages_of(pipeline)
    refusals = []
    for where, pair in (
        ((key[0], bytes(16)), (first, second)),
        (key, (first, first[:3] + bytes(13))),
        (key, (first, first)),
    ):
        done = rule_on_link(pipeline.decider, where, pair, said)
        assert isinstance(done, EventRefused)
        refusals.append(done.refusal)
    assert [EventRefusal.ACCOUNT_NOT_FOUND, EventRefusal.MESSAGE_NOT_FOUND, EventRefusal.MESSAGE_NOT_FOUND] == refusals
    rule_on_link(pipeline.decider, key, (first, second), CONFIRM)
    (event,) = set(messages_of(pipeline)[1]) - {first, second}
    done = rule_on_link(pipeline.decider, key, (first, event), said)
    assert isinstance(done, EventRefused)
    assert EventRefusal.MESSAGE_NOT_OF_PURCHASE == done.refusal


def test_a_kill_between_the_steps_is_mended_by_a_repeat(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off behind the audit, and behind the event, a repeat on a later day ends as one call would have ended."""
    tell(pipeline, AUTHORIZATION, PRESENTMENT)
    find(pipeline)
    for step in ("decide_event", "_settle"):
        with monkeypatch.context() as patched:

            def cut_off(*_: object, **__: object) -> None:
                raise EventNotBookedError

            patched.setattr(f"processor.flow.link_review.{step}", cut_off)
            with pytest.raises(EventNotBookedError):
                rule(pipeline, CONFIRM)
        pipeline.now += timedelta(days=1)
        assert [("open", 5)] == listed(pipeline)
    assert "confirmed" == rule(pipeline, changed(CONFIRM, actor="otto")).verdict
    assert (0, 75) == totals(pipeline.database)
    assert (3, [("maria",)]) == (
        count(pipeline.database, "message"),
        rows(pipeline.database, "SELECT actor FROM audit WHERE action = 'confirm-link'"),
    )
    assert_books_agree(pipeline)


def test_two_operators_at_once(pipeline: Pipeline) -> None:
    """One confirms and one breaks, again and again, at once: the list and the books say the same in the end."""
    tell(pipeline, AUTHORIZATION, PRESENTMENT)
    find(pipeline)
    key, pair = pair_of(pipeline)
    others = [make_pipeline(pipeline.database) for _ in range(4)]

    def work(number: int) -> None:
        for turn in range(4):
            others[number].now = NOW + timedelta(seconds=turn)
            done = rule_on_link(others[number].decider, key, pair, (CONFIRM, BREAK)[number % 2])
            assert isinstance(done, LinkReviewRow)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    ((verdict, _),) = listed(pipeline)
    assert {"confirmed": (0, 75), "broken": (75, 75)}[verdict] == totals(pipeline.database)
    assert_books_agree(pipeline)


def test_a_reversal_that_stands_alone_takes_back_what_it_is_linked_to(pipeline: Pipeline) -> None:
    """A reversal whose original data lead nowhere is listed; confirmed it takes the authorization back, broken not."""
    nowhere = f"01100000991120113000{'12345678':0>11}{'0':0>11}"
    tell(pipeline, AUTHORIZATION, iso87("0420", trace_number="000002", retrieval_reference="", original_data=nowhere))
    assert (75, 0) == totals(pipeline.database)
    assert 1 == find(pipeline).found
    rule(pipeline, CONFIRM)
    assert (0, 0) == totals(pipeline.database)
    rule(pipeline, BREAK)
    assert (75, 0) == totals(pipeline.database)
    assert_books_agree(pipeline)


KNOT = (
    iso87("0110", response_code="00", retrieval_reference=""),
    presentment(),
    iso87("0110", response_code="00", retrieval_reference="", trace_number="000002", amount="6000"),
    presentment(2, amount="6000"),
    iso87("0420", trace_number="000003", original_data=f"01100000011120113000{'12345678':0>11}{'0':0>11}"),
)
RULINGS = ((0, 1, CONFIRM), (2, 3, CONFIRM), (0, 1, BREAK))


def told_anyhow(pipeline: Pipeline, random: Random) -> None:
    """Tell the knot's messages in any order, and each ruling in turn at any time once its messages are there."""
    waiting, rulings = random.sample(range(len(KNOT)), len(KNOT)), list(RULINGS)
    names: dict[int, bytes] = {}
    while waiting or rulings:
        ready = bool(rulings) and {rulings[0][0], rulings[0][1]} <= names.keys()
        if ready and (not waiting or random.random() < 0.5):
            one, other, ruling = rulings.pop(0)
            pipeline.now += timedelta(seconds=random.randrange(3))
            key, _ = messages_of(pipeline)
            assert isinstance(rule_on_link(pipeline.decider, key, (names[one], names[other]), ruling), LinkReviewRow)
        else:
            number = waiting.pop() if waiting else -1
            before = set(message_ids(pipeline))
            tell(pipeline, KNOT[number])
            (names[number],) = set(message_ids(pipeline)) - before


def message_ids(pipeline: Pipeline) -> list[bytes]:
    """Return the ids of all messages."""
    return [bytes(found) for (found,) in rows(pipeline.database, "SELECT id FROM message")]


@pytest.mark.parametrize("seed", range(8))
def test_the_order_of_arrival_does_not_matter(pipeline: Pipeline, seed: int) -> None:
    """The reversed authorization parts from its presentment again, the other one is one purchase, in every order."""
    told_anyhow(pipeline, Random(seed))
    assert (0, 75 + 45) == totals(pipeline.database)
    sizes = sorted(len(seen.messages) for seen in state_of(pipeline)["purchases"])
    assert [1, 2, 2] == sizes
    assert_books_agree(pipeline)


def test_what_operations_said_moves_with_a_joined_account(pipeline: Pipeline) -> None:
    """A link confirmed and an authorization expired in an account that is joined later count in the one that takes it.

    There the link can still be broken, and the old account is refused with the new one's name.
    """
    submit(pipeline, record("4000000000000010", "ACC-1", "alpha-gold"))
    tell(pipeline, AUTHORIZATION, PRESENTMENT)
    key, (first, second) = messages_of(pipeline)
    assert isinstance(rule_on_link(pipeline.decider, key, (first, second), CONFIRM), LinkReviewRow)
    pipeline.now = NOW + timedelta(days=31)
    submit(pipeline, record("4000000000000002", "ACC-1", "alpha-gold"))
    assert (0, 75) == totals(pipeline.database)
    assert_books_agree(pipeline)
    done = rule_on_link(pipeline.decider, key, (first, second), BREAK)
    assert isinstance(done, EventRefused)
    assert EventRefusal.ACCOUNT_JOINED == done.refusal
    ((survivor,),) = rows(pipeline.database, "SELECT superseded_by FROM account WHERE superseded_by IS NOT NULL")
    taker = (bucket_of(bytes(survivor), BUCKETS), bytes(survivor))
    assert isinstance(rule_on_link(pipeline.decider, taker, (first, second), BREAK), LinkReviewRow)
    assert (75, 75) == totals(pipeline.database)
    assert_books_agree(pipeline)


def test_an_event_that_waits_is_replayed_in_its_account(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that the processor failed on is parked, refused until it is mended, and decided by a replay."""
    tell(pipeline, AUTHORIZATION, PRESENTMENT)
    find(pipeline)
    with monkeypatch.context() as broken:

        def fail(*_: object, **__: object) -> None:
            raise ValueError("a fault")

        broken.setattr("processor.flow.purchase_work.regroup", fail)
        done = rule_on_link(pipeline.decider, *pair_of(pipeline), CONFIRM)
        assert isinstance(done, EventRefused)
    assert [("open", 5)] == listed(pipeline)
    assert ReplayResult(decided=1, still_parked=0) == replay(pipeline.decider, pipeline.intake, None, 10)
    assert (0, 75) == totals(pipeline.database)
    assert "confirmed" == rule(pipeline, CONFIRM).verdict
    assert_books_agree(pipeline)
