"""Every statement goes to one shard: tried on tables laid out by hash of the bucket, the dated ones by month below it.

PostgreSQL refuses a key or a row movement that leaves the bucket out; the planner says which leaves a statement opens.
Statements are found by looking through ``store/``, so that a new one without a case fails here.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, ClassVar, Final

import pytest
from psycopg2.extensions import cursor as driver_cursor
from sqlalchemy import Connection, Engine, MetaData, TextClause, create_engine, make_url, text

from processor import store
from processor.core.kept_purchase import Purchase
from processor.core.outcome import Reason
from processor.core.person import Fact, FactKind
from processor.store import (
    accrual,
    accrual_state,
    budget,
    card_file,
    card_side,
    clearing,
    directory,
    entitlements,
    household,
    ledger,
    member_facts,
    operations,
    parked,
    purchases,
)
from processor.store.card_file import Adoption, ProfileRow
from processor.store.card_side import BatchWrites, Key
from processor.store.check import Check
from processor.store.directory import CardAddress, NewCard
from processor.store.embedded import temporary_database
from processor.store.schema import id_of_day, months_around
from processor.store.tables import metadata
from tests.conftest import TODAY

SHARDS: Final = 4
BUCKET: Final = 7
NOW: Final = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY: Final = id_of_day(date(2026, 11, 19))

SHARDED: Final = {table.name for table in metadata.sorted_tables if table.info["sharded"]}
DATED: Final = {table.name: str(table.info["dated"]) for table in metadata.sorted_tables if table.info["dated"]}

SWEEPS: Final = {
    ("settlement", "*"): "a cycle is summed over every account of a bank, once a day",
    ("verification", "*"): "proving the books reads all of them",
    ("accrual", "*"): "accruals of any account leave together, and operations look at them a page at a time",
    ("accrual_checks", "*"): "proving the books reads all of them",
    ("ledger", "SUM_LEDGER_ACCOUNTS"): "a programme's ledger accounts are sums over every member",
    ("operations", "LIST_PARKED"): "operations look at what waits for any account, a page at a time",
    ("operations", "COUNT_PARKED"): "operations count what waits for any account",
    ("parked", "LOAD_OLDEST"): "a replay without names takes what waits for any account",
    ("purchases", "LIST_REVIEWS"): "operations look at the links of any account that wait for review, a page at a time",
    ("budget", "SUM_LEFT"): "what is left of a budget lies in every bucket; asked once its pool is spent",
    ("budget", "LOCK_ALL_SHARES"): "a rebalance collects what other buckets have not used, once the pool is spent",
    ("budget_shares", "LIST_SHARES"): "operations see how a budget lies, in every bucket",
    ("budget", "LIST_BUDGETS"): "operations see what all buckets took of a budget",
    ("budget", "SUM_ALL_HOLDS"): "a rebalance leaves every bucket what its quotes hold",
    ("budget_checks", "*"): "proving the budgets reads all purchases",
    ("household_checks", "*"): "proving what households have used reads all purchases",
    ("purchases", "LIST_HELD"): "operations look at what is held for review of any account, a page at a time",
    ("card_file", "CLOSE_MISSING"): "a full card file closes whatever cards of a bank it left out",
}
"""Statements that open every shard by design, and why that is right."""

WHOLE_HISTORY: Final = {
    ("ledger", "LIST_POSTINGS"): "a statement of one account goes back over the months",
    ("entitlements", "LIST_HOLDINGS"): "soft rewards are held for years, so that it goes back over the months",
    ("entitlements", "LOAD_BOOKINGS"): "a status may be held for years, so that it goes back over the months",
    ("purchases", "LIST_PURCHASES"): "the list of one account's purchases goes back over the months",
    ("card_file", "FIND_PURCHASES"): "joining an account moves all of its purchases",
}
"""Statements that stay in one bucket but read its months one after another, by design."""

Name = tuple[str, str]

_TABLES: Final = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE|USING)\s+(?:ONLY\s+)?([a-z_]+)")
_STATEMENT: Final = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A statement as it was sent, and the leaves that its plan scans or changes, by table."""

    sql: str
    leaves: dict[str, set[str]]


