"""From cards to accounts: the second step of the path, in a short transaction of its own.

An unseen card gets an account at once: an active one where its product enrols automatically, else a provisional one
that waits for the bank's card file.
The account's id comes from the card's token, so that every worker opens the same one.
"""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Engine

from processor.core.card import CardReference
from processor.flow.snapshot import Snapshot
from processor.store.directory import CardAddress, NewCard, account_id_of_token, bucket_of, find_cards, open_cards

CACHED_CARDS = 200_000
"""How many addresses a worker remembers; when there are more it starts afresh."""


class AddressBook:
    """Resolves cards to addresses; it remembers hits only, so that what another worker enrols is found.

    Several threads may share it: an address forgotten while another thread uses it costs that one a batch run again.
    """

    def __init__(self, engine: Engine, bucket_count: int) -> None:
        self._engine = engine
        self.bucket_count = bucket_count
        self._cached: dict[bytes, CardAddress] = {}

    def forget(self, cards: Iterable[CardReference]) -> None:
        """Forget cards whose account was joined to another one."""
        for card in cards:
            self._cached.pop(card.token, None)

    def resolve(
        self, cards: Iterable[tuple[str, CardReference]], snapshot: Snapshot, now: datetime
    ) -> dict[bytes, CardAddress]:
        """Return the address of each card by its token; ``cards`` pairs a bank with a card."""
        wanted = {card.token: (bank, card) for bank, card in cards}
        found = {token: address for token in wanted if (address := self._cached.get(token)) is not None}
        missing = {token: pair for token, pair in wanted.items() if token not in found}
        if missing:
            found.update(self._look_up(missing, snapshot, now))
        return found

    def _look_up(
        self, missing: dict[bytes, tuple[str, CardReference]], snapshot: Snapshot, now: datetime
    ) -> dict[bytes, CardAddress]:
        if len(self._cached) + len(missing) > CACHED_CARDS:
            self._cached.clear()
        tokens = [token for _, card in missing.values() for token in (card.token, *card.alternates)]
        with self._engine.begin() as connection:
            cursor = connection.connection.cursor()
            found = find_cards(cursor, tokens)
            unseen = [
                self._new_card(bank, card, snapshot)
                for bank, card in missing.values()
                if not any(token in found for token in (card.token, *card.alternates))
            ]
            if unseen:
                open_cards(cursor, unseen, now)
                found.update(find_cards(cursor, [card.token for card in unseen]))
        addresses = {
            card.token: next(found[token] for token in (card.token, *card.alternates) if token in found)
            for _, card in missing.values()
        }
        self._cached.update(addresses)
        return addresses

    def _new_card(self, bank: str, card: CardReference, snapshot: Snapshot) -> NewCard:
        """Return the card that opens an account at the bank whose product it is, whichever bank sent the message."""
        account = account_id_of_token(card.token)
        bank = snapshot.bank_of(card.product) or bank
        programme = snapshot.enrols_in(bank, card.product)
        return NewCard(
            token=card.token,
            key_id=card.key_id,
            bank=bank,
            product=card.product,
            last_four=card.last_four,
            account=account,
            bucket=bucket_of(account, self.bucket_count),
            programme=programme,
            provisional=programme is None,
        )
