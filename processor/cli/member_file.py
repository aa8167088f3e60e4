"""Reading a file of facts of members: CSV with a header row, one fact a line, into requests that a server takes.

It checks what can be checked without a programme, so that a file with mistakes is refused before any of it is sent.
No error repeats a value: any column may hold a card number by mistake, and a birthday is nobody's business.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final
from uuid import UUID, uuid5

from google.protobuf.timestamp_pb2 import Timestamp

from processor.v1 import member_pb2 as pb
from processor.v1.member_pb2 import MemberFact, MemberFactKind

COLUMNS: Final = ("account_reference", "kind", "value", "from", "until", "ends")
"""The columns of the header row, in any order; those not required may be left out."""

REQUIRED: Final = ("account_reference", "kind", "value")
FACTS_OF_A_REQUEST: Final = 100

KINDS: Final[Mapping[str, "MemberFactKind.ValueType"]] = {
    "tier": pb.MEMBER_FACT_KIND_TIER,
    "segment": pb.MEMBER_FACT_KIND_SEGMENT,
    "opted-in": pb.MEMBER_FACT_KIND_OPTED_IN,
    "listed": pb.MEMBER_FACT_KIND_LISTED,
    "member-since": pb.MEMBER_FACT_KIND_MEMBER_SINCE,
    "birthday": pb.MEMBER_FACT_KIND_BIRTHDAY,
    "statement-day": pb.MEMBER_FACT_KIND_STATEMENT_DAY,
    "household": pb.MEMBER_FACT_KIND_HOUSEHOLD,
}

_NAMED: Final = frozenset({"segment", "opted-in", "listed"})
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}([Zz]|[+-][0-9]{2}:[0-9]{2})")
_NAMESPACE: Final = UUID("5f0c6f2e-6a3f-5f7e-9a55-3a4f1c0b7d21")
"""What the ids of requests from files are made in; it never changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberFileError:
    """One thing that is wrong in a file: its line and column, the column's name, and what to write instead."""

    line: int
    column: int
    name: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberFileFact:
    """One fact of a file, and where it stands: ``columns`` gives the place of each field for a server's refusal."""

    line: int
    columns: Mapping[str, int]
    account_reference: str
    fact: MemberFact


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRequest:
    """Facts of one member that are recorded together; the same file makes the same ``request_id`` again."""

    account_reference: str
    request_id: str
    facts: tuple[MemberFileFact, ...]


def read_facts(text: str) -> Iterator[MemberFileFact | MemberFileError]:
    """Yield every fact of a file, or what is wrong with it; a wrong header row ends the file at once."""
    rows = csv.reader(text.splitlines(keepends=True), strict=True)
    try:
        header = next(rows, [])
        problem = _header_problem(header)
        if problem:
            yield problem
            return
        for row in rows:
            if row:
                yield from _facts(rows.line_num, header, row)
    except csv.Error:
        yield MemberFileError(line=rows.line_num, column=1, name="", problem="is not CSV; check its quotation marks")


def requests_of(text: str, bank: str) -> list[MemberRequest]:
    """Return the facts of a file without errors as requests, each of one member, in the file's order."""
    facts: dict[str, list[MemberFileFact]] = {}
    for entry in read_facts(text):
        if isinstance(entry, MemberFileFact):
            facts.setdefault(entry.account_reference, []).append(entry)
    digest = sha256(text.encode()).hexdigest()
    return [
        MemberRequest(
            account_reference=reference,
            request_id=str(uuid5(_NAMESPACE, f"{bank}\0{digest}\0{reference}\0{start}")),
            facts=tuple(stated[start : start + FACTS_OF_A_REQUEST]),
        )
        for reference, stated in facts.items()
        for start in range(0, len(stated), FACTS_OF_A_REQUEST)
    ]


def fact_of(kind: str, value: str, *, start: str = "", end: str = "", ended: bool = False) -> MemberFact:
    """Return a fact of checked texts."""
    return MemberFact(
        kind=KINDS[kind],
        value=value,
        start_time=_timestamp(start) if start else None,
        end_time=_timestamp(end) if end else None,
        ended=ended,
    )


def is_time(text: str) -> bool:
    """Tell whether a text is an RFC 3339 time with its zone."""
    try:
        return _TIME.fullmatch(text) is not None and bool(_timestamp(text))
    except (ValueError, OverflowError):
        return False


def _timestamp(text: str) -> Timestamp:
    stated = Timestamp()
    stated.FromDatetime(datetime.fromisoformat(text.upper()).astimezone(UTC))
    return stated


def _header_problem(header: Sequence[str]) -> MemberFileError | None:
    if not header:
        problem = f"is empty; begin with the columns {', '.join(COLUMNS)}"
        return MemberFileError(line=1, column=1, name="", problem=problem)
    for place, name in enumerate(header, start=1):
        if name not in COLUMNS or name in header[: place - 1]:
            problem = f"names a column twice or one that is none of {', '.join(COLUMNS)}"
            return MemberFileError(line=1, column=place, name="", problem=problem)
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        return MemberFileError(line=1, column=len(header), name=missing[0], problem="is missing; add the column")
    return None


def _facts(line: int, header: Sequence[str], row: Sequence[str]) -> Iterator[MemberFileFact | MemberFileError]:
    if len(row) != len(header):
        problem = f"has {len(row)} values; the header row has {len(header)}"
        yield MemberFileError(line=line, column=min(len(row), len(header)), name="", problem=problem)
        return
    values = {**dict.fromkeys(COLUMNS, ""), **dict(zip(header, row, strict=True))}
    columns = {name: place for place, name in enumerate(header, start=1)}
    problems = list(_problems(values))
    for name, problem in problems:
        yield MemberFileError(line=line, column=columns.get(name, 1), name=name, problem=problem)
    if not problems:
        ended = values["ends"] == "yes"
        fact = fact_of(values["kind"], values["value"], start=values["from"], end=values["until"], ended=ended)
        yield MemberFileFact(line=line, columns=columns, account_reference=values["account_reference"], fact=fact)


def _problems(values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the columns of a line that are wrong, and what to write there."""
    if not values["account_reference"]:
        yield "account_reference", "is empty; write the bank's reference of the account"
    if values["kind"] not in KINDS:
        yield "kind", f"is none of {', '.join(KINDS)}"
    if values["ends"] not in {"", "no", "yes"}:
        yield "ends", "is neither yes nor no"
    if not values["value"] and (values["ends"] != "yes" or values["kind"] in _NAMED):
        yield "value", "is empty; only what ends needs none, and no segment or offer"
    for name in ("from", "until"):
        if values[name] and not is_time(values[name]):
            yield name, "is no time with its zone; write one such as 2027-01-01T00:00:00+01:00"
