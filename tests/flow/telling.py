"""Telling a history to workers: shuffled, doubled, cut into batches, with the bank's card files in the middle of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from random import Random
from typing import Final

from examples.traffic.portfolio import card_number
from examples.traffic.skyways import product_of
from processor.core.card import CardReference, Pan
from processor.core.message import CardMessage
from processor.core.outcome import Outcome
from processor.core.programme import Enrolment
from processor.flow.card_file import CardFileIntake, CardFileRecord
from processor.flow.submission import Submission, Verdict
from processor.store.directory import CardAddress, find_cards
from processor.wire.stored import message_to_json
from tests.flow.conftest import Pipeline
from tests.flow.histories import Holding

SERIALS: Final = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFile:
    """A card file of the bank: it names these cards, by their place, for one account."""

    places: tuple[int, ...]


@dataclass(slots=True, kw_only=True)
class Teller:
    """Tells the history of one account's cards to several workers; ``told`` is what they said to each message."""

    pipelines: Sequence[Pipeline] = field(repr=False)
    holding: Holding
    random: Random
    pans: tuple[Pan, ...] = ()
    cards: tuple[CardReference, ...] = ()
    card_of: dict[bytes, CardReference] = field(default_factory=dict)
    told: list[tuple[CardMessage, Verdict]] = field(default_factory=list)

    def __post_init__(self) -> None:
        tokeniser = self.pipelines[0].intake.tokeniser(self.pipelines[0].snapshots.current)
        self.pans = tuple(card_number(self.product, next(SERIALS)) for _ in range(2))
        self.cards = tuple(tokeniser.reference(pan) for pan in self.pans)[: len(self.holding.named_after) or 1]

    @property
    def product(self) -> str:
        """The card product of all the cards."""
        return product_of(self.holding.bank.id, self.holding.enrolment)

    def tell(self, messages: Sequence[CardMessage]) -> None:
        """Hand everything in, in another order."""
        self.card_of = {entry.message_id: entry.card for entry in messages if entry.card}
        often = self.random.choice([0.0, 0.3, 1.0])
        batch: list[CardMessage] = []
        for entry in self.arrivals(messages):
            if isinstance(entry, CardFile) or (entry.card is None and self.address(entry) is None):
                self._decide(batch)
                batch = []
            if isinstance(entry, CardFile):
                self._hand_in(entry)
                continue
            batch.append(entry)
            if self.random.random() < often:
                self._decide(batch)
                batch = []
        self._decide(batch)

    def arrivals(self, messages: Sequence[CardMessage]) -> list[CardMessage | CardFile]:
        """Return the messages in another order, some twice, and the card files among them.

        What is said about messages comes behind them, and not before they are of one account.
        """
        doubled = self.random.sample(messages, len(messages))
        doubled += self.random.sample(messages, self.random.randint(0, len(messages)))
        waiting: list[CardMessage | CardFile] = list(doubled)
        for percent in sorted(set(self.holding.named_after), reverse=True):
            places = tuple(place for place, after in enumerate(self.holding.named_after) if after == percent)
            waiting.insert(len(doubled) * percent // 100, CardFile(places=places))
        result: list[CardMessage | CardFile] = []
        while waiting:
            entry = next(entry for entry in waiting if self._may_come(entry, result, waiting))
            waiting.remove(entry)
            result.append(entry)
        return result

    def _may_come(
        self,
        entry: CardMessage | CardFile,
        before: Sequence[CardMessage | CardFile],
        waiting: Sequence[CardMessage | CardFile],
    ) -> bool:
        if isinstance(entry, CardFile) or not entry.refers_to:
            return True
        arrived = {other.message_id for other in before if isinstance(other, CardMessage)}
        if not arrived.issuperset(entry.refers_to):
            return False
        one_account = len({self.card_of[named] for named in entry.refers_to}) == 1
        decided = one_account and self.holding.enrolment is Enrolment.AUTOMATIC
        return decided or not any(isinstance(other, CardFile) for other in waiting)

    def _decide(self, batch: Sequence[CardMessage]) -> None:
        pipeline = self.random.choice(self.pipelines)
        verdicts = pipeline.decider.decide([self._submission(pipeline, entry) for entry in batch])
        waits = {Outcome.PARKED} if self.holding.enrolment is Enrolment.CARD_FILE else set()
        assert {Outcome.ACCEPTED, Outcome.DUPLICATE} | waits >= {verdict.outcome for verdict in verdicts}
        self.told.extend(zip(batch, verdicts, strict=True))

    def _submission(self, pipeline: Pipeline, message: CardMessage) -> Submission:
        """Return a message as intake hands it on."""
        snapshot = pipeline.snapshots.current
        read = pipeline.intake.read_stored(message_to_json(message), snapshot, pipeline.now, replay=False)
        return read if message.card else replace(read, address=self.address(message))

    def _hand_in(self, file: CardFile) -> None:
        pipeline = self.random.choice(self.pipelines)
        taking = CardFileIntake(bank=self.holding.bank.id, full=False, decider=pipeline.decider, intake=pipeline.intake)
        taking.take(
            [
                CardFileRecord(
                    card_number=self.pans[place],
                    account_reference=f"account-{self.cards[0].token.hex()[:16]}",
                    product=self.product,
                    predecessor_card_number=self.pans[0] if place else None,
                )
                for place in file.places
            ]
        )
        result = taking.finish()
        assert (len(file.places), []) == (result.taken, result.errors)

    def address(self, message: CardMessage) -> CardAddress | None:
        """Return the account that a message is of now, None where its card was never seen."""
        card = message.card or self.card_of[message.refers_to[0]]
        with self.pipelines[0].database.service.connect() as connection:
            return find_cards(connection.connection.cursor(), [card.token]).get(card.token)
