"""Statement days of accounts as the bank's card file states them: recorded as facts of members are, from now on.

A day that the file repeats is recorded once; a file that states none changes nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from hashlib import blake2b

from sqlalchemy import Connection

from processor.core.member_fact import refusal_of
from processor.core.person import Fact, FactKind, statement_day_at
from processor.core.programme import Programme
from processor.store.directory import CardAddress
from processor.store.member_facts import FactRow, keep_facts, list_facts
from processor.store.operations import keep_audit


def wrong_statement_day(day: str, revisions: Sequence[Programme]) -> str | None:
    """Return what is wrong with a record's statement day, and what to do; None where nothing is, or none is stated."""
    refused = refusal_of(FactKind.STATEMENT_DAY, day, revisions, date.max) if day else None
    return None if refused is None else f"statement_day {refused[0]}; {refused[1]}"


def keep_statement_days(connection: Connection, bank: str, stated: Mapping[CardAddress, str], now: datetime) -> None:
    """Record the statement days of locked accounts that differ from what is in force; ``now`` is a time of the lock."""
    cursor = connection.connection.cursor()
    since = -int(-now.timestamp() // 1)
    for address, day in stated.items():
        key = address.bucket, address.account
        known = [row.fact for row in list_facts(cursor, key)]
        if statement_day_at(known, at=since) == int(day):
            continue
        number = max((fact.number for fact in known), default=0) + 1
        named = b"statement-day\x00" + address.account + number.to_bytes(4, "big")
        audit_id = blake2b(named, digest_size=16, person=b"cobrand-audit").digest()
        fact = Fact(number, FactKind.STATEMENT_DAY, day, since)
        keep_facts(cursor, key, [FactRow(fact=fact, recorded_at=now.astimezone(UTC), audit_id=audit_id)])
        keep_audit(
            connection,
            audit_id=audit_id,
            actor=f"bank {bank}",
            action="statement-day",
            subject=f"accounts/{address.account.hex()}",
            reason="stated by the bank's card file",
            detail={"statement_day": int(day)},
            at=now.astimezone(UTC),
        )
