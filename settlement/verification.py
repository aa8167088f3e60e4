"""Proving the books: every figure that the system states is calculated again from the rows it came from.

Nothing is believed: cached balances, the state of purchases, cap counters, cycles and settlement files are each
compared with the postings or awards below them, in one snapshot of the database.
Memory is bounded by one account's rows and by the differences kept for each check.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Connection, Row

from processor.core.cap import CounterKey
from processor.core.event import Event
from processor.core.kept_purchase import Purchase
from processor.core.links import purchases_in
from processor.core.person import Fact, FactKind
from processor.core.posting import REVERSE_OF, UNITS_POSTED, ChargeKey, Template, party_of
from processor.store import accrual as accrual_store
from processor.store import settlement as settlement_store
from processor.store import verification as store
from processor.store.budget_checks import BUDGET_CHECKS
from processor.store.card_side import LONGEST_WAY
from processor.store.household_checks import HOUSEHOLD_USED
from processor.store.purchase_state import decode_purchase
from processor.store.settlement import FileRow
from settlement.accruals import render_again
from settlement.counters import RevisionOf, counters_of, decided_purchases, tallies_of
from settlement.cycle import LONGEST_COMMIT, Cycle, load_cycle
from settlement.files import differences, headers_of, render_files, stream_postings
from settlement.layout import load_layout
from settlement.render import FileHeader
from settlement.tiers import tiers_of

DIFFERENCES_KEPT: Final = 20
_PROMISES: Final = frozenset({Template.MILES_PROMISED, Template.REWARD_PROMISED})
_UNITS: Final = _PROMISES | {Template.MILES_ISSUED, Template.REWARD_GRANTED}
_ORIGINAL_OF: Final = {reverse: original for original, reverse in REVERSE_OF.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not as it must be: what a row states, and what the rows below it add up to."""

    check: str
    subject: str
    stated: str
    calculated: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One check's result: how many subjects it looked at, and the first differences it found."""

    check: str
    subjects: int
    differences: tuple[Difference, ...]


@dataclass(slots=True, kw_only=True)
class _Finding:
    """A check under way; of its differences it keeps the first few."""

    check: str
    limit: int
    subjects: int = 0
    kept: list[Difference] = field(default_factory=list)

    def compare(self, subject: str, stated: object, calculated: object) -> None:
        """Count a subject, and keep the difference if there is one."""
        self.compare_all({subject: stated}, {subject: calculated}, None, str)

    def compare_all(
        self,
        stated: Mapping[Any, object],
        calculated: Mapping[Any, object],
        nothing: object,
        named: Callable[[Any], str],
    ) -> None:
        """Compare two mappings key by key; a missing value is ``nothing``, and a key is named where they differ."""
        for key in {**stated, **calculated}:
            self.subjects += 1
            left, right = stated.get(key, nothing), calculated.get(key, nothing)
            if left != right and len(self.kept) < self.limit:
                self.kept.append(
                    Difference(check=self.check, subject=named(key), stated=str(left), calculated=str(right))
                )

    def checked(self) -> Checked:
        return Checked(check=self.check, subjects=self.subjects, differences=tuple(self.kept))


def verify(connection: Connection, *, revision_of: RevisionOf, limit: int = DIFFERENCES_KEPT) -> Iterator[Checked]:
    """Yield each check's result as soon as it is known, at most ``limit`` differences each.

    Give it a connection of :func:`processor.store.verification.snapshot`.
    """
    for check in (*store.CHECKS, *BUDGET_CHECKS, HOUSEHOLD_USED):
        found = store.find_differences(connection, check, limit=limit, longest_commit=LONGEST_COMMIT)
        yield Checked(
            check=check.name,
            subjects=store.count(connection, check),
            differences=tuple(
                Difference(check=check.name, subject=subject, stated=stated, calculated=calculated)
                for subject, stated, calculated in found
            ),
        )
    yield from _verify_accounts(connection, revision_of, limit)
    yield _verify_files(connection, limit)
    yield _verify_accrual_files(connection, limit)