class WatchingCursor(driver_cursor):
    """Asks for the plan of every statement before it runs."""

    watched: ClassVar[list[Opened] | None] = None

    def execute(self, query: Any, values: Any = None) -> None:
        """Run a statement; while watching, note the leaves of its plan first."""
        sent = bytes(self.mogrify(query, values)).decode()
        if WatchingCursor.watched is not None and _STATEMENT.match(sent):
            super().execute("EXPLAIN (FORMAT JSON) " + sent)
            row = self.fetchone()
            assert row is not None
            WatchingCursor.watched.append(Opened(sql=sent, leaves=_leaves(row[0][0]["Plan"])))
        super().execute(query, values)


def _leaves(plan: dict[str, Any]) -> dict[str, set[str]]:
    """Return the leaf partitions that a plan opens, by the table they belong to."""
    leaves: dict[str, set[str]] = defaultdict(set)
    nodes = [plan]
    while nodes:
        node = nodes.pop()
        nodes.extend(node.get("Plans", ()))
        relation = node.get("Relation Name", "")
        table = next((name for name in SHARDED if re.fullmatch(rf"{name}_shard[0-9].*", relation)), None)
        if table is not None:
            leaves[table].add(relation)
    return leaves


def statements() -> dict[Name, str]:
    """Return every statement that ``store/`` keeps under a name."""
    found: dict[Name, str] = {}
    for module in iter_modules(store.__path__):
        if module.ispkg:
            continue
        for name, value in vars(import_module(f"{store.__name__}.{module.name}")).items():
            if name.isupper() and not name.startswith("_"):
                for number, sql in enumerate(_texts(value)):
                    found[module.name, f"{name}.{number}" if number else name] = sql
    return found


def _texts(value: object) -> list[str]:
    if isinstance(value, TextClause):
        return [value.text]
    if isinstance(value, Check):
        return [value.count.text, value.differences.text]
    if isinstance(value, str) and _STATEMENT.match(value):
        return [value]
    if isinstance(value, tuple):
        return [sql for entry in value for sql in _texts(entry)]
    return []


def names_sharded_table(sql: str) -> bool:
    """Tell whether a statement reads or writes a table that carries a bucket."""
    return not SHARDED.isdisjoint(_TABLES.findall(sql))


def is_swept(name: Name) -> bool:
    """Tell whether a statement opens every shard by design."""
    return (name[0], "*") in SWEEPS or name in SWEEPS


def as_sent(sql: str) -> re.Pattern[str]:
    """Return what a statement looks like once its values stand in it."""
    holes = re.split(r"%\([a-z_]+\)s|%s|\{[a-z_]+\}|(?<!:):[a-z_]+", sql.strip())
    return re.compile(".*".join(map(re.escape, holes)), re.DOTALL)


@pytest.fixture(scope="module")
def sharded(administrator_url: str) -> Iterator[Engine]:
    """Lay every table out as a cluster would: shards by bucket, months below the shards of dated tables."""
    with temporary_database(administrator_url, "test_one_leaf") as urls:
        url = make_url(urls.owner_url).set(drivername="postgresql+psycopg2")
        engine = create_engine(url, connect_args={"cursor_factory": WatchingCursor})
        with engine.begin() as connection:
            _lay_out(connection)
        yield engine
        engine.dispose()


def _lay_out(connection: Connection) -> None:
    layout = MetaData()
    for table in metadata.sorted_tables:
        copied = table.to_metadata(layout)
        if table.name in SHARDED:
            copied.dialect_options["postgresql"]["partition_by"] = "HASH (bucket)"
            copied.dialect_options["postgresql"]["with"] = {}
    layout.create_all(connection)
    for name in sorted(SHARDED):
        for shard in range(SHARDS):
            below = f" PARTITION BY RANGE ({DATED[name]})" if name in DATED else ""
            leaf = f"{name}_shard{shard}"
            bounds = f"FOR VALUES WITH (MODULUS {SHARDS}, REMAINDER {shard})"
            connection.execute(text(f"CREATE TABLE {leaf} PARTITION OF {name} {bounds}{below}"))
            if name in DATED:
                _make_months(connection, leaf)
    connection.execute(text("INSERT INTO reference_version VALUES (1, 0)"))


