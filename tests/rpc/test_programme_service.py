"""ProgrammeService over real gRPC: what is applied, what is shown, and what is refused."""

from collections.abc import Iterator
from datetime import UTC, datetime

import grpc
import pytest

from processor.flow.programmes import digest_of
from processor.flow.snapshot import Snapshots
from processor.rpc.programme_service import ProgrammeService
from processor.store.engine import connect
from processor.v1.programme_pb2 import (
    ApplyProgrammeRequest,
    ApplyProgrammeResponse,
    GetProgrammeRequest,
    ListProgrammesRequest,
)
from processor.v1.programme_pb2_grpc import ProgrammeServiceStub, add_ProgrammeServiceServicer_to_server
from tests.conftest import Database
from tests.flow.conftest import NOW, SKYWAYS
from tests.rpc.serving import failure_of, serving

DOCUMENT = (SKYWAYS / "programme.yaml").read_text()
FILES = {"merchants.csv": (SKYWAYS / "merchants.csv").read_text()}
PROGRAMMES = ("skyways", "alpine", "borealis")


@pytest.fixture
def snapshots() -> Snapshots:
    """Give the snapshots a worker shares with the service."""
    return Snapshots()


@pytest.fixture
def stub(database: Database, snapshots: Snapshots) -> Iterator[ProgrammeServiceStub]:
    """Give a client of a live service."""
    service = ProgrammeService(engine=database.service, clock=lambda: NOW, snapshots=snapshots)
    with serving(lambda server: add_ProgrammeServiceServicer_to_server(service, server)) as channel:
        yield ProgrammeServiceStub(channel)


def apply(stub: ProgrammeServiceStub, document: str = DOCUMENT) -> ApplyProgrammeResponse:
    """Apply a document beside the example's merchants."""
    return stub.ApplyProgramme(ApplyProgrammeRequest(document=document, files=FILES, source="programme.yaml"))


def renamed(programme: str) -> str:
    """Return the example as another programme, with products and card ranges of its own."""
    number = PROGRAMMES.index(programme)
    if not number:
        return DOCUMENT
    document = DOCUMENT.replace("programme: skyways", f"programme: {programme}")
    for product in ("alpha-gold", "alpha-classic", "beta-platinum", "beta-blue"):
        document = document.replace(product, f"{programme}-{product}")
    for card_range in ("400000", "400001", "541333", "222300"):
        document = document.replace(card_range, f"{9 - number}{card_range[1:]}")
    return document


def test_a_document_becomes_a_revision_that_workers_know(
    stub: ProgrammeServiceStub, snapshots: Snapshots, database: Database
) -> None:
    """The answer shows the revision as it is stored, and the snapshot beside the service holds it at once."""
    applied = apply(stub)
    assert not applied.unchanged
    assert [] == list(applied.errors)
    shown = applied.programme
    assert ("programmes/skyways/revisions/1", "Skyways Miles") == (shown.name, shown.title)
    assert (DOCUMENT, FILES) == (shown.document, dict(shown.files))
    assert digest_of(DOCUMENT, FILES).hex() == shown.digest
    assert NOW == shown.create_time.ToDatetime(tzinfo=UTC)
    assert datetime(2025, 12, 31, 23, tzinfo=UTC) == shown.effective_time.ToDatetime(tzinfo=UTC)
    assert 1 == snapshots.current.latest("skyways").revision
    with database.owner.connect() as connection:
        (actor,) = connection.exec_driver_sql("SELECT applied_by FROM programme_revision").one()
    assert actor.startswith("ipv4:127.0.0.1:")


def test_the_same_document_again_changes_nothing(stub: ProgrammeServiceStub) -> None:
    """A repeat answers the revision that it is already."""
    first, second = apply(stub), apply(stub)
    assert second.unchanged
    assert first.programme == second.programme


def test_a_changed_document_takes_effect_from_now(stub: ProgrammeServiceStub) -> None:
    """A later revision never reaches back; the older one can still be read."""
    apply(stub)
    second = apply(stub, DOCUMENT.replace('EUR: "2.00", USD', 'EUR: "4.00", USD')).programme
    assert "programmes/skyways/revisions/2" == second.name
    assert NOW == second.effective_time.ToDatetime(tzinfo=UTC)
    assert second == stub.GetProgramme(GetProgrammeRequest(name="programmes/skyways"))
    assert DOCUMENT == stub.GetProgramme(GetProgrammeRequest(name="programmes/skyways/revisions/1")).document


