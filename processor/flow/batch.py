"""One batch, one transaction: lock, look up, decide in order, write, commit, and only then answer.

A retryable database error runs the batch again with the same ids; any other error halves the batch until the message
that causes it is alone, and parks that one.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from math import inf
from time import monotonic
from typing import Any, Final

import structlog
from sqlalchemy import Engine

from processor.core.business_calendar import business_date
from processor.core.cap import CapPeriod, calendar_period
from processor.core.card import CardReference
from processor.core.kept_purchase import Purchase
from processor.core.message import MessageKind
from processor.core.outcome import Outcome, Reason
from processor.core.person import Fact
from processor.core.velocity import windows_of
from processor.flow.address_book import AddressBook
from processor.flow.batch_work import BatchWork
from processor.flow.booking import Booking
from processor.flow.budgets import BudgetContendedError, Budgets
from processor.flow.held import known_facts, statement_days
from processor.flow.household_work import HouseholdWork, load_households
from processor.flow.member_facts import whole_second
from processor.flow.purchase_work import PurchaseWork, TraceKey
from processor.flow.retry import ATTEMPTS, retried
from processor.flow.snapshot import Snapshot, Snapshots
from processor.flow.submission import Submission, Undecodable, Verdict
from processor.flow.tier_work import TierWork
from processor.log import described
from processor.store.card_file import adopt_accounts
from processor.store.card_side import (
    AccountRow,
    BatchWrites,
    Key,
    KnownMessage,
    load_counters,
    load_families,
    load_known,
    load_recent,
    load_traces,
    lock_accounts,
    write_batch,
)
from processor.store.clearing import load_origins
from processor.store.directory import CardAddress
from processor.store.failure import is_contended, is_retryable, is_unavailable
from processor.store.household import write_households
from processor.store.member_facts import keep_reached
from processor.store.schema import id_of_day
from processor.store.undecodable import keep_undecodable

FOLLOW_EVERY_S: Final = 1.0
DAYS_ASTRAY: Final = 5
"""How many days the day in a purchase's id may lie before the local date of the purchase."""

_LOG = structlog.get_logger(__name__)


class MovedAccountError(Exception):
    """A locked account was joined to another since its address was remembered; look the cards up again."""

    def __init__(self, cards: list[CardReference]) -> None:
        super().__init__(f"{len(cards)} cards lead to another account now")
        self.cards = cards


