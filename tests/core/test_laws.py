"""Laws that every history obeys, whatever its messages and the order in which they arrive: the auditor's view."""

from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, ROUND_UP, Decimal
from random import Random
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from processor.core.cap import CounterKey, period_of
from processor.core.event import Event
from processor.core.kept_purchase import Purchase
from processor.core.lifecycle import Effect
from processor.core.message import MessageKind
from processor.core.money import Rounding
from processor.core.posting import Template, party_of
from processor.core.programme import Programme
from processor.core.purchase import fold
from processor.core.rule import Benefit, Funder, Rule
from processor.core.tally import cut_counter
from tests.core.strategies import (
    BANK,
    CAPPED,
    OWNER,
    UNCAPPED,
    UNIT,
    Books,
    Histories,
    arrivals,
    eur,
    events,
    histories,
    presented,
    purchase_id,
)

LAW: Final = settings(max_examples=60, deadline=None)
RANDOM: Final = st.randoms(use_true_random=False)
_MODES: Final = {
    Rounding.UP: ROUND_UP,
    Rounding.DOWN: ROUND_DOWN,
    Rounding.HALF_UP: ROUND_HALF_UP,
    Rounding.HALF_EVEN: ROUND_HALF_EVEN,
}


def kept(history: Iterable[tuple[bytes, Event]], revisions: Sequence[Programme] = CAPPED) -> Books:
    """Return the books after events that arrive in this order."""
    books = Books(revisions=tuple(revisions))
    for purchase, event in history:
        books.take(purchase, event)
    return books


def shuffled(history: Histories, random: Random) -> list[tuple[bytes, Event]]:
    """Return the events in another order of arrival."""
    arrived = arrivals(history)
    random.shuffle(arrived)
    return arrived


def revision_of(books: Books, purchase: Purchase) -> Programme:
    """Return the revision a purchase was decided under."""
    return next(entry for entry in books.revisions if entry.revision == purchase.revision)


def payer(programme: Programme, rule: Rule, partner: str | None) -> str:
    """Return who pays for a rule, said without the code under test."""
    if rule.funder is Funder.PARTNER:
        assert partner is not None
        return programme.partners[partner].retailer
    return {Funder.BANK: BANK, Funder.OWNER: OWNER}[rule.funder]


def posted_money(books: Books) -> dict[tuple[str, str, str], int]:
    """Return what the money postings say each party owes another: charged less returned."""
    owed: Counter[tuple[str, str, str]] = Counter()
    for posting in books.postings:
        debtor, creditor = posting.debit, posting.credit
        if posting.template in {Template.MILES_CHARGED, Template.DISCOUNT_CHARGED}:
            owed[party_of(debtor), party_of(creditor), posting.unit] += posting.amount
        elif posting.template in {Template.MILES_CHARGE_RETURNED, Template.DISCOUNT_RETURNED}:
            owed[party_of(creditor), party_of(debtor), posting.unit] -= posting.amount
    return {key: amount for key, amount in owed.items() if amount}


def charged_money(books: Books) -> dict[tuple[str, str, str], int]:
    """Return what the purchases' charges say each party owes another."""
    owed: Counter[tuple[str, str, str]] = Counter()
    for purchase in books.purchases.values():
        for key, amount in purchase.charges.items():
            owed[key.debtor, key.creditor, key.currency] += amount
    return {key: amount for key, amount in owed.items() if amount}


def due_money(books: Books) -> dict[tuple[str, str, str], int]:
    """Return what each party owes another by the contract: discounts as given, miles at their price, once rounded."""
    owed: Counter[tuple[str, str, str]] = Counter()
    for purchase in books.purchases.values():
        miles: Counter[str] = Counter()
        for grant in purchase.grants:
            programme = revision_of(books, purchase)
            rule = programme.rule(grant.rule)
            funder = payer(programme, rule, purchase.partner)
            if rule.benefit is Benefit.MILES:
                miles[funder] += grant.available
            elif funder != BANK:
                owed[funder, BANK, grant.unit] += grant.available
        for funder, available in miles.items():
            price = programme.parties[funder].mile_price
            if price is not None:
                exact = Decimal(available * price.ratio.numerator) / price.ratio.denominator
                owed[funder, OWNER, price.currency] += int(exact.quantize(Decimal(1), _MODES[price.rounding]))
    return {key: amount for key, amount in owed.items() if amount}


