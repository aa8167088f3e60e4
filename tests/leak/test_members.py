"""What is known of a member is nobody else's: a birthday is answered to who asks for the facts, and written once."""

from pathlib import Path
from typing import Any, Final

import grpc
import pytest

from processor.rpc.member_service import MemberService
from processor.v1 import member_pb2 as pb
from processor.v1.member_pb2_grpc import MemberServiceStub, add_MemberServiceServicer_to_server
from tests.conftest import Database
from tests.flow.conftest import BUCKETS, apply_skyways, make_pipeline
from tests.flow.test_explain import explain
from tests.flow.test_member_facts import AIRLINE, account_of, bought
from tests.leak.written import dump, server_log
from tests.rpc.serving import serving

BIRTHDAY: Final = "07-23"
YEARS: Final = ("1987-07-23", "07-23-1987", "23.07.1987")
REQUEST: Final = "7d1f3f7e-53a4-4d2c-9a52-0a4f3a3c8a1{}"


def said_by(call: Any, request: Any) -> str:
    """Return everything that a call answers, or its status with its details."""
    try:
        return repr(call(request))
    except grpc.RpcError as error:
        failed: Any = error
        return repr((failed.code(), failed.details(), failed.debug_error_string(), failed.trailing_metadata()))


def test_a_birthday_is_written_once_and_a_year_of_birth_never(
    database: Database, log: list[Any], caplog: pytest.LogCaptureFixture, administrator_url: str, tmp_path: Path
) -> None:
    """Tables, logs, explanations, answers and refusals: one table has the day, the list of facts shows it, no more."""
    apply_skyways(database, folder=AIRLINE)
    pipeline = make_pipeline(database)
    name = f"accounts/{account_of(pipeline)[1].hex()}"
    service = MemberService(
        engine=database.service, clock=pipeline.clock, bucket_count=BUCKETS, snapshots=pipeline.snapshots
    )
    found: dict[str, str] = {}
    with serving(lambda server: add_MemberServiceServicer_to_server(service, server)) as channel:
        stub = MemberServiceStub(channel)
        for place, value in enumerate((*YEARS, BIRTHDAY, BIRTHDAY)):
            request = pb.RecordMemberFactsRequest(
                name=name,
                facts=[pb.MemberFact(kind=pb.MEMBER_FACT_KIND_BIRTHDAY, value=value)],
                reason="Ticket 4711",
                actor="maria",
                request_id=REQUEST.format(min(place, 3)),
            )
            found[f"recording {place}"] = said_by(stub.RecordMemberFacts, request)
        listed = said_by(stub.ListMemberFacts, pb.ListMemberFactsRequest(parent=name))
    answer = bought(pipeline, "120000", 1, local_date="0725")
    assert "birthday-triple" in {line.rule for line in answer.awards}
    explanation = explain(pipeline, answer)
    found |= {"answer": repr(answer), "explanation": repr(explanation), "log": repr(log), "libraries": caplog.text}
    found["server's log"] = server_log(administrator_url).decode(errors="replace")
    found |= {place: written.decode(errors="replace") for place, written in dump(database).items()}

    assert BIRTHDAY in listed
    holding = {place for place, said in found.items() if BIRTHDAY in said.replace(f"2026-{BIRTHDAY}", "")}
    assert {"table member_birthday"} == holding
    assert [] == [place for place, said in found.items() if any(year in said for year in YEARS)]
