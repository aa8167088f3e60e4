"""The day of docs/accruals.md, command by command, against a real server and a real PostgreSQL."""

import re
import shlex
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest

from processor.cli.demo_ground import running_server
from processor.v1 import accrual_pb2 as pb
from processor.v1.accrual_pb2_grpc import AccrualServiceStub
from tests.cli.conftest import Run
from tests.conftest import Database
from tests.flow.conftest import NOW
from tests.rpc.serving import failure_of
from tests.settlement.owner_ledger import BANK, CARD, OTHER_CARD, OwnerDesk, open_desk, response_file

PAGE = (Path(__file__).parents[2] / "docs" / "accruals.md").read_text(encoding="utf-8")
DAY = PAGE.split("\n## A day of it\n")[1].split("\n## ")[0]
PARENT = f"programmes/skyways/banks/{BANK}"
REQUEST = "7d1f3f7e-53a4-4d2c-9a52-0a4f3a3c8a11"


def held(desk: OwnerDesk) -> list[int]:
    """Return the miles that are provisional, available and in suspense."""
    places = desk.places()
    return [places.get(f"member/{place}", 0) for place in ("provisional", "available", "suspense")]


def test_a_day_of_accruals_runs_as_written(
    database: Database, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command of the page does what the page's table says, and the books are proved in the end."""
    desk = open_desk(database, tmp_path / "settlement")
    desk.name_members(CARD, OTHER_CARD)
    desk.buy(1, amount=100_00)
    desk.buy(2, card=OTHER_CARD, amount=50_00)
    rows = [line.split("|")[2:5] for line in DAY.splitlines() if line.startswith("| ") and line[2:7] != "after"]
    expected = [[int(cell) for cell in row] for row in rows]
    actual = [held(desk)]
    with running_server(database.urls.service_url, tmp_path, workers=1, clock=NOW.replace(hour=13)) as server:

        def call(line: str, accrual: str = "") -> Any:
            words = [accrual if word == "ACCRUAL" else word for word in shlex.split(line)[1:]]
            words = [str(tmp_path / word) if word.startswith("answers-") else word for word in words]
            result = run(*words, *(() if line == "cobrand verify" else ("--server", server)), "--json")
            assert 0 == result.exit_code, result.output
            return orjson.loads(result.stdout)

        make, first, suspense, mend, resend, again, second, verify = re.findall(r"^cobrand .+$", DAY, re.MULTILINE)
        (file,) = call(make)["files"]
        assert (1, 2, sum(actual[0])) == (file["sequence"], file["record_count"], file["accrued"])
        known, unknown = desk.details(1)
        answers = [(known["accrual"], "1", "A", ""), (unknown["accrual"], "1", "R", "NO-MEMBER")]
        (tmp_path / "answers-1.csv").write_bytes(response_file(answers))
        assert (1, 1) == tuple(call(first)[key] for key in ("accepted", "rejected"))
        actual.append(held(desk))
        (listed,) = call(suspense)
        assert "NO-MEMBER" == listed["code"]
        assert "SK1000028" == call(mend, listed["name"])["member"]
        assert "waiting" == call(resend, listed["name"])["state"]
        actual.append(held(desk))
        assert 1 == len(call(again)["files"])
        (detail,) = desk.details(2)
        assert ("SK1000028", "2") == (detail["member"], detail["attempt"])
        (tmp_path / "answers-2.csv").write_bytes(response_file([(detail["accrual"], "2", "A", "")]))
        call(second)
        assert call(second)["duplicate"]
        actual.append(held(desk))
        monkeypatch.setenv("COBRAND_DATABASE_URL", database.urls.service_url)
        call(verify)
        _refusals(server)
    assert expected == actual, actual
    assert [] == desk.differences()


def _refusals(server: str) -> None:
    """Ask for what cannot be done: each is refused with its reason."""
    with grpc.insecure_channel(server) as channel:
        stub = AccrualServiceStub(channel)
        name = f"{PARENT}/accruals/{'0' * 36}"
        asked = {"name": name, "reason": "Ticket 4711", "actor": "maria", "request_id": REQUEST}
        refused = [
            failure_of(stub.GetAccrual, pb.GetAccrualRequest(name=name)).reason,
            failure_of(stub.ResendAccrual, pb.ResendAccrualRequest(**asked)).reason,
            failure_of(stub.MendAccrual, pb.MendAccrualRequest(**asked, member="4000000000000002")).reason,
            failure_of(stub.FetchAccruals, pb.FetchAccrualsRequest(parent=PARENT, request_id=REQUEST)).reason,
            failure_of(stub.MakeAccrualFiles, pb.MakeAccrualFilesRequest(parent="programmes/none/banks/beta")).reason,
            failure_of(
                stub.SubmitAccrualResponse,
                pb.SubmitAccrualResponseRequest(parent=PARENT, content=b"H,\r\n", actor="maria"),
            ).reason,
            failure_of(stub.ListAccruals, pb.ListAccrualsRequest(parent=PARENT, state="lost")).reason,
        ]
    assert [
        "ACCRUAL_NOT_FOUND",
        "ACCRUAL_NOT_FOUND",
        "INVALID_FIELD",
        "ACCRUALS_LEAVE_OTHERWISE",
        "PROGRAMME_NOT_FOUND",
        "ACCRUAL_RESPONSE_UNSOUND",
        "INVALID_FIELD",
    ] == refused


@pytest.mark.parametrize("accepted", [True, False])
def test_the_owners_system_fetches_and_answers(database: Database, tmp_path: Path, accepted: bool) -> None:
    """A call hands accruals out, the same call hands them out again, and answers under one request count once."""
    desk = open_desk(database, tmp_path, "by: call")
    desk.name_members(CARD)
    desk.buy(1)
    clock = NOW.replace(hour=13)
    with (
        running_server(database.urls.service_url, tmp_path, workers=1, clock=clock) as server,
        grpc.insecure_channel(server) as channel,
    ):
        stub = AccrualServiceStub(channel)
        request = pb.FetchAccrualsRequest(parent=PARENT, request_id=REQUEST)
        fetched = stub.FetchAccruals(request)
        assert fetched == stub.FetchAccruals(request)
        (accrual,) = fetched.accruals
        assert ("SK0019", 1, "sent") == (accrual.member, accrual.attempt, accrual.state)
        answer = pb.AccrualAnswer(accrual=accrual.name, attempt=1, accepted=accepted, code="" if accepted else "NO")
        answers = pb.AcknowledgeAccrualsRequest(parent=PARENT, request_id=REQUEST, answers=[answer])
        first, again = stub.AcknowledgeAccruals(answers), stub.AcknowledgeAccruals(answers)
        assert (False, True) == (first.duplicate, again.duplicate)
        assert (accepted, not accepted) == (bool(again.accepted), bool(again.rejected))
        listed = stub.ListAccruals(pb.ListAccrualsRequest(parent=PARENT)).accruals
        assert ["accepted" if accepted else "suspended"] == [entry.state for entry in listed]
    assert [] == desk.differences()
