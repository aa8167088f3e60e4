"""Reference data that changes under running workers: what is in force decides, from its own time on and not before."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
import structlog

from processor.core.outcome import Outcome, Reason
from processor.flow.programmes import Applied, apply_programme
from processor.flow.replay import ReplayResult, replay
from processor.flow.submission import Answer, IncomingMessage
from tests.conftest import Database
from tests.flow.audit import assert_books_agree, count, rows, said, totals
from tests.flow.conftest import NOW, SKYWAYS, Pipeline, apply_skyways, iso87, make_pipeline

DOCUMENT: Final = (SKYWAYS / "programme.yaml").read_text()
FILES: Final = {"merchants.csv": (SKYWAYS / "merchants.csv").read_text()}
EARNED: Final = (Outcome.ACCEPTED, Reason.EARNED)
UNKNOWN_CARD: Final = (Outcome.PARKED, Reason.UNKNOWN_CARD)
SILVER: Final = "4000020000000000"
SILVER_PRODUCT: Final = """card_products:
  - id: alpha-silver
    bank: alpha
    name: Alpha Skyways Silver
    card_ranges: ["400002"]
    enrolment: automatic
"""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the log out of the way."""
    with structlog.testing.capture_logs():
        yield


def changed(old: str, new: str, *, effective_from: str = "2026-01-01T00:00:00+01:00") -> str:
    """Return the example document with one change, in force from a stated time."""
    assert 1 == DOCUMENT.count(old), old
    return DOCUMENT.replace(old, new).replace("2026-01-01T00:00:00+01:00", effective_from)


def doubled(effective_from: str = "2026-01-01T00:00:00+01:00") -> str:
    """Return the example document with twice the base rate: 100 miles for 100.00 EUR instead of 50."""
    old = 'rate: {miles: 1, per: {EUR: "2.00"'
    return changed(old, old.replace("1", "2", 1), effective_from=effective_from)


def sent_at(number: int, time: str, **fields: str) -> IncomingMessage:
    """Build an approved authorization of 100.00 EUR, sent at hhmmss of the day."""
    values = {
        "transmission_date_time": f"1120{time}",
        "trace_number": f"{number:06d}",
        "retrieval_reference": f"{number:012d}",
        "response_code": "00",
        **fields,
    }
    return iso87("0110", **values)


def base_miles(answers: list[Answer]) -> list[int]:
    """Return what the base rule changed in each answer."""
    return [
        sum(line.pending_change + line.posted_change for line in answer.awards if line.rule == "base")
        for answer in answers
    ]


def versions(pipeline: Pipeline) -> tuple[int, int]:
    """Return the version of the reference data in the database and in the worker."""
    return int(
        rows(pipeline.database, "SELECT version FROM reference_version")[0][0]
    ), pipeline.snapshots.current.version


def test_a_running_worker_follows_what_is_applied(pipeline: Pipeline) -> None:
    """The next batch knows the new revision without being told, and each message counts under that of its own time."""
    before = pipeline.send(sent_at(1, "113000"))
    applied = apply_skyways(pipeline.database, document=doubled(), now=NOW)
    stale = versions(pipeline)
    pipeline.now += timedelta(minutes=1)
    after = pipeline.send(
        sent_at(2, "115959"),
        sent_at(3, "120000"),
        sent_at(4, "120030"),
    )

    assert (2, NOW) == (applied.revision.revision, applied.revision.effective_from)
    assert (2, 1) == stale
    assert (2, 2) == versions(pipeline)
    assert [50, 50, 100, 100] == base_miles(before + after)
    revisions = rows(pipeline.database, "SELECT revision, count(*) FROM award GROUP BY revision ORDER BY revision")
    assert [(1, 4), (2, 4)] == revisions
    assert_books_agree(pipeline)


def test_a_revision_waits_for_its_time(pipeline: Pipeline) -> None:
    """A revision that states a later time is known at once and used from that time on."""
    apply_skyways(pipeline.database, document=doubled("2026-11-20T14:00:00+01:00"), now=NOW)
    pipeline.now = datetime(2026, 11, 20, 13, 30, tzinfo=UTC)

    assert [50, 100] == base_miles(pipeline.send(sent_at(1, "125959"), sent_at(2, "130000")))


