"""Facts of members: recorded once, never earlier than now, and every decision sees what was so when it was bought."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any, Final
from uuid import UUID, uuid4

import orjson
import pytest

from processor.core.person import Fact, FactKind, member_at
from processor.flow.member_facts import (
    Recorded,
    Recording,
    RecordingRefusal,
    RecordingRefused,
    StatedFact,
    record_facts,
)
from processor.flow.snapshot import Snapshots
from processor.flow.stored_member import member_to_values
from processor.flow.submission import Answer
from processor.store import member_facts
from processor.store.card_side import Key
from processor.store.directory import bucket_of
from processor.store.member_facts import list_facts
from processor.store.verification import snapshot
from settlement.verification import verify
from tests.conftest import Database
from tests.flow.audit import assert_books_agree, count, rows
from tests.flow.conftest import BUCKETS, NOW, Pipeline, apply_skyways, iso87, make_pipeline
from tests.flow.test_card_file import record, submit
from tests.flow.test_explain import explain
from tests.leak.written import dump

AIRLINE: Final = Path(__file__).parents[2] / "examples" / "programmes" / "airline-tiers"
CARD: Final = "4000000000000002"
OTHER_CARD: Final = "4000000000000010"
STAYFAR: Final = {"acquirer": "412345", "acceptor": "STAYFARLISBON01", "mcc": "7011"}
COASTFUEL: Final = {"acquirer": "412345", "acceptor": "COASTFUEL000001", "mcc": "5541"}
MARKET: Final = {"acquirer": "523456", "acceptor": "MARKETHALL00001", "mcc": "5411"}
REQUEST: Final = UUID("7d1f3f7e-53a4-4d2c-9a52-0a4f3a3c8a11")
GOLD: Final = StatedFact(kind=FactKind.TIER, value="gold")
SILVER: Final = StatedFact(kind=FactKind.TIER, value="silver")
BIRTHDAY: Final = StatedFact(kind=FactKind.BIRTHDAY, value="11-21")


@pytest.fixture
def airline(database: Database) -> Pipeline:
    """Build a pipeline under the airline's programme with tiers."""
    apply_skyways(database, folder=AIRLINE)
    return make_pipeline(database)


def bought(pipeline: Pipeline, at: str, number: int, **fields: str) -> Answer:
    """Send one approved authorization of 100.00 EUR at a time (HHMMSS) of the day of the tests."""
    values = {"response_code": "00", "retrieval_reference": "", "transmission_date_time": f"1120{at}", **fields}
    (answer,) = pipeline.send(iso87("0110", bank="harbour", trace_number=f"{number:06d}", **values))
    return answer


def account_of(pipeline: Pipeline, card: str = CARD) -> Key:
    """Open a card's account by a message that earns nothing, and return the account's key."""
    answer = bought(pipeline, "100000", 999_999, pan=card, amount="000000000000")
    account = bytes.fromhex(answer.explanation.split("/")[1])
    return bucket_of(account, BUCKETS), account


def know(
    pipeline: Pipeline, key: Key, *facts: StatedFact, request_id: UUID | None = None
) -> Recorded | RecordingRefused:
    """Record facts at the pipeline's time, under a request of their own."""
    recording = Recording(facts=facts, reason="Nightly file", actor="maria", request_id=request_id or uuid4())
    return record_facts(pipeline.database.service, pipeline.snapshots, key, recording, clock=pipeline.clock)


def given(answer: Answer) -> dict[str, int]:
    """Return what each rule gave by an answer."""
    return {line.rule: line.pending_change for line in answer.awards}


def known_of(pipeline: Pipeline, key: Key) -> list[Fact]:
    """Return what is recorded of a member."""
    with pipeline.database.service.connect() as connection:
        return [row.fact for row in list_facts(connection.connection.cursor(), key)]


