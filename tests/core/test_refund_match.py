"""Refunds without a reference over several currencies: each part is billed as the messages of its own currency were."""

from dataclasses import replace

from processor.core.kept_purchase import Purchase
from processor.core.purchase import fold
from processor.core.refund_match import place_refunds
from tests.core.strategies import FIRST, eur, events, presented, refunded, usd


def test_a_part_is_billed_as_its_own_currency_was() -> None:
    """Of a purchase that cleared in two currencies a refund in one gives back what was billed for that one."""
    programme = replace(FIRST, refund_days=30)
    first, second, back = events(
        presented("74", usd(100_00), eur(90_00)),
        presented("74", eur(50_00), eur(50_00)),
        refunded("75", usd(50_00), eur(45_00)),
    )
    bought, given = Purchase(id=b"bought", events=(first, second)), Purchase(id=b"given", events=(back,))

    placement = place_refunds((bought, given), lambda _at: programme)

    ((part,),) = placement.refunded.values()
    assert (usd(50_00), eur(45_00)) == (part.amount, part.billing)
    (billed,) = fold(bought.events, refunded=placement.refunded[bought.id]).billing
    assert 95_00 == billed.cleared_minor
    assert () == tuple(
        entry for entry in fold(given.events, placed=placement.placed[given.id]).billing if entry.cleared_minor
    )