@dataclass(slots=True, kw_only=True)
class BatchDecider:
    """Decides batches on one engine; a worker thread owns one."""

    engine: Engine
    snapshots: Snapshots
    address_book: AddressBook
    clock: Callable[[], datetime]
    looked_at: float = -inf
    budgets: Budgets = field(default_factory=Budgets)

    def follow_reference_data(self) -> Snapshot:
        """Return the newest snapshot, loading it if there is one; at most once a second, and without it as it was.

        Asked for when a message names a link that this worker does not know: it may have been applied a moment ago.
        """
        if monotonic() - self.looked_at < FOLLOW_EVERY_S:
            return self.snapshots.current
        self.looked_at = monotonic()
        try:
            with self.engine.connect() as connection:
                return self.snapshots.refresh(connection)
        except Exception as error:
            if not is_retryable(error):
                raise
            return self.snapshots.current

    def keep_undecodable(self, entries: Sequence[Undecodable]) -> bool:
        """Keep where bytes failed to decode; return whether that is durable now."""
        rows = [_undecodable_row(entry, self.clock().astimezone(UTC)) for entry in entries]
        try:
            retried("keep_undecodable", lambda: self._keep(rows))
        except Exception as error:
            if not is_retryable(error):
                raise
            return False
        return True

    def _keep(self, rows: list[tuple[Any, ...]]) -> None:
        with self.engine.begin() as connection:
            keep_undecodable(connection.connection.cursor(), rows)

    def decide(self, submissions: Sequence[Submission]) -> list[Verdict]:
        """Decide messages in order; each verdict is durable unless it says unavailable."""
        if not submissions:
            return []
        try:
            return self._with_retries(submissions)
        except Exception as error:  # noqa: BLE001 - whatever fails, neighbours must be decided and the host answered.
            if is_unavailable(error) or is_contended(error) or isinstance(error, BudgetContendedError):
                _LOG.warning("batch_unavailable", messages=len(submissions), error=type(error).__name__)
                return [_UNAVAILABLE] * len(submissions)
            _LOG.error("batch_failed", messages=len(submissions), **described(error))
            return self._bisect(submissions)

    def _bisect(self, submissions: Sequence[Submission]) -> list[Verdict]:
        """Decide the halves apart; a message that fails alone is parked as poison."""
        if len(submissions) > 1:
            half = len(submissions) // 2
            return self.decide(submissions[:half]) + self.decide(submissions[half:])
        try:
            return self._with_retries(submissions, poison=True)
        except Exception as error:  # noqa: BLE001 - the last resort: the host is asked to send again.
            _LOG.error("poison_not_parked", **described(error))
            return [_UNAVAILABLE]

    def _with_retries(self, submissions: Sequence[Submission], *, poison: bool = False) -> list[Verdict]:
        committing: set[bytes] = set()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self.budgets.within(
                    self.engine, self.clock, lambda: self._run(submissions, committing, poison=poison)
                )
            except MovedAccountError as moved:
                self.address_book.forget(moved.cards)
            except Exception as error:
                if attempt == ATTEMPTS or not is_retryable(error):
                    raise
                _LOG.info("batch_retried", attempt=attempt, messages=len(submissions), error=type(error).__name__)
                if not is_unavailable(error):
                    committing.clear()  # The transaction was rolled back for certain.
        raise RuntimeError("an account moved at every attempt; run the batch again")

    def _run(self, submissions: Sequence[Submission], committing: set[bytes], *, poison: bool) -> list[Verdict]:
        """Run one transaction.

        ``committing`` holds the messages whose commit an earlier run saw no answer to: found present, they are its own.
        It receives this run's before the commit.
        """
        now = self.clock().astimezone(UTC)
        cards = [(entry.message.bank, entry.message.card) for entry in submissions if entry.message.card]
        addresses = self.address_book.resolve(cards, self.snapshots.current, now)
        routed = [(entry, to) for entry in submissions if (to := _address_of(entry, addresses)) is not None]
        with self.engine.begin() as connection:
            cursor = connection.connection.cursor()
            version, accounts = lock_accounts(cursor, sorted({(to.bucket, to.account) for _, to in routed}))
            _refuse_moved(routed, accounts)
            snapshot = self.snapshots.current
            if version > snapshot.version:
                snapshot = self.snapshots.refresh(connection)
            work = self._load(cursor, routed, accounts, snapshot, now, committing)
            known = {message_id for _, message_id in work.known}
            if poison:
                verdicts = [work.park_poison(entry, to) for entry, to in routed]
            else:
                verdicts = [work.decide(entry, to) for entry, to in routed]
            self.write_limits(cursor, work.purchases, snapshot, now)
            write_batch(cursor, work.writes, accounts.values())
            if work.purchases.tiers is not None:
                keep_reached(cursor, work.purchases.tiers.added, self.clock().astimezone(UTC))
            adopt_accounts(cursor, work.enrolled, now)
            committing.update({entry.message.message_id for entry in submissions} - known)
        return verdicts

    def _load(
        self,
        cursor: Any,
        routed: Sequence[tuple[Submission, CardAddress]],
        accounts: dict[Key, AccountRow],
        snapshot: Snapshot,
        now: datetime,
        committing: set[bytes],
    ) -> BatchWork:
        """Look up, under the lock, what is known of the messages, their purchases and their limits."""
        asked = {(to.bucket, entry.message.message_id) for entry, to in routed}
        named = {(to.bucket, about) for entry, to in routed for about in entry.message.refers_to}
        known = load_known(cursor, list(asked | named))
        trace_keys: set[TraceKey] = {(to.bucket, to.account, trace) for entry, to in routed for trace in entry.traces}
        traces = load_traces(cursor, list(trace_keys)) if trace_keys else {}
        wanted = {(bucket, found) for (bucket, _, _), found in traces.items()}
        wanted |= {(key[0], known[key].purchase_id or b"") for key in named if key in known}
        purchases = load_families(cursor, wanted)
        recent = recent_purchases(cursor, routed, accounts, purchases, snapshot, now)
        for (bucket, _), theirs in recent.items():
            purchases.update({(bucket, found): purchase for found, purchase in theirs.items()})
        submissions = [entry for entry, _ in routed]
        facts = known_facts(cursor, accounts, snapshot, submissions, purchases.values()) if snapshot.asked else {}
        periods = periods_of(routed, purchases, snapshot, statement_days(facts, purchases.values()))
        writes = BatchWrites(now=now)
        booking = Booking(
            writes=writes,
            business_dates={
                bank: business_date(snapshot.calendars[bank], now)
                for bank in {account.bank for account in accounts.values()}
                | {entry.message.bank for entry, _ in routed}
                if bank in snapshot.calendars
            },
        )
        return BatchWork(
            snapshot=snapshot,
            writes=writes,
            accounts=accounts,
            known=known,
            purchases=PurchaseWork(
                snapshot=snapshot,
                writes=writes,
                booking=booking,
                known=known,
                traces=traces,
                purchases=purchases,
                counters=load_counters(cursor, list(accounts), periods) if periods else {},
                recent={key: set(theirs) for key, theirs in recent.items()},
                budgets=self.budgets.load(cursor, snapshot, programmes_of(accounts.values(), snapshot), now),
                facts=facts,
                tiers=TierWork(at=whole_second(self.clock()), facts=facts) if snapshot.tiered else None,
                households=self.households_of(cursor, accounts, facts, snapshot, periods, now)
                if snapshot.shared
                else None,
            ),
            own=committing | _decided_before(cursor, routed, known),
        )

    def write_limits(self, cursor: Any, purchases: PurchaseWork, snapshot: Snapshot, now: datetime) -> None:
        """Write what a batch counted for households, and settle what it took of budgets with their shares."""
        if purchases.households is not None:
            write_households(cursor, purchases.households.rows.values(), now)
        if purchases.budgets is not None:
            self.budgets.write(cursor, purchases.budgets, snapshot)

    def households_of(
        self,
        cursor: Any,
        accounts: Mapping[Key, AccountRow],
        facts: Mapping[Key, Sequence[Fact]],
        snapshot: Snapshot,
        periods: Collection[str],
        now: datetime,
    ) -> HouseholdWork | None:
        """Lock the households of locked accounts that caps count, behind the accounts and before any budget's share."""
        return load_households(
            cursor, accounts, facts, snapshot, periods, bucket_count=self.address_book.bucket_count, now=now
        )