def test_a_fact_counts_for_what_is_bought_from_then_on(airline: Pipeline) -> None:
    """A purchase of a second earlier is decided as if the fact were not there, though its message comes later."""
    key = account_of(airline)
    assert Recorded(recorded=1, unchanged=0, duplicate=False) == know(airline, key, GOLD)
    assert {"base": 50, "hotel": 200} == given(bought(airline, "115959", 1, **STAYFAR))
    assert {"base": 50, "hotel-elite": 500, "gold-half": 25} == given(bought(airline, "120000", 2, **STAYFAR))
    assert_books_agree(airline)


def test_a_fraction_of_a_second_belongs_to_what_was_bought_before(airline: Pipeline) -> None:
    """Purchases are timed to the second: a fact recorded within one counts from the next one on."""
    key = account_of(airline)
    airline.now = NOW + timedelta(milliseconds=1)
    know(airline, key, GOLD)
    assert "hotel" in given(bought(airline, "120000", 1, **STAYFAR))
    assert "hotel-elite" in given(bought(airline, "120001", 2, **STAYFAR))


def test_what_was_bought_stays_what_it_was(airline: Pipeline) -> None:
    """A purchase that grows after its member rose is decided by the tier of when it happened."""
    key = account_of(airline)
    reference = {"retrieval_reference": "632400000077", **STAYFAR}
    assert {"base": 50, "hotel": 200} == given(bought(airline, "120000", 1, **reference))
    airline.now = NOW + timedelta(minutes=5)
    know(airline, key, GOLD)
    assert {"base": 50, "hotel": 200} == given(bought(airline, "120600", 2, **reference))
    assert_books_agree(airline)


def test_every_kind_of_fact_counts(airline: Pipeline) -> None:
    """Segment, offer accepted, offer made, membership and birthday each let their rules give."""
    key = account_of(airline)
    know(
        airline,
        key,
        StatedFact(kind=FactKind.SEGMENT, value="students"),
        StatedFact(kind=FactKind.OPTED_IN, value="market-challenge"),
        StatedFact(kind=FactKind.LISTED, value="win-back"),
        StatedFact(kind=FactKind.MEMBER_SINCE, value="2026-11-01"),
        BIRTHDAY,
    )
    gave = given(bought(airline, "120000", 1, **MARKET))
    assert 20 == gave.pop("loyal-or-young")
    assert {"base": 50, "birthday-triple": 100, "market-challenge": 100, "young-shopper": 150, "welcome": 500} == gave
    assert 1000 == given(bought(airline, "120001", 2, **COASTFUEL))["win-back"]


def test_an_expression_on_the_member_is_explained(airline: Pipeline) -> None:
    """What an expression reads of the member is stored, named and computed again, whether it holds or not."""
    key = account_of(airline)
    before = explain(airline, bought(airline, "120000", 1, **MARKET))
    know(airline, key, StatedFact(kind=FactKind.SEGMENT, value="students"))
    after = explain(airline, bought(airline, "120100", 2, **MARKET))
    asked = "'students' in member.segments || ('silver' in member.reached && member.months >= 12)"
    assert (True, True) == (before.reproduced, after.reproduced)
    assert f"Rule loyal-or-young does not apply: it is for purchases with {asked}." in before.sentences
    assert "The member was in the segments Students (students)." in after.sentences
    assert any(said.startswith("Rule loyal-or-young gives 20 MCM") for said in after.sentences)


def test_a_fact_ends(airline: Pipeline) -> None:
    """What ends by its own time, and what is ended by another fact, gives way to what was so beneath it."""
    key = account_of(airline)
    know(airline, key, SILVER)
    know(airline, key, replace(GOLD, since=NOW + timedelta(hours=1), until=NOW + timedelta(hours=2)))
    rules = [given(bought(airline, at, number)) for number, at in enumerate(("125959", "130000", "140000"), start=1)]
    assert [True, False, True] == ["silver-quarter" in gave for gave in rules]
    assert "gold-half" in rules[1]
    airline.now = NOW + timedelta(hours=3)
    know(airline, key, StatedFact(kind=FactKind.TIER, value="", holds=False))
    assert {"base": 50} == given(bought(airline, "150000", 5))


