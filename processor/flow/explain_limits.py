"""An explanation's sentences on limits: what a cap or a budget that cut a rule allows."""

from typing import Final

from processor.core.budget import AtEdge, Budget
from processor.core.cap import Cap, CapHolder, CapPeriod
from processor.core.programme import Programme
from processor.flow.explain_amounts import units
from processor.flow.recomputed import Considered

_PERIODS: Final = {
    CapPeriod.PURCHASE: "a purchase",
    CapPeriod.DAY: "a day",
    CapPeriod.WEEK: "a week",
    CapPeriod.MONTH: "a month",
    CapPeriod.QUARTER: "a quarter",
    CapPeriod.BILLING_PERIOD: "a billing period",
    CapPeriod.YEAR: "a year",
    CapPeriod.LIFETIME: "in all",
}


def limit_sentence(programme: Programme, entry: Considered) -> str:
    """Return the terms of the cap or the budget that cut a rule, and by how much."""
    limits = [
        f"Cap {cap.id}, {_limit(programme, cap, entry.unit)}," for cap in programme.caps if cap.id == entry.cut_by
    ]
    limits += [_budget(programme, budget) for budget in programme.budgets if budget.id == entry.cut_by]
    wanted = entry.asked_granted + entry.entitled - entry.asked_entitled
    cut = units(programme, wanted - entry.granted, entry.unit)
    return f"{''.join(limits)} cut rule {entry.rule} by {cut}."


def _limit(programme: Programme, cap: Cap, unit: str) -> str:
    """Return a cap's terms for what it cut in one unit."""
    holder = {CapHolder.CARD: " for each card", CapHolder.HOUSEHOLD: " for each household"}.get(cap.per, "")
    if cap.purchases:
        return f"{cap.limit} {'purchase' if cap.limit == 1 else 'purchases'} {_PERIODS[cap.period]}{holder}"
    paid = " of the funder's money" if cap.currency not in {None, unit} else ""
    return f"{units(programme, cap.limit, cap.currency or programme.unit)} {_PERIODS[cap.period]}{holder}{paid}"


def _budget(programme: Programme, budget: Budget) -> str:
    """Return a budget's name and terms; what an award gets at its edge explains a cut of more than is lacking."""
    terms = []
    if budget.limit is not None:
        terms.append(units(programme, budget.limit, budget.currency or programme.unit))
    if budget.holders is not None:
        terms.append(f"{budget.holders:,} holders")
    edge = "which gives whole awards alone" if budget.at_edge is AtEdge.REFUSE else "which gives what is left"
    return f"Budget {budget.id}, {' and '.join(terms)} {_PERIODS[budget.period]} for all accounts, {edge},"
