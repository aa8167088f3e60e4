"""Computed tiers on a real database: reached, given back, exactly once, by many workers, across retries and joins."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import psycopg2
import pytest

from processor.core.outcome import Outcome
from processor.core.person import Fact, FactKind
from processor.flow import batch
from processor.flow.member_facts import Recorded, Recording, StatedFact, record_facts
from processor.flow.submission import Answer
from processor.store import member_facts
from processor.store.card_side import Key
from processor.store.directory import bucket_of
from processor.store.member_facts import list_facts
from processor.store.verification import snapshot
from settlement.verification import verify
from tests.conftest import Database
from tests.flow.audit import assert_books_agree, rows
from tests.flow.conftest import BUCKETS, NOW, Pipeline, apply_skyways, iso87, make_pipeline
from tests.flow.test_card_file import record, submit
from tests.flow.test_explain import explain
from tests.flow.test_post_due import run

FOLDER: Final = Path(__file__).parents[2] / "examples" / "programmes" / "reached-tiers"
DOCUMENT: Final = (FOLDER / "programme.yaml").read_text(encoding="utf-8")
AWAITS: Final = "iso87-ascii, mode: copy, financial: awaits-clearing"
FINAL: Final = DOCUMENT.replace(AWAITS, AWAITS.replace("awaits-clearing", "final"))
CARD: Final = "4000000000000002"
OTHER_CARD: Final = "4000000000000010"
STAYFAR: Final = {"acceptor": "STAYFARLISBON01", "mcc": "7011"}
YEAR_ENDS: Final = int(datetime(2026, 12, 31, 23, tzinfo=UTC).timestamp())


@pytest.fixture
def aurora(database: Database) -> Pipeline:
    """Build a pipeline under the programme with computed tiers, in which an approved financial message is final."""
    assert FINAL != DOCUMENT
    apply_skyways(database, folder=FOLDER, document=FINAL)
    return make_pipeline(database)


def paid(pipeline: Pipeline, number: int, euros: int, *, mti: str = "0210", **fields: str) -> Answer:
    """Send one final message, a second before the pipeline's time."""
    sent = pipeline.now - timedelta(seconds=1)
    values = {
        "response_code": "00",
        "trace_number": f"{number:06d}",
        "retrieval_reference": f"{number:012d}",
        "acquirer": "412345",
        "acceptor": "CORNERSHOP00001",
        "amount": f"{euros * 100:012d}",
        "transmission_date_time": f"{sent:%m%d%H%M%S}",
        "local_date": f"{sent:%m%d}",
        **fields,
    }
    (answer,) = pipeline.send(iso87(mti, bank="harbour", **values))
    return answer


def reversed_(pipeline: Pipeline, number: int, euros: int, original: int, at: datetime = NOW) -> Answer:
    """Reverse a purchase that was sent at a pipeline's time."""
    sent = at - timedelta(seconds=1)
    data = f"0200{original:06d}{sent:%m%d%H%M%S}{'412345':0>11}{'0':0>11}"
    return paid(pipeline, number, euros, mti="0420", original_data=data)


def key_of(answer: Answer) -> Key:
    """Return the account that a message was decided in."""
    account = bytes.fromhex(answer.explanation.split("/")[1])
    return bucket_of(account, BUCKETS), account


def reached(pipeline: Pipeline, key: Key) -> list[tuple[str, bool]]:
    """Return the facts about computed tiers, in the order of recording."""
    return [(fact.value, fact.holds) for fact in facts_of(pipeline, key)]


def facts_of(pipeline: Pipeline, key: Key) -> list[Fact]:
    """Return the facts about computed tiers in full."""
    with pipeline.database.service.connect() as connection:
        found = list_facts(connection.connection.cursor(), key)
    return [row.fact for row in found if row.fact.kind is FactKind.REACHED]


def changes(answer: Answer) -> dict[str, int]:
    """Return what a message changed, by rule."""
    return {award.rule: award.pending_change + award.posted_change for award in answer.awards}


def later(pipeline: Pipeline, seconds: int = 60) -> None:
    """Let time pass."""
    pipeline.now += timedelta(seconds=seconds)


