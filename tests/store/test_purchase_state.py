"""A purchase's row: what was encoded comes back, also through the database's own JSON column."""

from datetime import UTC, date, datetime
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from processor.core.budget import Taken
from processor.core.event import Event
from processor.core.grant import Grant
from processor.core.kept_purchase import Purchase
from processor.core.lifecycle import Effect
from processor.core.message import MessageKind
from processor.core.money import Money
from processor.core.posting import ChargeKey, Template
from processor.core.purchase import Placed
from processor.core.tally import Counted
from processor.store.card_side import BatchWrites, load_purchases, write_batch
from processor.store.purchase_state import decode_purchase, encode_purchase
from processor.store.schema import id_of_day
from tests.conftest import TODAY, Database

LARGEST: Final = 2**63 - 1

TEXTS: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=16)
AMOUNTS: Final = st.integers(-LARGEST, LARGEST)
MONEY: Final = st.builds(Money, amount_minor=st.integers(0, 10**12), currency=st.sampled_from(["EUR", "USD", "JPY"]))
IDS: Final = st.binary(min_size=16, max_size=16)
DATES: Final = st.dates(date(2000, 1, 1), date(2099, 12, 31))


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Draw an event; its billing amount is its own amount, an equal one, another, or none."""
    amount = draw(st.none() | MONEY)
    billing = draw(st.just(amount) | st.none() | MONEY)
    return Event(
        message_id=draw(IDS),
        at=draw(st.integers(0, 2**40)),
        kind=draw(st.sampled_from(MessageKind)),
        effect=draw(st.sampled_from(Effect)),
        original=draw(TEXTS),
        trace=draw(TEXTS),
        credit=draw(st.booleans()),
        amount=amount,
        billing=billing,
        replacement=draw(st.none() | MONEY),
        replacement_billing=draw(st.none() | MONEY),
        part=draw(st.none() | st.tuples(st.integers(1, 99), st.integers(1, 99))),
        acquirer_reference=draw(TEXTS),
        product=draw(TEXTS),
        processing_code=draw(TEXTS),
        acquirer=draw(TEXTS),
        acceptor=draw(TEXTS),
        terminal=draw(TEXTS),
        mcc=draw(TEXTS),
        local_date=draw(DATES),
        lifecycle=draw(TEXTS),
        approval=draw(TEXTS),
        retrieval=draw(TEXTS),
        trace_number=draw(TEXTS),
        estimated=draw(st.booleans()),
        supersedes=draw(st.booleans()),
        local_time=draw(st.sampled_from(["", "0000", "2359"])),
        channel=draw(st.sampled_from(["", "e-commerce"])),
        refers_to=draw(st.lists(IDS, max_size=2).map(tuple)),
        product_codes=draw(st.sampled_from([(), ("019",), ("019", "400")])),
        taken_off=draw(st.sampled_from([(), (("cashback", 5000),), (("cashback", 5000), ("surcharges", 150))])),
    )


PLACED: Final = st.lists(st.builds(Placed, purchase=IDS, amount=MONEY, billing=MONEY), max_size=2).map(tuple)
PURCHASES: Final = st.builds(
    Purchase,
    id=IDS.map(lambda drawn: id_of_day(TODAY) + drawn[3:]),
    events=st.lists(events(), max_size=3).map(tuple),
    revision=st.none() | st.integers(1, 1000),
    occurred_on=st.none() | DATES,
    partner=st.none() | TEXTS,
    grants=st.lists(
        st.builds(
            Grant,
            rule=TEXTS,
            unit=TEXTS,
            entitled=AMOUNTS,
            granted=AMOUNTS,
            available=AMOUNTS,
            counted=st.builds(Counted, progress=AMOUNTS, earned=AMOUNTS, cut=AMOUNTS),
            budgets=st.lists(st.builds(Taken, pool=TEXTS, period=TEXTS, units=AMOUNTS), max_size=2).map(tuple),
            review=TEXTS,
        ),
        max_size=3,
    ).map(tuple),
    charges=st.dictionaries(
        st.builds(ChargeKey, template=st.sampled_from(Template), debtor=TEXTS, creditor=TEXTS, currency=TEXTS),
        AMOUNTS,
        max_size=3,
    ),
    merged_into=st.none() | IDS,
    head=st.none() | IDS,
    siblings=st.lists(IDS, max_size=2).map(tuple),
    parted=st.booleans(),
    refunded=PLACED,
    placed=PLACED,
)


@given(purchase=PURCHASES)
def test_a_purchase_comes_back(purchase: Purchase) -> None:
    """Decoding what was encoded gives an equal purchase."""
    assert purchase == decode_purchase(purchase.id, encode_purchase(purchase))


@given(purchase=PURCHASES)
def test_encoding_again_gives_the_same_text(purchase: Purchase) -> None:
    """A purchase that was read and not changed is written as it was."""
    encoded = encode_purchase(purchase)

    assert encoded == encode_purchase(decode_purchase(purchase.id, encoded))


@given(event=events())
def test_one_amount_stays_one(event: Event) -> None:
    """The fold asks whether both amounts are the same thing; that survives, and never appears by itself."""
    purchase = Purchase(id=event.message_id, events=(event,))

    (found,) = decode_purchase(purchase.id, encode_purchase(purchase)).events

    assert (event.billing is event.amount) == (found.billing is found.amount)


def test_purchases_come_back_from_the_database(database: Database) -> None:
    """Text that COPY and JSON give a meaning to survives in the row, when it is new and when it is replaced."""
    awkward = "\\ \\N \\. \t \n \r \" ' { } , \x00 \x7f ß€𝄞 \u2028"
    first = Purchase(id=id_of_day(TODAY) + bytes(13), events=(_event(awkward),), partner=awkward)
    second = Purchase(id=id_of_day(TODAY) + bytes([1]) * 13, merged_into=first.id)
    changed = Purchase(id=first.id, events=(_event(awkward), _event(awkward[::-1])), revision=2)
    keys = [(3, first.id), (3, second.id)]
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    with database.service.begin() as connection:
        cursor: Any = connection.connection.cursor()
        writes = BatchWrites(now=now, new_purchases={keys[0]: (bytes(16), first), keys[1]: (bytes(16), second)})
        write_batch(cursor, writes, ())
        assert {keys[0]: first, keys[1]: second} == load_purchases(cursor, keys)

        write_batch(cursor, BatchWrites(now=now, changed_purchases={keys[0]: changed}), ())
        assert {keys[0]: changed, keys[1]: second} == load_purchases(cursor, keys)


def _event(words: str) -> Event:
    return Event(
        message_id=bytes(16),
        at=1,
        kind=MessageKind.AUTHORIZATION,
        effect=Effect.AUTHORIZED,
        original="",
        trace=words,
        credit=False,
        amount=None,
        billing=None,
        replacement=None,
        replacement_billing=None,
        part=(1, 2),
        acquirer_reference=words,
        product=words,
        processing_code=words,
        acquirer=words,
        acceptor=words,
        terminal=words,
        mcc=words,
        local_date=TODAY,
    )