@dataclass(slots=True, kw_only=True)
class _Account:
    """One account's rows, side by side.

    ``awards`` and ``posted`` map a purchase, rule and unit to (pending, available); ``charged`` a purchase and charge
    to minor units, ``kept`` a purchase, rule, unit and funder to miles; ``used`` a counter to units; ``decided`` a
    message to the purchase that its decision names.
    ``reached`` are the facts about computed tiers, ``last`` is when a decision last changed a purchase.
    """

    programme: str = ""
    bank: str = ""
    joined: bool = False
    last: datetime | None = None
    reached: list[Fact] = field(default_factory=list)
    purchases: list[Purchase] = field(default_factory=list)
    awards: dict[tuple[bytes, str, str], tuple[int, int]] = field(default_factory=dict)
    posted_in_units: set[tuple[bytes, str, str]] = field(default_factory=set)
    posted: dict[tuple[bytes, str, str], tuple[int, int]] = field(default_factory=dict)
    charged: dict[tuple[bytes, ChargeKey], int] = field(default_factory=dict)
    kept: dict[tuple[bytes, str, str, str], int] = field(default_factory=dict)
    used: dict[CounterKey, int] = field(default_factory=dict)
    decided: dict[bytes, bytes] = field(default_factory=dict)

    def add_account(self, row: Row[Any]) -> None:
        self.programme, self.bank, self.joined = row.programme or "", row.bank, row.joined

    def add_purchase(self, row: Row[Any]) -> None:
        self.last = row.updated_at if self.last is None else max(self.last, row.updated_at)
        self.purchases.append(decode_purchase(bytes(row.id), row.state))

    def add_award(self, row: Row[Any]) -> None:
        key = bytes(row.purchase_id), row.rule, row.unit
        pending, available = self.awards.get(key, (0, 0))
        self.awards[key] = pending + row.pending, available + row.available
        if row.benefit in UNITS_POSTED:
            self.posted_in_units.add(key)

    def add_posting(self, row: Row[Any]) -> None:
        template = Template(row.template)
        original = _ORIGINAL_OF.get(template, template)
        amount = row.amount if template is original else -row.amount
        debit, credit = (row.debit, row.credit) if template is original else (row.credit, row.debit)
        purchase_id = bytes(row.purchase_id)
        if original is Template.MILES_KEPT:
            held = purchase_id, row.rule, row.unit, party_of(debit)
            self.kept[held] = self.kept.get(held, 0) + amount
        elif original in _UNITS:
            key = purchase_id, row.rule, row.unit
            pending, available = self.posted.get(key, (0, 0))
            promised = original in _PROMISES
            self.posted[key] = pending + amount * promised, available + amount * (not promised)
        else:
            charge = ChargeKey(template=original, debtor=party_of(debit), creditor=party_of(credit), currency=row.unit)
            self.charged[purchase_id, charge] = self.charged.get((purchase_id, charge), 0) + amount

    def add_counter(self, row: Row[Any]) -> None:
        self.used[row.cap, row.period] = row.used

    def add_reached(self, row: Row[Any]) -> None:
        since = int(row.valid_from.timestamp())
        self.reached.append(Fact(row.number, FactKind.REACHED, row.value, since, None, row.holds))

    def add_decision(self, row: Row[Any]) -> None:
        self.decided[bytes(row.message_id)] = bytes(row.purchase_id)


_STREAMS: Final = (
    (store.STREAM_ACCOUNTS, _Account.add_account),
    (store.STREAM_PURCHASES, _Account.add_purchase),
    (store.STREAM_AWARDS, _Account.add_award),
    (store.STREAM_POSTINGS, _Account.add_posting),
    (store.STREAM_COUNTERS, _Account.add_counter),
    (store.STREAM_DECISIONS, _Account.add_decision),
    (store.STREAM_REACHED, _Account.add_reached),
)