def test_a_tier_is_reached_from_the_next_purchase_on_and_explained(aurora: Pipeline) -> None:
    """The purchase that passes 2,000 EUR is classic, the next one silver, and each decision is reproduced."""
    first = paid(aurora, 1, 1_500)
    later(aurora)
    second = paid(aurora, 2, 600)
    later(aurora)
    third = paid(aurora, 3, 100)

    assert [{"base": 1_500}, {"base": 600}] == [changes(first), changes(second)]
    assert {"base": 100, "silver-quarter": 25} == changes(third)
    (fact,) = facts_of(aurora, key_of(first))
    assert ("silver/2026/1", True, YEAR_ENDS) == (fact.value, fact.holds, fact.until)
    assert int(NOW.timestamp()) + 60 == fact.since
    for answer in (first, second, third):
        assert explain(aurora, answer).reproduced
    told = explain(aurora, second)
    eur = "EUR (other currencies counted in)"
    stood = f"which stood at 1,500.00 {eur} and stand at 2,100.00 {eur} now."
    why = f"revision 1 asks for 2,000.00 {eur} in 2026, and there are 2,100.00 {eur}"
    when = "it is in force from 2026-11-20 12:01:00 UTC until 2026-12-31 23:00:00 UTC."
    sentences = [
        f"It counts 600.00 {eur} towards tiers in 2026, {stood}",
        f"With it the member reached tier Silver (silver): {why}; {when}",
    ]
    assert [] == [sentence for sentence in sentences if sentence not in told.sentences], told.sentences
    assert "With it you reach Silver, until the end of 31 December 2026." in told.for_member
    assert "The member's tier was Silver (silver)." in explain(aurora, third).sentences
    assert_books_agree(aurora)


def test_a_reversal_gives_the_tier_back(aurora: Pipeline) -> None:
    """The reversal ends the tier from then on; what was bought as silver stays so, also where it is undone later."""
    key = key_of(paid(aurora, 1, 1_500))
    paid(aurora, 2, 600)
    later(aurora)
    as_silver = paid(aurora, 3, 80)
    bought_at = aurora.now
    later(aurora)
    undone = reversed_(aurora, 4, 600, original=2)
    later(aurora)
    as_classic = paid(aurora, 5, 80)
    taken = reversed_(aurora, 6, 80, original=3, at=bought_at)

    assert [("silver/2026/1", True), ("silver/2026/1", False)] == reached(aurora, key)
    assert {"base": 80, "silver-quarter": 20} == changes(as_silver)
    assert {"base": 80} == changes(as_classic)
    assert {"base": -80, "silver-quarter": -20} == changes(taken)
    told = explain(aurora, undone)
    assert told.reproduced
    assert any(
        sentence.startswith("It took tier Silver (silver) back from 2026-11-20 12:02:00") for sentence in told.sentences
    )
    assert "Without it you no longer reach Silver." in told.for_member
    paid(aurora, 7, 600)
    assert ("silver/2026/1", True) == reached(aurora, key)[-1]
    assert_books_agree(aurora)


def test_a_tier_given_by_hand_stays(aurora: Pipeline) -> None:
    """The higher of what was recorded by hand and what was reached counts, and giving the one back leaves the other."""
    key = key_of(paid(aurora, 1, 2_500))
    recording = Recording(
        facts=(StatedFact(kind=FactKind.TIER, value="silver"),), reason="Goodwill", actor="maria", request_id=uuid4()
    )
    done = record_facts(aurora.database.service, aurora.snapshots, key, recording, clock=aurora.clock)
    assert Recorded(recorded=1, unchanged=0, duplicate=False) == done
    later(aurora)
    reversed_(aurora, 2, 2_500, original=1)
    later(aurora)
    assert "silver-quarter" in changes(paid(aurora, 3, 100))
    assert [True, False] == [holds for _, holds in reached(aurora, key)]


