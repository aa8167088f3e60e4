"""The clearing desk's calls: hand in a file, ask how far it is, list what was accepted and what went wrong.

A file is read while it arrives and never written down: what is kept of it holds tokens alone.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final

import grpc

from processor.core.outcome import Outcome, Reason
from processor.flow.batch import BatchDecider
from processor.flow.clearing import AcceptedClearingFile, accept_clearing_file
from processor.flow.clearing_run import ClearingDesk
from processor.flow.intake import Intake
from processor.flow.pace import Pace
from processor.rpc.errors import CallError, ErrorReason, ErrorsAnswered
from processor.rpc.paging import cut, page_size_of, page_token, position_of
from processor.rpc.timestamps import timestamp
from processor.store.clearing import TAKEN, ClearingFileRow, ExceptionRow, find_file, list_exceptions, list_files
from processor.v1 import clearing_pb2 as pb
from processor.v1 import clearing_pb2_grpc as pb_grpc

LARGEST_FILE_BYTES: Final = 4 * 1024 * 1024 * 1024
FILES_AT_ONCE: Final = 2
"""Files that one worker reads at once; further desks wait."""
LONGEST_PAUSE_S: Final = 20.0
"""How long the next piece of a file may take; a desk that stalls must not hold a transaction open."""


class ClearingService(pb_grpc.ClearingServiceServicer):
    """Accepts files, and tells what became of them; ``desk`` decides them behind the hosts' streams."""

    def __init__(self, *, decider: BatchDecider, intake: Intake, desk: ClearingDesk, pace: Pace) -> None:
        self._decider = decider
        self._intake = intake
        self._desk = desk
        self._pace = pace
        self._few_at_a_time = asyncio.Semaphore(FILES_AT_ONCE)

    async def SubmitClearingFile(  # noqa: N802 - the contract's name.
        self,
        request_iterator: AsyncIterator[pb.SubmitClearingFileRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> pb.SubmitClearingFileResponse:
        """Accept a file while it arrives."""
        async with ErrorsAnswered(context):
            header = await _header(request_iterator)
            async with self._few_at_a_time:
                source = _Pieces(request_iterator, asyncio.get_running_loop())
                accepted = await asyncio.to_thread(self._accept, source, header)
            self._desk.look()
            return pb.SubmitClearingFileResponse(file=_file_to_proto(accepted.row), duplicate=accepted.duplicate)

    def _accept(self, source: "_Pieces", header: pb.ClearingFileHeader) -> AcceptedClearingFile:
        return accept_clearing_file(
            source,
            bank=header.bank,
            format_name=header.dialect,
            intake=self._intake,
            decider=self._decider,
            pace=self._pace.of_its_own(),
        )

    async def GetClearingFile(  # noqa: N802 - the contract's name.
        self, request: pb.GetClearingFileRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.GetClearingFileResponse:
        """Return one file."""
        async with ErrorsAnswered(context):
            row = await asyncio.to_thread(self._find, request.bank, request.file_id)
            return pb.GetClearingFileResponse(file=_file_to_proto(row))

    def _find(self, bank: str, file_id: str) -> ClearingFileRow:
        with self._decider.engine.connect() as connection:
            row = find_file(connection, bank, file_id)
        if row is None:
            problem = "no file of this id was accepted from this bank; list the bank's clearing files"
            raise CallError(ErrorReason.CLEARING_FILE_NOT_FOUND, problem)
        return row

    async def ListClearingFiles(  # noqa: N802 - the contract's name.
        self, request: pb.ListClearingFilesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListClearingFilesResponse:
        """List a page of a bank's files, newest first."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._list, request)

    def _list(self, request: pb.ListClearingFilesRequest) -> pb.ListClearingFilesResponse:
        size = page_size_of(request.page_size)
        scope = f"clearing-files/{request.bank}"
        before = position_of(request.page_token, scope, (datetime.fromisoformat, str))
        with self._decider.engine.connect() as connection:
            found = list_files(connection, request.bank, before or _AFTER_EVERY_FILE, size + 1)
        page, more = cut(found, size)
        token = page_token(scope, page[-1].received_at.isoformat(), page[-1].file_id) if more else ""
        return pb.ListClearingFilesResponse(files=[_file_to_proto(row) for row in page], next_page_token=token)

    async def ListClearingExceptions(  # noqa: N802 - the contract's name.
        self, request: pb.ListClearingExceptionsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListClearingExceptionsResponse:
        """List a page of a file's records that were parked or refused."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._list_exceptions, request)

    def _list_exceptions(self, request: pb.ListClearingExceptionsRequest) -> pb.ListClearingExceptionsResponse:
        size = page_size_of(request.page_size)
        scope = f"clearing-exceptions/{request.bank}/{request.file_id}"
        position = position_of(request.page_token, scope, (int,))
        after = position[0] if position else 0
        row = self._find(request.bank, request.file_id)
        with self._decider.engine.connect() as connection:
            found = list_exceptions(connection, row.bank, row.file_id, after, size + 1)
        page, more = cut(found, size)
        token = page_token(scope, str(page[-1].number)) if more else ""
        exceptions = [_exception_to_proto(entry) for entry in page]
        return pb.ListClearingExceptionsResponse(exceptions=exceptions, next_page_token=token)


_AFTER_EVERY_FILE: Final = (datetime.max.replace(tzinfo=UTC), "")


class _Pieces:
    """A file's bytes for a reader on another thread, fetched from the stream as they are needed."""

    def __init__(self, pieces: AsyncIterator[pb.SubmitClearingFileRequest], loop: asyncio.AbstractEventLoop) -> None:
        self._pieces = pieces
        self._loop = loop
        self._rest = memoryview(b"")
        self._size = 0

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, none at the end."""
        while not self._rest:
            content = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
            if content is None:
                return b""
            self._rest = memoryview(content)
        piece, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return piece

    async def _next(self) -> bytes | None:
        try:
            piece = await asyncio.wait_for(anext(self._pieces), LONGEST_PAUSE_S)
        except StopAsyncIteration:
            return None
        except TimeoutError:
            problem = f"no piece of the file came for {LONGEST_PAUSE_S:.0f} seconds; hand it in again"
            raise CallError(ErrorReason.INVALID_FIELD, problem) from None
        if piece.WhichOneof("part") != "content":
            raise CallError(ErrorReason.INVALID_FIELD, "send the header in the first message and nowhere else")
        self._size += len(piece.content)
        if self._size > LARGEST_FILE_BYTES:
            raise CallError(ErrorReason.INVALID_FIELD, f"the file is larger than {LARGEST_FILE_BYTES} bytes; split it")
        return piece.content


async def _header(pieces: AsyncIterator[pb.SubmitClearingFileRequest]) -> pb.ClearingFileHeader:
    first = await anext(pieces, None)
    if first is None:
        raise CallError(ErrorReason.INVALID_FIELD, "the stream is empty; send the header, then the file's bytes")
    if first.WhichOneof("part") != "header":
        raise CallError(ErrorReason.INVALID_FIELD, "send the header in the first message and nowhere else")
    return first.header


def _file_to_proto(row: ClearingFileRow) -> pb.ClearingFile:
    return pb.ClearingFile(
        file_id=row.file_id,
        bank=row.bank,
        sha256=row.sha256.hex(),
        records=row.records,
        outcomes=row.outcomes,
        complete=row.state == TAKEN,
        decided=row.decided,
        dialect=row.dialect,
        totals=row.totals,
        received_at=timestamp(row.received_at),
        completed_at=None if row.completed_at is None else timestamp(row.completed_at),
    )


def _exception_to_proto(row: ExceptionRow) -> pb.ClearingException:
    return pb.ClearingException(
        number=row.number,
        place=row.place,
        outcome=Outcome(row.outcome).name,
        reason=Reason(row.reason).name,
        problem=row.problem,
    )
