"""Any order of arrival and any duplication end in the same state: random histories beside a plain model.

Histories have everything that can happen to a purchase, several purchases of one card at once, references that are used
again and contradict each other, disputes, refunds without a reference, expiry, and what operations say about links.
They are shuffled, doubled and cut into batches; some of the batches run in another worker.
"""

from collections.abc import Iterator
from itertools import count
from random import Random
from typing import Any, Final

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from examples.traffic.portfolio import card_number
from examples.traffic.skyways import product_of
from processor.core.links import trace_hashes
from processor.core.message import CardMessage
from processor.core.outcome import Outcome
from processor.core.programme import Enrolment
from processor.flow.submission import Submission
from processor.store.directory import CardAddress
from processor.store.purchase_state import decode_purchase
from processor.wire.stored import message_to_json
from tests.conftest import Database
from tests.flow.audit import assert_books_agree
from tests.flow.conftest import SKYWAYS, Pipeline, apply_skyways, make_pipeline
from tests.flow.histories import BANK, HISTORIES, Step, messages_of, random_history
from tests.flow.plain_model import Expected, Granted, Terms, expected

SURVIVING: Final = ("lifecycle_id", "approval_code", "retrieval_reference", "trace_number")
PRODUCT: Final = product_of(BANK, Enrolment.AUTOMATIC)
NUMBERS: Final = count(1)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the log out of the way."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def uncapped(database: Database) -> Pipeline:
    """Build a pipeline whose caps never bind and whose refunds reach back."""
    document = (SKYWAYS / "programme.yaml").read_text()
    for bound, raised in (
        ("miles: 5000", "miles: 999999999"),
        ("miles: 150", "miles: 999999999"),
        ('"20.00"', '"9999999.00"'),
    ):
        document = document.replace(bound, raised)
    document = document.replace("excluded:\n", "purchases:\n  refund_days: 9\n\nexcluded:\n", 1)
    apply_skyways(database, document=document)
    return make_pipeline(database)


def submission(pipeline: Pipeline, message: CardMessage, address: CardAddress | None) -> Submission:
    """Return a message as intake hands it on."""
    surviving = SURVIVING if message.dialect else ()
    return Submission(
        message=message,
        fields=message_to_json(message),
        link=pipeline.snapshots.current.links[BANK, "iso87-bcd"],
        traces=trace_hashes(message, surviving),
        age_days=0,
        surviving=surviving,
        address=None if message.card else address,
    )


def told(messages: list[CardMessage], random: Random) -> list[CardMessage]:
    """Return the messages in another order, some twice; what is said about a message comes behind it."""
    shuffled = random.sample(messages, len(messages))
    doubled = [*shuffled, *random.sample(messages, random.randint(0, len(messages)))]
    known: set[bytes] = set()
    waiting, result = doubled, []
    while waiting:
        ready = [entry for entry in waiting if known.issuperset(entry.refers_to)]
        entry = ready[0]
        waiting.remove(entry)
        known.add(entry.message_id)
        result.append(entry)
    return result


def tell(pipelines: list[Pipeline], messages: list[CardMessage], random: Random) -> None:
    """Hand messages in, cut into batches, each to one of the workers."""
    rest = list(messages)
    address: CardAddress | None = None
    while rest:
        size = random.randint(1, len(rest))
        batch, rest = rest[:size], rest[size:]
        while address is None and not all(entry.card for entry in batch):
            batch, rest = batch[:-1], [batch[-1], *rest]
        pipeline = random.choice(pipelines)
        verdicts = pipeline.decider.decide([submission(pipeline, entry, address) for entry in batch])
        assert {Outcome.ACCEPTED, Outcome.DUPLICATE} >= {verdict.outcome for verdict in verdicts}
        address = address or address_of(pipeline, batch[0])


def address_of(pipeline: Pipeline, message: CardMessage) -> CardAddress:
    """Return where a message was decided."""
    with pipeline.database.service.connect() as connection:
        row = connection.execute(
            text("SELECT bucket, account FROM message WHERE id = :id"), {"id": message.message_id}
        ).one()
    return CardAddress(bucket=row.bucket, account=bytes(row.account))


def ended(pipeline: Pipeline, address: CardAddress) -> Expected:
    """Return what the database says the account comes to."""
    values = {"bucket": address.bucket, "account": address.account}
    with pipeline.database.service.connect() as connection:
        held = connection.execute(
            text("SELECT pending, available FROM account WHERE bucket = :bucket AND id = :account"), values
        ).one()
        rows = connection.execute(
            text("SELECT id, state::text AS state FROM purchase WHERE bucket = :bucket AND account = :account"), values
        ).all()
    decoded = [decode_purchase(bytes(row.id), row.state) for row in rows]
    purchases = [
        (frozenset(event.message_id for event in purchase.events), frozenset(_granted(purchase)))
        for purchase in decoded
        if purchase.merged_into is None
    ]
    assert len(purchases) == len(set(purchases))
    return Expected(purchases=frozenset(purchases), pending=held.pending, available=held.available)


def _granted(purchase: Any) -> list[Granted]:
    grants = [(grant.rule, grant.unit, grant.entitled, grant.available) for grant in purchase.grants]
    return [grant for grant in grants if grant[2] or grant[3]]


def check(pipelines: list[Pipeline], history: list[Step], random: Random) -> None:
    """Tell one card's history and compare what the database says with the model."""
    pipeline = pipelines[0]
    pan = card_number(PRODUCT, next(NUMBERS))
    card = pipeline.intake.tokeniser(pipeline.snapshots.current).reference(pan)
    messages = messages_of(history, card)
    if not any(entry.card for entry in messages):
        return
    link = pipeline.snapshots.current.links[BANK, "iso87-bcd"]
    revisions = pipeline.snapshots.current.programmes["skyways"]
    terms = Terms(revisions=revisions, link=link, product=PRODUCT, surviving=SURVIVING)
    tell(pipelines, told(messages, random), random)
    address = address_of(pipeline, next(entry for entry in messages if entry.card))
    assert expected(messages, terms) == ended(pipeline, address)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=HISTORIES, seed=st.integers(0, 2**32))
def test_every_history_ends_as_the_plain_model_says(uncapped: Pipeline, history: list[Step], seed: int) -> None:
    """Shuffled, doubled, cut into batches over two workers: purchases, grants and balances are the model's."""
    check([uncapped, make_pipeline(uncapped.database)], history, Random(seed))


def test_the_books_agree_behind_many_histories(uncapped: Pipeline) -> None:
    """After hundreds of random histories every figure is proved from its rows."""
    other = make_pipeline(uncapped.database)
    random = Random(20261125)
    for _ in range(150):
        check([uncapped, other], random_history(random), random)
    assert_books_agree(uncapped)
