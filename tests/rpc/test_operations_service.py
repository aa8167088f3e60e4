"""OperationsService over real gRPC: what waits, what did not decode, corrections, explanations, and the state."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import orjson
import pytest
from sqlalchemy import text

from processor.core.outcome import Outcome
from processor.flow.submission import Answer
from processor.rpc.operations_service import OperationsService, masked_fields
from processor.store.operations import remove_worker_status, write_worker_status
from processor.v1.operations_pb2 import (
    AdjustAccountRequest,
    AdjustAccountResponse,
    ExplainDecisionRequest,
    GetParkedMessageRequest,
    GetStatusRequest,
    LinkStatus,
    ListParkedMessagesRequest,
    ListUndecodableMessagesRequest,
    ParkedMessage,
    ReplayParkedMessagesRequest,
    ReplayParkedMessagesResponse,
    UndecodableMessage,
)
from processor.v1.operations_pb2_grpc import OperationsServiceStub, add_OperationsServiceServicer_to_server
from tests.conftest import Database
from tests.flow.conftest import BUCKETS, NOW, Pipeline, apply_skyways, iso87, make_pipeline
from tests.rpc.serving import failure_of, serving

CLASSIC = "4000010000000001"
REQUEST = "7d1f3f7e-53a4-4d2c-9a52-0a4f3a3c8a11"


@pytest.fixture
def pipeline(database: Database) -> Pipeline:
    """Give a pipeline with the example programme in force."""
    apply_skyways(database)
    return make_pipeline(database)


@pytest.fixture
def stub(pipeline: Pipeline) -> Iterator[OperationsServiceStub]:
    """Give a client of a live service."""
    service = OperationsService(
        engine=pipeline.database.service,
        clock=pipeline.clock,
        bucket_count=BUCKETS,
        snapshots=pipeline.snapshots,
        decider=pipeline.decider,
        intake=pipeline.intake,
    )
    with serving(lambda server: add_OperationsServiceServicer_to_server(service, server)) as channel:
        yield OperationsServiceStub(channel)


def approve(pipeline: Pipeline, number: int = 1, **fields: str) -> Answer:
    """Send an approved authorization of 100.00 EUR."""
    values = {"response_code": "00", "trace_number": f"{number:06d}", "retrieval_reference": "", **fields}
    (answer,) = pipeline.send(iso87("0110", **values))
    return answer


def park(pipeline: Pipeline, count: int) -> list[str]:
    """Park messages a second apart, and return their names, oldest first."""
    names = []
    for number in range(count):
        pipeline.now = NOW + timedelta(seconds=number)
        answer = approve(pipeline, number=number + 1, pan=CLASSIC)
        assert Outcome.PARKED == answer.outcome
        names.append(answer.explanation.replace("/decisions/", "/parkedMessages/").removesuffix("-1"))
    return names


def adopt(pipeline: Pipeline) -> None:
    """Make every provisional account an active one, as a card file does."""
    with pipeline.database.service.begin() as connection:
        connection.execute(
            text("UPDATE account SET provisional = false, programme = 'skyways', product = 'alpha-classic'")
        )


def account_of(answer: Answer) -> str:
    """Return the name of the account a decision belongs to."""
    return "/".join(answer.explanation.split("/")[:2])


def adjustment(name: str, **fields: Any) -> AdjustAccountRequest:
    """Build a sound request, with some fields changed."""
    values = {"name": name, "miles": 500, "reason": "Goodwill", "actor": "maria", "request_id": REQUEST, **fields}
    return AdjustAccountRequest(**values)


def test_parked_messages_are_listed_oldest_first_page_by_page(pipeline: Pipeline, stub: OperationsServiceStub) -> None:
    """Pages of two add up to everything that waits, without its fields."""
    names = park(pipeline, 5)
    listed: list[ParkedMessage] = []
    token = ""
    sizes: list[int] = []
    while not sizes or token:
        page = stub.ListParkedMessages(ListParkedMessagesRequest(page_size=2, page_token=token))
        listed.extend(page.messages)
        sizes.append(len(page.messages))
        token = page.next_page_token
    assert [2, 2, 1] == sizes
    assert names == [entry.name for entry in listed]
    first = listed[0]
    assert ("UNKNOWN_CARD", "alpha", "iso87-ascii", "") == (first.reason, first.bank, first.dialect, first.fields)
    assert NOW == first.park_time.ToDatetime(tzinfo=UTC)


def test_messages_parked_at_one_instant_are_each_listed_once(pipeline: Pipeline, stub: OperationsServiceStub) -> None:
    """The page boundary falls between messages of one batch; none is lost and none comes twice."""
    cards = [f"40000100000000{number:02d}" for number in range(1, 8)]
    pipeline.send(*[iso87("0110", pan=card, response_code="00", trace_number=card[-6:]) for card in cards])
    names: list[str] = []
    token = ""
    for _ in cards:
        page = stub.ListParkedMessages(ListParkedMessagesRequest(page_size=1, page_token=token))
        names.extend(entry.name for entry in page.messages)
        token = page.next_page_token
    assert "" == token
    assert 7 == len(set(names)) == len(names)


def test_a_parked_message_shows_its_fields_without_card_data(pipeline: Pipeline, stub: OperationsServiceStub) -> None:
    """The card is its last four digits: no number, no token, no key id anywhere in the answer."""
    (name,) = park(pipeline, 1)
    shown = stub.GetParkedMessage(GetParkedMessageRequest(name=name))
    fields = orjson.loads(shown.fields)
    assert "****0001" == fields["card"]
    assert [10_000, "EUR"] == fields["amount"]
    with pipeline.database.service.connect() as connection:
        token = connection.execute(text("SELECT encode(token, 'hex') FROM card")).scalar_one()
    for secret in (CLASSIC, token, '"k1"'):
        assert secret not in str(shown)


def test_fields_without_a_card_stay_as_they_are() -> None:
    """Masking touches the card alone."""
    assert '{"bank":"alpha"}' == masked_fields('{"bank":"alpha"}')


def test_a_message_that_does_not_wait_is_not_found(pipeline: Pipeline, stub: OperationsServiceStub) -> None:
    """A decided message, another account's name for a parked one, and nonsense are each refused."""
    (name,) = park(pipeline, 1)
    _, account, _, message = name.split("/")
    decided = approve(pipeline, 9).explanation.replace("/decisions/", "/parkedMessages/").removesuffix("-1")
    stranger = f"accounts/{'0' * 32}/parkedMessages/{message}"
    for wrong in (decided, stranger):
        failure = failure_of(stub.GetParkedMessage, GetParkedMessageRequest(name=wrong))
        assert (grpc.StatusCode.NOT_FOUND, "PARKED_MESSAGE_NOT_FOUND") == (failure.code, failure.reason)
    for nonsense in (f"accounts/{account}", f"accounts/{account}/parkedMessages/1234", "x"):
        failure = failure_of(stub.GetParkedMessage, GetParkedMessageRequest(name=nonsense))
        assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME") == (failure.code, failure.reason)


