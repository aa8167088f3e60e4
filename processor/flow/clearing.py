"""Accepting a clearing file: read whole, checked, its records made ready, and accepted by one commit.

A file with wrong framing or control totals is refused before anything of it counts: what was staged is rolled back.
What is staged holds tokens, never a card number, so that the bytes of the file need not be kept.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Final

from sqlalchemy import Connection

from processor.flow.batch import BatchDecider
from processor.flow.clearing_stage import RECORDS_IN_A_CHUNK, StagedRecord, pack_chunk
from processor.flow.intake import Intake
from processor.flow.pace import Pace
from processor.flow.snapshot import Snapshot
from processor.flow.submission import Undecodable
from processor.store.clearing import TAKING, ClearingFileRow, accept, find_file, stage_chunk
from processor.store.failure import is_retryable
from processor.wire.clearing_file import ClearingReading, ClearingRecord, ClearingSource
from processor.wire.clearing_format import UnknownFormatError, open_reading
from processor.wire.stored import message_to_json

_STAGING_BYTES: Final = 16


class UnknownClearingLinkError(ValueError):
    """The bank or the format of a clearing file is not known; the text says which are."""


class ChangedClearingFileError(ValueError):
    """A file with this id and other content was accepted before."""


class ClearingInterruptedError(RuntimeError):
    """The database did not answer, or the file stopped coming; nothing of it counts, hand it in again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedClearingFile:
    """A clearing file that is accepted, now or before; ``duplicate`` is true for one accepted before."""

    row: ClearingFileRow
    duplicate: bool


def accept_clearing_file(
    source: ClearingSource,
    *,
    bank: str,
    format_name: str,
    intake: Intake,
    decider: BatchDecider,
    pace: Pace | None = None,
) -> AcceptedClearingFile:
    """Read a file to its end and accept it; ``format_name`` is its dialect or layout, "" where it is to be recognised.

    Raises :class:`~processor.wire.clearing_file.ClearingFileError` where the file is not sound, and this module's
    errors.
    """
    try:
        with decider.engine.begin() as connection:
            snapshot = decider.snapshots.refresh(connection)
        _require_bank(bank, snapshot)
        hashed = HashedSource(source)
        reading = _open(hashed, format_name, intake)
        with decider.engine.connect() as connection:
            staged = _Staging(connection=connection, bank=bank, intake=intake, snapshot=snapshot, decider=decider)
            return staged.accept(reading, hashed, pace or Pace())
    except Exception as error:
        if is_retryable(error):
            problem = (
                "the database stopped answering, or the file arrived too slowly; nothing of it counts: hand it in again"
            )
            raise ClearingInterruptedError(problem) from error
        raise


class HashedSource:
    """A source whose bytes are hashed as they are read."""

    def __init__(self, source: ClearingSource) -> None:
        self._source = source
        self._digest = sha256()

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, none at the end."""
        piece = self._source.read(size)
        self._digest.update(piece)
        return piece

    def digest(self) -> bytes:
        """Return the SHA-256 of what was read."""
        return self._digest.digest()


@dataclass(slots=True, kw_only=True)
class _Staging:
    """One file on its way into the database, in one transaction that its acceptance commits."""

    connection: Connection
    bank: str
    intake: Intake
    snapshot: Snapshot
    decider: BatchDecider

    def accept(self, reading: ClearingReading, source: HashedSource, pace: Pace) -> AcceptedClearingFile:
        """Stage every record, and accept the file; what is known under its id already wins, and nothing is kept."""
        staging = secrets.token_bytes(_STAGING_BYTES)
        records = reading.records()
        chunks = 0
        stages: bool | None = None
        pace.begin()
        while chunk := list(islice(records, RECORDS_IN_A_CHUNK)):
            if stages is None:
                stages = self._is_new(reading.file_id)
            if stages:
                stage_chunk(self.connection, staging, chunks, pack_chunk(list(self._read(chunk, reading))))
            chunks += 1
            pace.rest()
        summary = reading.summary()
        row = ClearingFileRow(
            bank=self.bank,
            file_id=summary.file_id,
            sha256=source.digest(),
            dialect=reading.dialect.name,
            state=TAKING,
            records=summary.records,
            decided=0,
            outcomes={},
            totals=summary.totals,
            staging=staging,
            chunks=chunks,
            decided_chunks=0,
            received_at=self.decider.clock(),
        )
        return self._commit(row)

    def _is_new(self, file_id: str) -> bool:
        """Tell whether a file must be staged; one that need not leaves no transaction idle, which the server ends."""
        new = find_file(self.connection, self.bank, file_id) is None
        if not new:
            self.connection.rollback()
        return new

    def _read(self, chunk: list[ClearingRecord], reading: ClearingReading) -> Iterator[StagedRecord]:
        now = self.decider.clock()
        for record in chunk:
            read = self.intake.read_record(
                record, self.snapshot, now, bank=self.bank, dialect=reading.dialect, file_id=reading.file_id
            )
            if read is None or isinstance(read, Undecodable):
                yield StagedRecord(number=record.number, place=record.place, refused=read)
            else:
                yield StagedRecord(number=record.number, place=record.place, fields=message_to_json(read))

    def _commit(self, row: ClearingFileRow) -> AcceptedClearingFile:
        known = accept(self.connection, row)
        if known.staging == row.staging:
            self.connection.commit()
            return AcceptedClearingFile(row=known, duplicate=False)
        self.connection.rollback()
        if known.sha256 != row.sha256:
            raise ChangedClearingFileError(
                f"file {row.file_id} of {row.bank} was taken before with other content (SHA-256 {known.sha256.hex()}); "
                "give a corrected file an id of its own"
            )
        return AcceptedClearingFile(row=known, duplicate=True)


def _require_bank(bank: str, snapshot: Snapshot) -> None:
    if bank not in snapshot.calendars:
        known = ", ".join(sorted(snapshot.calendars)) or "none; apply a programme first"
        raise UnknownClearingLinkError(f"no programme names this bank; known banks: {known}")


def _open(source: ClearingSource, format_name: str, intake: Intake) -> ClearingReading:
    try:
        return open_reading(source, format_name, intake.dialects, intake.layouts)
    except UnknownFormatError as error:
        raise UnknownClearingLinkError(str(error)) from None
