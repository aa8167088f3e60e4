"""Netting: what each party receives or pays in a cycle once all that it owes is set off against all that it is owed.

Currencies are never set off against each other.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from settlement.obligations import Obligation


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class NetPosition:
    """``party`` receives ``net_minor`` minor units of ``currency``; below zero it pays."""

    party: str
    currency: str
    net_minor: int


def net_positions(obligations: Iterable[Obligation]) -> tuple[NetPosition, ...]:
    """Return the position of every party in every currency it takes part in, zero included, in that order.

    They add up to zero for each currency, because every obligation enters once on either side.
    """
    nets: dict[tuple[str, str], int] = {}
    for obligation in obligations:
        for party, change in (
            (obligation.debtor, -obligation.amount_minor),
            (obligation.creditor, obligation.amount_minor),
        ):
            key = party, obligation.currency
            nets[key] = nets.get(key, 0) + change
    return tuple(
        NetPosition(party=party, currency=currency, net_minor=net) for (party, currency), net in sorted(nets.items())
    )
