"""What ``pgbench`` reaches on the same server: the ceiling for one transaction a message, and its built-in workload.

The first yardstick writes the rows that card messages leave, each message in a transaction of its own, with nothing
decoded and nothing decided.
One script stands for one kind of message and carries the texts of a typical one; chance draws scripts as often as the
kinds occur.
"""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import orjson
from sqlalchemy import Connection, make_url, text

from benchmarks.row_shape import Row, Shape
from processor.core.cap import CapPeriod, period_of
from processor.core.posting import MEMBER_AVAILABLE, MEMBER_PENDING
from processor.core.programme import Programme
from processor.store.schema import id_of_day

CLIENTS: Final = 16
BUCKETS: Final = 256
_FIRST_HALF: Final = 184_467_440_737_095
_SECOND_HALF: Final = 159_028_783_051_371
"""What an account's number is multiplied with for the two halves of its id, so that ids lie scattered."""
_MOST_ACCOUNTS: Final = 50_000
"""Beyond it the products leave the 63 bits of pgbench's numbers."""

_LARGEST_DRAW: Final = 2**62 - 1


class _Sql(str):
    """SQL that calculates a value, rather than a value."""

    __slots__ = ()


_ACCOUNT: Final = _Sql("int8send(:first::bigint) || int8send(:second::bigint)")


class YardstickError(RuntimeError):
    """pgbench did not do what was asked; the text is its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One run of pgbench: transactions a second without the time to connect, and the mean latency."""

    transactions: int
    per_second: float
    latency_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RowScripts:
    """Scripts on disk with their weights, and the texts they send as values."""

    files: tuple[tuple[Path, int], ...]
    variables: Mapping[str, str]

    @property
    def arguments(self) -> list[str]:
        """The command line's part that names them."""
        scripts = [f"--file={path}@{weight}" for path, weight in self.files]
        return scripts + [f"--define={name}={value}" for name, value in self.variables.items()]


def periods_around(programme: Programme, day: date) -> list[tuple[str, str]]:
    """Return the (cap, period) of every counter that purchases of a day, the one before and the one after can touch."""
    days = [day - timedelta(days=1), day, day + timedelta(days=1)]
    caps = [cap for cap in programme.caps if cap.period is not CapPeriod.PURCHASE]
    return sorted({(cap.id, period_of(cap, near, b"")) for cap in caps for near in days})


# Open counters that are not there yet for every account, so that a measured message only brings them up to date.
_OPEN_COUNTERS: Final = """
INSERT INTO limit_counter (bucket, account, cap, period, used)
SELECT a.bucket, a.id, c.cap, c.period, 0
FROM account a CROSS JOIN unnest(CAST(:caps AS text[]), CAST(:periods AS text[])) AS c (cap, period)
ON CONFLICT DO NOTHING
"""

# Open accounts whose ids pgbench can calculate from their numbers.
_OPEN_ACCOUNTS: Final = """
INSERT INTO account (bucket, id, bank, programme, product, status, provisional, pending, available, updated_at)
SELECT n % :buckets, int8send(n * CAST(:first AS bigint)) || int8send(n * CAST(:second AS bigint)),
       'alpha', :programme, 'alpha-gold', 'active', false, 0, 0, now()
FROM generate_series(0, :accounts - 1) n
"""


def open_counters(connection: Connection, programme: Programme, day: date) -> None:
    """Give every account the counters of the days around ``day``."""
    caps, periods = zip(*periods_around(programme, day), strict=True)
    connection.execute(text(_OPEN_COUNTERS), {"caps": list(caps), "periods": list(periods)})


def open_accounts(connection: Connection, programme: Programme, *, accounts: int) -> None:
    """Open the accounts that :func:`write_scripts` draws from."""
    if accounts > _MOST_ACCOUNTS:
        raise YardstickError(f"the yardstick can number {_MOST_ACCOUNTS} accounts, not {accounts}")
    connection.execute(
        text(_OPEN_ACCOUNTS),
        {
            "buckets": BUCKETS,
            "first": _FIRST_HALF,
            "second": _SECOND_HALF,
            "programme": programme.id,
            "accounts": accounts,
        },
    )