def _make_months(connection: Connection, shard: str) -> None:
    connection.execute(text(f"CREATE TABLE {shard}_default PARTITION OF {shard} DEFAULT"))
    for first, following in months_around(TODAY):
        bounds = f"FROM ('\\x{id_of_day(first).hex()}') TO ('\\x{id_of_day(following).hex()}')"
        connection.exec_driver_sql(f"CREATE TABLE {shard}_{first:%Y_%m} PARTITION OF {shard} FOR VALUES {bounds}")


def run_everything(connection: Connection) -> None:
    """Call every function of ``store/`` that names a bucket, with keys of one bucket and one month."""
    cursor = connection.connection.cursor()
    one, two = bytes([1]) * 16, bytes([2]) * 16
    addresses = [CardAddress(account=one, bucket=BUCKET), CardAddress(account=two, bucket=BUCKET)]
    messages: list[Key] = [(BUCKET, DAY + bytes([number]) * 13) for number in range(1, 4)]
    new_cards = [
        NewCard(
            token=address.account * 2,
            key_id="k1",
            bank="alpha",
            product=None,
            last_four="0002",
            account=address.account,
            bucket=BUCKET,
            programme=None,
            provisional=True,
        )
        for address in addresses
    ]
    directory.open_cards(cursor, new_cards, NOW)
    card_file.open_accounts(cursor, "alpha", addresses, NOW)
    _, accounts = card_side.lock_accounts(cursor, [(BUCKET, one), (BUCKET, two)])
    card_file.adopt_accounts(
        cursor, dict.fromkeys(addresses, Adoption("alpha", "skyways", "alpha-gold", leads=True)), NOW
    )
    profiles = [
        ProfileRow(bucket=BUCKET, account=address.account, reference="A-1", member_number="SK1", opened_on=None)
        for address in addresses
    ]
    card_file.keep_profiles(cursor, profiles, NOW)
    for account in accounts.values():
        account.changed = True
    for first_time in (True, False):
        card_side.write_batch(cursor, _writes(messages, one, first_time=first_time), accounts.values())
    card_side.load_known(cursor, messages)
    card_side.load_traces(cursor, [(BUCKET, one, one), (BUCKET, two, one)])
    card_side.load_purchases(cursor, messages)
    card_side.load_recent(cursor, [(BUCKET, one)], DAY, id_of_day(date(2026, 11, 21)))
    card_side.load_counters(cursor, [(BUCKET, one), (BUCKET, two)], ["2026-11", "2026-12"])
    _run_budgets(cursor, messages[0][1])
    _run_members(cursor, (BUCKET, one))
    _run_households(cursor, (BUCKET, one))
    parked.load_named(cursor, messages)
    clearing.load_origins(cursor, messages)
    card_file.parked_of(cursor, addresses[0], Reason)
    card_file.purchases_of(cursor, addresses[0])
    card_file.load_fields(cursor, BUCKET, [key[1] for key in messages])
    ledger.load_balance(connection, (BUCKET, one))
    ledger.list_postings(connection, (BUCKET, one), before=ledger.AFTER_EVERY_ID, limit=10)
    entitlements.list_holdings(connection, (BUCKET, one))
    entitlements.load_bookings(cursor, [(BUCKET, one), (BUCKET, two)], {"lounge-access"})
    operations.load_parked(connection, messages[2], one)
    operations.load_decisions(connection, messages[0])
    _run_purchases(connection, messages, one)
    _run_accruals(connection, messages, one)
    card_file.supersede(cursor, addresses[1], addresses[0], NOW)
    card_file.supersede(cursor, addresses[1], CardAddress(account=two, bucket=BUCKET + 1), NOW)


def _run_budgets(cursor: Any, purchase: bytes) -> None:
    key = ("skyways", "launch", "lifetime")
    share = (BUCKET, *key)
    found = budget.lock_shares(cursor, [share], NOW, quoted=True)
    budget.update_shares(cursor, found, NOW)
    budget.keep_holds(cursor, [budget.Hold(share=share, purchase=purchase, units=1, expires_at=NOW)])
    budget.drop_holds(cursor, [(share, purchase)])
    budget.keep_holds(cursor, [budget.Hold(share=share, purchase=purchase, units=1, expires_at=NOW)])
    budget.deal_shares(cursor, key, {BUCKET: found[share]}, {}, NOW)