def test_what_is_so_already_is_not_recorded_again(airline: Pipeline) -> None:
    """A nightly file of all members leaves nothing behind where nothing changed."""
    key = account_of(airline)
    know(airline, key, GOLD, BIRTHDAY)
    airline.now = NOW + timedelta(days=1)
    ended = StatedFact(kind=FactKind.SEGMENT, value="crew", holds=False)
    assert Recorded(recorded=0, unchanged=3, duplicate=False) == know(airline, key, GOLD, BIRTHDAY, ended)
    know(airline, key, replace(SILVER, since=NOW + timedelta(days=5)))
    assert Recorded(recorded=1, unchanged=0, duplicate=False) == know(airline, key, GOLD), "silver would follow"
    assert 4 == len(known_of(airline, key))


def test_what_was_recorded_ahead_may_be_told_again_when_its_time_has_come(airline: Pipeline) -> None:
    """A file that is handed in again after a mistake in it was mended is not refused for what it had recorded."""
    key = account_of(airline)
    ahead = replace(GOLD, since=NOW + timedelta(days=1))
    know(airline, key, ahead)
    airline.now = NOW + timedelta(days=2)
    assert Recorded(recorded=0, unchanged=1, duplicate=False) == know(airline, key, ahead)
    assert isinstance(know(airline, key, replace(ahead, value="silver")), RecordingRefused)


def test_one_request_from_many_callers_has_one_effect(airline: Pipeline) -> None:
    """Eight callers send the same request at once, on engines that share nothing: one records, seven are told so."""
    key = account_of(airline)
    recording = Recording(facts=(GOLD, BIRTHDAY), reason="Nightly file", actor="maria", request_id=REQUEST)
    with ThreadPoolExecutor(max_workers=8) as pool:
        futures = [
            pool.submit(record_facts, airline.database.service, Snapshots(), key, recording, clock=airline.clock)
            for _ in range(8)
        ]
    done = [future.result() for future in futures]
    assert 1 == done.count(Recorded(recorded=2, unchanged=0, duplicate=False))
    assert 7 == done.count(Recorded(recorded=2, unchanged=0, duplicate=True))
    assert 2 == len(known_of(airline, key))


def test_other_facts_under_one_request_are_refused(airline: Pipeline) -> None:
    """A request id stands for certain facts of one member."""
    key = account_of(airline)
    know(airline, key, GOLD, request_id=REQUEST)
    refused = know(airline, key, SILVER, request_id=REQUEST)
    assert isinstance(refused, RecordingRefused)
    assert RecordingRefusal.REQUEST_ID_REUSED == refused.refusal
    assert 1 == len(known_of(airline, key))


