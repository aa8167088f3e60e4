"""Explaining a stored decision: recompute it from its inputs, compare, and say in sentences why it gave what it gave.

The arithmetic is the decision's own; nothing is decided again and nothing is written.
What a cap or a budget left at the time is not stored but follows from the grant it cut, so a cut is checked against its
terms rather than against its counter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import orjson
from sqlalchemy import Engine

from processor.core.accrual import Entitled, by_rule_and_unit, entitle_amounts, has_amounts, is_excluded
from processor.core.budget import Headroom
from processor.core.budget_grant import left_by
from processor.core.cap import CounterKey
from processor.core.circumstances import Circumstances
from processor.core.contest import Entitlement, Lost
from processor.core.draw import draws_of
from processor.core.grant import Grant, regrant
from processor.core.outcome import Reason
from processor.core.person import NOBODY
from processor.core.posting import payer_of
from processor.core.programme import Programme
from processor.core.purchase import Amounts, Folded, Lowered
from processor.core.rule import Rule
from processor.core.tally import Counted, cut_counter
from processor.flow.batch_work import explanation_name
from processor.flow.counts_again import counts_as_stored
from processor.flow.decision_detail import course_from_data
from processor.flow.explain_member import WHY_TO_MEMBER, member_sentences
from processor.flow.explain_sentences import CHANGED_LATER, WHY, sentences_of
from processor.flow.recomputed import Considered, Recomputed
from processor.flow.snapshot import Snapshots
from processor.flow.stored_member import member_from_values
from processor.store.card_side import Key
from processor.store.operations import DecisionRow, load_decisions

_NOTHING: Final = Entitled(partner=None, entitlements=(), unrated=(), reason=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a decision gave what it gave.

    ``sentences`` are for operations, ``for_member`` for whom the purchase belongs to.
    ``detail`` is the stored JSON text; ``reproduced`` is true where recomputing gives the stored result, to the unit.
    """

    reason: Reason
    sentences: tuple[str, ...]
    for_member: tuple[str, ...]
    detail: str
    reproduced: bool


def explain_decision(
    engine: Engine, snapshots: Snapshots, key: Key, account: bytes, attempt: int
) -> Explanation | None:
    """Explain one decision on the message with this bucket and id, or return None where there is none such."""
    with engine.connect() as connection:
        decisions = load_decisions(connection, key)
        stored = next((entry for entry in decisions if (entry.attempt, entry.account) == (attempt, account)), None)
        if stored is None:
            return None
        snapshot = snapshots.refresh(connection)
    detail = orjson.loads(stored.detail)
    reason = Reason(stored.reason)
    later = _later(key[1], decisions, attempt)
    if "programme" not in detail:
        return Explanation(
            reason=reason,
            sentences=(WHY[reason], *later),
            for_member=(WHY_TO_MEMBER[reason],),
            detail=stored.detail,
            reproduced=True,
        )
    decided_under = snapshot.revision(detail["programme"], detail["revision"])
    programme = decided_under.of_statement_day(detail["inputs"].get("statement_day"))
    recomputed = recompute(programme, detail)
    return Explanation(
        reason=reason,
        sentences=(*sentences_of(programme, reason, detail, recomputed), *later),
        for_member=tuple(member_sentences(programme, reason, detail, recomputed)),
        detail=stored.detail,
        reproduced=is_reproduced(programme, stored, detail, recomputed),
    )


def _later(message_id: bytes, decisions: Sequence[DecisionRow], attempt: int) -> tuple[str, ...]:
    last = decisions[-1]
    if last.attempt == attempt:
        return ()
    return (CHANGED_LATER.format(name=explanation_name(last.account, message_id, last.attempt)),)


def recompute(programme: Programme, detail: Mapping[str, Any]) -> Recomputed:
    """Entitle the stored inputs again."""
    inputs = detail["inputs"]
    folded = Folded(
        anchor=None,
        transaction=_amounts(inputs["transaction"]),
        billing=_amounts(inputs["billing"]),
        lowered=tuple(Lowered(*lowered) for lowered in inputs.get("lowered", ())),
        course=course_from_data(inputs["course"]) if "course" in inputs else None,
    )
    at = _circumstances(programme, detail) if "product" in inputs else None
    lost: list[Lost] = []
    return Recomputed(
        folded=folded,
        considered=tuple(map(_considered, detail.get("considered", ()))),
        entitled=_NOTHING if at is None else _entitled(programme, folded, at, inputs["processing_code"], lost),
        at=at,
        lost=tuple(lost),
    )


def is_reproduced(programme: Programme, stored: DecisionRow, detail: Mapping[str, Any], recomputed: Recomputed) -> bool:
    """Tell whether recomputing gives every stored grant, and nothing that was not stored."""
    occurred_on = detail["inputs"].get("occurred_on")
    day = date.fromisoformat(occurred_on) if occurred_on else stored.decided_at.date()
    entitlements = {
        key: entry
        for key, entry in by_rule_and_unit(recomputed.entitled).items()
        if key[0] not in detail.get("refused", ())
    }
    considered = {(entry.rule, entry.unit): entry for entry in recomputed.considered}
    return (
        set(entitlements) <= set(considered)
        and list(recomputed.entitled.unrated) == detail.get("unrated", [])
        and counts_as_stored(programme, detail, recomputed, day)
        and all(considered[rule, unit].granted == granted for rule, unit, _, _, granted, _ in detail.get("changes", ()))
        and all(
            _holds(programme, entry, entitlements.get(key), day, stored.purchase_id or b"", detail)
            for key, entry in considered.items()
        )
    )