def _run_members(cursor: Any, key: Key) -> None:
    facts = [Fact(1, FactKind.TIER, "gold", 0), Fact(2, FactKind.BIRTHDAY, "02-29", 0)]
    rows = [member_facts.FactRow(fact=fact, recorded_at=NOW, audit_id=key[1]) for fact in facts]
    member_facts.keep_facts(cursor, key, rows)
    assert facts == [row.fact for row in member_facts.list_facts(cursor, key)]
    assert {key: (facts[1],)} == member_facts.load_facts(cursor, [key], {FactKind.BIRTHDAY}, {"students"})
    reached = Fact(0, FactKind.REACHED, "gold/2026/1", 0)
    member_facts.keep_reached(cursor, [(key, reached, key[1])], NOW)
    assert [reached._replace(number=3)] == [row.fact for row in member_facts.list_facts(cursor, key, after=2)]


def _run_households(cursor: Any, key: Key) -> None:
    rows = household.lock_households(cursor, {key: ("skyways", "H-1")}, NOW)
    rows[key].counters["family@H-1/own", "2026-11"] = 5
    rows[key].changed.add(("family@H-1/own", "2026-11"))
    rows[key].reserved_anew = True
    household.write_households(cursor, rows.values(), NOW)
    household.load_household_counters(cursor, rows, ["2026-11"])
    assert [("family@H-1/own", "2026-11", 5)] == household.list_household_counters(cursor, key, limit=10)


def _run_purchases(connection: Connection, messages: list[Key], account: bytes) -> None:
    days = purchases.Days(low=DAY, high=id_of_day(date(2026, 11, 20)))
    key = (BUCKET, account)
    purchases.list_purchases(connection, key, before=purchases.AFTER_EVERY_ID, limit=10)
    purchases.load_purchase(connection, messages[0], account)
    purchases.find_awaited(connection, BUCKET, days, after=b"", limit=10)
    purchases.find_alone(connection, BUCKET, days, after=b"", limit=10)
    purchases.find_waiting(connection, BUCKET, days, after=b"", limit=10)
    purchases.load_of_days(connection, key, days)
    review = purchases.LinkReviewRow(
        bucket=BUCKET,
        account=account,
        first=messages[0][1],
        second=messages[1][1],
        confidence=5,
        verdict="open",
        detail={"reasons": []},
        found_at=NOW,
        updated_at=NOW,
    )
    purchases.keep_reviews(connection, [review])
    purchases.set_verdict(connection, review)
    purchases.load_review(connection, key, (review.first, review.second))


def _run_accruals(connection: Connection, keys: list[Key], account: bytes) -> None:
    pair = accrual_state.Pair(programme="skyways", bank="alpha")
    new = [
        accrual.NewAccrual(
            bucket=key[0],
            id=key[1],
            account=account,
            purchase_id=key[1],
            rule="",
            partner="",
            unit="SKY",
            miles=5,
            postings=(key[1] + bytes(2),),
            booked_at=NOW,
            business_date=NOW.date(),
            state="waiting",
        )
        for key in keys
    ]
    accrual.keep_accruals(connection, pair, new, 1, NOW)
    accrual.keep_attempts(connection, pair, 1, [(key, 1, "SK1") for key in keys], NOW)
    accrual_state.load_standing(connection, pair, keys)
    answers = [(key, 1, False, "NO", "", "suspended") for key in keys]
    accrual_state.keep_answers(connection, answers, account, NOW)
    accrual_state.set_state(connection, keys[0], state="suspended", member="SK2", asked_by=None, now=NOW)
    accrual_state.load_accrual(connection, keys[0])


