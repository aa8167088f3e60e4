"""Any order of arrival and any duplication end in the same state: random histories beside a plain model.

Histories have everything that can happen to a purchase, several purchases of an account at once, references that are
used again and contradict each other, parts, merchants abroad, disputes, refunds without a reference, expiry, and what
operations say about links, under terms that change in the middle.
They are shuffled, doubled and cut into batches; some of the batches run in another worker.
Cards are known from the start, enrol by themselves, wait for a card file, or are joined by one in the middle.
"""

from collections.abc import Iterator
from datetime import timedelta
from random import Random
from typing import Any, Final

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from processor.core.message import CardMessage
from processor.core.outcome import Outcome, Reason
from processor.store.directory import CardAddress
from processor.store.purchase_state import decode_purchase
from tests.conftest import Database
from tests.flow.audit import assert_books_agree, count, rows
from tests.flow.conftest import DIALECTS, SKYWAYS, Pipeline, apply_skyways, make_pipeline
from tests.flow.histories import (
    HISTORIES,
    HOLDINGS,
    LONGEST_HOURS,
    START,
    Holding,
    Step,
    messages_of,
    random_history,
    random_holding,
)
from tests.flow.plain_model import Expected, Granted, Terms, expected, promised
from tests.flow.telling import Teller

BOOKED_BY_QUOTES: Final = (
    "SELECT count(*) FROM award a JOIN decision d ON (d.bucket, d.account, d.message_id)"
    " = (a.bucket, a.account, a.message_id) JOIN account c ON (c.bucket, c.id) = (a.bucket, a.account)"
    " WHERE d.reason = :quoted AND c.status <> 'joined'"
)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the log out of the way."""
    with structlog.testing.capture_logs():
        yield


def applied(database: Database, *, caps: tuple[str, ...]) -> Pipeline:
    """Build a pipeline whose refunds reach back, and whose terms change in the middle of every history.

    ``caps`` are the limits of the caps over several purchases, in the document's order.
    """
    document = (SKYWAYS / "programme.yaml").read_text()
    for shipped, limit in zip(("miles: 5000", "miles: 150", 'amount: "20.00"'), caps, strict=True):
        assert 1 == document.count(shipped)
        document = document.replace(shipped, f"{shipped.split()[0]} {limit}")
    document += "  - {id: fuel-fill, rules: [fuel-bonus], period: purchase, miles: 90}\n"
    first = document.replace("excluded:\n", "purchases: {refund_days: 9}\n\nexcluded:\n")
    changes = {
        "2026-01-01T00:00:00+01:00": (START + timedelta(hours=LONGEST_HOURS // 2)).isoformat(),
        'rate: {miles: 1, per: {EUR: "2.00", USD: "2.20"}}': 'rate: {miles: 2, per: {EUR: "3.00", USD: "3.50"}}',
        "funder: owner": "funder: bank",
        "rounding: half-up": "rounding: up",
        "refund_days: 9": "refund_days: 4",
        'mccs: ["4829"': 'mccs: ["5732"',
        "miles: 90": "miles: 120",
    }
    second = first
    for before, after in changes.items():
        assert before in second
        second = second.replace(before, after)
    apply_skyways(database, document=first, now=START - timedelta(days=1))
    apply_skyways(database, document=second, now=START)
    return make_pipeline(database)


@pytest.fixture
def uncapped(database: Database) -> Pipeline:
    """Give a test a pipeline on which no cap over several purchases binds."""
    return applied(database, caps=("999999999", "999999999", '"9999999.00"'))


@pytest.fixture
def capped(database: Database) -> Pipeline:
    """Give a test a pipeline on which the caps bind that count a month or a day."""
    return applied(database, caps=("100", "110", '"5.00"'))


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
    grants = [(grant.rule, grant.unit, grant.entitled, grant.granted, grant.available) for grant in purchase.grants]
    return [grant for grant in grants if grant[2] or grant[4]]


def check(teller: Teller, history: list[Step]) -> None:
    """Tell an account's history, and compare what the database says and what requests were told with the model."""
    compared = compare(teller, history)
    if compared is None:
        return
    said, found, terms = compared
    if not any(teller.holding.named_after):
        check_quotes(teller, terms)
    assert said == found


