"""What rows one card message leaves: how many in each table, how often, and what stands in them.

It reads what the processor wrote and decides nothing; :mod:`benchmarks.yardstick` writes the same rows again.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

from processor.core.cap import CapPeriod
from processor.core.posting import MEMBER_AVAILABLE, MEMBER_PENDING
from processor.core.programme import Programme
from processor.store.tables import metadata

Row = dict[str, Any]


_UPDATED_IN_PLACE: Final = ("account", "limit_counter")
_PATIENCE_S: Final = 15.0


class SampleError(RuntimeError):
    """The sample holds something else than new purchases of one message each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The rows of one kind of message, and how many messages of the sample are of that kind.

    ``traces`` counts rows; the other tables' rows are those of a typical message of the kind.
    ``caps`` are the counters that it brings up to date.
    """

    messages: int
    message: Row
    decision: Row
    purchase: Row
    traces: int
    awards: tuple[Row, ...]
    postings: tuple[Row, ...]
    caps: tuple[str, ...]

    @property
    def changes_account(self) -> bool:
        """Whether the account's balances move."""
        return any(
            {posting["debit"], posting["credit"]} & {MEMBER_PENDING, MEMBER_AVAILABLE} for posting in self.postings
        )

    @property
    def rows(self) -> dict[str, int]:
        """How many rows it writes in each table."""
        return {
            "message": 1,
            "decision": 1,
            "purchase": 1,
            "trace": self.traces,
            "award": len(self.awards),
            "posting": len(self.postings),
            "account": int(self.changes_account),
            "limit_counter": len(self.caps),
        }


# Describe each message by the number of its rows and the rules that granted something; the size of what it says.
_KINDS: Final = """
WITH sample AS (SELECT bucket, id, fields FROM message ORDER BY received_at DESC LIMIT :messages)
SELECT m.bucket, m.id, d.purchase_id = m.id AS new, p.id IS NOT NULL AS has_purchase,
       COALESCE(a.rules, '{}') AS rules, COALESCE(b.postings, 0) AS postings, COALESCE(t.traces, 0) AS traces,
       length(m.fields::text) + length(d.detail::text) + length(p.state::text) AS size
FROM sample m
JOIN decision d ON d.bucket = m.bucket AND d.message_id = m.id
LEFT JOIN purchase p ON p.bucket = m.bucket AND p.id = m.id
LEFT JOIN (SELECT message_id, array_agg(rule ORDER BY rule, unit) AS rules FROM award GROUP BY message_id) a
       ON a.message_id = m.id
LEFT JOIN (SELECT message_id, count(*) AS postings FROM posting GROUP BY message_id) b ON b.message_id = m.id
LEFT JOIN (SELECT purchase_id, count(*) AS traces FROM trace GROUP BY purchase_id) t ON t.purchase_id = m.id
"""


def sample_shapes(connection: Connection, programme: Programme, *, messages: int) -> list[Shape]:
    """Return the kinds of the latest messages in a database, the most frequent first.

    Raises :class:`SampleError` where a message is not the only one of its purchase.
    """
    kinds: dict[tuple[Any, ...], list[tuple[int, int, bytes]]] = defaultdict(list)
    for row in connection.execute(text(_KINDS), {"messages": messages}).mappings():
        if not (row["new"] and row["has_purchase"]):
            raise SampleError(f"message {bytes(row['id']).hex()} did not begin a purchase of its own")
        kind = (tuple(row["rules"]), row["postings"], row["traces"])
        kinds[kind].append((row["size"], row["bucket"], bytes(row["id"])))
    if not kinds:
        raise SampleError("the database holds no messages")
    ordered = sorted(kinds.items(), key=lambda entry: (-len(entry[1]), entry[0]))
    return [_shape(connection, programme, traces=kind[2], alike=alike) for kind, alike in ordered]


def _shape(
    connection: Connection, programme: Programme, *, traces: int, alike: Sequence[tuple[int, int, bytes]]
) -> Shape:
    """Return a shape with the rows of the message of median size among those alike."""
    _, bucket, message_id = sorted(alike)[len(alike) // 2]

    def rows(table: str, key: str) -> tuple[Row, ...]:
        found = connection.execute(
            text(f"SELECT * FROM {table} WHERE bucket = :bucket AND {key} = :id ORDER BY {key}"),
            {"bucket": bucket, "id": message_id},
        )
        return tuple(dict(row) for row in found.mappings())

    awards = rows("award", "message_id")
    caps = {cap.id: cap for award in awards for cap in programme.caps_on(award["rule"], award["unit"])}
    if any(cap.period is CapPeriod.PURCHASE for cap in caps.values()):
        raise SampleError("a cap counts each purchase apart, which the yardstick does not write")
    return Shape(
        messages=len(alike),
        message=rows("message", "id")[0],
        decision=rows("decision", "message_id")[0],
        purchase=rows("purchase", "id")[0],
        traces=traces,
        awards=awards,
        postings=rows("posting", "message_id"),
        caps=tuple(sorted(caps)),
    )


def expected_rows(shapes: Sequence[Shape]) -> dict[str, float]:
    """Return how many rows a message of the sample writes in each table, on average."""
    messages = sum(shape.messages for shape in shapes)
    return {table: sum(shape.rows[table] * shape.messages for shape in shapes) / messages for table in shapes[0].rows}


# Count the connections that others have to this database.
_WRITERS: Final = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


def count_writes(connection: Connection) -> dict[str, int]:
    """Return how many rows each table of the card side has taken.

    Rows are counted where they lie; of the tables that are updated in place the statistics say how many were written.
    Statistics are complete once the writers have gone, which this waits for.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while connection.execute(text(_WRITERS)).scalar_one():
        if time.monotonic() > deadline:
            raise SampleError("the database still has writers, so its statistics are not complete")
        time.sleep(0.05)
        connection.rollback()  # What a transaction saw of the activity stays as it was.
    counts: dict[str, int] = {}
    for table in metadata.sorted_tables:
        if table.name in _UPDATED_IN_PLACE:
            counts[table.name] = connection.execute(
                text("SELECT n_tup_ins + n_tup_upd FROM pg_stat_user_tables WHERE relname = :table"),
                {"table": table.name},
            ).scalar_one()
        elif table.info["sharded"]:
            counts[table.name] = connection.execute(text(f"SELECT count(*) FROM {table.name}")).scalar_one()
    return counts
