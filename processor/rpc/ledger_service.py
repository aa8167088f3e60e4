# ruff: noqa: N802 - the contract names the methods.
"""LedgerService: reads the books.

Every answer comes from committed rows; nothing here writes.
"""

import asyncio
from typing import Any, Final

import grpc
from sqlalchemy import Connection, Engine

from processor.core.posting import Template
from processor.flow.snapshot import Snapshots
from processor.rpc.errors import CallError, ErrorReason, ErrorsAnswered
from processor.rpc.paging import cut, page_size_of, page_token, position_of
from processor.rpc.resource_names import account_key_of, parts_of
from processor.rpc.timestamps import timestamp
from processor.store.card_side import Key
from processor.store.ledger import (
    AFTER_EVERY_ID,
    BalanceRow,
    PostingRow,
    list_postings,
    load_balance,
    sum_ledger_accounts,
)
from processor.v1 import ledger_pb2
from processor.v1.ledger_pb2_grpc import LedgerServiceServicer

_PROGRAMME: Final = "programmes/{programme}"


class LedgerService(LedgerServiceServicer):
    """Answers the contract's LedgerService."""

    def __init__(self, *, engine: Engine, bucket_count: int, snapshots: Snapshots) -> None:
        self._engine = engine
        self._bucket_count = bucket_count
        self._snapshots = snapshots

    async def GetBalance(
        self, request: ledger_pb2.GetBalanceRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ledger_pb2.Balance:
        """Return an account's balance."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._balance, request.name)

    async def ListStatementEntries(
        self, request: ledger_pb2.ListStatementEntriesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ledger_pb2.ListStatementEntriesResponse:
        """List an account's postings, newest first."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._statement, request)

    async def ListLedgerAccounts(
        self, request: ledger_pb2.ListLedgerAccountsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ledger_pb2.ListLedgerAccountsResponse:
        """Sum every ledger account of a programme."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._ledger_accounts, request.parent)

    def _balance(self, name: str) -> ledger_pb2.Balance:
        with self._engine.connect() as connection:
            (_, account), balance = self._account(connection, name)
            snapshot = self._snapshots.refresh(connection)
        revisions = snapshot.programmes.get(balance.programme or "")
        return ledger_pb2.Balance(
            name=f"accounts/{account.hex()}",
            unit=revisions[-1].unit if revisions else "",
            pending=balance.pending,
            available=balance.available,
            product=balance.product or "",
            status=balance.status,
        )

    def _statement(self, request: ledger_pb2.ListStatementEntriesRequest) -> ledger_pb2.ListStatementEntriesResponse:
        size = page_size_of(request.page_size)
        with self._engine.connect() as connection:
            key, _ = self._account(connection, request.parent)
            scope = f"statement/{key[1].hex()}"
            (before,) = position_of(request.page_token, scope, [bytes.fromhex]) or (AFTER_EVERY_ID,)
            page, more = cut(list_postings(connection, key, before=before, limit=size + 1), size)
        return ledger_pb2.ListStatementEntriesResponse(
            entries=map(_entry, page), next_page_token=page_token(scope, page[-1].id.hex()) if more else ""
        )

    def _ledger_accounts(self, parent: str) -> ledger_pb2.ListLedgerAccountsResponse:
        (programme,) = parts_of(parent, _PROGRAMME)
        with self._engine.connect() as connection:
            if programme not in self._snapshots.refresh(connection).programmes:
                raise CallError(ErrorReason.PROGRAMME_NOT_FOUND, "no such programme was applied; list the programmes")
            rows = sum_ledger_accounts(connection, programme)
        return ledger_pb2.ListLedgerAccountsResponse(
            accounts=[
                ledger_pb2.LedgerAccount(account=row.account, unit=row.unit, debit=row.debit, credit=row.credit)
                for row in rows
            ]
        )

    def _account(self, connection: Connection, name: str) -> tuple[Key, BalanceRow]:
        """Return the account a name leads to; raises :class:`CallError` where it leads to none."""
        key = account_key_of(connection, name, self._bucket_count)
        balance = load_balance(connection, key)
        if balance is None:
            raise CallError(ErrorReason.ACCOUNT_NOT_FOUND, "there is no such account; check its name")
        return key, balance


def _entry(posting: PostingRow) -> ledger_pb2.StatementEntry:
    return ledger_pb2.StatementEntry(
        posting=posting.id.hex(),
        template=Template(posting.template).name.lower(),
        debit=posting.debit,
        credit=posting.credit,
        unit=posting.unit,
        amount=posting.amount,
        rule=posting.rule,
        book_time=timestamp(posting.booked_at),
        business_date=posting.business_date.isoformat(),
        purchase=posting.purchase_id.hex(),
    )
