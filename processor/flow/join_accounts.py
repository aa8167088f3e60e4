"""Joining one account to another: a card earned under an account of its own before the bank said whose it is.

Everything the joined account was granted is taken back there, and its messages are decided afresh in the survivor, in
one transaction over both; from then on the card leads to the survivor.
"""

from dataclasses import replace
from datetime import UTC

from processor.core.business_calendar import business_date
from processor.flow.batch import BatchDecider, periods_of
from processor.flow.batch_work import BatchWork
from processor.flow.intake import Intake
from processor.flow.retry import retried
from processor.store.card_file import load_fields, parked_of, purchases_of, supersede
from processor.store.card_side import (
    BatchWrites,
    load_counters,
    load_known,
    load_purchases,
    load_traces,
    lock_accounts,
    write_batch,
)
from processor.store.directory import CardAddress


def join_account(decider: BatchDecider, intake: Intake, joined: CardAddress, survivor: CardAddress) -> int:
    """Join an account to another and return how many of its messages were decided afresh; joining again does nothing.

    Retryable database errors run it again; every other one leaves both accounts as they were.
    """
    return retried("join_account", lambda: _join(decider, intake, joined, survivor))


def _join(decider: BatchDecider, intake: Intake, joined: CardAddress, survivor: CardAddress) -> int:
    now = decider.clock().astimezone(UTC)
    gone, taker = (joined.bucket, joined.account), (survivor.bucket, survivor.account)
    with decider.engine.begin() as connection:
        cursor = connection.connection.cursor()
        snapshot = decider.snapshots.refresh(connection)
        _, accounts = lock_accounts(cursor, sorted((gone, taker)))
        if accounts[gone].superseded_by is not None:
            return 0
        old = load_purchases(cursor, [(joined.bucket, found) for found in purchases_of(cursor, joined)])
        ids = {event.message_id for purchase in old.values() for event in purchase.events}
        ids.update(message_id for _, message_id in parked_of(cursor, joined))
        fields = load_fields(cursor, joined.bucket, list(ids)) if ids else []
        moved = [replace(intake.read_stored(stored, snapshot, now), replay=False, moved=True) for stored in fields]
        keys = [(survivor.bucket, entry.message.message_id) for entry in moved]
        traces = {(survivor.bucket, survivor.account, value) for entry in moved for value in entry.traces}
        known_traces = load_traces(cursor, list(traces)) if traces else {}
        theirs = load_purchases(cursor, sorted({(survivor.bucket, found) for found in known_traces.values()}))
        routed = [(entry, survivor) for entry in moved]
        work = BatchWork(
            snapshot=snapshot,
            writes=BatchWrites(now=now),
            accounts=accounts,
            known=load_known(cursor, keys) if keys else {},
            traces=known_traces,
            purchases=old,
            counters=load_counters(cursor, [gone, taker], periods_of(routed, {**old, **theirs})),
            business_dates={accounts[taker].bank: business_date(snapshot.calendars[accounts[taker].bank], now)},
        )
        work.empty_account(accounts[gone], survivor.account)
        work.purchases.update(theirs)
        for entry in moved:
            work.decide(entry, survivor)
        write_batch(cursor, work.writes, accounts.values())
        supersede(cursor, joined, survivor, now)
    return len(moved)
