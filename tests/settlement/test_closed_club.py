"""The closed club from card messages to settlement files: fees shared, rewards granted, used and taken back."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
from sqlalchemy import text

from processor.core.card import Pan
from processor.flow.card_file import CardFileIntake, CardFileRecord
from processor.flow.entitlements import Use, Used, UseRefusal, UseRefused, holdings_of, use_entitlement
from processor.flow.explain import explain_decision
from processor.flow.snapshot import Snapshots
from processor.store.card_side import Key
from processor.store.settlement import CycleKey
from processor.store.verification import snapshot
from settlement.settle import Settled, parties_of, settle
from settlement.verification import verify
from tests.conftest import Database
from tests.flow.audit import assert_books_agree, count, rows
from tests.flow.clearing_files import file_of, presentment, take
from tests.flow.conftest import Pipeline, apply_skyways, make_pipeline

FOLDER: Final = Path(__file__).parents[2] / "examples" / "programmes" / "closed-club"
NOON: Final = datetime(2026, 11, 20, 12, tzinfo=UTC)
DESK, ATELIER = "PRIVEEFEE000001", "ATELIER00000001"
VISIT: Final = Use(
    entitlement="lounge-access", count=1, reason="Vienna, lounge 2", actor="maria", request_id=UUID(int=1)
)


@pytest.fixture
def club(database: Database) -> Pipeline:
    """Give a test the club's programme in force and one enrolled member."""
    return enrolled(database)


def enrolled(database: Database) -> Pipeline:
    """Put the club's programme in force and enrol one member."""
    apply_skyways(database, folder=FOLDER)
    pipeline = make_pipeline(database)
    taking = CardFileIntake(bank="rive", full=False, decider=pipeline.decider, intake=pipeline.intake)
    record = CardFileRecord(card_number=Pan("4000000000000002"), account_reference="R-1", product="noir")
    taking.take([record])
    assert 1 == taking.finish().taken
    return pipeline


def clear(
    pipeline: Pipeline, place: str, number: int, cents: int, *, refund_of: int | None = None, **more: str
) -> None:
    """Clear one purchase of the member, or a refund of an earlier one."""
    fields: dict[str, str] = {"acquirer": "812345", "acceptor": place, "amount": str(cents), **more}
    if refund_of is not None:
        fields |= {
            "processing_code": "200000",
            "retrieval_reference": f"{refund_of:012d}",
            "approval_code": f"A{refund_of:05d}",
        }
    record = presentment(number, **fields)
    take(pipeline, file_of(record, file_id=f"F-{number}", total=cents), bank="rive")


def key_of(pipeline: Pipeline) -> Key:
    """Return the member's account."""
    ((bucket, account),) = rows(pipeline.database, "SELECT bucket, id FROM account WHERE NOT provisional")
    return bucket, bytes(account)


def used(pipeline: Pipeline, use: Use = VISIT, snapshots: Snapshots | None = None) -> Used | UseRefused:
    """Use something at the pipeline's time."""
    return use_entitlement(
        pipeline.database.service, snapshots or pipeline.snapshots, key_of(pipeline), use, clock=pipeline.clock
    )


def again(number: int, **changes: Any) -> Use:
    """Return another use."""
    values = {"entitlement": "lounge-access", "count": 1, "reason": "Lounge", "actor": "maria", **changes}
    return Use(request_id=UUID(int=number), **values)


def held(pipeline: Pipeline) -> dict[str, tuple[int, int, str]]:
    """Return what the member holds of each rule: granted, used and the last day."""
    with pipeline.database.service.connect() as connection:
        snapshot = pipeline.snapshots.refresh(connection)
        found = holdings_of(connection, snapshot, "privee", key_of(pipeline))
    return {entry.rule: (entry.granted, entry.used, entry.last_day.isoformat()) for entry in found}