def _accounts(connection: Connection) -> Iterator[tuple[str, _Account]]:
    """Yield each account with all its rows, read from ordered streams that advance together."""

    def keyed(place: int) -> Iterator[tuple[tuple[int, bytes], int, Row[Any]]]:
        for row in store.stream(connection, _STREAMS[place][0]):
            yield (row.bucket, bytes(row.account)), place, row

    merged = heapq.merge(*map(keyed, range(len(_STREAMS))), key=lambda entry: entry[0])
    for (_, account_id), entries in groupby(merged, key=lambda entry: entry[0]):
        account = _Account()
        for _, place, row in entries:
            _STREAMS[place][1](account, row)
        yield f"account {account_id.hex()}", account


def _verify_accounts(connection: Connection, revision_of: RevisionOf, limit: int) -> Iterator[Checked]:
    """Compare purchases with awards, awards and charges with postings, counters with purchases, and the links."""
    grants = _Finding(check="purchase-awards", limit=limit)
    miles = _Finding(check="award-postings", limit=limit)
    charges = _Finding(check="purchase-charges", limit=limit)
    kept = _Finding(check="purchase-kept", limit=limit)
    counters = _Finding(check="limit-counters", limit=limit)
    tallies = _Finding(check="tallies", limit=limit)
    tiers = _Finding(check="tiers", limit=limit)
    links = _Finding(check="purchase-links", limit=limit)
    messages = _Finding(check="message-purchase", limit=limit)
    for account_id, account in _accounts(connection):
        granted = {
            (purchase.id, grant.rule, grant.unit): (grant.pending, grant.available)
            for purchase in account.purchases
            for grant in purchase.grants
        }
        grants.compare_all(granted, account.awards, (0, 0), _of_rule)
        of_miles = {key: account.awards[key] for key in account.posted_in_units}
        miles.compare_all(of_miles, account.posted, (0, 0), _of_rule)
        owed = {
            (purchase.id, charge): amount
            for purchase in account.purchases
            for charge, amount in purchase.charges.items()
        }
        charges.compare_all(owed, account.charged, 0, _of_charge)
        held = {
            (purchase.id, entry.rule, entry.unit, entry.funder): entry.units
            for purchase in account.purchases
            for entry in purchase.kept
        }
        kept.compare_all(held, account.kept, 0, _of_kept)
        decided = list(decided_purchases(account.purchases, account.programme, revision_of))
        calculated = {(account_id, *key): units for key, units in counters_of(decided).items()}
        of_account = {(account_id, *key): units for key, units in account.used.items()}
        counters.compare_all(of_account, calculated, 0, ", ".join)
        earned, worth = ({(account_id, rule): units for rule, units in side.items()} for side in tallies_of(decided))
        tallies.compare_all(earned, worth, 0, ", ".join)
        _verify_tiers(account_id, account, revision_of, tiers)
        _verify_links(account, links, messages)
    for finding in (grants, miles, charges, kept, counters, tallies, tiers, links, messages):
        yield finding.checked()


def _verify_tiers(account_id: str, account: _Account, revision_of: RevisionOf, tiers: _Finding) -> None:
    """Compare the computed tiers that were recorded with what the counters give; a joined account has none."""
    if account.joined:
        return
    sides = tiers_of(
        account.reached,
        account.used,
        programme=account.programme,
        bank=account.bank,
        last=account.last,
        revision_of=revision_of,
    )
    recorded, given = ({(account_id, tier): state for tier, state in side.items()} for side in sides)
    tiers.compare_all(recorded, given, "nothing", ", ".join)