def compare(teller: Teller, history: list[Step]) -> tuple[Expected, Expected, Terms] | None:
    """Tell an account's history and return what the model and the database say, None where it has no message."""
    snapshot, bank = teller.pipelines[0].snapshots.current, teller.holding.bank
    messages = messages_of(history, bank, teller.cards)
    if not any(entry.card for entry in messages):
        return None
    terms = Terms(
        revisions=snapshot.programmes["skyways"],
        link=snapshot.links[bank.id, bank.dialect],
        product=teller.product,
        surviving=DIALECTS[bank.dialect].links,
    )
    teller.tell(messages)
    (address,) = {teller.address(entry) for entry in messages if entry.card}
    assert address is not None
    return expected(messages, terms), ended(teller.pipelines[0], address), terms


def check_quotes(teller: Teller, terms: Terms) -> None:
    """Compare what each request was promised with the model of what had arrived before it.

    A request that says anew where a purchase happened that earned leaves it as it was booked, and the next quote is
    measured against that.
    """
    before: list[CardMessage] = []
    for message, verdict in teller.told:
        if verdict.outcome is Outcome.DUPLICATE:
            continue
        said = [change for change in verdict.detail.get("changes", ()) if change[1] == terms.unit]
        quoted = sum(pending + available for _, _, pending, available, *_ in said)
        assert promised(before, message, terms) == (quoted if verdict.reason is Reason.QUOTED else None)
        before.append(message)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=HISTORIES, holding=HOLDINGS, seed=st.integers(0, 2**32))
def test_every_history_ends_as_the_plain_model_says(
    uncapped: Pipeline, history: list[Step], holding: Holding, seed: int
) -> None:
    """Shuffled, doubled, cut into batches over two workers: purchases, grants and balances are the model's."""
    workers = (uncapped, make_pipeline(uncapped.database))
    check(Teller(pipelines=workers, holding=holding, random=Random(seed)), history)


def test_the_books_agree_behind_many_histories(uncapped: Pipeline) -> None:
    """After hundreds of random histories every figure is proved from its rows."""
    workers = (uncapped, make_pipeline(uncapped.database))
    random = Random(20261125)
    for _ in range(150):
        teller = Teller(pipelines=workers, holding=random_holding(random), random=random)
        check(teller, random_history(random))
    assert 0 == count(uncapped.database, "account", "status = 'joined' AND (pending <> 0 OR available <> 0)")
    assert [(0,)] == rows(uncapped.database, BOOKED_BY_QUOTES, quoted=Reason.QUOTED)
    assert_books_agree(uncapped)


def test_caps_over_several_purchases_never_change_what_is_entitled(capped: Pipeline) -> None:
    """Where caps bind, purchases and what they are entitled to are the model's, and no cap gives more than it has."""
    workers = (capped, make_pipeline(capped.database))
    random = Random(20261125)
    for _ in range(60):
        teller = Teller(pipelines=workers, holding=random_holding(random), random=random)
        compared = compare(teller, random_history(random))
        if compared is not None:
            said, found, _ = compared
            assert said.entitled == found.entitled
    used = rows(capped.database, "SELECT cap, max(used), min(used) FROM limit_counter GROUP BY cap ORDER BY cap")
    limits = {"bank-monthly": 100, "fuel-daily": 110, "fuel-fill": 120, "moda-monthly": 5_00}
    assert limits.keys() == {cap for cap, _, _ in used}
    assert all(0 <= least <= most <= limits[cap] for cap, most, least in used)
    assert_books_agree(capped)
