"""Joining one account to another: a card earned under an account of its own before the bank said whose it is.

Everything the joined account was granted is taken back there, and its messages are decided afresh in the survivor, in
one transaction over both; from then on the card leads to the survivor.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import blake2b

from sqlalchemy import Connection

from processor.core.business_calendar import business_date
from processor.core.outcome import Outcome, Reason
from processor.flow.batch import BatchDecider, periods_of, programmes_of, recent_purchases
from processor.flow.batch_work import BatchWork
from processor.flow.booking import Booking, numbered
from processor.flow.held import known_facts, statement_days
from processor.flow.intake import Intake
from processor.flow.member_facts import join_facts, whole_second
from processor.flow.purchase_work import PurchaseWork
from processor.flow.retry import retried
from processor.flow.submission import Submission
from processor.flow.tier_work import TierWork
from processor.store.card_file import load_fields, parked_of, purchases_of, supersede
from processor.store.card_side import (
    BatchWrites,
    load_counters,
    load_families,
    load_known,
    load_purchases,
    load_traces,
    lock_accounts,
    write_batch,
)
from processor.store.directory import CardAddress, find_cards
from processor.store.member_facts import keep_reached
from processor.store.operations import keep_audit
from processor.store.schema import id_of_day


def join_account(decider: BatchDecider, intake: Intake, joined: CardAddress, survivor: CardAddress) -> int:
    """Join an account to another and return how many messages that waited for it are decided; again it does nothing.

    Retryable database errors run it again; every other one leaves both accounts as they were.
    """
    return decider.budgets.within(
        decider.engine,
        decider.clock,
        lambda: retried("join_account", lambda: _join(decider, intake, joined, survivor)),
    )


def _join(decider: BatchDecider, intake: Intake, joined: CardAddress, survivor: CardAddress) -> int:
    now = decider.clock().astimezone(UTC)
    gone, taker = (joined.bucket, joined.account), (survivor.bucket, survivor.account)
    with decider.engine.begin() as connection:
        cursor = connection.connection.cursor()
        snapshot = decider.snapshots.refresh(connection)
        _, accounts = lock_accounts(cursor, sorted((gone, taker)))
        if accounts[gone].superseded_by is not None:
            return 0
        join_facts(cursor, accounts[gone], accounts[taker])
        old = load_purchases(cursor, [(joined.bucket, found) for found in purchases_of(cursor, joined)])
        ids = {event.message_id for purchase in old.values() for event in purchase.events}
        waiting = {message_id for _, message_id in parked_of(cursor, joined, Reason)}
        ids |= waiting
        fields = load_fields(cursor, joined.bucket, list(ids)) if ids else []
        too_old = {message_id for _, message_id in parked_of(cursor, joined, [Reason.TOO_OLD])}
        moved = [_moved(intake.read_stored(stored, snapshot, now), too_old) for stored in fields]
        moved.sort(key=lambda entry: bool(entry.message.refers_to))  # Behind the messages they are about.
        keys = [(survivor.bucket, entry.message.message_id) for entry in moved]
        traces = {(survivor.bucket, survivor.account, value) for entry in moved for value in entry.traces}
        known_traces = load_traces(cursor, list(traces)) if traces else {}
        theirs = load_families(cursor, {(survivor.bucket, found) for found in known_traces.values()})
        tokens = [entry.message.card.token for entry in moved if entry.message.card] if snapshot.carded else []
        cards = find_cards(cursor, tokens) if tokens else {}
        routed = [(entry, _to(survivor, entry, cards)) for entry in moved]
        recent = recent_purchases(cursor, routed, accounts, theirs, snapshot, now)
        for found, purchase in recent.get(taker, {}).items():
            theirs[survivor.bucket, found] = purchase
        facts = known_facts(cursor, accounts, snapshot, moved, (*old.values(), *theirs.values()))
        periods = periods_of(routed, {**old, **theirs}, snapshot, statement_days(facts, old.values()))
        writes = BatchWrites(now=now)
        today = business_date(snapshot.calendars[accounts[taker].bank], now)
        known = load_known(cursor, keys) if keys else {}
        decided = load_known(cursor, [(joined.bucket, message_id) for _, message_id in keys]) if keys else {}
        at = whole_second(decider.clock())
        tiers = TierWork(at=at, facts=facts, waits=True) if snapshot.tiered else None
        purchases = PurchaseWork(
            snapshot=snapshot,
            writes=writes,
            booking=Booking(writes=writes, business_dates={accounts[taker].bank: today}),
            known=known,
            traces=known_traces,
            purchases=old,
            counters=load_counters(cursor, [gone, taker], periods),
            recent={key: set(found) for key, found in recent.items()},
            budgets=decider.budgets.load(cursor, snapshot, programmes_of(accounts.values(), snapshot), now),
            facts=facts,
            tiers=tiers,
            households=decider.households_of(cursor, accounts, facts, snapshot, periods, now),
        )
        work = BatchWork(
            snapshot=snapshot,
            writes=writes,
            accounts=accounts,
            known=known,
            purchases=purchases,
            attempts={message_id: before.attempt for (_, message_id), before in decided.items()},
        )
        purchases.empty_account(accounts[gone], survivor.account)
        purchases.purchases.update(theirs)
        verdicts = {entry.message.message_id: work.decide(entry, to) for entry, to in routed}
        if tiers is not None and moved:
            purchases.look_again(accounts[taker], moved[-1].message.message_id)
            keep_reached(cursor, tiers.added, now)
        join_id = id_of_day(now.date()) + blake2b(joined.account + survivor.account, digest_size=13).digest()
        miles = purchases.move_adjusted(accounts[gone], accounts[taker], join_id)
        decider.write_limits(cursor, purchases, snapshot, now)
        write_batch(cursor, work.writes, accounts.values())
        supersede(cursor, joined, survivor, now)
        if miles:
            _audit(connection, numbered(join_id, 1), (joined, -miles), survivor, now)
            _audit(connection, numbered(join_id, 2), (survivor, miles), joined, now)
    return sum(verdicts[message_id].outcome is Outcome.ACCEPTED for message_id in waiting)


def _moved(submission: Submission, too_old: set[bytes]) -> Submission:
    """Return a message that moves: it was in time when it came, however old it is now, or it waits for operations."""
    age_days = submission.age_days if submission.message.message_id in too_old else 0
    return replace(submission, replay=False, moved=True, age_days=age_days)


def _to(survivor: CardAddress, entry: Submission, cards: Mapping[bytes, CardAddress]) -> CardAddress:
    """Return where a message moves, with its card's name where caps count cards."""
    card = entry.message.card
    return survivor if card is None or card.token not in cards else replace(survivor, card=cards[card.token].card)


def _audit(
    connection: Connection, posting: bytes, moved: tuple[CardAddress, int], other: CardAddress, now: datetime
) -> None:
    """Record that adjusted miles moved with a join, as an adjustment records itself."""
    address, miles = moved
    keep_audit(
        connection,
        audit_id=blake2b(posting, digest_size=16, person=b"cobrand-audit").digest(),
        actor="cobrand",
        action="join",
        subject=f"accounts/{address.account.hex()}",
        reason=f"adjusted miles move between this account and accounts/{other.account.hex()}, which are joined",
        detail={"miles": miles, "posting": posting.hex()},
        at=now,
    )