def test_named_messages_are_replayed_and_the_rest_still_waits(pipeline: Pipeline, stub: OperationsServiceStub) -> None:
    """Only what was named is decided; then everything is, and a second replay finds nothing."""
    names = park(pipeline, 3)
    adopt(pipeline)
    replay = stub.ReplayParkedMessages
    assert ReplayParkedMessagesResponse(decided=1) == replay(ReplayParkedMessagesRequest(names=names[1:2]))
    assert {names[0], names[2]} == {
        entry.name for entry in stub.ListParkedMessages(ListParkedMessagesRequest()).messages
    }
    assert ReplayParkedMessagesResponse(decided=2) == replay(ReplayParkedMessagesRequest())
    assert ReplayParkedMessagesResponse() == replay(ReplayParkedMessagesRequest())


def test_what_cannot_be_decided_yet_stays_parked(pipeline: Pipeline, stub: OperationsServiceStub) -> None:
    """A replay before the cause is mended decides nothing and loses nothing."""
    names = park(pipeline, 2)
    answer = stub.ReplayParkedMessages(ReplayParkedMessagesRequest(names=names))
    assert ReplayParkedMessagesResponse(still_parked=2) == answer
    assert 2 == len(stub.ListParkedMessages(ListParkedMessagesRequest()).messages)


def test_a_replay_of_too_many_or_of_nonsense_is_refused(stub: OperationsServiceStub) -> None:
    """The bound is on the call, and one bad name refuses it whole."""
    name = f"accounts/{'0' * 32}/parkedMessages/{'0' * 32}"
    failure = failure_of(stub.ReplayParkedMessages, ReplayParkedMessagesRequest(names=[name] * 10_001))
    assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD") == (failure.code, failure.reason)
    failure = failure_of(stub.ReplayParkedMessages, ReplayParkedMessagesRequest(names=[name, "x"]))
    assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME") == (failure.code, failure.reason)


def test_undecodable_messages_are_listed_newest_first(pipeline: Pipeline, stub: OperationsServiceStub) -> None:
    """Each shows where it failed and a digest of its bytes; pages of one add up to all of them."""
    for number in range(3):
        pipeline.now = NOW + timedelta(seconds=number)
        broken = replace(iso87("0100"), iso8583=b"0100" + bytes([0x40 + number]) * 20)
        (answer,) = pipeline.send(broken)
        assert Outcome.REJECTED == answer.outcome
    listed: list[UndecodableMessage] = []
    token = ""
    for _ in range(3):
        page = stub.ListUndecodableMessages(ListUndecodableMessagesRequest(page_size=1, page_token=token))
        listed.extend(page.messages)
        token = page.next_page_token
    assert "" == token
    assert [NOW + timedelta(seconds=number) for number in (2, 1, 0)] == [
        entry.receive_time.ToDatetime(tzinfo=UTC) for entry in listed
    ]
    assert 3 == len({entry.digest for entry in listed})
    newest = listed[0]
    assert ("alpha", "iso87-ascii", 24, "exchange") == (
        newest.bank,
        newest.dialect,
        newest.length_bytes,
        newest.source,
    )
    assert newest.problem