def _verify_links(account: _Account, links: _Finding, messages: _Finding) -> None:
    """Part each family anew and compare, and follow each decision's purchase to the one that holds its message."""
    families: dict[bytes, list[Purchase]] = {}
    for purchase in account.purchases:
        if purchase.events and purchase.merged_into is None:
            families.setdefault(purchase.head or purchase.id, []).append(purchase)
    family_of = {
        event.message_id: head for head, family in families.items() for purchase in family for event in purchase.events
    }
    for family in families.values():
        groups = purchases_in([event for purchase in family for event in purchase.events])
        calculated = {event.message_id: _ids(group) for group in groups for event in group}
        for purchase in family:
            stated = _ids(purchase.events)
            links.compare(f"purchase {purchase.id.hex()}", stated, calculated[purchase.events[0].message_id])
    by_id = {purchase.id: purchase for purchase in account.purchases}
    for message_id, purchase_id in account.decided.items():
        stated_head = _head(by_id, purchase_id).hex()
        found = family_of.get(message_id, b"").hex()
        messages.compare(f"message {message_id.hex()}, family", stated_head, found)


def _ids(events: Iterable[Event]) -> list[str]:
    return sorted(event.message_id.hex() for event in events)


def _head(purchases: Mapping[bytes, Purchase], purchase_id: bytes) -> bytes:
    """Return the purchase that leads the family a purchase belongs to now, nothing where the way there ends."""
    for _ in range(LONGEST_WAY):
        purchase = purchases.get(purchase_id)
        if purchase is None:
            return b""
        if purchase.merged_into is None:
            return purchase.head or purchase.id
        purchase_id = purchase.merged_into
    return b""


def _of_rule(key: tuple[bytes, str, str]) -> str:
    return f"purchase {key[0].hex()}, {key[1]}, (pending, available) {key[2]}"


def _of_kept(key: tuple[bytes, str, str, str]) -> str:
    purchase_id, rule, unit, funder = key
    return f"purchase {purchase_id.hex()}, rule {rule}, {unit} kept at the cost of {funder}"


def _of_charge(key: tuple[bytes, ChargeKey]) -> str:
    charge = key[1]
    name = charge.template.name.lower()
    return f"purchase {key[0].hex()}, {name}, {charge.debtor} to {charge.creditor}, {charge.currency}"


def _verify_files(connection: Connection, limit: int) -> Checked:
    """Render every settlement file again, keep nothing of it, and compare it with what was kept."""
    finding = _Finding(check="files", limit=limit)
    for row in settlement_store.load_all_closed(connection):
        kept = settlement_store.load_files(connection, row.key)
        cycle = load_cycle(connection, row.key)
        if kept and cycle is not None:
            _verify_cycle(connection, cycle, kept, finding)
    return finding.checked()


def _verify_accrual_files(connection: Connection, limit: int) -> Checked:
    """Render every accrual file again, keep nothing of it, and compare it with what was kept."""
    finding = _Finding(check="accrual-files", limit=limit)
    for pair in accrual_store.load_pairs(connection):
        for kept in accrual_store.load_dispatches(connection, pair):
            if kept.name:
                finding.compare(kept.name, kept, render_again(connection, pair, kept, _Nowhere()))
    return finding.checked()


class _Nowhere:
    """Takes a file's bytes and forgets them; their digest is what counts."""

    def write(self, data: bytes, /) -> None:
        """Forget the bytes."""


def _verify_cycle(connection: Connection, cycle: Cycle, kept: list[FileRow], finding: _Finding) -> None:
    headers: list[FileHeader] = headers_of(cycle, {file.party: file.sequence for file in kept})
    layout = load_layout(kept[0].layout)
    made = render_files(layout, headers, stream_postings(connection, cycle.key), lambda _header: _Nowhere())
    for before, after in zip(kept, made, strict=True):
        differing = list(differences(before, after))
        stated = ", ".join(f"{entry.what} {entry.stated}" for entry in differing)
        calculated = ", ".join(f"{entry.what} {entry.calculated}" for entry in differing)
        finding.compare(before.name, stated, calculated)
