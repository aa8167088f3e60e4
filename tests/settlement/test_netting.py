"""Laws of obligations and net positions."""

from collections import Counter
from datetime import UTC, date, datetime

from hypothesis import given
from hypothesis import strategies as st

from processor.core.posting import Template
from settlement.netting import NetPosition, net_positions
from settlement.obligations import Obligation, SettledPosting, obligations_of

_PARTIES = ("alpha", "fresh-foods", "moda-group", "skyways")


def _posting(debtor: str, creditor: str, currency: str, amount_minor: int) -> SettledPosting:
    return SettledPosting(
        posting_id=b"p" * 18,
        purchase_id=b"q" * 16,
        template=Template.MILES_CHARGED,
        rule="",
        partner="",
        debtor=debtor,
        creditor=creditor,
        currency=currency,
        amount_minor=amount_minor,
        booked_at=datetime(2026, 11, 20, 12, tzinfo=UTC),
        business_date=date(2026, 11, 20),
    )


_postings = st.lists(
    st.builds(
        lambda pair, currency, amount: _posting(pair[0], pair[1], currency, amount),
        st.permutations(_PARTIES),
        st.sampled_from(("EUR", "JPY", "USD")),
        st.integers(min_value=1, max_value=10**12),
    )
)


@given(_postings)
def test_net_positions_add_up_to_zero_for_each_currency(postings: list[SettledPosting]) -> None:
    """Whatever is owed, the parties' positions in one currency add up to nothing."""
    sums: Counter[str] = Counter()
    for position in net_positions(obligations_of(postings)):
        sums[position.currency] += position.net_minor
    assert dict.fromkeys(sums, 0) == dict(sums)


@given(_postings)
def test_a_position_is_what_the_party_is_owed_less_what_it_owes(postings: list[SettledPosting]) -> None:
    """A party's position equals the sum over its own postings, added up without pairs."""
    expected: dict[tuple[str, str], int] = {}
    for posting in postings:
        for party, change in ((posting.debtor, -posting.amount_minor), (posting.creditor, posting.amount_minor)):
            expected[party, posting.currency] = expected.get((party, posting.currency), 0) + change
    assert expected == {
        (position.party, position.currency): position.net_minor for position in net_positions(obligations_of(postings))
    }


@given(_postings, st.randoms(use_true_random=False))
def test_obligations_do_not_depend_on_the_order_of_postings(postings: list[SettledPosting], random: object) -> None:
    """Shuffled postings give the same obligations, in the same order."""
    shuffled = list(postings)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert obligations_of(postings) == obligations_of(shuffled)


@given(_postings)
def test_obligations_keep_every_posting_and_every_minor_unit(postings: list[SettledPosting]) -> None:
    """Obligations count and sum exactly the postings given, and each is above zero."""
    obligations = obligations_of(postings)
    assert len(postings) == sum(obligation.postings for obligation in obligations)
    assert sum(posting.amount_minor for posting in postings) == sum(entry.amount_minor for entry in obligations)
    assert all(obligation.amount_minor > 0 for obligation in obligations)


def test_a_return_stands_beside_its_charge_and_is_netted() -> None:
    """A charge and its return are two obligations, one for each direction, and one position."""
    obligations = obligations_of([_posting("alpha", "skyways", "EUR", 44), _posting("skyways", "alpha", "EUR", 4)])
    assert (
        Obligation(debtor="alpha", creditor="skyways", currency="EUR", amount_minor=44, postings=1),
        Obligation(debtor="skyways", creditor="alpha", currency="EUR", amount_minor=4, postings=1),
    ) == obligations
    assert (
        NetPosition(party="alpha", currency="EUR", net_minor=-40),
        NetPosition(party="skyways", currency="EUR", net_minor=40),
    ) == net_positions(obligations)