def test_a_revision_never_reaches_back(pipeline: Pipeline) -> None:
    """Stated for last month it counts from now on: what was decided stays, and so does what arrives late."""
    pipeline.send(sent_at(1, "110000"))
    applied = apply_skyways(pipeline.database, document=doubled("2026-10-01T00:00:00+01:00"), now=NOW)

    late = pipeline.send(sent_at(2, "110000"))

    assert NOW == applied.revision.effective_from
    assert [50] == base_miles(late)


def test_a_purchase_stays_under_the_revision_it_began_in(pipeline: Pipeline) -> None:
    """What follows an authorization is entitled and taken back under its revision, to the unit."""
    pipeline.send(sent_at(1, "110000"), sent_at(2, "110000"))
    apply_skyways(pipeline.database, document=doubled(), now=NOW)
    pipeline.now += timedelta(hours=1)

    original = "0100{:06d}1120110000" + f"{'12345678':0>11}{'0':0>11}"
    answers = pipeline.send(
        sent_at(3, "123000", amount="000000020000", original_data=original.format(1)),
        iso87(
            "0420",
            transmission_date_time="1120123000",
            trace_number="000004",
            retrieval_reference="000000000004",
            original_data=original.format(2),
        ),
    )

    assert [50, -50] == base_miles(answers), "the raise to 200.00 EUR, and the reversal"
    assert {(1,)} == set(rows(pipeline.database, "SELECT DISTINCT revision FROM award"))
    assert_books_agree(pipeline)


def test_an_earlier_event_that_arrives_late_moves_its_purchase(pipeline: Pipeline) -> None:
    """A purchase decided under the new revision turns out to have begun under the old one, and all of it follows.

    The old revision's rules grant it and its cap is used; what the new ones granted and used is given back.
    """
    tight = changed("miles: 5000", "miles: 70").replace("id: base\n", "id: basic\n")
    tight = tight.replace("rules: [base, premium]", "rules: [basic, premium]").replace("id: bank-monthly", "id: tight")
    apply_skyways(pipeline.database, document=tight, now=NOW)
    pipeline.now += timedelta(hours=1)
    life = "LIFE000000000001"

    (new,) = pipeline.send(sent_at(2, "123000", lifecycle_id=life, amount="000000020000"))
    counters = rows(pipeline.database, "SELECT cap, used FROM limit_counter ORDER BY cap")
    (old,) = pipeline.send(sent_at(1, "110000", lifecycle_id=life))

    assert {"basic": 70} == {line.rule: line.granted for line in new.awards}
    assert [("tight", 70)] == counters
    assert {"base": 150, "basic": 0, "premium": 75} == {line.rule: line.granted for line in old.awards}
    found = rows(pipeline.database, "SELECT cap, used FROM limit_counter ORDER BY cap")
    assert [("bank-monthly", 225), ("tight", 0)] == found
    assert (225, 0) == totals(pipeline.database)
    assert_books_agree(pipeline)


def test_applying_the_same_again_changes_nothing(pipeline: Pipeline) -> None:
    """The document and files of the latest revision are that revision; no version is raised."""
    again = apply_skyways(pipeline.database, now=NOW + timedelta(days=1))

    assert (True, 1) == (again.unchanged, again.revision.revision)
    assert (1, 1) == versions(pipeline)
    assert 1 == count(pipeline.database, "programme_revision")


def test_other_merchants_are_another_revision(pipeline: Pipeline) -> None:
    """The merchant file belongs to the revision, though the document is the same."""
    outlet = {"acquirer": "412345", "acceptor": "KIOSK0000000001"}
    before = pipeline.send(sent_at(1, "113000", **outlet))
    files = {"merchants.csv": FILES["merchants.csv"] + "412345,KIOSK0000000001,,,freshmart\n"}
    applied = apply_programme(
        pipeline.database.service, document=DOCUMENT, files=files, source="programme.yaml", actor="test", now=NOW
    )
    pipeline.now += timedelta(minutes=1)
    after = pipeline.send(sent_at(2, "120030", **outlet))

    assert isinstance(applied, Applied)
    assert (2, ["", "freshmart"]) == (applied.revision.revision, [answer.partner for answer in before + after])


