"""What the rules have given by partner, summed from the awards: a report for the demo, which reads and never writes."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from processor.core.rule import Benefit
from processor.store.tables import award


@dataclass(frozen=True, slots=True, kw_only=True)
class AwardTotal:
    """What one partner's purchases were given in one unit; ``partner`` is empty for purchases at no partner."""

    partner: str
    benefit: Benefit
    unit: str
    purchases: int
    pending: int
    available: int


def sum_awards(connection: Connection) -> list[AwardTotal]:
    """Return the totals by partner, miles before discounts."""
    partner = func.coalesce(award.c.partner, "")
    columns = (partner.label("partner"), award.c.benefit, award.c.unit)
    statement = (
        select(
            *columns,
            func.count(award.c.purchase_id.distinct()).label("purchases"),
            func.sum(award.c.pending_change).label("pending"),
            func.sum(award.c.available_change).label("available"),
        )
        .group_by(*columns)
        .order_by(award.c.benefit.desc(), partner, award.c.unit)
    )
    return [
        AwardTotal(
            partner=row.partner,
            benefit=Benefit(row.benefit),
            unit=row.unit,
            purchases=row.purchases,
            pending=int(row.pending),
            available=int(row.available),
        )
        for row in connection.execute(statement)
    ]