def write_scripts(
    folder: Path,
    shapes: Sequence[Shape],
    programme: Programme,
    *,
    accounts: int,
    day: date,
    pipelined: bool = False,
) -> RowScripts:
    """Write one script for each shape into a folder that only this benchmark uses.

    ``pipelined`` sends all statements of a transaction before it waits for the first one's answer.
    """
    periods = {cap.id: period_of(cap, day, b"") for cap in programme.caps}
    files: list[tuple[Path, int]] = []
    variables: dict[str, str] = {}
    for number, shape in enumerate(shapes):
        path = folder / f"message-{number}.sql"
        statements = ["BEGIN;", *_statements(shape, str(number), periods, day), "COMMIT;"]
        if pipelined:
            statements = ["\\startpipeline", *statements, "\\endpipeline"]
        path.write_text("\n".join([*_draws(shape, accounts), *statements, ""]))
        files.append((path, shape.messages))
        variables[f"fields_{number}"] = _json(shape.message["fields"])
        variables[f"detail_{number}"] = _json(shape.decision["detail"])
        variables[f"state_{number}"] = _json(shape.purchase["state"])
    return RowScripts(files=tuple(files), variables=variables)


def _draws(shape: Shape, accounts: int) -> list[str]:
    """Return what a client draws before its transaction: the account, and the halves of ids."""
    return [
        f"\\set account random(0, {accounts - 1})",
        f"\\set bucket :account % {BUCKETS}",
        f"\\set first :account * {_FIRST_HALF}",
        f"\\set second :account * {_SECOND_HALF}",
        *(f"\\set {name} random(0, {_LARGEST_DRAW})" for name in ("high", "low")),
        *(f"\\set trace_{place} random(0, {_LARGEST_DRAW})" for place in range(shape.traces)),
    ]


def _statements(shape: Shape, number: str, periods: Mapping[str, str], day: date) -> list[str]:
    """Return one statement a table, in the order in which the processor writes them."""
    begun = f"'\\x{id_of_day(day).hex()}'::bytea"
    message_id = _Sql(f"{begun} || int8send(:high::bigint) || substr(int8send(:low::bigint), 4)")
    drawn = {"bucket": _Sql(":bucket"), "account": _ACCOUNT, "message_id": message_id, "purchase_id": message_id}
    begins = {**drawn, "id": message_id}
    numbered = [
        {**row, "id": _Sql(f"{message_id} || '\\x{place:04x}'::bytea")}
        for place, row in enumerate((*shape.awards, *shape.postings), start=1)
    ]
    statements = [
        _insert("message", [shape.message], {**begins, "fields": _Sql(f":fields_{number}")}),
        _insert("decision", [shape.decision], {**begins, "detail": _Sql(f":detail_{number}")}),
        _insert("award", numbered[: len(shape.awards)], drawn),
        _insert("posting", numbered[len(shape.awards) :], drawn),
        _insert("purchase", [shape.purchase], {**begins, "state": _Sql(f":state_{number}")}),
        _insert("trace", [_trace(place, day) for place in range(shape.traces)], drawn),
        _count_up(shape, periods),
        _move_account(shape),
    ]
    return [statement for statement in statements if statement]


def _insert(table: str, rows: Sequence[Row], drawn: Mapping[str, "_Sql"]) -> str:
    """Return one INSERT of all rows, or nothing; what is drawn takes the place of the example's own values."""
    if not rows:
        return ""
    values = [", ".join(_value(drawn.get(name, value)) for name, value in row.items()) for row in rows]
    return f"INSERT INTO {table} ({', '.join(rows[0])}) VALUES {', '.join(f'({each})' for each in values)};"


def _trace(place: int, day: date) -> Row:
    trace = _Sql(f"int8send(:trace_{place}::bigint) || int8send(:low::bigint)")
    return {"bucket": None, "account": None, "trace": trace, "purchase_id": None, "created_on": day}


