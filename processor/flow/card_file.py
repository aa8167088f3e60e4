"""Taking a bank's card file: its cards and accounts fill the directory, and messages that waited for them are decided.

Every record is an upsert, so a file may be handed in again.
A re-issued card keeps its account: by the bank's account reference, or else by the card it replaces.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final

from processor.core.card import CardReference, Pan, passes_check_digit
from processor.core.outcome import Reason
from processor.flow.batch import BatchDecider
from processor.flow.intake import Intake
from processor.flow.join_accounts import join_account
from processor.flow.replay import replay
from processor.flow.retry import RacedError, retried
from processor.flow.snapshot import Snapshot
from processor.flow.statement_days import keep_statement_days, wrong_statement_day
from processor.store.card_file import (
    Adoption,
    CardRow,
    ProfileRow,
    adopt_accounts,
    close_missing,
    find_references,
    keep_cards,
    keep_profiles,
    keep_references,
    open_accounts,
    parked_of,
    referenced,
)
from processor.store.card_side import lock_accounts
from processor.store.directory import CardAddress, account_id_of_reference, bucket_of, find_cards, name_of_token
from processor.store.reference import load_bucket_count

RECORDS_IN_A_TRANSACTION: Final = 500
KEPT_ERRORS: Final = 100

_PAN: Final = re.compile(r"[0-9]{12,19}")
_ROLES: Final = frozenset({"primary", "supplementary"})
_STATUSES: Final = frozenset({"active", "blocked", "closed"})


class UnknownBankError(ValueError):
    """No programme names the bank of a card file; the text says which are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFileRecord:
    """One record of a card file, as text; the card numbers become tokens in the first step and are kept nowhere."""

    card_number: Pan
    account_reference: str
    product: str
    role: str = "primary"
    predecessor_card_number: Pan | None = None
    member_number: str = ""
    opened_on: str = ""
    status: str = "active"
    status_from: str = ""
    statement_day: str = ""


@dataclass(slots=True, kw_only=True)
class CardFileResult:
    """What became of a card file; ``errors`` are (record number from 1, problem), at most the first hundred."""

    taken: int = 0
    accounts_opened: int = 0
    cards_closed: int = 0
    messages_decided: int = 0
    rejected: int = 0
    errors: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checked:
    record: CardFileRecord
    card: CardReference
    predecessor: CardReference | None
    programme: str
    opened_on: date | None
    status_from: date | None


