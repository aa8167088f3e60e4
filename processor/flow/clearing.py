"""Taking a clearing file: check it whole, take it once, run its records through ordinary batches.

A file with wrong framing or control totals is refused before any record counts.
A file whose taking was interrupted is handed in again and goes through from its beginning: what was decided is found
decided.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice
from typing import BinaryIO, Final

from processor.core.outcome import Outcome, Reason
from processor.flow.batch import BatchDecider
from processor.flow.intake import Intake
from processor.flow.submission import Refusal, Submission
from processor.store.clearing import TAKEN, TAKING, ClearingFileRow, announce, complete
from processor.wire.dialect import Dialect
from processor.wire.ipm import PROBE_BYTES, check_clearing_file, looks_blocked, read_records

RECORDS_IN_A_BATCH: Final = 256


class UnknownClearingLinkError(ValueError):
    """The bank or the dialect of a clearing file is not known; the text says which are."""


class ChangedClearingFileError(ValueError):
    """A file with this id and other content was taken before."""


class ClearingInterruptedError(RuntimeError):
    """The database did not answer; hand the file in again, what was decided stays decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenClearingFile:
    """A clearing file that is taken, now or before."""

    row: ClearingFileRow
    duplicate: bool


def take_clearing_file(
    source: BinaryIO, *, bank: str, dialect_name: str, intake: Intake, decider: BatchDecider
) -> TakenClearingFile:
    """Take a whole clearing file from a seekable source.

    Raises :class:`~processor.wire.ipm.ClearingFileError` where the file is not sound, and this module's errors.
    """
    with decider.engine.begin() as connection:
        snapshot = decider.snapshots.refresh(connection)
    dialect = _dialect(intake, dialect_name)
    if bank not in snapshot.calendars:
        known = ", ".join(sorted(snapshot.calendars)) or "none; apply a programme first"
        raise UnknownClearingLinkError(f"no programme names a bank {bank!r}; known banks: {known}")
    digest = _digest(source)
    blocked = looks_blocked(source.read(PROBE_BYTES))
    source.seek(0)
    summary = check_clearing_file(source, dialect, blocked=blocked)
    row = ClearingFileRow(
        bank=bank,
        file_id=summary.file_id,
        sha256=digest,
        dialect=dialect_name,
        state=TAKING,
        records=summary.records - 2,
        outcomes={},
        received_at=decider.clock(),
    )
    with decider.engine.begin() as connection:
        known_row = announce(connection, row)
    if known_row.sha256 != digest:
        raise ChangedClearingFileError(
            f"file {summary.file_id} of {bank} was taken before with other content (SHA-256 "
            f"{known_row.sha256.hex()}); give a corrected file an id of its own"
        )
    if known_row.state == TAKEN:
        return TakenClearingFile(row=known_row, duplicate=True)
    source.seek(0)
    outcomes = _take_records(source, known_row, dialect, blocked=blocked, intake=intake, decider=decider)
    with decider.engine.begin() as connection:
        complete(connection, bank, summary.file_id, outcomes, decider.clock())
    return TakenClearingFile(row=replace(known_row, state=TAKEN, outcomes=outcomes), duplicate=False)


def _dialect(intake: Intake, name: str) -> Dialect:
    dialect = intake.dialects.get(name)
    clearing = sorted(known.name for known in intake.dialects.values() if "1240" in known.message_types.values())
    if dialect is None or name not in clearing:
        raise UnknownClearingLinkError(f"{name!r} is no dialect of clearing files; use one of {', '.join(clearing)}")
    return dialect


def _digest(source: BinaryIO) -> bytes:
    digest = sha256()
    while piece := source.read(1 << 20):
        digest.update(piece)
    source.seek(0)
    return digest.digest()


def _take_records(
    source: BinaryIO,
    row: ClearingFileRow,
    dialect: Dialect,
    *,
    blocked: bool,
    intake: Intake,
    decider: BatchDecider,
) -> dict[str, int]:
    """Decide the records between header and trailer, batch by batch; return how many ended how."""
    outcomes: Counter[str] = Counter()
    records = _between_header_and_trailer(read_records(source, blocked=blocked), row.records)
    while batch := list(islice(records, RECORDS_IN_A_BATCH)):
        now = decider.clock()
        snapshot = decider.snapshots.current
        read = [
            intake.read_record(raw, snapshot, now, bank=row.bank, dialect=dialect, file_id=row.file_id, number=number)
            for number, raw in batch
        ]
        submissions = [entry for entry in read if isinstance(entry, Submission)]
        refusals = [entry for entry in read if isinstance(entry, Refusal)]
        broken = [entry.undecodable for entry in refusals if entry.undecodable]
        kept = not broken or decider.keep_undecodable(broken)
        verdicts = decider.decide(submissions)
        if not kept or any(verdict.outcome is Outcome.UNAVAILABLE for verdict in verdicts):
            raise ClearingInterruptedError(
                f"the database stopped answering inside file {row.file_id}; hand the same file in again"
            )
        outcomes.update(_label(verdict.outcome, verdict.reason) for verdict in verdicts)
        outcomes.update(_label(Outcome.PARKED, entry.reason) for entry in refusals)
    return dict(outcomes)


def _between_header_and_trailer(records: Iterator[tuple[int, int, bytes]], count: int) -> Iterator[tuple[int, bytes]]:
    for number, _, raw in records:
        if 1 < number <= count + 1:
            yield number, raw


def _label(outcome: Outcome, reason: Reason) -> str:
    return f"{outcome.name} {reason.name}"