def test_a_document_with_errors_is_not_applied(pipeline: Pipeline) -> None:
    """Errors are values with their place; the revision in force stays."""
    broken = changed("rounding: half-up\n    funder: partner\n\n  - id: travel", "funder: nobody\n\n  - id: travel")

    errors = apply_programme(
        pipeline.database.service, document=broken, files=FILES, source="programme.yaml", actor="test", now=NOW
    )

    assert isinstance(errors, tuple)
    assert {"earning[3].rate", "earning[3].funder"} == {error.path for error in errors}
    assert (1, 1) == versions(pipeline)
    assert 1 == count(pipeline.database, "programme_revision")


def test_two_programmes_do_not_share_a_card(pipeline: Pipeline) -> None:
    """A second programme that claims a product or a card range of the first is refused, and names what it claims."""
    other = DOCUMENT.replace("programme: skyways", "programme: seaways")

    errors = apply_programme(
        pipeline.database.service, document=other, files=FILES, source="seaways.yaml", actor="test", now=NOW
    )

    assert isinstance(errors, tuple)
    claimed = {"card_products.alpha-gold", "card_products.alpha-classic", "card_products.beta-platinum"}
    assert claimed | {"card_products.beta-blue"} == {error.path for error in errors}
    assert 1 == count(pipeline.database, "programme_revision")


def test_revisions_applied_at_once_are_numbered_without_gaps(pipeline: Pipeline) -> None:
    """Whoever applies waits for whoever applies; every document becomes one revision."""
    documents = [changed("miles: 5000", f"miles: {5000 + number}") for number in range(1, 7)]

    with ThreadPoolExecutor(3) as threads:
        applied = list(
            threads.map(lambda document: apply_skyways(pipeline.database, document=document, now=NOW), documents)
        )

    assert list(range(2, 8)) == sorted(one.revision.revision for one in applied)
    assert (7, 1) == versions(pipeline)


def test_a_worker_that_started_before_any_programme_learns_of_it(database: Database) -> None:
    """Links that nobody knew are refused; once a programme names them the same worker takes their messages."""
    pipeline = make_pipeline(database)
    refused = pipeline.send(sent_at(1, "113000"))
    apply_skyways(database)
    pipeline.decider.looked_at = 0.0

    answers = pipeline.send(sent_at(1, "113000"))

    assert [(Outcome.REJECTED, Reason.UNKNOWN_BANK)] == said(refused)
    assert [EARNED] == said(answers)


def test_a_card_that_was_seen_before_its_product_earns_with_it(pipeline: Pipeline) -> None:
    """A card of no known range waits; once a revision names the range and enrols its cards, the card earns.

    What waited is decided by a replay, under the revision of its own time.
    """
    waiting = pipeline.send(sent_at(1, "113000", pan=SILVER))
    apply_skyways(pipeline.database, document=changed("card_products:\n", SILVER_PRODUCT), now=NOW)
    pipeline.now += timedelta(minutes=1)
    pipeline.send(sent_at(2, "120010"))

    answers = pipeline.send(sent_at(3, "120020", pan=SILVER))
    replayed = replay(pipeline.decider, pipeline.intake, None, 10)

    assert [UNKNOWN_CARD, EARNED] == said(waiting + answers)
    assert ReplayResult(decided=1, still_parked=0) == replayed
    found = rows(pipeline.database, "SELECT product, status, provisional, pending FROM account ORDER BY product")
    assert [("alpha-gold", "active", False, 75), ("alpha-silver", "active", False, 100)] == found
    assert_books_agree(pipeline)


def test_a_product_that_comes_to_enrol_automatically_takes_what_waited(pipeline: Pipeline) -> None:
    """Where a revision lets a product's cards enrol by themselves, a replay decides what waited for the card file."""
    classic = "4000010000000001"
    waiting = pipeline.send(sent_at(1, "113000", pan=classic))
    document = changed(
        'card_ranges: ["400001"]\n    enrolment: card-file', 'card_ranges: ["400001"]\n    enrolment: automatic'
    )
    apply_skyways(pipeline.database, document=document, now=NOW)

    assert [UNKNOWN_CARD] == said(waiting)
    assert ReplayResult(decided=1, still_parked=0) == replay(pipeline.decider, pipeline.intake, None, 10)
    assert (50, 0) == totals(pipeline.database)
    assert_books_agree(pipeline)
