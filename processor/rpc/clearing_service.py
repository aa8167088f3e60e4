"""The clearing desk's calls: hand in a file, list what was taken.

A file is spooled to a temporary place while it arrives, so that nothing of it counts before the whole is checked.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import IO, Any, BinaryIO, Final, cast

import grpc

from processor.flow.batch import BatchDecider
from processor.flow.clearing import TakenClearingFile, take_clearing_file
from processor.flow.intake import Intake
from processor.rpc.errors import CallError, ErrorReason, ErrorsAnswered
from processor.rpc.paging import cut, page_size_of, page_token, position_of
from processor.store.clearing import TAKEN, ClearingFileRow, list_files
from processor.v1 import clearing_pb2 as pb
from processor.v1 import clearing_pb2_grpc as pb_grpc

IN_MEMORY_BYTES: Final = 8 * 1024 * 1024
"""A file larger than this is spooled to disk."""
LARGEST_FILE_BYTES: Final = 4 * 1024 * 1024 * 1024


class ClearingService(pb_grpc.ClearingServiceServicer):
    """Takes files one at a time, behind the hosts' streams; several desks wait for each other."""

    def __init__(self, *, decider: BatchDecider, intake: Intake) -> None:
        self._decider = decider
        self._intake = intake
        self._one_at_a_time = asyncio.Lock()

    async def SubmitClearingFile(  # noqa: N802 - the contract's name.
        self,
        request_iterator: AsyncIterator[pb.SubmitClearingFileRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> pb.SubmitClearingFileResponse:
        """Spool the file, then take it."""
        async with ErrorsAnswered(context):
            with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as spool:
                header = await _spool(request_iterator, spool)
                async with self._one_at_a_time:
                    taken = await asyncio.to_thread(self._take, spool, header)
            return pb.SubmitClearingFileResponse(file=_to_proto(taken.row), duplicate=taken.duplicate)

    def _take(self, spool: IO[bytes], header: pb.ClearingFileHeader) -> TakenClearingFile:
        spool.seek(0)
        return take_clearing_file(
            cast("BinaryIO", spool),
            bank=header.bank,
            dialect_name=header.dialect,
            intake=self._intake,
            decider=self._decider,
        )

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
        return pb.ListClearingFilesResponse(files=[_to_proto(row) for row in page], next_page_token=token)


_AFTER_EVERY_FILE: Final = (datetime.max.replace(tzinfo=UTC), "")


async def _spool(pieces: AsyncIterator[pb.SubmitClearingFileRequest], spool: IO[bytes]) -> pb.ClearingFileHeader:
    """Write a file's pieces to its spool and return its header, which must come first and once."""
    header: pb.ClearingFileHeader | None = None
    size = 0
    async for piece in pieces:
        if (header is None) != (piece.WhichOneof("part") == "header"):
            raise CallError(ErrorReason.INVALID_FIELD, "send the header in the first message and nowhere else")
        if header is None:
            header = piece.header
            continue
        size += len(piece.content)
        if size > LARGEST_FILE_BYTES:
            raise CallError(ErrorReason.INVALID_FIELD, f"the file is larger than {LARGEST_FILE_BYTES} bytes; split it")
        spool.write(piece.content)
    if header is None:
        raise CallError(ErrorReason.INVALID_FIELD, "the stream is empty; send the header, then the file's bytes")
    return header


def _to_proto(row: ClearingFileRow) -> pb.ClearingFile:
    return pb.ClearingFile(
        file_id=row.file_id,
        bank=row.bank,
        sha256=row.sha256.hex(),
        records=row.records,
        outcomes=row.outcomes,
        complete=row.state == TAKEN,
    )
