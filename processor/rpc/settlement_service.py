"""Closing business dates and handing out settlement files.

The work is ``settlement``'s; here requests are read, refusals become errors, and files are sent in pieces.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import grpc
from sqlalchemy import Engine

from processor.core.business_calendar import business_date, is_business_day, next_business_day
from processor.core.programme import Programme
from processor.rpc.errors import CallError, ErrorReason, ErrorsAnswered
from processor.rpc.paging import cut, page_size_of, page_token, position_of
from processor.rpc.resource_names import parts_of
from processor.store.settlement import CycleKey, CycleRow, FileRow, list_cycles, load_files
from processor.v1 import settlement_pb2 as pb
from processor.v1 import settlement_pb2_grpc as pb_grpc
from settlement.cycle import Cycle, Refusal, Refused, load_cycle
from settlement.files import cycle_folder
from settlement.netting import net_positions
from settlement.publication import digest_of
from settlement.settle import Settled, parties_of, settle

PIECE_BYTES: Final = 1024 * 1024
BANK: Final = "programmes/{programme}/banks/{bank}"
CYCLE: Final = f"{BANK}/cycles/{{date}}"
FILE: Final = f"{CYCLE}/files/{{party}}"
ANY: Final = "-"

_REASONS: Final = {
    Refusal.NOT_YET: ErrorReason.BUSINESS_DATE_AHEAD,
    Refusal.LATER_DATE_CLOSED: ErrorReason.LATER_DATE_CLOSED,
}


class SettlementService(pb_grpc.SettlementServiceServicer):
    """Serves settlement from one database and one output folder.

    ``programme_of`` returns a programme's latest revision by its id and raises ``LookupError`` where there is none.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        clock: Callable[[], datetime],
        output_folder: Path,
        programme_of: Callable[[str], Programme],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._output_folder = output_folder
        self._programme_of = programme_of

    async def CloseBusinessDate(  # noqa: N802 - the contract's name.
        self, request: pb.CloseBusinessDateRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.CloseBusinessDateResponse:
        """Close a date and make its files, or make them again."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._close, request)

    def _close(self, request: pb.CloseBusinessDateRequest) -> pb.CloseBusinessDateResponse:
        key = CycleKey(
            bank=request.bank, programme=request.programme, business_date=_date(request.business_date, "business_date")
        )
        programme = self._programme(request.programme)
        if key.bank not in programme.calendars:
            known = ", ".join(sorted(programme.calendars))
            raise CallError(ErrorReason.BANK_NOT_FOUND, f"the programme has no such bank; its banks are {known}")
        calendar = programme.calendars[key.bank]
        if not is_business_day(calendar, key.business_date):
            following = next_business_day(calendar, key.business_date)
            problem = f"{key.business_date} is no business day of {key.bank}; its postings are dated {following}"
            raise CallError(ErrorReason.NO_BUSINESS_DAY, problem)
        now = self._clock().astimezone(UTC)
        settled = settle(
            self._engine,
            key,
            parties=parties_of(programme, key.bank),
            current=business_date(calendar, now),
            now=now,
            root=self._output_folder,
        )
        if isinstance(settled, Refused):
            raise CallError(_REASONS[settled.refusal], settled.explanation)
        return _settled_to_proto(settled)

    def _programme(self, name: str) -> Programme:
        try:
            return self._programme_of(name)
        except LookupError:
            problem = "no programme of this name is applied; see cobrand programme list"
            raise CallError(ErrorReason.PROGRAMME_NOT_FOUND, problem) from None

    async def GetCycle(  # noqa: N802 - the contract's name.
        self, request: pb.GetCycleRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.Cycle:
        """Return a closed cycle."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._get, request.name)

    def _get(self, name: str) -> pb.Cycle:
        with self._engine.connect() as connection:
            found = load_cycle(connection, _cycle_key(name))
        if found is None:
            raise CallError(ErrorReason.CYCLE_NOT_FOUND, _NOT_CLOSED)
        return _cycle_to_proto(found)

    async def ListCycles(  # noqa: N802 - the contract's name.
        self, request: pb.ListCyclesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListCyclesResponse:
        """List a page of cycles, newest business date first."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._list, request)

    def _list(self, request: pb.ListCyclesRequest) -> pb.ListCyclesResponse:
        size = page_size_of(request.page_size)
        programme, bank = parts_of(request.parent, BANK)
        scope = f"cycles/{request.parent}"
        position = position_of(request.page_token, scope, (date.fromisoformat, str, str))
        after = CycleKey(business_date=position[0], programme=position[1], bank=position[2]) if position else None
        with self._engine.connect() as connection:
            found = list_cycles(
                connection,
                bank=None if bank == ANY else bank,
                programme=None if programme == ANY else programme,
                after=after,
                limit=size + 1,
            )
        page, more = cut(found, size)
        last = page[-1].key if more else None
        token = page_token(scope, last.business_date.isoformat(), last.programme, last.bank) if last else ""
        return pb.ListCyclesResponse(cycles=[_cycle_row_to_proto(row) for row in page], next_page_token=token)

    async def ListSettlementFiles(  # noqa: N802 - the contract's name.
        self, request: pb.ListSettlementFilesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListSettlementFilesResponse:
        """List a cycle's files, by party."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._list_files, request.parent)

    def _list_files(self, parent: str) -> pb.ListSettlementFilesResponse:
        key = _cycle_key(parent)
        with self._engine.connect() as connection:
            if load_cycle(connection, key) is None:
                raise CallError(ErrorReason.CYCLE_NOT_FOUND, _NOT_CLOSED)
            files = load_files(connection, key)
        return pb.ListSettlementFilesResponse(files=[_file_to_proto(key, file) for file in files])

    async def DownloadSettlementFile(  # noqa: N802 - the contract's name.
        self, request: pb.DownloadSettlementFileRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.DownloadSettlementFileResponse]:
        """Send a file whose bytes are those that were made, in pieces."""
        async with ErrorsAnswered(context):
            path = await asyncio.to_thread(self._checked_path, request.name)
            with await asyncio.to_thread(path.open, "rb") as file:
                while content := await asyncio.to_thread(file.read, PIECE_BYTES):
                    yield pb.DownloadSettlementFileResponse(content=content)

    def _checked_path(self, name: str) -> Path:
        """Return where a file lies; raises :class:`CallError` unless it is there and whole."""
        programme, bank, day, party = parts_of(name, FILE)
        key = CycleKey(bank=bank, programme=programme, business_date=_date(day, "the date in name"))
        with self._engine.connect() as connection:
            files = [file for file in load_files(connection, key) if file.party == party]
        if not files:
            problem = "this cycle has no file for this party; see cobrand files list"
            raise CallError(ErrorReason.SETTLEMENT_FILE_NOT_FOUND, problem)
        path = cycle_folder(self._output_folder, key) / files[0].name
        if not path.is_file():
            problem = f"{files[0].name} is not in the output folder; close the business date again to make it again"
            raise CallError(ErrorReason.SETTLEMENT_FILE_NOT_FOUND, problem)
        if digest_of(path) != files[0].sha256:
            problem = f"{files[0].name} was changed on disk; move it away and close the business date again"
            raise CallError(ErrorReason.SETTLEMENT_FILE_DIFFERS, problem)
        return path


_NOT_CLOSED: Final = "this business date is not closed; see cobrand cycles list, or close it with cobrand settle"


def _date(text: str, field: str) -> date:
    """Return a date written YYYY-MM-DD and in no other way."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise CallError(ErrorReason.INVALID_FIELD, f"{field} is no date; write one such as 2026-11-20")
    return day


def _cycle_key(name: str) -> CycleKey:
    programme, bank, day = parts_of(name, CYCLE)
    return CycleKey(bank=bank, programme=programme, business_date=_date(day, "the date in name"))


def _cycle_name(key: CycleKey) -> str:
    return f"programmes/{key.programme}/banks/{key.bank}/cycles/{key.business_date.isoformat()}"


def _cycle_row_to_proto(row: CycleRow) -> pb.Cycle:
    cycle = pb.Cycle(name=_cycle_name(row.key), state=row.state, postings=row.postings)
    if row.closed_at is not None:
        cycle.close_time.FromDatetime(row.closed_at)
    return cycle


def _cycle_to_proto(cycle: Cycle) -> pb.Cycle:
    made = pb.Cycle(
        name=_cycle_name(cycle.key),
        state="closed",
        postings=cycle.postings,
        obligations=[
            pb.Obligation(
                debtor=obligation.debtor,
                creditor=obligation.creditor,
                currency=obligation.currency,
                amount_minor=obligation.amount_minor,
                postings=obligation.postings,
            )
            for obligation in cycle.obligations
        ],
        positions=[
            pb.NetPosition(party=position.party, currency=position.currency, net_minor=position.net_minor)
            for position in net_positions(cycle.obligations)
        ],
    )
    made.close_time.FromDatetime(cycle.closed_at)
    return made


def _file_to_proto(key: CycleKey, file: FileRow) -> pb.SettlementFile:
    return pb.SettlementFile(
        name=f"{_cycle_name(key)}/files/{file.party}",
        party=file.party,
        file_name=file.name,
        sequence=file.sequence,
        sha256=file.sha256.hex(),
        size_bytes=file.size_bytes,
        record_count=file.record_count,
        hash_total=file.hash_total,
        totals=[
            pb.FileTotal(currency=currency, debit_minor=debit, credit_minor=credit, net_minor=credit - debit)
            for currency, debit, credit in file.totals
        ],
    )


def _settled_to_proto(settled: Settled) -> pb.CloseBusinessDateResponse:
    return pb.CloseBusinessDateResponse(
        cycle=_cycle_to_proto(settled.cycle),
        files=[_file_to_proto(settled.cycle.key, file) for file in settled.files],
        already_closed=settled.already_closed,
        folder=str(settled.folder),
    )