def _writes(messages: list[Key], account: bytes, *, first_time: bool) -> BatchWrites:
    """Return a batch that appends to every table, or one that changes all that it may."""
    writes = BatchWrites(now=NOW)
    purchase = Purchase(id=messages[0][1])
    trace = (BUCKET, account, account)
    writes.counters[BUCKET, account, "monthly", "2026-11"] = 3
    if not first_time:
        writes.changed_purchases[messages[0]] = purchase
        writes.changed_purchases[messages[1]] = Purchase(id=messages[1][1])
        writes.moved_traces.append((BUCKET, account, messages[0][1], messages[1][1]))
        writes.moved_traces.append((BUCKET, account, messages[2][1], messages[1][1]))
        writes.unparked.extend(messages[:2])
        writes.conflicts.append((BUCKET, messages[0][1], account, account, "{}", NOW))
        return writes
    for key in messages:
        writes.add_message(key, account, "alpha", "iso87-ascii", account, b"{}")
        writes.add_decision(key, 1, account, None, 1, 1, {})
        writes.park(key, account, 40)
    writes.add_award(
        (BUCKET, messages[0][1] + b"\x00\x01"),
        messages[0][1],
        account,
        purchase.id,
        ("skyways", 1, "base", "miles", None, "alpha", "SKY", 1, 0),
    )
    writes.add_posting(
        (BUCKET, messages[0][1] + b"\x00\x02"),
        messages[0][1],
        account,
        purchase.id,
        ("alpha", "skyways", 1, "programme/promised", "member/pending", "SKY", 1, "base", False, TODAY),
    )
    writes.new_purchases[messages[0]] = (account, purchase)
    writes.traces[trace] = (purchase.id, TODAY)
    return writes


@pytest.fixture(scope="module")
def opened(sharded: Engine) -> dict[Name, list[Opened]]:
    """Run everything once, and return what each statement opened."""
    WatchingCursor.watched = []
    with sharded.begin() as connection:
        run_everything(connection)
    sent, WatchingCursor.watched = WatchingCursor.watched, None
    found: dict[Name, list[Opened]] = defaultdict(list)
    for name, sql in statements().items():
        pattern = as_sent(sql)
        found[name].extend(one for one in sent if pattern.fullmatch(one.sql.strip()))
    return found


def _bucketed() -> list[Name]:
    return sorted(name for name, sql in statements().items() if names_sharded_table(sql) and not is_swept(name))


@pytest.mark.parametrize("name", _bucketed(), ids=".".join)
def test_a_statement_opens_one_leaf(opened: dict[Name, list[Opened]], name: Name) -> None:
    """Given one bucket and one month, a statement opens one leaf of each table it names, and no other shard's."""
    assert opened[name], "no function called here sends this statement; add a call to run_everything"
    for one in opened[name]:
        for table, leaves in one.leaves.items():
            shards = {re.match(r".*_shard[0-9]", leaf) for leaf in leaves}
            assert 1 == len({match[0] for match in shards if match}), (table, leaves)
            if name not in WHOLE_HISTORY:
                assert 1 == len(leaves), (table, leaves)


def test_what_is_read_was_planned_on_leaves(opened: dict[Name, list[Opened]]) -> None:
    """Every statement that reads or changes rows opened some leaf: only a plain insertion is routed row by row."""
    silent = {name for name in _bucketed() if not any(one.leaves for one in opened[name])}

    inserting = {name for name, sql in statements().items() if sql.lstrip().startswith("INSERT")}
    assert set() == silent - inserting


def test_rows_of_one_bucket_and_month_lie_in_one_leaf(sharded: Engine, opened: dict[Name, list[Opened]]) -> None:
    """What the batch copied and inserted was routed to one leaf of each table."""
    with sharded.connect() as connection:
        for table in sorted(SHARDED - {"cycle_posting"}):
            leaves = connection.execute(text(f"SELECT DISTINCT tableoid::regclass::text FROM {table}")).scalars().all()
            assert 1 == len(leaves), (table, leaves)


def test_the_exceptions_are_needed() -> None:
    """Each statement on the lists of exceptions exists and names a sharded table; nobody keeps one for nothing."""
    known = {name for name, sql in statements().items() if names_sharded_table(sql)}
    modules = {module for module, _ in known}

    assert set() == {name for name in {**SWEEPS, **WHOLE_HISTORY} if name[1] != "*"} - known
    assert set() == {name[0] for name in SWEEPS if name[1] == "*"} - modules


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(lambda cursor: cursor.execute("SELECT 1 FROM posting WHERE bucket = 7"), id="every-month"),
        pytest.param(lambda cursor: cursor.execute("SELECT 1 FROM account"), id="every-shard"),
    ],
)
def test_the_watching_sees_more_than_one_leaf(sharded: Engine, sent: Callable[[Any], None]) -> None:
    """A statement without a bucket, or without a month, is seen to open several leaves."""
    WatchingCursor.watched = []
    with sharded.connect() as connection:
        sent(connection.connection.cursor())
    (one,), WatchingCursor.watched = WatchingCursor.watched, None

    assert 1 < max(map(len, one.leaves.values()))
