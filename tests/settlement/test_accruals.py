"""Accruals to an owner's ledger on a real PostgreSQL: sent, answered, suspended, mended, sent again, written off."""

import hashlib
import shutil
import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from processor.core.located_document import DocumentError
from processor.flow.programmes import apply_programme
from processor.store import accrual as store
from processor.store.accrual_state import AccrualRow
from settlement import accruals as accruals_module
from settlement.accrual_mending import MendAction, MendRefusal, MendRefused
from settlement.accruals import fetch_accruals
from settlement.publication import FileDiffersError
from tests.conftest import Database
from tests.flow.conftest import SKYWAYS, apply_skyways, make_pipeline
from tests.settlement.owner_ledger import (
    BANK,
    CARD,
    NOON,
    OTHER_CARD,
    OwnerDesk,
    all_accepted,
    name_of,
    open_desk,
    owner_document,
)

PROVISIONAL, SUSPENSE, AVAILABLE = "member/provisional", "member/suspense", "member/available"
WRITTEN_OFF = "programme/written-off"


@pytest.fixture
def desk(database: Database, tmp_path: Path) -> OwnerDesk:
    """Give a test a programme whose owner keeps the ledger, with two members it knows."""
    desk = open_desk(database, tmp_path)
    desk.name_members(CARD, OTHER_CARD)
    return desk


def test_cleared_miles_are_provisional(desk: OwnerDesk) -> None:
    """Before the owner has accepted them, nobody can spend the miles of a purchase."""
    desk.buy(1)
    assert {PROVISIONAL} == set(desk.places())
    with desk.database.service.connect() as connection:
        assert 0 == connection.execute(text("SELECT sum(available) FROM account")).scalar_one()
    assert [] == desk.differences()


def test_the_way_of_accruals_there_and_back(desk: OwnerDesk) -> None:
    """Of two accruals one is accepted, one rejected, mended, sent again and accepted; the books stay sound."""
    desk.buy(1)
    desk.buy(2, card=OTHER_CARD, amount=50_00)
    issued = desk.places()[PROVISIONAL]
    made = desk.make()
    assert [(1, 2, issued, 0)] == [(row.sequence, row.record_count, row.accrued, row.taken_back) for row in made.made]
    first, second = desk.details(1)
    assert [("SK0019", "A", "1"), ("SK0027", "A", "1")] == [
        (detail["member"], detail["kind"], detail["attempt"]) for detail in (first, second)
    ]
    assert issued == int(first["miles"]) + int(second["miles"])

    taken = desk.answer([(first["accrual"], "1", "A", ""), (second["accrual"], "1", "R", "UNKNOWN-MEMBER")])
    assert (1, 1, ()) == (taken.response.accepted, taken.response.rejected, taken.response.exceptions)
    assert {AVAILABLE: int(first["miles"]), SUSPENSE: int(second["miles"])} == desk.places()
    assert [] == desk.differences()

    (suspended,) = desk.accruals("suspended")
    assert ("UNKNOWN-MEMBER", second["accrual"]) == (suspended.code, name_of(suspended))
    assert isinstance(desk.do(MendAction.MEND, second["accrual"], member="SK0028"), AccrualRow)
    assert isinstance(desk.do(MendAction.RESEND, second["accrual"]), AccrualRow)
    assert {AVAILABLE: int(first["miles"]), PROVISIONAL: int(second["miles"])} == desk.places()
    assert 1 == len(desk.make().made)
    (again,) = desk.details(2)
    assert (second["accrual"], "2", "SK0028", second["miles"]) == (
        again["accrual"],
        again["attempt"],
        again["member"],
        again["miles"],
    )
    desk.answer(all_accepted([again]), reference="R-2")
    assert {AVAILABLE: issued} == desk.places()
    assert [] == desk.differences()


def test_a_file_made_again_is_the_same_to_the_byte(desk: OwnerDesk) -> None:
    """Whether it was lost on disk or the process ended before it was published, the file is made again from rows."""
    desk.buy(1)
    folder = desk.make().folder
    name = f"accruals-skyways-{BANK}-000001.csv"
    before = (folder / name).read_bytes()
    listed = (folder / f"{name}.sha256").read_text()
    assert f"{hashlib.sha256(before).hexdigest()}  {name}\n" == listed
    shutil.rmtree(desk.root)
    again = desk.make()
    assert ([], [1]) == ([row.sequence for row in again.made], [row.sequence for row in again.again])
    assert before == (folder / name).read_bytes()


