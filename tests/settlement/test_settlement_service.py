"""The settlement service over real gRPC, a real PostgreSQL and a real output folder."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # It ships none.

from examples.traffic.skyways import programme
from processor.core.programme import Programme
from processor.rpc import settlement_service
from processor.rpc.settlement_service import SettlementService
from processor.v1 import settlement_pb2 as pb
from processor.v1.settlement_pb2_grpc import SettlementServiceStub, add_SettlementServiceServicer_to_server
from tests.conftest import Database
from tests.settlement.books import Charge, book, example_charges

if TYPE_CHECKING:
    from processor.v1.settlement_pb2_grpc import SettlementServiceAsyncStub

Result = TypeVar("Result")
CYCLE = "programmes/skyways/banks/alpha/cycles/2026-11-20"


@dataclass(slots=True, kw_only=True)
class Desk:
    """The service of a test: its database, its output folder, and a clock the test can set."""

    database: Database
    root: Path
    now: datetime = datetime(2026, 11, 20, 21, 30, tzinfo=UTC)

    def call(self, work: Callable[["SettlementServiceAsyncStub"], Awaitable[Result]]) -> Result:
        """Serve on a loopback port for the length of one piece of work."""

        async def serve() -> Result:
            server = grpc.aio.server()
            service = SettlementService(
                engine=self.database.service,
                clock=lambda: self.now,
                output_folder=self.root,
                programme_of=self.programme_of,
            )
            add_SettlementServiceServicer_to_server(service, server)
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            try:
                async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                    return await work(SettlementServiceStub(channel))
            finally:
                await server.stop(0)

        return asyncio.run(serve())

    @staticmethod
    def programme_of(name: str) -> Programme:
        """Return the example programme."""
        return {"skyways": programme()}[name]

    def close(
        self, business_date: str = "2026-11-20", *, bank: str = "alpha", programme: str = "skyways"
    ) -> pb.CloseBusinessDateResponse:
        """Close one date."""
        request = pb.CloseBusinessDateRequest(programme=programme, bank=bank, business_date=business_date)
        return self.call(lambda stub: stub.CloseBusinessDate(request))

    def download(self, name: str) -> list[bytes]:
        """Fetch one file's pieces."""

        async def pieces(stub: "SettlementServiceAsyncStub") -> list[bytes]:
            answers = stub.DownloadSettlementFile(pb.DownloadSettlementFileRequest(name=name))
            return [answer.content async for answer in answers]

        return self.call(pieces)

    def refusal(self, work: Callable[[], object]) -> tuple[grpc.StatusCode, str, str]:
        """Return the code, the reason and the text a call fails with."""
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            work()
        details = dict(failure.value.trailing_metadata() or ())["grpc-status-details-bin"]
        status = status_pb2.Status.FromString(details)
        info = error_details_pb2.ErrorInfo()
        status.details[0].Unpack(info)
        return failure.value.code(), info.reason, status.message


@pytest.fixture
def desk(database: Database, tmp_path: Path) -> Desk:
    """Serve six charges booked on 2026-11-20, a Friday, an hour before alpha's cut-off."""
    with database.service.begin() as connection:
        book(connection, example_charges())
    return Desk(database=database, root=tmp_path)


def test_closing_makes_the_files_of_every_party_of_the_programme(desk: Desk) -> None:
    """The owner, the bank and all six retailers get a file; the answer says where they are and what they hold."""
    response = desk.close()
    assert (CYCLE, "closed", 6, False) == (
        response.cycle.name,
        response.cycle.state,
        response.cycle.postings,
        response.already_closed,
    )
    assert datetime(2026, 11, 20, 21, 30) == response.cycle.close_time.ToDatetime()  # noqa: DTZ001 - as protobuf gives it.
    parties = {
        "skyways",
        "alpha",
        "fresh-foods",
        "blue-energy",
        "moda-group",
        "harbor-hotels",
        "volt-trade",
        "table-guests",
    }
    assert parties == {file.party for file in response.files}
    for file in response.files:
        assert file.sha256 == hashlib.sha256((Path(response.folder) / file.file_name).read_bytes()).hexdigest()
    alpha = response.files[0]
    assert (f"{CYCLE}/files/alpha", 1, 5, 1397) == (alpha.name, alpha.sequence, alpha.record_count, alpha.hash_total)
    assert [("EUR", 352, 795, 443), ("JPY", 0, 250, 250)] == [
        (total.currency, total.debit_minor, total.credit_minor, total.net_minor) for total in alpha.totals
    ]


