"""LedgerService over real gRPC: balances, statements page by page, and a programme's ledger accounts."""

from collections.abc import Iterator
from datetime import UTC
from uuid import UUID

import grpc
import pytest
from sqlalchemy import text

from processor.core.card import Pan
from processor.flow.adjust import Adjustment, adjust
from processor.flow.card_file import CardFileIntake, CardFileRecord
from processor.rpc.ledger_service import LedgerService
from processor.store.directory import bucket_of
from processor.v1.ledger_pb2 import (
    Balance,
    GetBalanceRequest,
    ListLedgerAccountsRequest,
    ListStatementEntriesRequest,
    StatementEntry,
)
from processor.v1.ledger_pb2_grpc import LedgerServiceStub, add_LedgerServiceServicer_to_server
from tests.conftest import Database
from tests.flow.conftest import BUCKETS, NOW, Pipeline, apply_skyways, iso87, make_pipeline
from tests.rpc.serving import failure_of, serving

GOLD = "4000000000000002"
GOLD_TWO = "4000000000000010"
BETA = {"bank": "beta", "dialect": "iso87-bcd", "pan": "5413330000000003", "currency": "840"}


@pytest.fixture
def pipeline(database: Database) -> Pipeline:
    """Give a pipeline with the example programme in force."""
    apply_skyways(database)
    return make_pipeline(database)


@pytest.fixture
def stub(pipeline: Pipeline) -> Iterator[LedgerServiceStub]:
    """Give a client of a live service."""
    service = LedgerService(engine=pipeline.database.service, bucket_count=BUCKETS, snapshots=pipeline.snapshots)
    with serving(lambda server: add_LedgerServiceServicer_to_server(service, server)) as channel:
        yield LedgerServiceStub(channel)


def approve(pipeline: Pipeline, *, number: int = 1, card: str = GOLD) -> str:
    """Send an approved authorization of 100.00 EUR, which promises 75 miles, and return its account's name."""
    message = iso87("0110", pan=card, response_code="00", trace_number=f"{number:06d}", retrieval_reference="")
    (answer,) = pipeline.send(message)
    return "/".join(answer.explanation.split("/")[:2])


def enrol(pipeline: Pipeline, card: str, reference: str) -> None:
    """Name a card's account by a card file."""
    taking = CardFileIntake(bank="alpha", full=False, decider=pipeline.decider, intake=pipeline.intake)
    taking.take([CardFileRecord(card_number=Pan(card), account_reference=reference, product="alpha-gold")])
    assert 1 == taking.finish().taken


def test_a_balance_shows_what_is_promised_and_what_is_given(pipeline: Pipeline, stub: LedgerServiceStub) -> None:
    """An authorization promises miles; an adjustment gives some."""
    name = approve(pipeline)
    account = bytes.fromhex(name.removeprefix("accounts/"))
    gift = Adjustment(miles=30, reason="Goodwill", actor="maria", request_id=UUID(int=1))
    key = (bucket_of(account, BUCKETS), account)
    adjust(pipeline.database.service, pipeline.snapshots, key, gift, clock=pipeline.clock)
    assert (
        Balance(name=name, unit="SKY", pending=75, available=30, product="alpha-gold", status="active")
    ) == stub.GetBalance(GetBalanceRequest(name=name))


def test_a_banks_reference_leads_to_the_same_account(pipeline: Pipeline, stub: LedgerServiceStub) -> None:
    """The account can be named by its bank's own reference, which may hold a slash."""
    name = approve(pipeline)
    enrol(pipeline, GOLD, "A/1001")
    by_reference = "banks/alpha/accountReferences/A/1001"
    assert stub.GetBalance(GetBalanceRequest(name=name)) == stub.GetBalance(GetBalanceRequest(name=by_reference))
    entries = stub.ListStatementEntries(ListStatementEntriesRequest(parent=by_reference)).entries
    assert 2 == len(entries)