def test_errors_of_a_document_are_values_with_their_place(stub: ProgrammeServiceStub) -> None:
    """All errors come back with file, line, column and path; nothing is applied."""
    broken = DOCUMENT.replace("rounding: half-up", "rounding: sideways").replace('percent: "5"', 'percent: "-5"')
    answer = apply(stub, broken)
    assert not answer.HasField("programme")
    assert len(answer.errors) >= 2
    lines = broken.splitlines()
    for error in answer.errors:
        assert "programme.yaml" == error.source
        assert lines[error.line - 1][error.column - 1 :].strip()
        assert error.path
        assert error.problem
    assert "PROGRAMME_NOT_FOUND" == failure_of(stub.GetProgramme, GetProgrammeRequest(name="programmes/skyways")).reason


def test_a_document_without_a_name_is_called_programme_yaml(stub: ProgrammeServiceStub) -> None:
    """Errors of a document whose caller did not name it have a source all the same."""
    answer = stub.ApplyProgramme(ApplyProgrammeRequest(document="programme: ["))
    assert {"programme.yaml"} == {error.source for error in answer.errors}


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("programmes/nobody", grpc.StatusCode.NOT_FOUND, "PROGRAMME_NOT_FOUND"),
        ("programmes/skyways/revisions/2", grpc.StatusCode.NOT_FOUND, "PROGRAMME_NOT_FOUND"),
        ("programmes/skyways/revisions/0", grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"),
        ("programmes/skyways/revisions/" + "9" * 5000, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"),
        ("skyways", grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"),
        ("", grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"),
        ("programmes/", grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"),
        ("programmes/a\x00b", grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused(
    stub: ProgrammeServiceStub, name: str, code: grpc.StatusCode, reason: str
) -> None:
    """What is not there is not found, and what is no name is an argument's fault; neither is repeated."""
    apply(stub)
    failure = failure_of(stub.GetProgramme, GetProgrammeRequest(name=name))
    assert (code, reason) == (failure.code, failure.reason)
    assert len(failure.text) < 200


def test_programmes_are_listed_by_name_page_by_page(stub: ProgrammeServiceStub) -> None:
    """Pages of one add up to every programme's latest revision, without documents."""
    for programme in PROGRAMMES:
        assert [] == list(apply(stub, renamed(programme)).errors)
    apply(stub, DOCUMENT.replace("Skyways Miles", "Skyways Stars"))
    seen: list[tuple[str, str]] = []
    token = ""
    for _ in PROGRAMMES:
        page = stub.ListProgrammes(ListProgrammesRequest(page_size=1, page_token=token))
        (entry,) = page.programmes
        assert not entry.document
        assert not entry.files
        seen.append((entry.name, entry.title))
        token = page.next_page_token
    assert "" == token
    assert [
        ("programmes/alpine/revisions/1", "Skyways Miles"),
        ("programmes/borealis/revisions/1", "Skyways Miles"),
        ("programmes/skyways/revisions/2", "Skyways Stars"),
    ] == seen


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (ListProgrammesRequest(page_size=-1), "INVALID_PAGE_SIZE"),
        (ListProgrammesRequest(page_size=1001), "INVALID_PAGE_SIZE"),
        (ListProgrammesRequest(page_token="nonsense"), "INVALID_PAGE_TOKEN"),
        (ListProgrammesRequest(page_token="é"), "INVALID_PAGE_TOKEN"),
        (ListProgrammesRequest(page_token="WyJwcm9ncmFtbWVzIl0="), "INVALID_PAGE_TOKEN"),
        (ListProgrammesRequest(page_token="A" * 5000), "INVALID_PAGE_TOKEN"),
    ],
)
def test_pages_that_cannot_be_are_refused(
    stub: ProgrammeServiceStub, request_: ListProgrammesRequest, reason: str
) -> None:
    """A page size outside the contract, and a token this list did not give, are the caller's errors."""
    failure = failure_of(stub.ListProgrammes, request_)
    assert (grpc.StatusCode.INVALID_ARGUMENT, reason) == (failure.code, failure.reason)


def test_a_database_that_does_not_answer_is_unavailable() -> None:
    """While the database is away a call ends as one to be repeated, and says nothing of the inside."""
    engine = connect("postgresql://nobody@127.0.0.1:1/nowhere")
    service = ProgrammeService(engine=engine, clock=lambda: NOW, snapshots=Snapshots())
    with serving(lambda server: add_ProgrammeServiceServicer_to_server(service, server)) as channel:
        failure = failure_of(ProgrammeServiceStub(channel).ListProgrammes, ListProgrammesRequest())
    assert (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE") == (failure.code, failure.reason)
    assert "psycopg2" not in failure.text
