# ruff: noqa: N802 - the contract names the methods.
"""ProgrammeService: puts programmes into force and shows what is in force.

It translates between the contract and ``flow/programmes``; it decides nothing itself.
"""

import asyncio
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import grpc
from sqlalchemy import Engine

from processor.core.located_document import DocumentError
from processor.flow.programmes import Applied, apply_programme
from processor.flow.snapshot import Snapshot, Snapshots
from processor.rpc.errors import CallError, ErrorReason, ErrorsAnswered
from processor.rpc.paging import cut, page_size_of, page_token, position_of
from processor.rpc.resource_names import parts_of
from processor.rpc.timestamps import timestamp
from processor.store.reference import StoredRevision, load_revisions
from processor.v1 import programme_pb2
from processor.v1.programme_pb2_grpc import ProgrammeServiceServicer

_LATEST: Final = "programmes/{programme}"
_REVISION: Final = "programmes/{programme}/revisions/{revision}"
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,8}")
_LIST: Final = "programmes"
_SOURCE: Final = "programme.yaml"
"""What errors call a document whose caller did not name it."""


class ProgrammeService(ProgrammeServiceServicer):
    """Answers the contract's ProgrammeService."""

    def __init__(self, *, engine: Engine, clock: Callable[[], datetime], snapshots: Snapshots) -> None:
        self._engine = engine
        self._clock = clock
        self._snapshots = snapshots

    async def ApplyProgramme(
        self, request: programme_pb2.ApplyProgrammeRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> programme_pb2.ApplyProgrammeResponse:
        """Make a document the next revision; its errors are values in the response."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._apply, request, _caller(context))

    async def GetProgramme(
        self, request: programme_pb2.GetProgrammeRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> programme_pb2.Programme:
        """Return one revision with its document."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._get, request.name)

    async def ListProgrammes(
        self, request: programme_pb2.ListProgrammesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> programme_pb2.ListProgrammesResponse:
        """List the latest revision of each programme, by name."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._list, request)

    def _apply(self, request: programme_pb2.ApplyProgrammeRequest, actor: str) -> programme_pb2.ApplyProgrammeResponse:
        applied = apply_programme(
            self._engine,
            document=request.document,
            files=dict(request.files),
            source=request.source or _SOURCE,
            actor=actor,
            now=self._clock(),
        )
        if not isinstance(applied, Applied):
            return programme_pb2.ApplyProgrammeResponse(errors=map(_error, applied))
        with self._engine.connect() as connection:
            snapshot = self._snapshots.refresh(connection)
        shown = _programme(applied.revision, snapshot, whole=True)
        return programme_pb2.ApplyProgrammeResponse(programme=shown, unchanged=applied.unchanged)

    def _get(self, name: str) -> programme_pb2.Programme:
        programme, number = _programme_and_revision(name)
        revisions, snapshot = self._load()
        found = [entry for entry in revisions if entry.programme == programme and number in {None, entry.revision}]
        if not found:
            raise CallError(ErrorReason.PROGRAMME_NOT_FOUND, "no such programme or revision was applied; list them")
        return _programme(found[-1], snapshot, whole=True)

    def _list(self, request: programme_pb2.ListProgrammesRequest) -> programme_pb2.ListProgrammesResponse:
        size = page_size_of(request.page_size)
        position = position_of(request.page_token, _LIST, [str])
        revisions, snapshot = self._load()
        latest = {entry.programme: entry for entry in revisions}
        names = sorted(name for name in latest if position is None or name > position[0])
        page, more = cut(names, size)
        return programme_pb2.ListProgrammesResponse(
            programmes=[_programme(latest[name], snapshot, whole=False) for name in page],
            next_page_token=page_token(_LIST, page[-1]) if more else "",
        )

    def _load(self) -> tuple[list[StoredRevision], Snapshot]:
        with self._engine.connect() as connection:
            revisions = load_revisions(connection)
            return revisions, self._snapshots.refresh(connection)


def _programme_and_revision(name: str) -> tuple[str, int | None]:
    """Return the programme a name means, and its revision where the name states one."""
    if "/revisions/" not in name:
        return parts_of(name, _LATEST)[0], None
    programme, revision = parts_of(name, _REVISION)
    if not _NUMBER.fullmatch(revision):
        raise CallError(ErrorReason.INVALID_NAME, "the name's revision is no number; write 1 for the first one")
    return programme, int(revision)


def _programme(revision: StoredRevision, snapshot: Snapshot, *, whole: bool) -> programme_pb2.Programme:
    """Return a revision; ``whole`` with its document and files."""
    shown = programme_pb2.Programme(
        name=f"programmes/{revision.programme}/revisions/{revision.revision}",
        title=snapshot.revision(revision.programme, revision.revision).name,
        effective_time=timestamp(revision.effective_from),
        create_time=timestamp(revision.applied_at),
        digest=revision.digest.hex(),
    )
    if whole:
        shown.document = revision.document
        shown.files.update(revision.files)
    return shown


def _error(error: DocumentError) -> programme_pb2.DocumentError:
    return programme_pb2.DocumentError(
        source=error.source,
        line=error.line,
        column=error.column,
        path=error.path,
        problem=f"{error.problem}; {error.expected}",
    )


def _caller(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """Return who calls: the name on the certificate, or the peer's address where the link has none."""
    names = [name.decode() for name in context.auth_context().get("x509_common_name", ())]
    return names[0] if names else context.peer()