@pytest.mark.parametrize(
    ("fact", "said"),
    [
        (replace(GOLD, value="golden"), "facts[1].value is no tier of the programme; did you mean 'gold'?"),
        (replace(GOLD, kind=FactKind.SEGMENT), "facts[1].value is no segment of the programme"),
        (replace(GOLD, kind=FactKind.OPTED_IN, value="win-back"), "facts[1].value is no rule that members opt in to"),
        (replace(GOLD, kind=FactKind.LISTED, value="base"), "facts[1].value is no rule that is for listed members"),
        (replace(GOLD, since=NOW - timedelta(seconds=1)), "facts[1].start_time lies in the past"),
        (replace(GOLD, until=NOW), "facts[1].end_time lies not behind the start"),
        (replace(GOLD, kind=FactKind.MEMBER_SINCE, value="2027-01-01"), "facts[1].value is no day on which"),
        (replace(GOLD, kind=FactKind.MEMBER_SINCE, value="2026-02-30"), "facts[1].value is no day of the calendar"),
        (replace(GOLD, kind=FactKind.MEMBER_SINCE, value="20260228"), "facts[1].value is no date of the form"),
        (replace(BIRTHDAY, value="1990-11-21"), "facts[1].value is no birthday; write month and day"),
        (replace(BIRTHDAY, value="02-30"), "facts[1].value is no day of the calendar"),
        (replace(BIRTHDAY, value="13-01"), "facts[1].value is no day of the calendar"),
    ],
)
def test_a_wrong_fact_is_refused_with_all_others(airline: Pipeline, fact: StatedFact, said: str) -> None:
    """What is wrong is named by its place, nothing of the request is recorded, and no birthday is repeated."""
    key = account_of(airline)
    refused = know(airline, key, SILVER, fact)
    assert isinstance(refused, RecordingRefused)
    assert (RecordingRefusal.FACT_REFUSED, True) == (refused.refusal, said in refused.explanation), refused.explanation
    assert [] == known_of(airline, key)
    assert 0 == count(airline.database, "audit", "action = 'member-facts'")


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ("DELETE FROM account", RecordingRefusal.ACCOUNT_NOT_FOUND),
        ("UPDATE account SET provisional = true", RecordingRefusal.ACCOUNT_PROVISIONAL),
        ("UPDATE account SET superseded_by = id", RecordingRefusal.ACCOUNT_JOINED),
        ("UPDATE account SET programme = NULL", RecordingRefusal.NO_PROGRAMME_IN_FORCE),
    ],
)
def test_accounts_that_cannot_have_facts_are_refused(airline: Pipeline, change: str, refusal: RecordingRefusal) -> None:
    """An account that is not there, waits for its card file, was joined, or is in no programme, is refused as such."""
    key = account_of(airline)
    with airline.database.owner.begin() as connection:
        connection.exec_driver_sql(change)
    refused = know(airline, key, GOLD)
    assert isinstance(refused, RecordingRefused)
    assert refusal == refused.refusal


