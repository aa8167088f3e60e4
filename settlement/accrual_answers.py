"""Taking an owner's answers: each moves its accrual's miles to where they are then, all of them in one transaction.

A response taken before changes nothing and gets what it got then.
Answers to what is unknown, was not sent, or was answered before are listed with the response and change nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import blake2b
from typing import Final

from sqlalchemy import Connection, Engine

from processor.core.business_calendar import business_date
from processor.core.owner_accrual import AccrualState, Answer, Known, Step, Verdict, after, judge, step_postings
from processor.core.programme import Programme
from processor.store import accrual as store
from processor.store.accrual import ResponseRow
from processor.store.accrual_state import Pair, StandingRow, keep_answers, load_standing
from processor.store.card_side import AccountRow, BatchWrites, Key, lock_accounts, write_batch
from processor.store.operations import keep_audit
from processor.store.schema import id_of_day
from settlement.accrual_file import key_of

_LAST_DAY: Final = b"\xff\xff\xff"
_MOST_BUCKETS: Final = 2**15


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A response that was taken; ``duplicate`` tells that an earlier call took it and this one changed nothing."""

    response: ResponseRow
    duplicate: bool


def take_answers(
    engine: Engine,
    programme: Programme,
    bank: str,
    answers: Sequence[Answer],
    *,
    response: bytes,
    name: str,
    actor: str,
    now: datetime,
) -> Taken:
    """Take a response's answers; ``response`` is the digest of what was sent, so that it counts once."""
    pair = Pair(programme=programme.id, bank=bank)
    now = now.astimezone(UTC)
    with engine.begin() as connection:
        store.lock_desk(connection, pair)
        before = store.find_response(connection, pair, response)
        if before is not None:
            return Taken(response=before, duplicate=True)
        standing = _standing(connection, pair, answers)
        verdicts = judge(answers, {reference: _known(row) for reference, row in standing.items()})
        taken = [
            (answer, standing[answer.accrual])
            for answer, verdict in zip(answers, verdicts, strict=True)
            if verdict is Verdict.TAKEN
        ]
        _book(connection, programme, bank, taken, response, now)
        row = _response(response, name, answers, verdicts, now)
        store.keep_response(connection, pair, row)
        keep_audit(
            connection,
            audit_id=audit_id(b"response", pair.programme.encode(), pair.bank.encode(), response),
            actor=actor,
            action="accrual-response",
            subject=f"programmes/{pair.programme}/banks/{pair.bank}",
            reason="the owner answered accruals",
            detail={"response": response.hex(), "accepted": row.accepted, "rejected": row.rejected},
            at=now,
        )
    return Taken(response=row, duplicate=False)


def audit_id(*parts: bytes) -> bytes:
    """Return the audit id of a step; the parts say which it is."""
    return blake2b(b"\x00".join((b"accrual", *parts)), digest_size=16, person=b"cobrand-audit").digest()


def _standing(connection: Connection, pair: Pair, answers: Sequence[Answer]) -> dict[bytes, StandingRow]:
    """Return the accruals that answers name, by reference; what cannot be a reference of ours names none."""
    keys = {answer.accrual: key_of(answer.accrual) for answer in answers}
    possible = {key for key in keys.values() if key[0] < _MOST_BUCKETS and not key[1].startswith(_LAST_DAY)}
    found = load_standing(connection, pair, sorted(possible))
    return {reference: found[key] for reference, key in keys.items() if key in found}


def _known(row: StandingRow) -> Known:
    return Known(AccrualState(row.state), row.attempt, row.answered)


def _book(
    connection: Connection,
    programme: Programme,
    bank: str,
    taken: Sequence[tuple[Answer, StandingRow]],
    response: bytes,
    now: datetime,
) -> None:
    """Post what the answers move, and keep them."""
    accounts = locked(connection, {(row.key[0], row.account) for _, row in taken})
    writes = BatchWrites(now=now)
    today = business_date(programme.calendars[bank], now)
    kept = []
    for answer, row in taken:
        step = Step.ACCEPT if answer.accepted else Step.REJECT
        state = add_step(writes, accounts[row.key[0], row.account], row, programme, step, today)
        kept.append((row.key, answer.attempt, answer.accepted, answer.code, answer.text, state))
    write_batch(connection.connection.cursor(), writes, accounts.values())
    keep_answers(connection, kept, response, now)


def locked(connection: Connection, keys: set[Key]) -> dict[Key, AccountRow]:
    """Lock accounts in the order in which every batch locks them."""
    return lock_accounts(connection.connection.cursor(), sorted(keys))[1] if keys else {}


def add_step(
    writes: BatchWrites, account: AccountRow, row: StandingRow, programme: Programme, step: Step, today: date
) -> AccrualState:
    """Append what a step of an accrual posts, move the account's balance with it, and return the state it leads to."""
    before = AccrualState(row.state)
    state = after(before, step)
    assert state is not None, (before, step)  # noqa: S101 - the caller judged that the step may be taken.
    digest = blake2b(
        row.key[1] + row.attempt.to_bytes(2, "big") + step.encode(), digest_size=13, person=b"cobrand-accrual"
    )
    cause = id_of_day(writes.now.date()) + digest.digest()
    for posting in step_postings(before, state, row.miles, row.unit):
        writes.add_posting(
            (account.bucket, cause + b"\x00\x01"),
            cause,
            account.id,
            row.purchase_id,
            (
                account.bank,
                programme.id,
                int(posting.template),
                posting.debit,
                posting.credit,
                posting.unit,
                posting.amount,
                posting.rule,
                posting.between_parties,
                today,
            ),
        )
    if step is Step.ACCEPT:
        account.available += row.miles
        account.changed = True
    return state


def _response(
    response: bytes, name: str, answers: Sequence[Answer], verdicts: Sequence[Verdict], now: datetime
) -> ResponseRow:
    judged = list(zip(answers, verdicts, strict=True))
    taken = [answer for answer, verdict in judged if verdict is Verdict.TAKEN]
    accepted = sum(answer.accepted for answer in taken)
    return ResponseRow(
        id=response,
        name=name,
        accepted=accepted,
        rejected=len(taken) - accepted,
        repeated=sum(verdict is Verdict.REPEATED for verdict in verdicts),
        exceptions=tuple(
            (answer.number, answer.accrual.hex(), answer.attempt, verdict.value)
            for answer, verdict in judged
            if verdict is not Verdict.TAKEN
        ),
        received_at=now,
    )