def test_repeats_and_retries_change_a_tier_once(aurora: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that fails behind its writes runs again with one fact, and the message sent again adds none."""
    writes = member_facts.keep_reached
    failures: list[int] = []

    def keep(cursor: Any, added: Sequence[Any], recorded_at: datetime) -> None:
        writes(cursor, added, recorded_at)
        if not failures:
            failures.append(1)
            raise psycopg2.errors.SerializationFailure

    monkeypatch.setattr(batch, "keep_reached", keep)
    answer = paid(aurora, 1, 2_500)
    assert [1] == failures
    again = paid(aurora, 1, 2_500)
    assert [Outcome.ACCEPTED, Outcome.DUPLICATE] == [answer.outcome, again.outcome]
    assert [("silver/2026/1", True)] == reached(aurora, key_of(answer))
    assert_books_agree(aurora)


def test_a_worker_that_starts_later_goes_on(aurora: Pipeline) -> None:
    """A new worker sees the counter and the tier, reaches nothing twice, and a lost answer's repeat adds nothing."""
    first = paid(aurora, 1, 2_100)
    later(aurora)
    other = make_pipeline(aurora.database)
    other.now = aurora.now
    assert Outcome.DUPLICATE is paid_again(other, first)
    assert "silver-quarter" in changes(paid(other, 2, 100))
    reversed_(other, 3, 2_100, original=1)
    assert [("silver/2026/1", True), ("silver/2026/1", False)] == reached(aurora, key_of(first))
    assert_books_agree(aurora)


def paid_again(pipeline: Pipeline, first: Answer) -> Outcome:
    """Send the first message of a test again, and return its outcome."""
    sent = NOW - timedelta(seconds=1)
    again = paid(pipeline, 1, 2_100, transmission_date_time=f"{sent:%m%d%H%M%S}", local_date=f"{sent:%m%d}")
    assert changes(first) == changes(again)
    return again.outcome


def test_two_cards_and_many_workers_reach_a_tier_once(aurora: Pipeline) -> None:
    """Four workers clear and reverse purchases with both cards of one account; a fact a passage, the last is right."""
    submit(aurora, record(CARD, "ACC-1", "everyday"), record(OTHER_CARD, "ACC-1", "everyday"), bank="harbour")
    workers = [aurora, *(make_pipeline(aurora.database) for _ in range(3))]
    key = key_of(paid(aurora, 1, 1_900))

    def work(worker: int) -> None:
        pan = (CARD, OTHER_CARD)[worker % 2]
        for number in range(1, 6):
            at = 1_000 * worker + 10 * number
            paid(workers[worker], at, 150, pan=pan)
            if number % 2:
                reversed_with(workers[worker], at + 1, 150, original=at, at=NOW, pan=pan)

    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(work, range(4)))
    facts = reached(aurora, key)
    assert [place % 2 == 0 for place in range(len(facts))] == [holds for _, holds in facts]
    assert facts[-1] == ("silver/2026/1", True)
    assert_books_agree(aurora)


def test_the_tier_of_another_period_stays(aurora: Pipeline) -> None:
    """Gold of 2026 stays through 2027 whatever is given back of 2027, then silver for a year, then nothing."""
    reaching = paid(aurora, 1, 1_300, **STAYFAR)
    key, told = key_of(reaching), explain(aurora, reaching)
    assert [("gold/2026/1", True), ("silver/2026~gold/1", True)] == reached(aurora, key)
    follows = "follows from 2027-12-31 23:00:00 UTC until 2028-12-31 23:00:00 UTC."
    assert f"Where tier Gold (gold) runs out, tier Silver (silver) {follows}" in told.sentences
    assert "Then you are Silver, until the end of 31 December 2028." in told.for_member
    assert told.reproduced
    aurora.now = datetime(2027, 11, 20, 12, tzinfo=UTC)
    assert "gold-half" in changes(paid(aurora, 2, 100))
    paid(aurora, 3, 1_300, **STAYFAR)
    reversed_(aurora, 4, 1_300, original=3, at=aurora.now)
    assert [("gold/2026/1", True), ("gold/2027/1", True), ("gold/2027/1", False)] == [
        (value, holds) for value, holds in reached(aurora, key) if value.startswith("gold")
    ]
    later(aurora)
    assert "gold-half" in changes(paid(aurora, 5, 100))
    aurora.now = datetime(2028, 1, 1, 12, tzinfo=UTC)
    as_silver = paid(aurora, 6, 100)
    assert {"base": 100, "silver-quarter": 25} == changes(as_silver)
    aurora.now = datetime(2029, 1, 1, 12, tzinfo=UTC)
    assert {"base": 100} == changes(paid(aurora, 7, 100))
    assert_books_agree(aurora)