@dataclass(slots=True, kw_only=True)
class CardFileIntake:
    """Takes one card file, piece by piece; ``finish`` ends a full one."""

    bank: str
    full: bool
    decider: BatchDecider
    intake: Intake
    result: CardFileResult = field(default_factory=CardFileResult)
    _started_at: datetime | None = None
    _numbered: int = 0

    def take(self, records: Sequence[CardFileRecord]) -> None:
        """Take records; raises :class:`UnknownBankError` before anything is written."""
        with self.decider.engine.begin() as connection:
            snapshot = self.decider.snapshots.refresh(connection)
            bucket_count = load_bucket_count(connection)
        if self.bank not in snapshot.calendars:
            known = ", ".join(sorted(snapshot.calendars)) or "none; apply a programme first"
            raise UnknownBankError(f"no programme names this bank; known banks: {known}")
        self._started_at = self._started_at or self.decider.clock().astimezone(UTC)
        for start in range(0, len(records), RECORDS_IN_A_TRANSACTION):
            self._take_chunk(records[start : start + RECORDS_IN_A_TRANSACTION], snapshot, bucket_count)

    def finish(self) -> CardFileResult:
        """Close the cards that a full file left out, and return what became of the file.

        A full file with a rejected record closes nothing: the record might be the card it would close.
        """
        if self.full and self._started_at is not None and not self.result.rejected:
            with self.decider.engine.begin() as connection:
                cursor = connection.connection.cursor()
                self.result.cards_closed = close_missing(cursor, self.bank, self._started_at)
        return self.result

    def _take_chunk(self, records: Sequence[CardFileRecord], snapshot: Snapshot, bucket_count: int) -> None:
        checked: dict[int, _Checked] = {}
        for record in records:
            self._numbered += 1
            found = self._check(record, snapshot)
            if isinstance(found, str):
                self._reject(self._numbered, found)
            else:
                checked[self._numbered] = found
        if not checked:
            return
        entries = list(checked.values())
        joins, touched, elsewhere = retried("card_file", lambda: self._write(entries, bucket_count))
        for joined, survivor in joins:
            self.result.messages_decided += join_account(self.decider, self.intake, joined, survivor)
        self.decider.address_book.forget(entry.card for entry in entries)
        waiting = self._waiting(touched)
        if waiting:
            self.result.messages_decided += replay(self.decider, self.intake, waiting, len(waiting)).decided
        for number, entry in checked.items():
            if not elsewhere.isdisjoint(_tokens(entry.card)):
                self._reject(number, "the card belongs to another account_reference; a card keeps its account")
            else:
                self.result.taken += 1

    def _reject(self, number: int, problem: str) -> None:
        self.result.rejected += 1
        if len(self.result.errors) < KEPT_ERRORS:
            self.result.errors.append((number, problem))

    def _check(self, record: CardFileRecord, snapshot: Snapshot) -> _Checked | str:
        """Return the record with its card tokenised, or what to correct; never card data."""
        clear = record.card_number.clear()
        if not _PAN.fullmatch(clear) or not passes_check_digit(clear):
            return "card_number is not 12 to 19 digits with a right check digit"
        before = record.predecessor_card_number
        if before is not None and not (_PAN.fullmatch(before.clear()) and passes_check_digit(before.clear())):
            return "predecessor_card_number is not 12 to 19 digits with a right check digit"
        reference = record.account_reference
        if not 1 <= len(reference) <= 64 or not reference.isprintable():
            return "account_reference is not 1 to 64 printable characters"
        if _is_card_number(reference):
            return "account_reference looks like a card number; hand over the bank's own reference"
        if _is_card_number(record.member_number):
            return "member_number looks like a card number; hand over the programme's own number"
        programme, product = snapshot.products.get(record.product, ("", None))
        if product is None or product.bank != self.bank:
            products = sorted(known for known, (_, terms) in snapshot.products.items() if terms.bank == self.bank)
            return f"product is none of {self.bank}'s; use one of {', '.join(products)}"
        wrong = _wrong_words(record) or wrong_statement_day(record.statement_day, snapshot.programmes[programme])
        if wrong is not None:
            return wrong
        try:
            opened_on, status_from = _date(record.opened_on), _date(record.status_from)
        except ValueError:
            return "opened_on and status_from are dates such as 2026-03-31, or empty"
        tokeniser = self.intake.tokeniser(snapshot)
        card = tokeniser.reference(record.card_number)
        predecessor = None if before is None else tokeniser.reference(before)
        if any(snapshot.bank_of(named.product) not in {None, self.bank} for named in (card, predecessor) if named):
            return "card_number or predecessor_card_number lies in a card range of another bank"
        return _Checked(
            record=record,
            card=card,
            predecessor=predecessor,
            programme=programme,
            opened_on=opened_on,
            status_from=status_from,
        )

    def _write(
        self, checked: Sequence[_Checked], bucket_count: int
    ) -> tuple[list[tuple[CardAddress, CardAddress]], list[CardAddress], set[bytes]]:
        """Write one chunk in a transaction.

        Returns the accounts to join, all accounts it touched, and the tokens of cards that belong to another reference.
        """
        now = self.decider.clock().astimezone(UTC)
        with self.decider.engine.begin() as connection:
            cursor = connection.connection.cursor()
            homes = self._homes(cursor, checked, bucket_count)
            addresses = sorted(set(homes.values()), key=lambda to: (to.bucket, to.account))
            opened = open_accounts(cursor, self.bank, addresses, now)
            lock_accounts(cursor, [(to.bucket, to.account) for to in addresses])
            keep_references(cursor, self.bank, homes)
            if find_references(cursor, self.bank, list(homes)) != homes:
                raise RacedError
            named = [card for entry in checked for card in (entry.card, entry.predecessor) if card is not None]
            known = find_cards(cursor, sorted({token for card in named for token in _tokens(card)}))
            rows = {row.token: row for entry in checked for row in _card_rows(entry, homes, known, self.bank)}
            keep_cards(cursor, list(rows.values()), max(now, self._started_at or now))
            adopt_accounts(cursor, _terms(checked, homes, self.bank), now)
            profiles = {homes[entry.record.account_reference]: _profile(entry, homes) for entry in checked}
            keep_profiles(cursor, list(profiles.values()), now)
            days = [(entry.record.account_reference, entry.record.statement_day) for entry in checked]
            stated = {homes[reference]: day for reference, day in days if day}
            keep_statement_days(connection, self.bank, stated, self.decider.clock())
            led = find_cards(cursor, list(rows))
            wanted = {
                token: homes[entry.record.account_reference] for entry in checked for token in _tokens(entry.card)
            }
            elsewhere = {token: to for token, to in led.items() if to.account != wanted[token].account}
            others = referenced(cursor, [address.account for address in elsewhere.values()]) if elsewhere else set()
        self.result.accounts_opened += opened
        joins = {(address, wanted[token]) for token, address in elsewhere.items() if address.account not in others}
        kept_elsewhere = {token for token, address in elsewhere.items() if address.account in others}
        return sorted(joins, key=lambda pair: pair[0].account), addresses, kept_elsewhere

    def _homes(self, cursor: Any, checked: Sequence[_Checked], bucket_count: int) -> dict[str, CardAddress]:
        """Return the account each reference belongs to: its own, its predecessor card's, its card's, or a new one."""
        tokens = {entry.card.token for entry in checked}
        tokens.update(token for entry in checked for token in entry.card.alternates)
        before = [entry.predecessor for entry in checked if entry.predecessor]
        tokens.update(token for card in before for token in (card.token, *card.alternates))
        homes = find_references(cursor, self.bank, sorted({entry.record.account_reference for entry in checked}))
        cards = find_cards(cursor, sorted(tokens))
        taken = set(homes.values())
        for entry in checked:
            reference = entry.record.account_reference
            if reference in homes:
                continue
            candidates = [*_led(entry.predecessor, cards), *_led(entry.card, cards)]
            free = next((address for address in candidates if address not in taken), None)
            account = account_id_of_reference(self.bank, reference)
            homes[reference] = free or CardAddress(account=account, bucket=bucket_of(account, bucket_count))
            taken.add(homes[reference])
        return homes

    def _waiting(self, addresses: Sequence[CardAddress]) -> list[tuple[int, bytes]]:
        with self.decider.engine.begin() as connection:
            cursor = connection.connection.cursor()
            return [key for address in addresses for key in parked_of(cursor, address, [Reason.UNKNOWN_CARD])]