def test_a_file_that_was_changed_is_not_overwritten(desk: OwnerDesk) -> None:
    """Other bytes in a file's place are an error, and stay."""
    desk.buy(1)
    folder = desk.make().folder
    path = folder / f"accruals-skyways-{BANK}-000001.csv"
    path.write_bytes(b"other")
    (folder / f"{path.name}.sha256").unlink()
    with pytest.raises(FileDiffersError, match="is not the file that belongs there"):
        desk.make()
    assert b"other" == path.read_bytes()


def test_a_crash_before_publishing_loses_no_accrual(desk: OwnerDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was committed and not published is published by the next call, under its number."""
    desk.buy(1)

    def power_cut(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(accruals_module, "_publish", power_cut)
        with pytest.raises(SystemExit):
            desk.make()
    assert 0 == len(list(desk.root.glob("**/*.csv")))
    assert [1] == [row.sequence for row in desk.make().again]
    assert 1 == len(desk.details(1))
    assert [] == desk.differences()


def test_a_crash_before_the_commit_leaves_nothing(desk: OwnerDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was collected and not committed is collected again."""
    desk.buy(1)

    def power_cut(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(store, "keep_dispatch", power_cut)
        with pytest.raises(SystemExit):
            desk.make()
    assert [] == desk.accruals()
    assert [1] == [row.sequence for row in desk.make().made]
    assert [] == desk.differences()


def test_the_same_response_again_changes_nothing(desk: OwnerDesk) -> None:
    """It gets the answer it got, and no posting more."""
    desk.buy(1)
    desk.make()
    answers = all_accepted(desk.details(1))
    first = desk.answer(answers)
    before = desk.places()
    again = desk.answer(answers)
    assert (False, True, first.response) == (first.duplicate, again.duplicate, again.response)
    other = desk.answer(answers, reference="R-2")
    assert (0, 1) == (other.response.accepted, other.response.repeated)
    assert before == desk.places()
    assert [] == desk.differences()


def test_answers_that_cannot_be_taken_are_listed(desk: OwnerDesk) -> None:
    """What is unknown, was not sent, or contradicts an earlier answer is listed, and its neighbours are taken."""
    desk.buy(1)
    desk.buy(2, card=OTHER_CARD)
    desk.make()
    first, second = desk.details(1)
    desk.answer(all_accepted([first]))
    taken = desk.answer(
        [
            (first["accrual"], "1", "R", "NO"),
            ("00" * 18, "1", "A", ""),
            ("ff" * 18, "1", "A", ""),
            (second["accrual"], "2", "A", ""),
            (second["accrual"], "1", "A", ""),
            (second["accrual"], "1", "A", ""),
        ],
        reference="R-2",
    )
    assert [(1, "contradicts"), (2, "unknown"), (3, "unknown"), (4, "not-sent"), (6, "repeated")] == [
        (number, verdict) for number, _, _, verdict in taken.response.exceptions
    ]
    assert (1, 0) == (taken.response.accepted, taken.response.rejected)
    assert {AVAILABLE} == set(desk.places())
    assert [] == desk.differences()


def test_answers_of_one_response_that_contradict_each_other_are_left_aside(desk: OwnerDesk) -> None:
    """Nothing says which of the two is meant, so that neither is taken."""
    desk.buy(1)
    desk.make()
    (detail,) = desk.details(1)
    taken = desk.answer([(detail["accrual"], "1", "A", ""), (detail["accrual"], "1", "R", "NO")])
    assert ["contradicts", "contradicts"] == [verdict for _, _, _, verdict in taken.response.exceptions]
    assert {"sent"} == set(desk.states())


def test_a_reversal_follows_its_accrual(desk: OwnerDesk) -> None:
    """A refund after the accrual was sent waits until the accrual is settled, and never overtakes it."""
    desk.buy(1)
    desk.make()
    (detail,) = desk.details(1)
    desk.refund(2, of=1)
    waits = desk.make()
    assert ((), 1, 0) == (waits.made, waits.waiting, waits.nameless)
    desk.answer([(detail["accrual"], "1", "R", "LATER")])
    assert () == desk.make().made
    desk.do(MendAction.RESEND, detail["accrual"])
    desk.make()
    assert [detail["accrual"]] == [row["accrual"] for row in desk.details(2)]
    desk.answer(all_accepted(desk.details(2)), reference="R-2")
    desk.make()
    (reversal,) = desk.details(3)
    assert ("R", -int(detail["miles"]), detail["purchase"]) == (
        reversal["kind"],
        int(reversal["miles"]),
        reversal["purchase"],
    )
    desk.answer(all_accepted([reversal]), reference="R-3")
    assert {} == desk.places()
    assert [] == desk.differences()


def test_what_has_not_left_nets(desk: OwnerDesk) -> None:
    """A purchase given back before its accrual was made never leaves, nor does a part of one leave in two pieces."""
    desk.buy(1)
    desk.refund(2, of=1)
    desk.buy(3, amount=100_00)
    desk.refund(4, of=3, amount=40_00)
    made = desk.make()
    assert [1] == [row.record_count for row in made.made]
    assert {"netted", "sent"} == set(desk.states())
    assert desk.states()["sent"] == desk.places()[PROVISIONAL] == int(desk.details(1)[0]["miles"])
    assert [] == desk.differences()


def test_a_member_nobody_has_named_waits(database: Database, tmp_path: Path) -> None:
    """Miles of a card that no card file has named wait, are counted, and leave once it has; or net before that."""
    desk = open_desk(database, tmp_path)
    desk.buy(1)
    waits = desk.make()
    assert ((), 1, 1) == (waits.made, waits.waiting, waits.nameless)
    desk.buy(2, card=OTHER_CARD)
    desk.make()
    desk.refund(3, of=2, card=OTHER_CARD)
    assert (1, 1) == (desk.make().waiting, desk.make().nameless)
    desk.name_members(CARD)
    desk.make()
    assert ["SK0019"] == [detail["member"] for detail in desk.details(1)]
    assert [] == desk.differences()


def test_each_rule_accrues_by_itself_where_the_terms_say_so(database: Database, tmp_path: Path) -> None:
    """One accrual for each rule, and the member by the bank's reference."""
    desk = open_desk(database, tmp_path, "by: file, per: rule, member: bank-reference")
    desk.name_members(CARD)
    desk.buy(1)
    desk.make()
    details = desk.details(1)
    assert {"ACC-0019"} == {detail["member"] for detail in details}
    assert len(details) == len({detail["rule"] for detail in details} - {""})
    assert [] == desk.differences()


def test_writing_off_takes_two_people(desk: OwnerDesk) -> None:
    """One asks, another approves; what is written off is out of suspense for good."""
    desk.buy(1)
    desk.make()
    (detail,) = desk.details(1)
    reference = detail["accrual"]
    assert _refusal(desk.do(MendAction.ASK_WRITE_OFF, reference)) is MendRefusal.ACCRUAL_NOT_SUSPENDED
    desk.answer([(reference, "1", "R", "CLOSED")])
    assert _refusal(desk.do(MendAction.APPROVE_WRITE_OFF, reference)) is MendRefusal.WRITE_OFF_NOT_ASKED
    desk.do(MendAction.ASK_WRITE_OFF, reference, actor="maria")
    assert {SUSPENSE: int(detail["miles"])} == desk.places()
    refused = desk.do(MendAction.APPROVE_WRITE_OFF, reference, actor="maria")
    assert _refusal(refused) is MendRefusal.SECOND_PERSON_NEEDED
    desk.do(MendAction.APPROVE_WRITE_OFF, reference, actor="jonas")
    assert {WRITTEN_OFF: int(detail["miles"])} == desk.places()
    assert {"written-off": int(detail["miles"])} == desk.states()
    assert _refusal(desk.do(MendAction.RESEND, reference)) is MendRefusal.ACCRUAL_NOT_SUSPENDED
    with desk.database.service.connect() as connection:
        audited = connection.execute(text("SELECT actor, action FROM audit WHERE action LIKE '%write-off' ORDER BY at"))
        assert {("maria", "accrual-ask-write-off"), ("jonas", "accrual-approve-write-off")} == set(map(tuple, audited))
    assert [] == desk.differences()


def test_a_request_that_was_carried_out_changes_nothing_again(desk: OwnerDesk) -> None:
    """The same request id gets the accrual as it stands; for something else it is refused."""
    desk.buy(1)
    desk.make()
    (detail,) = desk.details(1)
    desk.answer([(detail["accrual"], "1", "R", "LATER")])
    desk.do(MendAction.RESEND, detail["accrual"])
    desk.requests -= 1
    again = desk.do(MendAction.RESEND, detail["accrual"])
    assert isinstance(again, AccrualRow)
    desk.requests -= 1
    assert _refusal(desk.do(MendAction.MEND, detail["accrual"], member="X")) is MendRefusal.REQUEST_ID_REUSED
    assert [] == desk.differences()


def _refusal(done: AccrualRow | MendRefused) -> MendRefusal:
    assert isinstance(done, MendRefused), done
    return done.refusal


def test_the_owners_system_fetches_what_waits(database: Database, tmp_path: Path) -> None:
    """A call hands out a page; the same request gets it again, another one the next page, and nothing twice."""
    desk = open_desk(database, tmp_path, "by: call")
    desk.name_members(CARD, OTHER_CARD)
    for number in range(1, 4):
        desk.buy(number, card=(CARD, OTHER_CARD)[number % 2])

    def fetch(request: bytes) -> list[bytes]:
        fetched = fetch_accruals(
            database.service, desk.programme, desk.terms, BANK, request=request, limit=2, now=desk.pipeline.now
        )
        return [row.id for row in fetched.accruals]

    first, again, second = fetch(b"1"), fetch(b"1"), fetch(b"2")
    assert first == again
    assert (2, 1, 3) == (len(first), len(second), len({*first, *second}))
    assert [] == fetch(b"3")
    assert first == fetch(b"1")
    assert [] == desk.differences()


def test_every_posting_is_in_one_file_while_a_stream_commits(desk: OwnerDesk) -> None:
    """Files made while purchases commit carry each posting exactly once, between them."""
    done = threading.Event()

    def make_files() -> None:
        while not done.is_set():
            desk.make()

    makers = [threading.Thread(target=make_files) for _ in range(2)]
    for maker in makers:
        maker.start()
    for number in range(1, 41):
        desk.buy(number, card=(CARD, OTHER_CARD)[number % 2], amount=1000 + number)
    done.set()
    for maker in makers:
        maker.join(60)
    desk.make()
    sequences = [int(path.stem[-6:]) for path in desk.root.glob("**/*.csv")]
    details = [detail for sequence in sequences for detail in desk.details(sequence)]
    assert list(range(1, len(sequences) + 1)) == sorted(sequences)
    assert (40, 40) == (len(details), len({detail["accrual"] for detail in details}))
    assert desk.places() == {PROVISIONAL: sum(int(detail["miles"]) for detail in details)}
    assert [] == desk.differences()


def test_a_programme_with_its_ledger_here_accrues_nothing(database: Database, tmp_path: Path) -> None:
    """Nothing of accruals is written for it, and its miles are available at once."""
    apply_skyways(database)
    desk = OwnerDesk(pipeline=make_pipeline(database), root=tmp_path)
    desk.buy(1)
    assert {AVAILABLE} == set(desk.places())
    assert [] == desk.differences()


def test_the_ledger_never_moves(database: Database) -> None:
    """A later revision with the ledger elsewhere is refused, for a purchase's miles would lie in both places."""
    apply_skyways(database)
    refused = apply_programme(
        database.service,
        document=owner_document().replace("2026-01-01T", "2026-12-01T", 1),
        files={"merchants.csv": (SKYWAYS / "merchants.csv").read_text()},
        source="programme.yaml",
        actor="test",
        now=NOON,
    )
    assert isinstance(refused, tuple)
    (error,) = refused
    assert isinstance(error, DocumentError)
    assert ("miles.ledger", "write ledger: here, or give the programme another identifier") == (
        error.path,
        error.expected,
    )