def test_a_revision_moves_thresholds_for_the_future_alone(aurora: Pipeline) -> None:
    """Who reached silver keeps it while there is what it asked for then; others need what the new revision asks for."""
    key, other = key_of(paid(aurora, 1, 2_100)), {"pan": OTHER_CARD}
    changed = FINAL.replace('{EUR: "2000.00", UAH: "80000.00"}', '{EUR: "3000.00", UAH: "120000.00"}')
    apply_skyways(aurora.database, folder=FOLDER, document=changed, now=aurora.now)
    later(aurora)
    assert "silver-quarter" in changes(paid(aurora, 2, 100))
    newcomer = key_of(paid(aurora, 3, 2_500, **other))
    assert [[("silver/2026/1", True)], []] == [reached(aurora, key), reached(aurora, newcomer)]
    reversed_(aurora, 4, 2_100, original=1)
    paid(aurora, 5, 600, **other)
    assert [("silver/2026/1", True), ("silver/2026/1", False)] == reached(aurora, key)
    assert [("silver/2026/2", True)] == reached(aurora, newcomer)
    assert_books_agree(aurora)


def test_joined_accounts_add_up(aurora: Pipeline) -> None:
    """Neither account reaches silver alone; joined they do, and what was bought before stays what it was."""
    submit(aurora, record(CARD, "ACC-1", "everyday"), bank="harbour")
    survivor = key_of(paid(aurora, 1, 1_200))
    paid(aurora, 2, 1_300, pan=OTHER_CARD)
    later(aurora)
    submit(aurora, record(OTHER_CARD, "ACC-1", "everyday", predecessor=CARD), bank="harbour")
    assert [("silver/2026/1", True)] == reached(aurora, survivor)
    later(aurora)
    assert "silver-quarter" in changes(paid(aurora, 3, 100, pan=OTHER_CARD))
    assert_books_agree(aurora)


def test_a_joined_account_brings_its_tier_along(aurora: Pipeline) -> None:
    """The tier reached there keeps its moment, what was bought as silver stays so, and undoing gives it back."""
    submit(aurora, record(CARD, "ACC-1", "everyday"), bank="harbour")
    survivor = key_of(paid(aurora, 1, 100))
    paid(aurora, 2, 2_100, pan=OTHER_CARD)
    later(aurora)
    as_silver = changes(paid(aurora, 3, 80, pan=OTHER_CARD))
    bought_at = aurora.now
    later(aurora)
    submit(aurora, record(OTHER_CARD, "ACC-1", "everyday", predecessor=CARD), bank="harbour")
    ((value, holds),) = reached(aurora, survivor)
    assert (True, "silver/2026/1") == (holds, value.rpartition("/")[0])
    assert {"base": 80, "silver-quarter": 20} == as_silver
    assert_books_agree(aurora)
    undone = reversed_with(aurora, 4, 80, original=3, at=bought_at, pan=OTHER_CARD)
    assert {"base": -80, "silver-quarter": -20} == changes(undone)
    reversed_with(aurora, 5, 2_100, original=2, at=NOW, pan=OTHER_CARD)
    assert [True, False] == [each for _, each in reached(aurora, survivor)]
    assert_books_agree(aurora)


def reversed_with(pipeline: Pipeline, number: int, euros: int, *, original: int, at: datetime, pan: str) -> Answer:
    """Reverse a purchase of another card."""
    sent = at - timedelta(seconds=1)
    data = f"0200{original:06d}{sent:%m%d%H%M%S}{'412345':0>11}{'0':0>11}"
    return paid(pipeline, number, euros, mti="0420", original_data=data, pan=pan)


def test_a_refund_without_a_reference_gives_the_tier_back(database: Database) -> None:
    """A refund that names no purchase counts against one at its brand, in that purchase's period."""
    within = FINAL.replace("excluded:\n", "purchases: {refund_days: 60}\n\nexcluded:\n")
    assert within != FINAL
    apply_skyways(database, folder=FOLDER, document=within)
    pipeline = make_pipeline(database)
    key = key_of(paid(pipeline, 1, 2_100, **STAYFAR))
    pipeline.now = datetime(2027, 1, 5, 12, tzinfo=UTC)
    paid(pipeline, 2, 200, processing_code="200000", **STAYFAR)
    assert {("silver/2026/1", False), ("gold/2026/1", True), ("silver/2026~gold/1", True)} == set(
        dict(reached(pipeline, key)).items()
    )
    assert_books_agree(pipeline)


