"""Order does not matter: the same traffic, told in file order, shuffled, doubled, one by one or in frames, ends alike.

The law is stated over balances where no limit that spans purchases binds, so the programme's caps are raised out of
reach.
An account's id depends on which came first, the card's message or its bank's file; accounts are known by their cards.
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from random import Random
from typing import Any, Final

import pytest
import structlog

from examples.traffic.clearing import clearing_file
from examples.traffic.generate import Traffic, tell
from examples.traffic.host import replacement_amounts
from examples.traffic.portfolio import card_number, full_card_file, later_card_file
from examples.traffic.scene import Presentment, TrafficMessage
from examples.traffic.skyways import CLEARING_DIALECT, product_of
from processor.core.card import Pan
from processor.core.programme import Enrolment
from processor.flow.card_file import CardFileIntake, CardFileRecord
from processor.flow.submission import IncomingMessage
from processor.store.embedded import create_database, drop_database
from processor.store.engine import connect
from processor.wire.encode import encode_message
from tests.conftest import Database
from tests.flow.audit import assert_books_agree, award_sums, balances, count, ledger_sums, purchases, rows
from tests.flow.clearing_records import decided_as
from tests.flow.conftest import (
    DIALECTS,
    NOW,
    SKYWAYS,
    Pipeline,
    apply_skyways,
    iso87,
    make_pipeline,
    take_clearing_file,
)

TODAY: Final = date(2026, 11, 20)
SEEDS: Final = (1, 2, 3, 5, 8)
CAPS: Final = (("miles: 5000", "miles: 999999999"), ("miles: 150", "miles: 999999999"), ('"20.00"', '"9999999.00"'))


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFile:
    """One card file of a bank, the full one or the later one."""

    bank: str
    later: bool


Item = TrafficMessage | Presentment | CardFile


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the log out of the way."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def fresh(administrator_url: str, template_database: str) -> Callable[[], Any]:
    """Give a test as many pipelines as it asks for, each on a database of its own, with caps that never bind."""

    @contextmanager
    def make() -> Iterator[Pipeline]:
        urls = create_database(administrator_url, "test_order", template=template_database)
        database = Database(owner=connect(urls.owner_url), service=connect(urls.service_url), urls=urls)
        document = (SKYWAYS / "programme.yaml").read_text()
        for bound, raised in CAPS:
            assert 1 == document.count(bound), bound
            document = document.replace(bound, raised)
        apply_skyways(database, document=document)
        yield make_pipeline(database)
        database.owner.dispose()
        database.service.dispose()
        drop_database(administrator_url, "test_order")

    return make


@dataclass(slots=True, kw_only=True)
class Told:
    """Hands items in, in the order and the portions it is given."""

    pipeline: Pipeline
    traffic: Traffic
    files: int = field(default=0)

    def tell(self, items: Sequence[Item], portion: int) -> None:
        """Hand in so many items at a time: their messages as one frame, their presentments as a file of each bank."""
        for start in range(0, len(items), portion):
            part = items[start : start + portion]
            messages = [_incoming(item) for item in part if isinstance(item, TrafficMessage)]
            if messages:
                self.pipeline.send(*messages)
            for bank in self.traffic.institutions:
                cleared = [item for item in part if isinstance(item, Presentment) and item.bank == bank]
                if cleared:
                    self._clear(bank, cleared)
            for item in part:
                if isinstance(item, CardFile):
                    self._cards(item)

    def _clear(self, bank: str, presentments: Sequence[Presentment]) -> None:
        self.files += 1
        content = clearing_file(
            presentments, day=TODAY, institution=self.traffic.institutions[bank], sequence=self.files
        )
        take_clearing_file(
            io.BytesIO(content),
            bank=bank,
            dialect_name=CLEARING_DIALECT,
            intake=self.pipeline.intake,
            decider=self.pipeline.decider,
        )

    def _cards(self, file: CardFile) -> None:
        content = (later_card_file if file.later else full_card_file)(self.traffic.accounts, file.bank)
        taking = CardFileIntake(bank=file.bank, full=False, decider=self.pipeline.decider, intake=self.pipeline.intake)
        taking.take([_record(row) for row in csv.DictReader(io.StringIO(content))])
        assert [] == taking.finish().errors


def _incoming(sent: TrafficMessage) -> IncomingMessage:
    return IncomingMessage(
        caller_id=sent.caller_id,
        bank=sent.bank,
        dialect=sent.dialect,
        iso8583=sent.message,
        iso8583_response=sent.response or b"",
    )


def _record(row: dict[str, str]) -> CardFileRecord:
    before = row.pop("predecessor_card_number")
    return CardFileRecord(
        card_number=Pan(row.pop("card_number")), predecessor_card_number=Pan(before) if before else None, **row
    )


def ended(pipeline: Pipeline) -> dict[str, Any]:
    """Return how everything ended, each account named by its cards."""
    database = pipeline.database
    cards: dict[bytes, list[str]] = {}
    for account, token in rows(database, "SELECT account, encode(token, 'hex') FROM card ORDER BY token"):
        cards.setdefault(bytes(account), []).append(token)
    named = {account: "+".join(tokens).encode() for account, tokens in cards.items()}
    parked = rows(
        database,
        "SELECT p.account, p.message_id, p.reason FROM parked p JOIN account a ON a.bucket = p.bucket"
        " AND a.id = p.account",
    )
    assert_books_agree(pipeline)
    assert 0 == count(database, "message_conflict")
    return {
        "balances": {named[account]: held for account, held in balances(database).items()},
        "ledger": {(named[key[0]], *key[1:]): amount for key, amount in ledger_sums(database).items()},
        "awards": {(named[key[0]], *key[1:]): sums for key, sums in award_sums(database).items()},
        "purchases": {
            replace(seen, account=named[seen.account]) for seen in purchases(database) if seen.account in named
        },
        "parked": {(named[bytes(account)], bytes(message), reason) for account, message, reason in parked},
        "undecodable": {bytes(found) for (found,) in rows(database, "SELECT id FROM undecodable")},
        "messages": {bytes(found) for (found,) in rows(database, "SELECT DISTINCT id FROM message")},
        "cards": sorted(named.values()),
    }


def told_in_order(traffic: Traffic) -> list[Item]:
    """Return everything in the order of the files: cards, messages, clearing, and what the banks say later."""
    banks = list(traffic.institutions)
    full = [CardFile(bank=bank, later=False) for bank in banks]
    later = [CardFile(bank=bank, later=True) for bank in banks]
    return [*full, *traffic.messages, *traffic.presentments, *later]


@pytest.mark.parametrize("seed", SEEDS)
def test_any_order_ends_alike(fresh: Callable[[], Any], seed: int) -> None:
    """In file order by frames; shuffled one by one; shuffled and doubled in frames: all that is owed is the same."""
    traffic = tell(seed=seed, accounts=40, messages=150, today=TODAY, now=NOW.replace(hour=0))
    in_order = told_in_order(traffic)
    random = Random(seed)
    shuffled = random.sample(in_order, len(in_order))
    doubled = random.sample([*in_order, *in_order], 2 * len(in_order))
    outcomes = []
    for items, portion in ((in_order, 64), (shuffled, 1), (doubled, 64)):
        with fresh() as pipeline:
            Told(pipeline=pipeline, traffic=traffic).tell(items, portion)
            outcomes.append(ended(pipeline))

    first, *others = outcomes
    assert len(first["balances"]) > 20, "the traffic earns"
    assert first["parked"], "something waits for ever"
    assert 4 == len(first["undecodable"])
    for other in others:
        for name in first:
            assert first[name] == other[name], name


@pytest.mark.parametrize("seed", [13, 21])
def test_workers_and_desks_beside_each_other_end_alike(fresh: Callable[[], Any], seed: int) -> None:
    """Three workers are each told everything, messages, clearing and card files, in an order of their own, at once."""
    traffic = tell(seed=seed, accounts=40, messages=150, today=TODAY, now=NOW.replace(hour=0))
    in_order = told_in_order(traffic)
    with fresh() as pipeline:
        Told(pipeline=pipeline, traffic=traffic).tell(in_order, 64)
        alone = ended(pipeline)
    with fresh() as pipeline:
        workers = [
            Told(pipeline=make_pipeline(pipeline.database), traffic=traffic, files=number * 10_000)
            for number in range(3)
        ]

        def work(number: int) -> None:
            own = Random(seed * 10 + number)
            workers[number].tell(own.sample(in_order, len(in_order)), 7)

        with ThreadPoolExecutor(3) as threads:
            list(threads.map(work, range(3)))
        beside = ended(pipeline)

    for name in alone:
        assert alone[name] == beside[name], name


CHAINED: Final = {"retrieval_reference": "R00000000001"}
APPROVED: Final = {"approval_code": "APPR01"}


def knot(bank: str, card: str, place: int) -> list[IncomingMessage | bytes]:
    """Build one purchase whose messages are tied to each other by one reference each, so that no two share them all.

    Two decisions and an increment of one trace differ in their amounts, and so do two partial reversals: which of them
    counts must not be told by their arrival.
    The two clearing records come as bytes.
    """
    dialect = "iso87-ascii" if bank == "alpha" else "iso87-bcd"
    original = f"0100{place * 10 + 1:06d}1119110000{'12345678':0>11}{'0':0>11}"

    def message(mti: str, number: int, time: str, minor: int, **fields: str) -> IncomingMessage:
        values = {"pan": card, "amount": str(minor), "currency": "840", "local_date": "1119", "acceptor": "KNOT"}
        values |= {"trace_number": f"{place * 10 + number:06d}", "transmission_date_time": f"1119{time}"}
        values["retrieval_reference"] = ""
        return iso87(mti, bank=bank, dialect=dialect, **{**values, **fields})

    def presentment(part: str, minor: int, **fields: str) -> bytes:
        values = {
            "pan": card,
            "processing_code": "000000",
            "amount": str(minor),
            "local_date_time": "261119110000",
            "function_code": "200",
            "mcc": "5411",
            "acquirer_reference": f"7123456{place:016d}",
            "acquirer": "12345678",
            "acceptor": "KNOT",
            "currency": "840",
            "clearing_part": part,
        }
        return encode_message(DIALECTS[CLEARING_DIALECT], "1240", values | fields)

    return [
        message("0110", 1, "110000", 10_000, response_code="00"),
        message("0120", 1, "110000", 12_000, response_code="00"),
        message("0120", 5, "110300", 15_000, response_code="00", original_data=original, **CHAINED),
        message("0420", 3, "110500", 15_000, original_data=original, replacement_amounts=replacement_amounts(9_000)),
        message("0420", 4, "110600", 15_000, original_data=original, replacement_amounts=replacement_amounts(7_000)),
        message("0100", 8, "110700", 7_000, **CHAINED, **APPROVED),
        presentment("0103", 3_000, **CHAINED),
        presentment("0203", 2_500, **APPROVED),
    ]


@pytest.mark.parametrize("bank", ["alpha", "beta"])
def test_a_knot_unties_alike_from_every_end(fresh: Callable[[], Any], bank: str) -> None:
    """The same tangled purchase of thirty cards, told to each in another order, is one purchase with the same result.

    Whatever arrives first begins purchases that later turn out to be one; those give everything back and merge.
    """
    cards = [card_number(product_of(bank, Enrolment.AUTOMATIC), 700 + number).clear() for number in range(30)]
    random = Random(bank)
    with fresh() as pipeline:
        for place, card in enumerate(cards):
            items = knot(bank, card, place)
            _tell_knot(pipeline, bank, random.sample(items, len(items)), together=random.random() < 0.5)
        assert_books_agree(pipeline)
        assert 0 == count(pipeline.database, "message_conflict")
        merged = count(pipeline.database, "purchase", "state ->> 'merged_into' IS NOT NULL")
        whole = {
            (seen.occurred_on, seen.partner, seen.grants, seen.charges, len(seen.messages))
            for seen in purchases(pipeline.database)
        }
        accounts = len(balances(pipeline.database))
        held = set(balances(pipeline.database).values())
        ledgers = ledger_sums(pipeline.database)

    assert merged > len(cards) // 2, "many orders begin several purchases"
    assert len(cards) == accounts
    assert 1 == len(held) == len(whole)
    assert [8] == [messages for *_, messages in whole]
    ((pending, available),) = held
    assert (46 - 37, 37) == (pending, available), "70.00 USD remain, of which 55.00 have cleared"
    assert 1 == len({amount for (_, ledger, _), amount in ledgers.items() if ledger == f"party/{bank}/settlement"})


def _tell_knot(pipeline: Pipeline, bank: str, items: list[IncomingMessage | bytes], *, together: bool) -> None:
    """Tell a knot one by one, or with the messages between two clearing records in one frame."""
    frame: list[IncomingMessage] = []
    for number, item in enumerate(items):
        if isinstance(item, IncomingMessage):
            frame.append(item)
        if frame and not (together and isinstance(item, IncomingMessage) and number + 1 < len(items)):
            pipeline.send(*frame)
            frame = []
        if isinstance(item, bytes):
            stored = decided_as(pipeline, item, number=2, file_id="KNOTS", bank=bank)
            pipeline.decider.decide([stored])