@pytest.mark.parametrize("token", ["nonsense", "WyJwYXJrZWRNZXNzYWdlcyIsIngiLCIxIiwiMDAiXQ=="])
def test_lists_refuse_tokens_they_did_not_give(stub: OperationsServiceStub, token: str) -> None:
    """A made-up position is refused before it reaches the database."""
    for call, request in (
        (stub.ListParkedMessages, ListParkedMessagesRequest(page_token=token)),
        (stub.ListUndecodableMessages, ListUndecodableMessagesRequest(page_token=token)),
    ):
        failure = failure_of(call, request)
        assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN") == (failure.code, failure.reason)


def test_adjusting_twice_with_one_request_adjusts_once(pipeline: Pipeline, stub: OperationsServiceStub) -> None:
    """The second call says that it was the same; another amount under the same id already exists as another one."""
    name = account_of(approve(pipeline))
    assert AdjustAccountResponse(available=500) == stub.AdjustAccount(adjustment(name))
    assert AdjustAccountResponse(available=500, duplicate=True) == stub.AdjustAccount(adjustment(name))
    failure = failure_of(stub.AdjustAccount, adjustment(name, miles=-500))
    assert (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED") == (failure.code, failure.reason)


def test_simultaneous_calls_with_one_request_adjust_once(pipeline: Pipeline, stub: OperationsServiceStub) -> None:
    """Six callers at once: one books, and the posting is there once."""
    name = account_of(approve(pipeline))
    with ThreadPoolExecutor(max_workers=6) as pool:
        answers = list(pool.map(stub.AdjustAccount, [adjustment(name)] * 6))
    assert [False] + [True] * 5 == sorted(answer.duplicate for answer in answers)
    assert {500} == {answer.available for answer in answers}
    with pipeline.database.service.connect() as connection:
        assert 1 == connection.execute(text("SELECT count(*) FROM posting WHERE template = 9")).scalar_one()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"miles": 0}, "miles"),
        ({"reason": "ok"}, "reason"),
        ({"reason": "   ok   "}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"reason": "two\nlines"}, "reason"),
        ({"reason": "card 4000 0000 0000 0002"}, "reason"),
        ({"reason": "card 3782 822463 10005"}, "reason"),
        ({"reason": "card 3056 930902 5904"}, "reason"),
        ({"reason": "card 4000000000000002"}, "reason"),
        ({"actor": " "}, "actor"),
        ({"actor": "nul\x00"}, "actor"),
        ({"actor": "4000000000000002"}, "actor"),
        ({"request_id": ""}, "request_id"),
        ({"request_id": "42"}, "request_id"),
    ],
)
def test_a_malformed_adjustment_is_refused(
    pipeline: Pipeline, stub: OperationsServiceStub, fields: dict[str, Any], named: str
) -> None:
    """The error names the field and what to write, repeats nothing, and nothing is booked."""
    name = account_of(approve(pipeline))
    failure = failure_of(stub.AdjustAccount, adjustment(name, **fields))
    assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD") == (failure.code, failure.reason)
    assert failure.text.startswith(named)
    assert "0002" not in failure.text
    with pipeline.database.service.connect() as connection:
        assert 0 == connection.execute(text("SELECT count(*) FROM audit")).scalar_one()


def test_a_long_number_that_is_no_card_may_stand_in_a_reason(pipeline: Pipeline, stub: OperationsServiceStub) -> None:
    """A ticket number whose check digit is not a card's is taken."""
    name = account_of(approve(pipeline))
    reason = "Ticket 4000000000000001, 26-11-20"
    assert 500 == stub.AdjustAccount(adjustment(name, reason=reason)).available