def counted(books: Books) -> dict[CounterKey, int]:
    """Return what every cap counter must hold: all that capped purchases were granted above zero."""
    used: Counter[CounterKey] = Counter()
    for purchase in books.purchases.values():
        for grant in purchase.grants:
            assert purchase.occurred_on is not None
            for cap in revision_of(books, purchase).caps_on(grant.rule, grant.unit):
                granted = max(grant.granted, 0)
                taken = min(granted, 1) if cap.purchases else granted
                used[cap.id, period_of(cap, purchase.occurred_on, purchase.id)] += taken
            tally = revision_of(books, purchase).tallies.get(grant.rule)
            if tally is not None:
                used[tally.counter(grant.rule, purchase.occurred_on)] += grant.counted.progress
                used[cut_counter(tally.counter(grant.rule, purchase.occurred_on))] += grant.counted.cut
    return {key: units for key, units in used.items() if units}


def miles_by_funder(books: Books) -> dict[tuple[str, str], int]:
    """Return what the funders' miles accounts must hold: minus what is available at their cost."""
    issued: Counter[tuple[str, str]] = Counter()
    for purchase in books.purchases.values():
        for grant in purchase.grants:
            programme = revision_of(books, purchase)
            if grant.unit == UNIT:
                funder = payer(programme, programme.rule(grant.rule), purchase.partner)
                issued[f"party/{funder}/miles", UNIT] -= grant.available
    return {key: amount for key, amount in issued.items() if amount}


def audit(books: Books) -> None:
    """Assert that postings, purchases, awards and counters say the same."""
    grants = [(purchase.id, grant) for purchase in books.purchases.values() for grant in purchase.grants]
    pending = sum(grant.pending for _, grant in grants if grant.unit == UNIT)
    available = sum(grant.available for _, grant in grants if grant.unit == UNIT)
    balances = books.balances()
    assert (pending, available) == books.miles()
    assert -pending == balances.get(("programme/promised", UNIT), 0)
    assert miles_by_funder(books) == {key: held for key, held in balances.items() if key[0].endswith("/miles")}
    assert charged_money(books) == posted_money(books)
    assert due_money(books) == charged_money(books)
    assert counted(books) == {key: units for key, units in books.used.items() if units}
    awarded: Counter[tuple[bytes, str, str, str]] = Counter()
    for purchase, award in books.awards:
        awarded[purchase, award.rule, award.grant.unit, "pending"] += award.pending_change
        awarded[purchase, award.rule, award.grant.unit, "available"] += award.available_change
    granted: Counter[tuple[bytes, str, str, str]] = Counter()
    for purchase, grant in grants:
        granted[purchase, grant.rule, grant.unit, "pending"] += grant.pending
        granted[purchase, grant.rule, grant.unit, "available"] += grant.available
    assert +granted == +awarded
    assert -granted == -awarded


@LAW
@given(histories(), RANDOM)
def test_the_books_balance(history: Histories, random: Random) -> None:
    """After any history in any order, what is posted is what purchases hold, and nothing besides."""
    audit(kept(shuffled(history, random)))


@LAW
@given(histories(), RANDOM)
def test_the_order_of_arrival_does_not_matter(history: Histories, random: Random) -> None:
    """Without caps, any order ends with the same purchases and balances."""
    one, other = kept(arrivals(history), UNCAPPED), kept(shuffled(history, random), UNCAPPED)
    assert one.balances() == other.balances()
    for key, purchase in one.purchases.items():
        twin = other.purchases[key]
        if fold(purchase.events).anchor is not None:
            assert (purchase.revision, purchase.occurred_on) == (twin.revision, twin.occurred_on)
        assert purchase.partner == twin.partner
        assert set(purchase.grants) == set(twin.grants)
        assert purchase.charges == twin.charges