def refusal(done: Used | UseRefused) -> UseRefusal:
    """Return why a use was refused."""
    assert isinstance(done, UseRefused)
    return done.refusal


def test_a_paid_fee_makes_a_member_and_is_shared(club: Pipeline, tmp_path: Path) -> None:
    """The fee gives membership and two visits, and the files show its share and the visits' price."""
    clear(club, DESK, 1, 300_00)
    clear(club, DESK, 1, 300_00)

    assert {"membership": (1, 0, "2027-11-19"), "yearly-lounge": (2, 0, "2027-11-19")} == held(club)
    settled = settle(
        club.database.service,
        CycleKey(bank="rive", programme="privee", business_date=date(2026, 11, 20)),
        parties=parties_of(club.snapshots.current.latest("privee"), "rive"),
        current=date(2026, 11, 20),
        now=datetime(2026, 11, 20, 22, tzinfo=UTC),
        root=tmp_path,
    )
    assert isinstance(settled, Settled)
    lines = {
        (file.party, fields[4], fields[7], fields[9], fields[10])
        for file in settled.files
        for line in (settled.folder / file.name).read_text(encoding="utf-8").splitlines()
        if (fields := line.split(","))[0] == "D"
    }
    assert {
        ("rive", "fee_shared", "privee", "240.00", "D"),
        ("privee", "fee_shared", "rive", "240.00", "C"),
        ("rive", "reward_charged", "privee", "36.00", "D"),
        ("privee", "reward_charged", "rive", "36.00", "C"),
    } == lines
    assert_books_agree(club)


def test_a_visit_is_used_once_for_each_request(club: Pipeline) -> None:
    """A repeat, also after a restart and on another day, gets the first answer; the audit says who and what for."""
    clear(club, DESK, 1, 300_00)

    assert Used(left=1, duplicate=False) == used(club)
    restarted = make_pipeline(club.database)
    restarted.now = datetime(2026, 12, 24, 12, tzinfo=UTC)
    assert Used(left=1, duplicate=True) == used(restarted)
    assert Used(left=0, duplicate=False) == used(club, again(2))
    assert UseRefusal.NOT_ENOUGH_LEFT is refusal(used(club, again(3)))
    assert UseRefusal.REQUEST_ID_REUSED is refusal(used(club, again(1, count=2)))
    audit = rows(club.database, "SELECT actor, reason FROM audit WHERE action = 'use' ORDER BY at, reason DESC")
    assert [("maria", "Vienna, lounge 2"), ("maria", "Lounge")] == audit
    assert (2, 0, "2027-11-19") != held(club)["yearly-lounge"]
    assert_books_agree(club)


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        (again(1, entitlement="club-member"), UseRefusal.NOT_COUNTED),
        (again(1, entitlement="spa"), UseRefusal.ENTITLEMENT_NOT_FOUND),
        (again(1, entitlement="fitting"), UseRefusal.NOT_ENOUGH_LEFT),
        (again(1, count=3), UseRefusal.NOT_ENOUGH_LEFT),
        (again(1, count=-1), UseRefusal.NOT_USED),
    ],
)
def test_what_cannot_be_used_is_refused(club: Pipeline, use: Use, expected: UseRefusal) -> None:
    """A status, an unknown entitlement, more than there is, and a use that was not made: nothing is booked."""
    clear(club, DESK, 1, 300_00)
    assert expected is refusal(used(club, use))
    assert (0, 0) == (count(club.database, "audit", "action = 'use'"), count(club.database, "posting", "template = 19"))


def test_what_expired_is_not_used(club: Pipeline) -> None:
    """The last day counts where the bank is, and the day after it nothing can be used."""
    clear(club, DESK, 1, 300_00)
    club.now = datetime(2027, 11, 19, 22, 59, tzinfo=UTC)
    assert Used(left=1, duplicate=False) == used(club)
    club.now = datetime(2027, 11, 19, 23, 0, tzinfo=UTC)
    assert UseRefusal.NOT_ENOUGH_LEFT is refusal(used(club, again(2)))


