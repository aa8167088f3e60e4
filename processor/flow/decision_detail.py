"""What is stored of a decision: what changed, and the inputs and candidates that its explanation is computed from.

``flow/answer.py`` and ``flow/explain.py`` read these documents; their keys and the places in their lists never change.
"""

from typing import Any

from processor.core.decision import Award, Decision
from processor.core.event import Event
from processor.core.outcome import Reason
from processor.core.purchase import Amounts
from processor.core.rule import Benefit
from processor.flow.stored_member import member_to_values


def decision_detail(decision: Decision) -> dict[str, Any]:
    """Return what is stored of a decision: what changed, and the inputs and candidates that explain it."""
    detail: dict[str, Any] = {
        "programme": decision.programme.id,
        "revision": decision.programme.revision,
        "inputs": {
            "transaction": _amounts_to_lists(decision.folded.transaction),
            "billing": _amounts_to_lists(decision.folded.billing),
            **_lowered(decision),
        },
    }
    if decision.folded.anchor is not None:
        detail["inputs"].update(_circumstances(decision.folded.anchor))
        if decision.programme.asked is not None:
            detail["inputs"]["member"] = member_to_values(decision.member)
    if decision.partner is not None:
        detail["partner"] = decision.partner.id
    if decision.reason is Reason.QUOTED:
        detail["quote"] = True
        detail.update(_till_offer(decision))
    if decision.awards:
        detail["changes"] = [_change_to_list(award) for award in decision.awards]
    if decision.elsewhere:
        detail["elsewhere"] = [_change_to_list(award) for award in decision.elsewhere]
    if decision.considered:
        detail["considered"] = [_considered_to_list(award) for award in decision.considered]
    if decision.unrated:
        detail["unrated"] = list(decision.unrated)
    return detail


def _lowered(decision: Decision) -> dict[str, Any]:
    """Return what the till lowered, where a rule at the till asks for it."""
    lowered = decision.folded.lowered
    return {"lowered": [list(entry) for entry in lowered]} if lowered else {}


def _till_offer(decision: Decision) -> dict[str, Any]:
    """Return what the till may take off the amount that was asked for, and what is left of it: the offer of a quote."""
    asked = decision.purchase.events[-1].amount
    off_minor = sum(
        award.pending_change + award.available_change
        for award in decision.awards
        if asked is not None and award.rule in decision.programme.at_till and award.grant.unit == asked.currency
    )
    if asked is None or off_minor <= 0:
        return {}
    return {"at_till": [asked.currency, off_minor, asked.amount_minor - off_minor]}


def _circumstances(anchor: Event) -> dict[str, Any]:
    """Return what the rules look at besides amounts and partner; what the message does not say is left out."""
    values: dict[str, Any] = {
        "product": anchor.product,
        "occurred_on": anchor.local_date.isoformat(),
        "mcc": anchor.mcc,
        "processing_code": anchor.processing_code,
    }
    for name in ("channel", "local_time", "acquirer", "acceptor"):
        value = getattr(anchor, name)
        if value:
            values[name] = value
    if anchor.amount is not None:
        values["currency"] = anchor.amount.currency
    return values


def _amounts_to_lists(amounts: tuple[Amounts, ...]) -> list[list[Any]]:
    return [[entry.currency, entry.open_minor, entry.cleared_minor] for entry in amounts]


def _change_to_list(award: Award) -> list[Any]:
    return [
        award.rule,
        award.grant.unit,
        award.pending_change,
        award.available_change,
        award.grant.granted,
        award.benefit is Benefit.DISCOUNT,
    ]


def _considered_to_list(award: Award) -> list[Any]:
    grant, asked = award.grant, award.asked
    return [
        award.rule,
        grant.unit,
        grant.entitled,
        grant.granted,
        grant.available,
        asked.entitled,
        asked.granted,
        award.cut_by,
    ]