def _holds(
    programme: Programme,
    entry: Considered,
    entitlement: Entitlement | None,
    day: date,
    purchase_id: bytes,
    detail: Mapping[str, Any],
) -> bool:
    """Tell whether a rule's stored grant follows from its entitlement, what was asked before and its limits."""
    used: dict[CounterKey, int] = {}
    budgets, card = Headroom(), detail["inputs"].get("card", "")
    household = detail["inputs"].get("member", {}).get("household", "")
    funder = _funder(programme, programme.rule(entry.rule), detail) if entry.rule in programme.drawing else ""
    cap = next((cap for cap in programme.caps_on(entry.rule, entry.unit) if cap.id == entry.cut_by), None)
    if cap is not None:
        headroom = 0 if cap.purchases else entry.granted - max(entry.asked_granted, 0)
        if not 0 <= headroom <= cap.limit:
            return False
        used[cap.counter(day, purchase_id, card)] = cap.limit - headroom
    elif entry.cut_by is not None:
        draws = draws_of(
            programme,
            entry.rule,
            entry.unit,
            funder=funder,
            day=day,
            purchase_id=purchase_id,
            card=card,
            household=household,
        )
        left = left_by(draws, entry.cut_by, granted=entry.granted)
        if left is None:
            return False
        used |= {draw.key: draw.size - left[draw.key] for draw in draws if draw.is_own and draw.key in left}
        budgets = Headroom(left=left)
    tally = programme.tallies.get(entry.rule)
    if tally is not None and entry.stood is not None:
        used[tally.counter(entry.rule, day)] = entry.stood
        used[cut_counter(tally.counter(entry.rule, day))] = entry.asked_counted.cut + entry.withheld
    grant, cut_by = regrant(
        programme,
        Grant(entry.rule, entry.unit, entry.asked_entitled, entry.asked_granted, counted=entry.asked_counted),
        entitlement,
        occurred_on=day,
        purchase_id=purchase_id,
        used=used,
        reserved={},
        budgets=budgets,
        funder=funder,
        card=card,
        household=household,
    )
    if any(entry.available == 0 and held[:2] == [entry.rule, entry.unit] for held in detail.get("held", ())):
        grant = grant._replace(available=min(grant.available, 0))
    stored = (entry.entitled, entry.granted, entry.available, entry.cut_by)
    return (grant.entitled, grant.granted, grant.available, cut_by) == stored


def _funder(programme: Programme, rule: Rule, detail: Mapping[str, Any]) -> str:
    """Return the party that paid for a rule's benefit, as the card product and the partner that are stored say."""
    product, partner = programme.products.get(detail["inputs"].get("product", "")), detail.get("partner")
    bank = product.bank if product is not None else ""
    return payer_of(programme, rule, bank=bank, partner=programme.partners[partner] if partner else None)


def _entitled(
    programme: Programme, folded: Folded, at: Circumstances, processing_code: str, lost: list[Lost]
) -> Entitled:
    """Entitle stored amounts, and add what lost; the decision's guards stand before."""
    if is_excluded(programme, mcc=at.mcc, processing_code=processing_code):
        return _NOTHING
    if not has_amounts(folded):
        return _NOTHING
    partner = None if at.partner is None else programme.partners[at.partner]
    return entitle_amounts(programme, folded, partner=partner, at=at, lost=lost)


def _circumstances(programme: Programme, detail: Mapping[str, Any]) -> Circumstances:
    """Return where, when and how a purchase was made, as its decision keeps it."""
    inputs, partner = detail["inputs"], detail.get("partner")
    return Circumstances(
        partner=partner,
        sector="" if partner is None else programme.partners[partner].sector,
        product=inputs["product"],
        mcc=inputs["mcc"],
        acquirer=inputs.get("acquirer", ""),
        acceptor=inputs.get("acceptor", ""),
        channel=inputs.get("channel", ""),
        currency=inputs.get("currency", ""),
        local_date=date.fromisoformat(inputs["occurred_on"]),
        local_time=inputs.get("local_time", ""),
        country=inputs.get("country", ""),
        instant=inputs.get("at"),
        product_codes=tuple(inputs.get("product_codes", ())),
        member=NOBODY if programme.asked is None else member_from_values(programme.asked, inputs["member"]),
    )


def _amounts(stored: Sequence[Sequence[Any]]) -> tuple[Amounts, ...]:
    return tuple(
        Amounts(currency=currency, open_minor=open_minor, cleared_minor=cleared_minor)
        for currency, open_minor, cleared_minor in stored
    )


def _considered(stored: Sequence[Any]) -> Considered:
    rule, unit, entitled, granted, available, asked_entitled, asked_granted, cut_by, *counted = stored
    return Considered(
        rule=rule,
        unit=unit,
        entitled=entitled,
        granted=granted,
        available=available,
        asked_entitled=asked_entitled,
        asked_granted=asked_granted,
        cut_by=cut_by,
        stood=counted[0] if counted else None,
        asked_counted=Counted(*counted[1:4]),
        withheld=sum(counted[4:]),
    )