def test_a_member_has_no_end_of_facts(airline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be beyond the bound is refused, and what is there stays."""
    monkeypatch.setattr("processor.flow.member_facts.MOST_FACTS", 2)
    key = account_of(airline)
    know(airline, key, GOLD)
    refused = know(airline, key, SILVER, BIRTHDAY)
    assert isinstance(refused, RecordingRefused)
    assert RecordingRefusal.TOO_MANY_FACTS == refused.refusal
    assert 1 == len(known_of(airline, key))


def test_programmes_for_everybody_look_up_nothing(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no rule asks for a person no statement on members is sent, and nothing is stored of one."""

    def fail(*_: Any) -> Any:
        raise AssertionError("a statement too many")

    monkeypatch.setattr(member_facts, "load_facts", fail)
    monkeypatch.setattr("processor.flow.member_facts.load_facts", fail)
    (answer,) = pipeline.send(iso87("0110", response_code="00"))
    assert 75 == sum(line.pending_change for line in answer.awards)
    ((detail,),) = rows(pipeline.database, "SELECT detail::text FROM decision")
    assert "member" not in orjson.loads(detail)["inputs"]


def test_an_explanation_names_whom_rules_are_for(airline: Pipeline) -> None:
    """It says who the rules took the member for, whom the others are for, and computes the same again."""
    key = account_of(airline)
    know(airline, key, SILVER, BIRTHDAY, StatedFact(kind=FactKind.OPTED_IN, value="market-challenge"))
    found = explain(airline, bought(airline, "120000", 1, **STAYFAR))
    assert found.reproduced
    expected = [
        "The member's tier was Silver (silver).",
        "The member was in no segment that a rule is for.",
        "Since when the member is one was not known.",
        "Offers that the member had accepted: market-challenge.",
        "Offers made to this member: none.",
        "Rule gold-half does not apply: it is for members of tier Gold (gold).",
        "Rule hotel-elite does not apply: it is for members from tier Gold (gold) on.",
        "Rule two-years does not apply: it is for memberships of at least 24 months.",
        "Rule welcome does not apply: it is for memberships of less than 3 months.",
    ]
    assert [] == [sentence for sentence in expected if sentence not in found.sentences], found.sentences
    assert {"tier": "silver", "opted_in": ["market-challenge"], "birthday": [[3, 3]]} == orjson.loads(found.detail)[
        "inputs"
    ]["member"]
    about = "purchases from 3 days before to 3 days after"
    market = explain(airline, bought(airline, "120001", 2, **MARKET, local_date="1101"))
    expected = [
        "Rule young-shopper does not apply: it is for members in segment students.",
        f"Rule birthday-triple does not apply: it is for {about} the member's birthday.",
    ]
    assert [] == [sentence for sentence in expected if sentence not in market.sentences], market.sentences
    fuel = explain(airline, bought(airline, "120002", 3, **COASTFUEL))
    assert (
        "Rule win-back does not apply: it is for members to whom it had been made when the purchase happened."
        in fuel.sentences
    )


def test_a_tampered_tier_is_not_reproduced(airline: Pipeline) -> None:
    """An explanation of a decision whose stored tier was changed computes something else, and says so."""
    key = account_of(airline)
    know(airline, key, GOLD)
    answer = bought(airline, "120000", 1, **STAYFAR)
    with airline.database.owner.begin() as connection:
        connection.exec_driver_sql(
            """UPDATE decision SET detail = replace(detail::text, '"tier":"gold"', '"tier":"silver"')::json"""
        )
    assert not explain(airline, answer).reproduced


def test_facts_survive_a_restart_and_reach_other_workers(airline: Pipeline) -> None:
    """A worker that starts later, and one that runs already, see what was recorded."""
    key = account_of(airline)
    other = make_pipeline(airline.database)
    know(airline, key, GOLD)
    assert "gold-half" in given(bought(other, "120000", 1))
    assert "gold-half" in given(bought(make_pipeline(airline.database), "120001", 2))


def test_facts_follow_a_reissued_card(airline: Pipeline) -> None:
    """The new card's purchases are those of the same member."""
    submit(airline, record(CARD, "ACC-1", "everyday"), bank="harbour")
    know(airline, account_of(airline), GOLD)
    submit(airline, record(OTHER_CARD, "ACC-1", "everyday", predecessor=CARD), bank="harbour")
    assert "gold-half" in given(bought(airline, "120000", 1, pan=OTHER_CARD))


def test_facts_follow_a_joined_account(airline: Pipeline) -> None:
    """What is known of the member of a joined account is known of the survivor's, from the same moments on."""
    submit(airline, record(CARD, "ACC-1", "everyday"), bank="harbour")
    survivor, joined = account_of(airline), account_of(airline, OTHER_CARD)
    know(airline, survivor, StatedFact(kind=FactKind.SEGMENT, value="crew"))
    know(airline, joined, GOLD, BIRTHDAY)
    before = given(bought(airline, "120000", 1, pan=OTHER_CARD, **STAYFAR))
    submit(airline, record(OTHER_CARD, "ACC-1", "everyday", predecessor=CARD), bank="harbour")

    assert {"base": 50, "hotel-elite": 500, "birthday-triple": 100} == before
    repeated = bought(airline, "120000", 1, pan=OTHER_CARD, **STAYFAR)
    assert before == given(repeated)
    assert explain(airline, repeated).reproduced
    assert [(1, "crew"), (2, "gold"), (3, "11-21")] == [
        (fact.number, fact.value) for fact in known_of(airline, survivor)
    ]
    assert "hotel-elite" in given(bought(airline, "120500", 2, pan=CARD, **STAYFAR))
    assert_books_agree(airline)


def test_an_erased_birthday_says_nothing(airline: Pipeline) -> None:
    """The owner of the data deletes a birthday; what was decided stays, and what is bought later knows none."""
    key = account_of(airline)
    know(airline, key, BIRTHDAY)
    answer = bought(airline, "120000", 1)
    with airline.database.owner.begin() as connection:
        connection.exec_driver_sql("DELETE FROM member_birthday")
    assert explain(airline, answer).reproduced
    assert ("birthday-triple" in given(answer), {"base": 50}) == (True, given(bought(airline, "120001", 2)))


@pytest.mark.parametrize(
    ("change", "calculated"),
    [
        ("DELETE FROM audit WHERE action = 'member-facts'", "no request asked for it"),
        ("UPDATE member_fact SET account = decode('00', 'hex') WHERE kind = 'tier'", "no such account"),
        ("DELETE FROM member_fact WHERE kind = 'birthday'", "no such fact"),
    ],
)
def test_verify_finds_facts_that_belong_to_nobody(airline: Pipeline, change: str, calculated: str) -> None:
    """A fact without its account or its request, and a birthday without its fact, are differences."""
    know(airline, account_of(airline), GOLD, BIRTHDAY)
    assert_books_agree(airline)
    with airline.database.owner.begin() as connection:
        connection.exec_driver_sql(change)
    snapshots = airline.snapshots.current
    with snapshot(airline.database.owner) as connection:
        found = [
            difference
            for checked in verify(connection, revision_of=snapshots.revision)
            for difference in checked.differences
        ]
    assert {("member-facts", calculated)} == {(entry.check, entry.calculated) for entry in found}


def test_every_decision_of_a_stream_sees_one_set_of_facts(airline: Pipeline) -> None:
    """While a member's tier changes again and again, each decision is by what was in force when it was bought.

    The clock stands half a minute behind each batch's purchases while they are decided, so that what is recorded then
    counts for the next batch, and for none before.
    """
    key = account_of(airline)
    streaming = Event()
    streaming.set()

    def stream() -> None:
        worker = make_pipeline(airline.database)
        for minute in range(40):
            airline.now = NOW + timedelta(minutes=minute, seconds=30)
            values = {"transmission_date_time": f"112012{minute:02d}00", "retrieval_reference": "", **STAYFAR}
            numbers = [f"{minute * 10 + place:06d}" for place in range(3)]
            worker.send(
                *[
                    iso87("0110", bank="harbour", response_code="00", trace_number=number, **values)
                    for number in numbers
                ]
            )
        streaming.clear()

    def change() -> int:
        changes = 0
        while streaming.is_set():
            know(airline, key, StatedFact(kind=FactKind.TIER, value=("gold", "silver", "platinum")[changes % 3]))
            changes += 1
        return changes

    with ThreadPoolExecutor(max_workers=2) as pool:
        changing = pool.submit(change)
        pool.submit(stream).result()
    assert 1 < changing.result()
    asked = airline.snapshots.current.latest("meridian").asked
    assert asked is not None
    facts = known_of(airline, key)
    stored = rows(
        airline.database,
        "SELECT d.detail::text, m.fields::text FROM decision d JOIN message m ON m.id = d.message_id"
        " WHERE d.detail->>'partner' = 'stayfar'",
    )
    assert 120 == len(stored)
    tiers: set[str] = set()
    for detail, fields in stored:
        at = datetime.fromisoformat(orjson.loads(fields)["transmitted_at"])
        expected = member_to_values(member_at(asked, facts, at=int(at.timestamp()), on=at.date()))
        assert expected == orjson.loads(detail)["inputs"]["member"]
        tiers.add(expected["tier"])
    assert 1 < len(tiers)
    assert_books_agree(airline)


def test_a_birthday_stands_where_it_may_and_nowhere_else(airline: Pipeline) -> None:
    """Of all tables one holds it; no decision, explanation, audit or refusal does."""
    key = account_of(airline)
    know(airline, key, replace(BIRTHDAY, value="07-23"), GOLD)
    answer = bought(airline, "120000", 1, local_date="0723")
    found = explain(airline, answer)
    refused = know(airline, key, replace(BIRTHDAY, value="07-23-1990"))
    assert isinstance(refused, RecordingRefused)
    assert "birthday-triple" in given(answer)
    said = " ".join([*found.sentences, refused.explanation])
    assert "07-23" not in said.replace("2026-07-23", "")
    holding = [
        place for place, written in dump(airline.database).items() if b"07-23" in written.replace(b"2026-07-23", b"")
    ]
    assert ["table member_birthday"] == holding