_UNAVAILABLE: Final = Verdict(
    outcome=Outcome.UNAVAILABLE,
    reason=Reason.DATABASE_UNAVAILABLE,
    detail={},
    explanation="",
    problem="the database did not answer and nothing is known to be booked; send the message again after a pause",
)


def programmes_of(accounts: Collection[AccountRow], snapshot: Snapshot) -> set[str]:
    """Return the programmes that a batch can grant under; an account that waits may enrol in any of them."""
    known = {account.programme or "" for account in accounts}
    return known | snapshot.budgeted if any(account.provisional for account in accounts) else known


def recent_purchases(
    cursor: Any,
    routed: Sequence[tuple[Submission, CardAddress]],
    accounts: Mapping[Key, AccountRow],
    families: Mapping[Key, Purchase],
    snapshot: Snapshot,
    now: datetime,
) -> dict[Key, dict[bytes, Purchase]]:
    """Load the purchases that refunds without a reference can reach, of the accounts that have one or may get one.

    A message may bring a refund, or part one from the purchase it was linked to: ``families`` are the purchases that
    the messages' traces lead to, and those of a bucket stand for all of its accounts.
    A purchase's id begins with the day of one of its first messages, which may lie some days behind its local date.
    """
    since: dict[Key, date] = {}
    given_back: dict[int, list[date]] = {}
    for (bucket, _), purchase in families.items():
        given_back.setdefault(bucket, []).extend(event.local_date for event in purchase.events if event.credit)
    for entry, to in routed:
        key = (to.bucket, to.account)
        account = accounts[key]
        days = snapshot.longest_refund_days(account.programme)
        message = entry.message
        dates = [*given_back.get(to.bucket, ())]
        if account.refunds_from is not None:
            dates.append(account.refunds_from)
        if message.credit and message.kind is not MessageKind.REVERSAL:
            dates.append(message.local_date or message.transmitted_at.date())
        if days and dates:
            first = min(dates) - timedelta(days=days + DAYS_ASTRAY)
            since[key] = min(first, since.get(key, first))
    if not since:
        return {}
    until = now.date() + timedelta(days=DAYS_ASTRAY)
    return load_recent(cursor, since.keys(), id_of_day(min(since.values())), id_of_day(until))