@LAW
@given(histories(), RANDOM)
def test_caps_never_change_what_is_entitled(history: Histories, random: Random) -> None:
    """With caps that bind in any order, a purchase is entitled to what it is entitled to without them."""
    capped, uncapped = kept(shuffled(history, random)), kept(arrivals(history), UNCAPPED)
    for key, purchase in uncapped.purchases.items():
        assert {(grant.rule, grant.unit, grant.entitled) for grant in purchase.grants if grant.entitled} == {
            (grant.rule, grant.unit, grant.entitled) for grant in capped.purchases[key].grants if grant.entitled
        }


@LAW
@given(histories(), RANDOM)
def test_no_cap_is_ever_exceeded(history: Histories, random: Random) -> None:
    """After each message, no period holds more than its cap's limit, and no counter falls below nothing."""
    limits = {
        cap.id: max(entry.limit for programme in CAPPED for entry in programme.caps if entry.id == cap.id)
        for programme in CAPPED
        for cap in programme.caps
    }
    books = Books()
    for purchase, event in shuffled(history, random):
        books.take(purchase, event)
        assert all(0 <= units <= limits[cap] for (cap, _), units in books.used.items())


@LAW
@given(histories(), RANDOM)
def test_a_grant_lies_between_its_bounds(history: Histories, random: Random) -> None:
    """Nothing is granted above what is due, or below zero unless a refund stands alone; that one is taken in full."""
    for purchase in kept(shuffled(history, random)).purchases.values():
        for grant in purchase.grants:
            assert grant.available <= grant.granted
            assert min(grant.entitled, 0) <= grant.granted <= grant.entitled


@LAW
@given(histories(), RANDOM, st.sampled_from([Effect.NONE, Effect.REQUESTED]))
def test_what_adds_nothing_posts_nothing(history: Histories, random: Random, effect: Effect) -> None:
    """A message that says nothing new about a purchase changes neither it nor any counter."""
    books = kept(shuffled(history, random))
    for purchase in list(books.purchases.values()):
        anchor = fold(purchase.events).anchor
        if anchor is None or anchor.credit or anchor.effect not in {Effect.AUTHORIZED, Effect.FINAL}:
            continue
        used = dict(books.used)
        last = max(event.at for event in purchase.events)
        decision = books.take(purchase.id, anchor._replace(message_id=b"\xff" * 16, at=last + 1, effect=effect))
        assert ((), ()) == (decision.postings, decision.awards)
        assert purchase.grants == decision.purchase.grants
        assert used == books.used


def undoing(events_of: Sequence[Event]) -> list[Event]:
    """Return what takes every event back: each authorization reversed, each clearing record withdrawn."""
    last = max(event.at for event in events_of)
    undo: list[Event] = []
    for number, event in enumerate(events_of):
        later = event._replace(message_id=bytes([255] * 8 + [number] * 8), at=last + 1, replacement=None)
        if event.effect is Effect.CLEARED:
            undo.append(later._replace(kind=MessageKind.PRESENTMENT_REVERSAL, effect=Effect.UNCLEARED))
        elif event.effect in {Effect.AUTHORIZED, Effect.FINAL}:
            undo.append(later._replace(kind=MessageKind.REVERSAL, effect=Effect.REVERSED, replacement_billing=None))
    return undo


@LAW
@given(histories(), RANDOM)
def test_undoing_everything_leaves_nothing(history: Histories, random: Random) -> None:
    """When all is reversed and withdrawn, in whatever order it arrives, no mile, no money and no headroom is left."""
    undone = tuple((*events_of, *undoing(events_of)) for events_of in history)
    books = kept(shuffled(undone, random))
    assert {} == books.balances()
    assert not any(books.used.values())
    for purchase in books.purchases.values():
        assert ((), {}) == (purchase.grants, purchase.charges)