def test_a_provisional_account_has_no_unit_yet(pipeline: Pipeline, stub: LedgerServiceStub) -> None:
    """An unknown card's account waits: no programme, nothing promised."""
    name = approve(pipeline, card="4000010000000001")
    balance = stub.GetBalance(GetBalanceRequest(name=name))
    assert ("provisional", "", 0) == (balance.status, balance.unit, balance.pending)


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        (f"accounts/{'0' * 32}", grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND"),
        ("banks/alpha/accountReferences/nobody", grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND"),
        ("accounts/4000000000000002", grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"),
        (f"accounts/{'A' * 32}", grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"),
        (f"accounts/{'0' * 32}/", grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"),
        ("banks//accountReferences/A", grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"),
        ("banks/alpha/accountReferences/", grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"),
        ("banks/alpha/accountReferences/a\x00b", grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"),
        ("", grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"),
    ],
)
def test_a_name_that_leads_to_no_account_is_refused(
    stub: LedgerServiceStub, name: str, code: grpc.StatusCode, reason: str
) -> None:
    """An unknown account is not found, a malformed name is refused, and no text repeats a card number."""
    for failure in (
        failure_of(stub.GetBalance, GetBalanceRequest(name=name)),
        failure_of(stub.ListStatementEntries, ListStatementEntriesRequest(parent=name)),
    ):
        assert (code, reason) == (failure.code, failure.reason)
        assert "4000000000000002" not in failure.text


def test_a_statement_lists_every_posting_once_newest_first(pipeline: Pipeline, stub: LedgerServiceStub) -> None:
    """Pages of four add up to all of one account's postings and to no other account's."""
    (name,) = {approve(pipeline, number=number) for number in range(1, 4)}
    approve(pipeline, card=GOLD_TWO)
    entries: list[StatementEntry] = []
    token = ""
    sizes: list[int] = []
    while not sizes or token:
        page = stub.ListStatementEntries(ListStatementEntriesRequest(parent=name, page_size=4, page_token=token))
        entries.extend(page.entries)
        sizes.append(len(page.entries))
        token = page.next_page_token
    assert [4, 2] == sizes
    with pipeline.database.service.connect() as connection:
        stored = connection.execute(
            text("SELECT encode(id, 'hex') FROM posting WHERE account = :account ORDER BY id DESC"),
            {"account": bytes.fromhex(name.removeprefix("accounts/"))},
        ).scalars()
        assert list(stored) == [entry.posting for entry in entries]
    assert 3 * 75 == sum(entry.amount for entry in entries)


def test_an_entry_says_what_the_posting_says(pipeline: Pipeline, stub: LedgerServiceStub) -> None:
    """Template, both sides, unit, rule, dates and purchase are those of the posting."""
    name = approve(pipeline)
    premium, base = stub.ListStatementEntries(ListStatementEntriesRequest(parent=name)).entries
    assert ("base", 50, "premium", 25) == (base.rule, base.amount, premium.rule, premium.amount)
    assert ("miles_promised", "programme/promised", "member/pending", "SKY") == (
        base.template,
        base.debit,
        base.credit,
        base.unit,
    )
    assert "2026-11-20" == base.business_date
    assert NOW == base.book_time.ToDatetime(tzinfo=UTC)
    assert base.posting.startswith(base.purchase)


def test_a_statement_that_grows_moves_no_page(pipeline: Pipeline, stub: LedgerServiceStub) -> None:
    """What is booked after the first page is newer than the second one, which stays what it was."""
    name = approve(pipeline, number=5)
    request = ListStatementEntriesRequest(parent=name, page_size=1)
    first = stub.ListStatementEntries(request)
    request.page_token = first.next_page_token
    before = stub.ListStatementEntries(request)
    for number in range(10, 20):
        message = iso87(
            "0110",
            response_code="00",
            trace_number=f"{number:06d}",
            retrieval_reference="",
            transmission_date_time="1121080000",
        )
        pipeline.send(message)
    assert before == stub.ListStatementEntries(request)
    assert "" == before.next_page_token


def test_a_token_of_another_account_is_refused(pipeline: Pipeline, stub: LedgerServiceStub) -> None:
    """A page token belongs to one account's statement."""
    one, other = approve(pipeline), approve(pipeline, card=GOLD_TWO)
    token = stub.ListStatementEntries(ListStatementEntriesRequest(parent=one, page_size=1)).next_page_token
    assert token
    failure = failure_of(stub.ListStatementEntries, ListStatementEntriesRequest(parent=other, page_token=token))
    assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN") == (failure.code, failure.reason)


def test_ledger_accounts_sum_to_zero_in_every_unit(pipeline: Pipeline, stub: LedgerServiceStub) -> None:
    """Final messages at two banks move miles and money; debits and credits of each unit are equal, sides summed."""
    approve(pipeline)
    approve(pipeline, card=GOLD_TWO)
    pipeline.send(iso87("0220", response_code="00", retrieval_reference="", **BETA))
    found = stub.ListLedgerAccounts(ListLedgerAccountsRequest(parent="programmes/skyways")).accounts
    sums = {(entry.account, entry.unit): (entry.debit, entry.credit) for entry in found}
    assert {
        ("member/available", "SKY"): (0, 67),
        ("member/pending", "SKY"): (0, 150),
        ("party/beta/miles", "SKY"): (45, 0),
        ("party/beta/settlement", "USD"): (40, 0),
        ("party/skyways/miles", "SKY"): (22, 0),
        ("party/skyways/settlement", "USD"): (0, 40),
        ("programme/promised", "SKY"): (150, 0),
    } == sums
    assert sorted(sums) == [(entry.account, entry.unit) for entry in found]


def test_a_programme_without_postings_has_no_ledger_accounts(stub: LedgerServiceStub) -> None:
    """A programme that was applied and moved nothing yet is no error."""
    assert [] == list(stub.ListLedgerAccounts(ListLedgerAccountsRequest(parent="programmes/skyways")).accounts)


def test_the_ledger_accounts_of_an_unknown_programme_are_not_found(stub: LedgerServiceStub) -> None:
    """A programme that was never applied is told apart from an empty one."""
    failure = failure_of(stub.ListLedgerAccounts, ListLedgerAccountsRequest(parent="programmes/nobody"))
    assert (grpc.StatusCode.NOT_FOUND, "PROGRAMME_NOT_FOUND") == (failure.code, failure.reason)