def test_positions_net_the_obligations(desk: Desk) -> None:
    """Obligations stand per ordered pair, positions per party, and they add up to zero."""
    cycle = desk.close().cycle
    assert 5 == len(cycle.obligations)
    assert {
        ("alpha", "EUR"): 443,
        ("alpha", "JPY"): 250,
        ("fresh-foods", "EUR"): -1210,
        ("moda-group", "EUR"): -495,
        ("moda-group", "JPY"): -250,
        ("skyways", "EUR"): 1262,
    } == {(position.party, position.currency): position.net_minor for position in cycle.positions}
    assert cycle == desk.call(lambda stub: stub.GetCycle(pb.GetCycleRequest(name=CYCLE)))


def test_closing_again_answers_the_same(desk: Desk) -> None:
    """Only the flag tells that the date was closed before, however late the repeat comes."""
    first = desk.close()
    desk.now += timedelta(days=9)
    again = desk.close()
    assert again.already_closed
    again.already_closed = False
    assert first == again


def test_a_file_is_downloaded_in_pieces(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pieces are at most as long as the contract says and make up the file's bytes."""
    response = desk.close()
    monkeypatch.setattr(settlement_service, "PIECE_BYTES", 100)
    pieces = desk.download(f"{CYCLE}/files/alpha")
    assert {100} == {len(piece) for piece in pieces[:-1]}
    assert (Path(response.folder) / response.files[0].file_name).read_bytes() == b"".join(pieces)


def test_cycles_and_files_are_listed(desk: Desk) -> None:
    """Cycles come newest first in pages; a cycle's files come by party."""
    desk.close()
    desk.now += timedelta(days=3)
    desk.close("2026-11-23")
    parent = "programmes/-/banks/alpha"
    first = desk.call(lambda stub: stub.ListCycles(pb.ListCyclesRequest(parent=parent, page_size=1)))
    request = pb.ListCyclesRequest(parent=parent, page_size=1, page_token=first.next_page_token)
    second = desk.call(lambda stub: stub.ListCycles(request))
    assert [CYCLE.replace("-20", "-23"), CYCLE] == [cycle.name for cycle in (*first.cycles, *second.cycles)]
    assert ([0, 6], "") == ([first.cycles[0].postings, second.cycles[0].postings], second.next_page_token)
    files = desk.call(lambda stub: stub.ListSettlementFiles(pb.ListSettlementFilesRequest(parent=CYCLE))).files
    assert [1] * 8 == [file.sequence for file in files]
    assert sorted(file.party for file in files) == [file.party for file in files]


@pytest.mark.parametrize(
    ("arguments", "code", "reason", "text"),
    [
        (
            {"business_date": "2026-11-23"},
            grpc.StatusCode.FAILED_PRECONDITION,
            "BUSINESS_DATE_AHEAD",
            "close 2026-11-20 or wait for the bank's cut-off",
        ),
        ({"programme": "sunways"}, grpc.StatusCode.NOT_FOUND, "PROGRAMME_NOT_FOUND", "cobrand programme list"),
        ({"bank": "gamma"}, grpc.StatusCode.NOT_FOUND, "BANK_NOT_FOUND", "its banks are alpha, beta"),
        ({"business_date": "20.11.2026"}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "such as 2026-11-20"),
        ({"business_date": "20261120"}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "such as 2026-11-20"),
        ({"business_date": ""}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "such as 2026-11-20"),
    ],
)
def test_a_date_that_cannot_be_closed_says_why(
    desk: Desk, arguments: dict[str, str], code: grpc.StatusCode, reason: str, text: str
) -> None:
    """A refusal has a code, a reason for programs and a sentence for people; nothing is written."""
    refused = desk.refusal(lambda: desk.close(**arguments))
    assert (code, reason) == refused[:2]
    assert text in refused[2]
    assert [] == list(desk.root.iterdir())


def test_an_earlier_date_than_the_last_closed_one_is_refused(desk: Desk) -> None:
    """Its postings joined the later cycle."""
    desk.close()
    refused = desk.refusal(lambda: desk.close("2026-11-19"))
    assert (grpc.StatusCode.FAILED_PRECONDITION, "LATER_DATE_CLOSED") == refused[:2]


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("programmes/skyways/banks/alpha/cycles/2026-11-19", grpc.StatusCode.NOT_FOUND, "CYCLE_NOT_FOUND"),
        ("programmes/skyways/banks/alpha/cycles/today", grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        ("cycles/2026-11-20", grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"),
    ],
)
def test_a_cycle_that_is_not_there_is_not_found(desk: Desk, name: str, code: grpc.StatusCode, reason: str) -> None:
    """Both calls that name a cycle answer alike."""
    got = desk.refusal(lambda: desk.call(lambda stub: stub.GetCycle(pb.GetCycleRequest(name=name))))
    request = pb.ListSettlementFilesRequest(parent=name)
    listed = desk.refusal(lambda: desk.call(lambda stub: stub.ListSettlementFiles(request)))
    assert (code, reason) == got[:2] == listed[:2]


def test_a_file_that_is_not_there_is_not_found(desk: Desk) -> None:
    """Another bank is no party of this cycle."""
    desk.close()
    refused = desk.refusal(lambda: desk.download(f"{CYCLE}/files/beta"))
    assert (grpc.StatusCode.NOT_FOUND, "SETTLEMENT_FILE_NOT_FOUND") == refused[:2]


def test_a_lost_file_is_not_sent_until_it_is_made_again(desk: Desk) -> None:
    """The error says how to get it back, and that works."""
    response = desk.close()
    path = Path(response.folder) / response.files[0].file_name
    content = path.read_bytes()
    path.unlink()
    refused = desk.refusal(lambda: desk.download(f"{CYCLE}/files/alpha"))
    assert (grpc.StatusCode.NOT_FOUND, "SETTLEMENT_FILE_NOT_FOUND") == refused[:2]
    desk.close()
    assert content == b"".join(desk.download(f"{CYCLE}/files/alpha"))


def test_a_changed_file_is_not_sent(desk: Desk) -> None:
    """A receiver never gets bytes that are not those that were made, nor are they written over."""
    response = desk.close()
    path = Path(response.folder) / response.files[0].file_name
    path.write_bytes(b"changed")
    for work in (lambda: desk.download(f"{CYCLE}/files/alpha"), desk.close):
        refused = desk.refusal(work)
        assert (grpc.StatusCode.FAILED_PRECONDITION, "SETTLEMENT_FILE_DIFFERS") == refused[:2]
        assert "move it away" in refused[2]
    assert b"changed" == path.read_bytes()


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (pb.ListCyclesRequest(parent="programmes/-"), "INVALID_NAME"),
        (pb.ListCyclesRequest(parent="programmes/-/banks/-", page_size=1001), "INVALID_PAGE_SIZE"),
        (pb.ListCyclesRequest(parent="programmes/-/banks/-", page_token="x"), "INVALID_PAGE_TOKEN"),
    ],
)
def test_a_malformed_list_request_is_refused(desk: Desk, request_: pb.ListCyclesRequest, reason: str) -> None:
    """Parent, page size and page token are each checked."""
    refused = desk.refusal(lambda: desk.call(lambda stub: stub.ListCycles(request_)))
    assert (grpc.StatusCode.INVALID_ARGUMENT, reason) == refused[:2]


def test_a_straggler_is_in_the_next_file_with_its_own_date(desk: Desk) -> None:
    """What was booked after the closing is settled with the next date and says which date it is of."""
    desk.close()
    straggler = Charge(name="straggler", debtor="alpha", creditor="skyways", amount=9)
    with desk.database.service.begin() as connection:
        book(connection, [straggler, replace(straggler, name="monday", day=straggler.day + timedelta(days=3))])
    desk.now += timedelta(days=3)
    desk.close("2026-11-23")
    rows = b"".join(desk.download(f"{CYCLE.replace('-20', '-23')}/files/alpha")).decode().splitlines()
    assert ["2026-11-20", "2026-11-23"] == [row.split(",")[12] for row in rows if row.startswith("D")]
