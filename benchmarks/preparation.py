"""Before and after the rounds: databases filled and warm, and what the rounds left in them.

Accounts and the counters of their limits are open before anything is measured, in both databases: what is measured is
a message of a card that is known, not the first one of a new account.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import text

from benchmarks.frames import MessageSource, in_frames
from benchmarks.ground import (
    PostgresServer,
    Processor,
    apply_skyways,
    connected,
    migrated_database,
    pgbench_program,
    processor_environment,
    run_alone,
)
from benchmarks.load import send_to_each
from benchmarks.report import TableRows
from benchmarks.rounds import Course, Options
from benchmarks.row_shape import Shape, count_writes, expected_rows, sample_shapes
from benchmarks.yardstick import fill_tpcb, open_accounts, open_counters, write_scripts
from processor.config import settings_from
from processor.core.programme import Programme
from processor.flow.address_book import AddressBook
from processor.flow.submission import IncomingMessage, Submission
from processor.store.embedded import EmbeddedDatabase, create_database
from processor.wiring import build, clock_from

PROGRAMME: Final = "skyways"
WARM_UP_FRAME: Final = 64
_ROWS_LOOKED_AT: Final = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a run needs: the processor's database, that of the same rows, that of pgbench's own workload.

    ``first`` is one message of each account.
    """

    options: Options
    server: PostgresServer
    processor: EmbeddedDatabase
    same_rows: EmbeddedDatabase
    tpcb: EmbeddedDatabase
    environment: dict[str, str]
    programme: Programme
    source: MessageSource
    first: Sequence[IncomingMessage]
    day: date


def prepare(options: Options, server: PostgresServer) -> Prepared:
    """Create and fill the databases."""
    now = datetime.now(UTC)
    processor = migrated_database(server, "processor")
    same_rows = create_database(server.url, "same_rows", template="processor")
    tpcb = create_database(server.url, "tpcb")
    apply_skyways(processor)
    environment = processor_environment(processor)
    source = MessageSource(accounts=options.accounts, now=now)
    first = source.messages(options.accounts)
    programme = _open_cards(environment, first)
    with connected(processor.owner_url) as connection:
        open_counters(connection, programme, now.date())
    with connected(same_rows.owner_url) as connection:
        open_accounts(connection, programme, accounts=options.accounts)
        open_counters(connection, programme, now.date())
    run_alone(same_rows.owner_url, "VACUUM ANALYZE")
    fill_tpcb(pgbench_program(), tpcb.owner_url, scale=options.scale)
    return Prepared(
        options=options,
        server=server,
        processor=processor,
        same_rows=same_rows,
        tpcb=tpcb,
        environment=environment,
        programme=programme,
        source=source,
        first=first,
        day=now.date(),
    )


def _open_cards(environment: Mapping[str, str], messages: Sequence[IncomingMessage]) -> Programme:
    """Open the accounts of the messages' cards as the processor would, and return the programme in force."""
    clock = clock_from(None)
    parts = build(settings_from(environment), clock)
    snapshot = parts.snapshots.current
    read = [parts.intake.read(message, snapshot, clock()) for message in messages]
    cards = [
        (entry.message.bank, entry.message.card)
        for entry in read
        if isinstance(entry, Submission) and entry.message.card is not None
    ]
    AddressBook(parts.engine, parts.bucket_count).resolve(cards, snapshot, clock())
    parts.engine.dispose()
    return snapshot.latest(PROGRAMME)


def warm_up(prepared: Prepared, processor: Processor, folder: Path) -> tuple[Course, list[Shape]]:
    """Show every card to every worker, learn what a message writes, and return the course for the rounds."""
    options, source = prepared.options, prepared.source
    others = [source.messages(options.accounts) for _ in processor.workers[1:]]
    parts = [in_frames(messages, size=WARM_UP_FRAME) for messages in (prepared.first, *others)]
    sent = options.accounts * len(parts)
    began = time.monotonic()
    send_to_each(processor, parts)
    rate = sent / (time.monotonic() - began)
    run_alone(prepared.processor.owner_url, "VACUUM ANALYZE")
    with connected(prepared.processor.owner_url) as connection:
        shapes = sample_shapes(connection, prepared.programme, messages=sent)
    scripts = write_scripts(
        folder,
        shapes,
        prepared.programme,
        accounts=options.accounts,
        day=prepared.day,
        pipelined=options.pipelined,
    )
    course = Course(
        options=options,
        server=prepared.server,
        processor=processor,
        processor_url=prepared.processor.owner_url,
        source=source,
        pgbench=pgbench_program(),
        rows_url=prepared.same_rows.service_url,
        scripts=scripts,
        tpcb_url=prepared.tpcb.owner_url,
        rates=dict.fromkeys(options.frames, rate),
        tcp_rate=rate,
        sent=sent,
    )
    return course, shapes


@dataclass(frozen=True, slots=True, kw_only=True)
class Writes:
    """Rows that the processor and the yardstick have written so far, by table."""

    ours: Mapping[str, int]
    theirs: Mapping[str, int]


def writes(prepared: Prepared) -> Writes:
    """Count what both have written; neither runs meanwhile."""
    with connected(prepared.processor.owner_url) as connection:
        ours = count_writes(connection)
    with connected(prepared.same_rows.owner_url) as connection:
        return Writes(ours=ours, theirs=count_writes(connection))


def compare_rows(
    prepared: Prepared, shapes: Sequence[Shape], course: Course, before: Writes, after: Writes
) -> list[TableRows]:
    """Return, for every table that a message writes to, how many rows it writes and how large they are."""
    our_bytes = _bytes_a_row(prepared.processor.owner_url, expected_rows(shapes))
    their_bytes = _bytes_a_row(prepared.same_rows.owner_url, expected_rows(shapes))
    return [
        TableRows(
            table=table,
            ours=(after.ours[table] - before.ours[table]) / course.sent,
            theirs=(after.theirs[table] - before.theirs[table]) / course.transactions,
            our_bytes=our_bytes.get(table, 0.0),
            their_bytes=their_bytes.get(table, 0.0),
            standard_error=_standard_error(shapes, table, course),
        )
        for table in after.ours
        if (after.ours[table], after.theirs[table]) != (before.ours[table], before.theirs[table])
    ]


def _bytes_a_row(url: str, tables: Mapping[str, float]) -> dict[str, float]:
    """Return the mean size of a row of each table."""
    found: dict[str, float] = {}
    with connected(url) as connection:
        for table in tables:
            statement = f"SELECT avg(pg_column_size(t)) FROM (SELECT * FROM {table} LIMIT {_ROWS_LOOKED_AT}) t"
            found[table] = float(connection.execute(text(statement)).scalar_one() or 0)
    return found


def _standard_error(shapes: Sequence[Shape], table: str, course: Course) -> float:
    """Return what chance does to the difference: the sample, the scripts drawn and the messages sent are finite."""
    sample = sum(shape.messages for shape in shapes)
    mean = expected_rows(shapes).get(table, 0.0)
    variance = sum(shape.messages * (shape.rows.get(table, 0) - mean) ** 2 for shape in shapes) / sample
    return math.sqrt(variance * (1 / sample + 1 / course.transactions + 1 / course.sent))