@LAW
@given(histories(1), RANDOM)
def test_a_merged_purchase_was_never_two(history: Histories, random: Random) -> None:
    """Two purchases that turn out to be one end as if they had been one from the start."""
    *arrived, (_, last) = shuffled(history, random)
    whole = kept([*((purchase_id(0), event) for _, event in arrived), (purchase_id(0), last)], UNCAPPED)
    parts = kept([(purchase_id(random.randrange(2)), event) for _, event in arrived], UNCAPPED)
    for index in (0, 1):
        parts.purchases.setdefault(purchase_id(index), Purchase(id=purchase_id(index)))
    parts.merge(purchase_id(1), purchase_id(0))
    parts.take(purchase_id(0), last)
    survivor, original = parts.purchases[purchase_id(0)], whole.purchases[purchase_id(0)]
    assert whole.balances() == parts.balances()
    assert set(original.grants) == set(survivor.grants)
    assert original.charges == survivor.charges
    assert purchase_id(0) == parts.purchases[purchase_id(1)].merged_into
    audit(parts)


@LAW
@given(histories(2), RANDOM)
def test_a_merge_keeps_the_books(history: Histories, random: Random) -> None:
    """With caps that bind, a merge gives back what it withdraws before the survivor asks again."""
    *arrived, (_, last) = shuffled(history, random)
    books = kept(arrived)
    gone, survivor = purchase_id(1), purchase_id(0)
    for key in (gone, survivor):
        books.purchases.setdefault(key, Purchase(id=key))
    books.merge(gone, survivor)
    books.take(survivor, last)
    audit(books)


@LAW
@given(histories(2), RANDOM)
def test_a_quote_says_what_an_approval_gives(history: Histories, random: Random) -> None:
    """A quote books and counts nothing, and promises what the approved outcome then gives."""
    arrived = [(key, event) for key, event in shuffled(history, random) if event.effect is not Effect.REQUESTED]
    purchase, last = random.choice(arrived) if arrived else (purchase_id(0), history[0][0])
    asked = last._replace(
        message_id=b"\xfe" * 16,
        at=max(event.at for event in history[0] + history[-1]) + 1,
        kind=MessageKind.AUTHORIZATION,
        effect=Effect.REQUESTED,
        trace="asked",
        credit=False,
    )
    books = kept(arrived)
    used, grants = dict(books.used), books.purchases.get(purchase, Purchase(id=purchase)).grants
    quote = books.take(purchase, asked, quote=True)
    assert () == quote.postings
    assert (used, grants) == (books.used, quote.purchase.grants)
    outcome = books.take(purchase, asked._replace(message_id=b"\xff" * 16, effect=Effect.AUTHORIZED))
    assert quote.awards == outcome.awards
    risen = {key: units - used.get(key, 0) for key, units in books.used.items() if units > used.get(key, 0)}
    assert risen == quote.reserve
    audit(books)


@LAW
@given(
    st.lists(st.integers(0, 90_00), min_size=1, max_size=5), st.sampled_from(["corner", "grocer", "fashion", "hotel"])
)
def test_parts_cost_what_the_whole_costs(amounts: list[int], place: str) -> None:
    """Several partial presentments give and cost to the unit what one presentment of their sum does."""
    parts = [
        presented(f"r{number}", eur(amount), part=(number + 1, len(amounts)), place=place)
        for number, amount in enumerate(amounts)
    ]
    whole = kept(
        [(purchase_id(0), event) for event in events(presented("r", eur(sum(amounts)), place=place))], UNCAPPED
    )
    apart = kept([(purchase_id(0), event) for event in events(*parts)], UNCAPPED)
    assert whole.balances() == apart.balances()
    assert set(whole.purchases[purchase_id(0)].grants) == set(apart.purchases[purchase_id(0)].grants)