def _decided_before(
    cursor: Any, routed: Sequence[tuple[Submission, CardAddress]], known: Mapping[Key, KnownMessage]
) -> set[bytes]:
    """Return the clearing records that are known because an earlier worker decided these very records and ended."""
    resumed = [
        (key, (entry.message.clearing_file, entry.message.record_number))
        for entry, to in routed
        if entry.resumed and (key := (to.bucket, entry.message.message_id)) in known
    ]
    if not resumed:
        return set()
    origins = load_origins(cursor, list({key for key, _ in resumed}))
    return {key[1] for key, origin in resumed if origins[key] == origin}


def _address_of(entry: Submission, addresses: Mapping[bytes, CardAddress]) -> CardAddress | None:
    """Return the account a message belongs to: the one it names, or that of its card, which is named in either case."""
    if entry.message.card is None:
        return entry.address
    led = addresses[entry.message.card.token]
    return led if entry.address is None else replace(entry.address, card=led.card)


def _refuse_moved(routed: Sequence[tuple[Submission, CardAddress]], accounts: dict[Key, AccountRow]) -> None:
    """Raise :class:`MovedAccountError` where a remembered address is out of date."""
    moved = [
        entry.message.card
        for entry, to in routed
        if (to.bucket, to.account) not in accounts or accounts[to.bucket, to.account].superseded_by is not None
    ]
    if moved:
        raise MovedAccountError([card for card in moved if card is not None])


def periods_of(
    routed: Sequence[tuple[Submission, CardAddress]],
    purchases: dict[Key, Purchase],
    snapshot: Snapshot,
    statement_days: Collection[int] = (),
) -> set[str]:
    """Return the names of every period that a decision on this batch can count in, of the kinds that caps have.

    ``statement_days`` are those that accounts of the batch have of their own.
    Few names matter: the database looks for each of them in each account's counters.
    """
    kinds = {kind for revisions in snapshot.programmes.values() for revision in revisions for kind in revision.periods}
    kinds |= {(CapPeriod.BILLING_PERIOD, day) for day in statement_days}
    days: set[date] = set()
    ids = {purchase_id for _, purchase_id in purchases}
    for entry, _ in routed:
        message = entry.message
        days.add(message.local_date or message.transmitted_at.date())
        ids.add(message.message_id)
    moments = {int(entry.message.transmitted_at.timestamp()) for entry, _ in routed} if snapshot.watched else set()
    for purchase in purchases.values():
        if snapshot.watched:
            moments.update(event.at for event in purchase.events)
        days.update(event.local_date for event in purchase.events)
        if purchase.occurred_on is not None:
            days.add(purchase.occurred_on)
    names: set[str] = set()
    for kind, statement_day in kinds:
        if kind is CapPeriod.PURCHASE:
            names.update(purchase_id.hex() for purchase_id in ids)
        else:
            names.update(calendar_period(kind, day, statement_day) for day in days)
    return names | _windows(days, moments, snapshot)


def _windows(days: Collection[date], moments: Collection[int], snapshot: Snapshot) -> set[str]:
    """Return the names of the hours and days that velocity limits look back on, none where no programme has any."""
    limits = {
        limit for name in snapshot.watched for revision in snapshot.programmes[name] for limit in revision.velocity
    }
    return {name for limit in limits for day in days for name in windows_of(limit, day=day)} | {
        name for limit in limits for at in moments for name in windows_of(limit, at=at)
    }


def _undecodable_row(entry: Undecodable, now: datetime) -> tuple[Any, ...]:
    return (
        entry.id,
        entry.bank,
        entry.dialect,
        entry.source,
        entry.length_bytes,
        entry.field,
        entry.position,
        entry.problem,
        entry.digest,
        entry.key_id,
        now,
    )