def test_accounts_that_cannot_be_adjusted_say_why(pipeline: Pipeline, stub: OperationsServiceStub) -> None:
    """Unknown, provisional and joined accounts are refused with their own reasons."""
    failure = failure_of(stub.AdjustAccount, adjustment(f"accounts/{'0' * 32}"))
    assert (grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND") == (failure.code, failure.reason)
    name = account_of(approve(pipeline, pan=CLASSIC))
    failure = failure_of(stub.AdjustAccount, adjustment(name))
    assert (grpc.StatusCode.FAILED_PRECONDITION, "ACCOUNT_PROVISIONAL") == (failure.code, failure.reason)
    with pipeline.database.service.begin() as connection:
        connection.execute(text("UPDATE account SET superseded_by = :id"), {"id": b"\x07" * 16})
    failure = failure_of(stub.AdjustAccount, adjustment(name))
    assert (grpc.StatusCode.FAILED_PRECONDITION, "ACCOUNT_JOINED") == (failure.code, failure.reason)
    assert f"accounts/{'07' * 16}" in failure.text


def test_a_decision_is_explained_by_the_name_its_answer_gave(pipeline: Pipeline, stub: OperationsServiceStub) -> None:
    """The answer's explanation field is the request; the detail is the stored JSON."""
    explained = stub.ExplainDecision(ExplainDecisionRequest(name=approve(pipeline).explanation))
    assert ("EARNED", True) == (explained.reason, explained.reproduced)
    assert any("Rule base gives 1 SKY for each 2.00 EUR billed" in sentence for sentence in explained.sentences)
    assert "alpha-gold" == orjson.loads(explained.detail)["inputs"]["product"]


def test_a_decision_that_is_not_there_is_refused(pipeline: Pipeline, stub: OperationsServiceStub) -> None:
    """Another attempt is not found; a name of another form is an argument's fault."""
    name = approve(pipeline).explanation
    failure = failure_of(stub.ExplainDecision, ExplainDecisionRequest(name=f"{name[:-1]}2"))
    assert (grpc.StatusCode.NOT_FOUND, "DECISION_NOT_FOUND") == (failure.code, failure.reason)
    for nonsense in (name[:-2], f"{name[:-1]}0", f"{name}99999", account_of(approve(pipeline)), ""):
        failure = failure_of(stub.ExplainDecision, ExplainDecisionRequest(name=nonsense))
        assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME") == (failure.code, failure.reason)


def test_the_status_sums_links_over_the_workers_that_live(pipeline: Pipeline, stub: OperationsServiceStub) -> None:
    """Two workers seen lately are listed and their links summed; one that fell silent counts no more."""
    early, late = NOW - timedelta(seconds=20), NOW - timedelta(seconds=10)
    silent = NOW - timedelta(seconds=61)
    with pipeline.database.service.begin() as connection:
        write_worker_status(connection, "host/1/1", early, NOW, detail_of(10, [alpha(10, 1, early)]))
        write_worker_status(connection, "host/2/2", early, late, detail_of(7, [alpha(5, 0, late), beta(2)]))
        write_worker_status(connection, "host/3/3", early, silent, detail_of(99, [alpha(99, 9, NOW)]))
    park(pipeline, 2)
    pipeline.now = NOW
    status = stub.GetStatus(GetStatusRequest())
    first, second = status.workers
    assert ("host/1/1", "host/2/2") == (first.worker, second.worker)
    assert (7, 3, 1, 2) == (second.messages, second.queued, second.snapshot_version, second.streams)
    assert (early, late) == (second.start_time.ToDatetime(tzinfo=UTC), second.seen_time.ToDatetime(tzinfo=UTC))
    of_alpha, of_beta = status.links
    assert ("alpha", "iso87-ascii", 15, 1) == (
        of_alpha.bank,
        of_alpha.dialect,
        of_alpha.messages,
        of_alpha.undecodable,
    )
    assert late == of_alpha.last_message_time.ToDatetime(tzinfo=UTC)
    assert LinkStatus(bank="beta", dialect="iso87-bcd", messages=2) == of_beta
    assert (1, 2) == (status.reference_version, status.parked)


def detail_of(messages: int, links: list[list[Any]]) -> dict[str, Any]:
    """Return what a worker writes of itself."""
    return {"messages": messages, "queued": 3, "snapshot_version": 1, "streams": 2, "links": links}


def alpha(messages: int, undecodable: int, last_at: datetime) -> list[Any]:
    """Return what a worker writes of alpha's link."""
    return ["alpha", "iso87-ascii", messages, undecodable, last_at.isoformat()]


def beta(messages: int) -> list[Any]:
    """Return what a worker writes of beta's link when it has not seen a message itself."""
    return ["beta", "iso87-bcd", messages, 0, None]


def test_a_worker_writes_over_its_own_row_and_leaves_when_it_ends(
    pipeline: Pipeline, stub: OperationsServiceStub
) -> None:
    """One row a worker, the latest; none once it has ended, however often it says so."""
    for messages in (1, 2):
        with pipeline.database.service.begin() as connection:
            write_worker_status(connection, "host/1/1", NOW, NOW, detail_of(messages, []))
    assert [2] == [worker.messages for worker in stub.GetStatus(GetStatusRequest()).workers]
    for _ in range(2):
        with pipeline.database.service.begin() as connection:
            remove_worker_status(connection, "host/1/1")
    assert [] == list(stub.GetStatus(GetStatusRequest()).workers)