def test_miles_count_once_they_are_posted(database: Database) -> None:
    """Miles that wait for days of return reach nothing; the day on which they are posted reaches gold."""
    waiting = FINAL.replace("tiers:\n", "posting: {after_days: 14}\n\ntiers:\n")
    assert waiting != FINAL
    apply_skyways(database, folder=FOLDER, document=waiting)
    pipeline = make_pipeline(database)
    key = key_of(paid(pipeline, 1, 1_300, **STAYFAR))
    assert [] == reached(pipeline, key)
    assert 1 == run(pipeline, NOW + timedelta(days=15)).posted
    assert [("gold/2026/1", True), ("silver/2026~gold/1", True)] == reached(pipeline, key)
    assert_books_agree(pipeline)


def test_a_quote_counts_nothing(database: Database) -> None:
    """A host that asks first is quoted under the tier of now; only what clears brings the next one nearer."""
    inline = FINAL.replace("mode: copy, financial: final", "mode: inline, financial: final")
    assert inline != FINAL
    apply_skyways(database, folder=FOLDER, document=inline)
    pipeline = make_pipeline(database)
    quoted = paid(pipeline, 1, 2_500, mti="0200", response_code="")
    assert [] == reached(pipeline, key_of(quoted))
    assert explain(pipeline, quoted).reproduced
    approved = paid(pipeline, 1, 2_500)
    assert [("silver/2026/1", True)] == reached(pipeline, key_of(approved))
    assert_books_agree(pipeline)


def test_programmes_without_computed_tiers_ask_for_nothing(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """No work of tiers is made, and no statement of theirs runs."""

    def refuse(*_: object) -> None:
        raise AssertionError("tiers are looked at")

    monkeypatch.setattr(batch, "TierWork", refuse)
    monkeypatch.setattr(batch, "keep_reached", refuse)
    (answer,) = pipeline.send(iso87("0110", response_code="00"))
    assert Outcome.ACCEPTED is answer.outcome


@pytest.mark.parametrize(
    ("change", "check", "stated", "calculated"),
    [
        ("DELETE FROM member_fact", "tiers", "nothing", "reached"),
        ("UPDATE member_fact SET value = 'gold/2026/1'", "tiers", "reached", "2100 of 5000"),
        (
            "UPDATE member_fact SET audit_id = decode('00', 'hex')",
            "member-facts",
            "silver/2026/1",
            "no message caused it",
        ),
        ("UPDATE limit_counter SET used = 0 WHERE cap LIKE 'tiers/%%'", "tiers", "reached", "0 of 8000000"),
    ],
)
def test_verify_finds_a_tier_that_counters_do_not_give(
    aurora: Pipeline, change: str, check: str, stated: str, calculated: str
) -> None:
    """A tier that was not recorded, one that was not reached, one that nothing caused, and a counter put back."""
    paid(aurora, 1, 2_100)
    assert_books_agree(aurora)
    with aurora.database.owner.begin() as connection:
        connection.exec_driver_sql(change)
    with snapshot(aurora.database.owner) as connection:
        found = {
            (entry.check, entry.stated, entry.calculated)
            for checked in verify(connection, revision_of=aurora.snapshots.current.revision)
            for entry in checked.differences
        }
    assert (check, stated, calculated) in found, found


def test_a_host_whose_clock_runs_ahead_reaches_no_tier_for_its_own_purchase(aurora: Pipeline) -> None:
    """A purchase sent two hours ahead of the processor's clock is decided again as it was: it does not see its tier."""
    sent = {"transmission_date_time": f"{NOW + timedelta(hours=2):%m%d%H%M%S}"}
    answer = paid(aurora, 1, 2_100, **sent)
    (fact,) = facts_of(aurora, key_of(answer))
    assert int((NOW + timedelta(hours=2)).timestamp()) + 1 == fact.since
    assert {"base": 2_100} == changes(answer)
    assert [] == rows(aurora.database, "SELECT 1 FROM award WHERE rule = 'silver-quarter'")