def test_what_expires_first_is_used_first(club: Pipeline) -> None:
    """A large purchase's visit ends with the year, before those of the fee."""
    clear(club, DESK, 1, 300_00)
    clear(club, ATELIER, 2, 1000_00)
    assert Used(left=2, duplicate=False) == used(club)
    assert (1, 1, "2026-12-31") == held(club)["large-purchase"]
    assert Used(left=3, duplicate=False) == used(club, again(2, count=-1))
    assert (1, 0, "2026-12-31") == held(club)["large-purchase"]
    assert_books_agree(club)


def test_many_at_once_use_no_more_than_there_is(club: Pipeline) -> None:
    """Eight doors ask for the two visits at the same moment: two are let in, and each request counts once."""
    clear(club, DESK, 1, 300_00)
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda number: used(club, again(1 + number % 4), Snapshots()), range(8)))
    assert 2 == len({entry.left for entry in done if isinstance(entry, Used) and not entry.duplicate})
    assert 2 == count(club.database, "audit", "action = 'use'")
    assert (2, 2, "2027-11-19") == held(club)["yearly-lounge"]
    assert_books_agree(club)


def test_a_used_reward_that_is_taken_back_is_owed(club: Pipeline) -> None:
    """A fee given back after a visit leaves the holding below zero, and the next visits make up for it."""
    clear(club, DESK, 1, 300_00)
    used(club)
    clear(club, DESK, 2, 300_00, refund_of=1)

    assert {"yearly-lounge": (0, 1, "2027-11-19")} == held(club)
    clear(club, ATELIER, 3, 1000_00)
    assert UseRefusal.NOT_ENOUGH_LEFT is refusal(used(club, again(2)))
    clear(club, ATELIER, 4, 1000_00)
    assert Used(left=0, duplicate=False) == used(club, again(3))
    assert_books_agree(club)


def points(pipeline: Pipeline) -> int:
    """Return the points that the rule for members gave."""
    ((units,),) = rows(
        pipeline.database,
        "SELECT coalesce(sum(pending_change + available_change), 0) FROM award WHERE rule = 'member-extra'",
    )
    return int(units)


def test_what_is_held_counts_as_it_was(club: Pipeline) -> None:
    """A purchase before the fee, one behind it, one after the fee was given back; a refund takes back as was given."""
    clear(club, DESK, 1, 300_00)
    clear(club, ATELIER, 2, 100_00)
    assert 0 == points(club)
    club.now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    clear(club, ATELIER, 3, 200_00, local_date_time="261121103000")
    assert 200 == points(club)
    clear(club, DESK, 4, 300_00, refund_of=1)
    club.now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    clear(club, ATELIER, 5, 50_00, refund_of=3, local_date_time="261123103000")
    assert 150 == points(club)
    clear(club, ATELIER, 6, 400_00, local_date_time="261123113000")
    assert 150 == points(club)
    decided = rows(club.database, "SELECT bucket, message_id, account, attempt FROM decision")
    assert 6 == len(decided)
    for bucket, message, account, attempt in decided:
        found = explain_decision(
            club.database.service, club.snapshots, (bucket, bytes(message)), bytes(account), attempt
        )
        assert found is not None
        assert found.reproduced
    assert_books_agree(club)


def test_a_use_that_nobody_asked_for_is_found(club: Pipeline) -> None:
    """A wrong posting of a use is a difference that names it."""
    clear(club, DESK, 1, 300_00)
    used(club)
    with club.database.owner.begin() as connection:
        connection.execute(text("UPDATE posting SET amount = 2 WHERE template = 19"))
    with snapshot(club.database.owner) as connection:
        checked = list(verify(connection, revision_of=club.snapshots.current.revision))
    assert {"entitlement-uses"} == {result.check for result in checked if result.differences}