def _wrong_words(record: CardFileRecord) -> str | None:
    if record.role not in _ROLES or record.status not in _STATUSES:
        return f"role is one of {', '.join(sorted(_ROLES))}, status one of {', '.join(sorted(_STATUSES))}"
    return None


def _is_card_number(value: str) -> bool:
    """Tell whether a text could be a card number, also one that is written in groups."""
    digits = value.replace(" ", "").replace("-", "")
    return _PAN.fullmatch(digits) is not None and passes_check_digit(digits)


def _date(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def _led(card: CardReference | None, cards: dict[bytes, CardAddress]) -> list[CardAddress]:
    return [] if card is None else [cards[token] for token in _tokens(card) if token in cards]


def _tokens(card: CardReference) -> tuple[bytes, ...]:
    """Return a card's tokens under every live key, the active one's first."""
    return card.token, *card.alternates


def _card_rows(
    entry: _Checked, homes: dict[str, CardAddress], known: dict[bytes, CardAddress], bank: str
) -> Iterator[CardRow]:
    """Yield a card's row, and those it has under other live keys, which what was stored before still names.

    A card that is known under any key keeps the account it leads to.
    """
    home = homes[entry.record.account_reference]
    address = next((known[token] for token in _tokens(entry.card) if token in known), None)
    name = _name(entry, home, address, known)
    yield _card_row(entry, entry.card.token, address or home, bank, name)
    for token in entry.card.alternates:
        if token in known:
            yield _card_row(entry, token, known[token], bank, name)


def _name(entry: _Checked, home: CardAddress, address: CardAddress | None, known: dict[bytes, CardAddress]) -> str:
    """Return a card's name: what it has in its account, or that of the card it replaces there, or one of its own.

    A card that comes to an account, because it is new or its own account is joined, counts on where the other ended.
    """
    if address is not None and address == home:
        return address.card
    before = next((led.card for led in _led(entry.predecessor, known) if led == home), None)
    return before or (address.card if address is not None else name_of_token(entry.card.token))


def _card_row(entry: _Checked, token: bytes, address: CardAddress, bank: str, name: str) -> CardRow:
    return CardRow(
        token=token,
        key_id=entry.card.key_id,
        bank=bank,
        account=address.account,
        bucket=address.bucket,
        product=entry.record.product,
        last_four=entry.card.last_four,
        role=entry.record.role,
        status=entry.record.status,
        status_from=entry.status_from,
        predecessor=entry.predecessor.token if entry.predecessor else None,
        name=name,
    )


def _terms(checked: Sequence[_Checked], homes: dict[str, CardAddress], bank: str) -> dict[CardAddress, Adoption]:
    """Return each account's terms; a primary card's product leads.

    Of several primary cards an active one wins, because a replaced card may have been of another product.
    """
    terms: dict[CardAddress, Adoption] = {}
    for entry in sorted(checked, key=lambda entry: (entry.record.role == "primary", entry.record.status == "active")):
        leads = entry.record.role == "primary"
        terms[homes[entry.record.account_reference]] = Adoption(bank, entry.programme, entry.record.product, leads)
    return terms


def _profile(entry: _Checked, homes: dict[str, CardAddress]) -> ProfileRow:
    home = homes[entry.record.account_reference]
    return ProfileRow(
        bucket=home.bucket,
        account=home.account,
        reference=entry.record.account_reference,
        member_number=entry.record.member_number or None,
        opened_on=entry.opened_on,
    )
