"""What is stored of a decision: what changed, and the inputs and candidates that its explanation is computed from.

``flow/answer.py`` and ``flow/explain.py`` read these documents; their keys and the places in their lists never change.
"""

from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

from processor.core.awarding import Award
from processor.core.course import Cleared, Course
from processor.core.decision import Decision
from processor.core.event import CLEARING_KINDS, Event
from processor.core.money import Money
from processor.core.outcome import Reason
from processor.core.purchase import Amounts
from processor.core.review import held_rules
from processor.core.ripening import expected_days
from processor.core.rule import Benefit
from processor.flow.stored_member import member_to_values
from processor.flow.stored_tiers import tiers_to_data


def decision_detail(decision: Decision) -> dict[str, Any]:
    """Return what is stored of a decision: what changed, and the inputs and candidates that explain it."""
    detail: dict[str, Any] = {
        "programme": decision.programme.id,
        "revision": decision.programme.revision,
        "inputs": {
            "transaction": _amounts_to_lists(decision.folded.transaction),
            "billing": _amounts_to_lists(decision.folded.billing),
            **_lowered(decision),
            **_taken_off(decision),
            **_statement_day(decision),
            **_product_codes(decision),
        },
    }
    held = held_rules(decision.purchase.grants, decision.purchase.events) if decision.programme.velocity else ()
    _add_course(detail, decision, held)
    if decision.folded.anchor is not None:
        detail["inputs"].update(_circumstances(decision.folded.anchor, zoned=decision.programme.zoned))
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
    detail.update(_review(decision, held) if decision.programme.velocity else {})
    if decision.qualifying or decision.tiers:
        detail.update(tiers_to_data(decision))
    if decision.unrated:
        detail["unrated"] = list(decision.unrated)
    return detail


def _review(decision: Decision, waiting: Collection[str]) -> dict[str, Any]:
    """Return what a velocity limit held for review, each with its limit, and what operations released and refused.

    ``waiting`` are the rules of which operations have said nothing yet.
    """
    held = [[award.rule, award.grant.unit, award.grant.review] for award in decision.considered if award.grant.review]
    released = sorted({rule for rule, *_ in held}.difference(waiting))
    return {
        **({"held": held} if held else {}),
        **({"released": released} if released else {}),
        **({"refused": list(decision.refused)} if decision.refused else {}),
    }


def _lowered(decision: Decision) -> dict[str, Any]:
    """Return what the till lowered, where a rule at the till asks for it."""
    lowered = decision.folded.lowered
    return {"lowered": [list(entry) for entry in lowered]} if lowered else {}


def _taken_off(decision: Decision) -> dict[str, Any]:
    """Return what of the amounts is not for goods, of which nearly all have nothing."""
    taken_off = decision.folded.taken_off
    return {"taken_off": [list(entry) for entry in taken_off]} if taken_off else {}


def _product_codes(decision: Decision) -> dict[str, Any]:
    """Return the codes of what was bought, where a rule asks for them."""
    codes = decision.folded.product_codes
    return {"product_codes": list(codes)} if codes else {}


def _statement_day(decision: Decision) -> dict[str, Any]:
    """Return the account's own statement day, where it has one and something goes by it."""
    day = decision.programme.account_day
    return {} if day is None else {"statement_day": day}


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


def _circumstances(anchor: Event, *, zoned: bool) -> dict[str, Any]:
    """Return what the rules look at besides amounts and partner; what the message does not say is left out."""
    values: dict[str, Any] = {
        "product": anchor.product,
        "occurred_on": anchor.local_date.isoformat(),
        "mcc": anchor.mcc,
        "processing_code": anchor.processing_code,
    }
    for name in ("channel", "local_time", "acquirer", "acceptor", "country", "card"):
        value = getattr(anchor, name)
        if value:
            values[name] = value
    if zoned and anchor.kind not in CLEARING_KINDS:
        values["at"] = anchor.at
    if anchor.amount is not None:
        values["currency"] = anchor.amount.currency
    return values


def _add_course(detail: dict[str, Any], decision: Decision, held: Collection[str]) -> None:
    """Add how the purchase came along since it cleared, where the programme asks, and when what is pending is due."""
    if decision.folded.course is not None:
        detail["inputs"]["course"] = _course_to_data(decision.folded.course)
    expected = expected_days(decision.programme, decision.folded, decision.considered, held)
    if expected:
        detail["expected"] = {rule: day.isoformat() for rule, day in expected.items()}
    if decision.purchase.kept:
        detail["kept"] = [list(entry) for entry in decision.purchase.kept]


def _course_to_data(course: Course) -> dict[str, Any]:
    """Return how a purchase has come along since it cleared, which :func:`course_from_data` reads."""
    cleared = [
        [part.message_id.hex(), part.on.isoformat(), *_money(part.amount), *_money(part.billing)]
        for part in course.cleared
    ]
    data: dict[str, Any] = {"cleared": cleared}
    if course.due_through is not None:
        data["due_through"] = course.due_through.isoformat()
    if course.released:
        data["released"] = [[message_id.hex(), rule] for message_id, rule in sorted(course.released)]
    return data


def course_from_data(data: Mapping[str, Any]) -> Course:
    """Return a purchase's course as a decision stored it."""
    due_through = data.get("due_through")
    return Course(
        cleared=tuple(
            Cleared(
                message_id=bytes.fromhex(message_id),
                on=date.fromisoformat(on),
                amount=Money(amount_minor=amount_minor, currency=currency),
                billing=Money(amount_minor=billing_minor, currency=billing_currency),
            )
            for message_id, on, amount_minor, currency, billing_minor, billing_currency in data["cleared"]
        ),
        due_through=date.fromisoformat(due_through) if due_through else None,
        released=frozenset((bytes.fromhex(message_id), rule) for message_id, rule in data.get("released", ())),
    )


def _money(money: Money) -> tuple[int, str]:
    return money.amount_minor, money.currency


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
    values = [
        award.rule,
        grant.unit,
        grant.entitled,
        grant.granted,
        grant.available,
        asked.entitled,
        asked.granted,
        award.cut_by,
    ]
    return values if award.stood is None else [*values, award.stood, *asked.counted, award.withheld]