def _move_account(shape: Shape) -> str:
    if not shape.changes_account:
        return ""
    return (
        f"UPDATE account SET pending = pending + {_change(shape, MEMBER_PENDING)}, "
        f"available = available + {_change(shape, MEMBER_AVAILABLE)}, reservations = NULL, updated_at = now() "
        f"WHERE bucket = :bucket AND id = {_ACCOUNT};"
    )


def _change(shape: Shape, account: str) -> int:
    signed = [(row["amount"], row["credit"] == account, row["debit"] == account) for row in shape.postings]
    return sum(amount * (credited - debited) for amount, credited, debited in signed)


def _count_up(shape: Shape, periods: Mapping[str, str]) -> str:
    if not shape.caps:
        return ""
    rows = [f"(:bucket, {_ACCOUNT}, {_value(cap)}, {_value(periods[cap])}, 1)" for cap in shape.caps]
    return (
        f"INSERT INTO limit_counter (bucket, account, cap, period, used) VALUES {', '.join(rows)} "
        "ON CONFLICT (bucket, account, cap, period) DO UPDATE SET used = limit_counter.used + EXCLUDED.used;"
    )


def _value(value: Any) -> str:
    """Return a value as SQL; a script is read by pgbench, which takes a colon for one of its variables."""
    if isinstance(value, _Sql):
        return value
    if isinstance(value, datetime):
        return "now()"
    if isinstance(value, bytes | memoryview):
        return f"'\\x{bytes(value).hex()}'"
    if value is None or isinstance(value, bool | int):
        return "NULL" if value is None else str(value).lower()
    written = str(value)
    if ":" in written or "'" in written or "\\" in written:
        raise YardstickError(f"{written!r} cannot stand in a script")
    return f"'{written}'"


def _json(document: Any) -> str:
    return orjson.dumps(document).decode()


def run_rows(pgbench: Path, url: str, scripts: RowScripts, *, seconds: int, seed: int) -> Ran:
    """Write rows for so many seconds; another ``seed`` draws other ids."""
    return run(pgbench, url, ["--no-vacuum", *scripts.arguments, f"--time={seconds}", f"--random-seed={seed}"])


def fill_tpcb(pgbench: Path, url: str, *, scale: int) -> None:
    """Make the tables of pgbench's own workload."""
    _pgbench(pgbench, url, ["--initialize", f"--scale={scale}", "--quiet"])


def run_tpcb(pgbench: Path, url: str, *, seconds: int) -> Ran:
    """Run pgbench's own workload, which is like TPC-B, for so many seconds."""
    return run(pgbench, url, ["--builtin=tpcb-like", f"--time={seconds}"])


def run(pgbench: Path, url: str, arguments: Sequence[str], *, jobs: int = 2) -> Ran:
    """Run pgbench with prepared statements; raises :class:`YardstickError` where a transaction failed."""
    printed = _pgbench(pgbench, url, ["--protocol=prepared", f"--client={CLIENTS}", f"--jobs={jobs}", *arguments])

    def figure(pattern: str) -> str:
        found = re.search(pattern, printed)
        if found is None:
            raise YardstickError(f"pgbench did not say {pattern!r}:\n{printed}")
        return found[1]

    if figure(r"number of failed transactions: (\d+)") != "0":
        raise YardstickError(f"transactions failed:\n{printed}")
    return Ran(
        transactions=int(figure(r"number of transactions actually processed: (\d+)")),
        per_second=float(figure(r"tps = ([\d.]+) \(without initial connection time\)")),
        latency_ms=float(figure(r"latency average = ([\d.]+) ms")),
    )


def _pgbench(pgbench: Path, url: str, arguments: Sequence[str]) -> str:
    """Run pgbench as it is over the Unix socket and return what it printed; it never outlives this call."""
    address = make_url(url)
    command = [str(pgbench), *arguments, f"--host={address.query['host']}", f"--username={address.username}"]
    process = subprocess.Popen(
        [*command, str(address.database)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        printed, complaint = process.communicate()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode:
        raise YardstickError(f"pgbench ended with {process.returncode}:\n{complaint}")
    return printed
