"""From a verdict to an answer: typed fields for any protocol, and ISO 8583 bytes for the links that want them.

The stored decision is the source; the bytes come from the request at hand, because they repeat the account number.
"""

import structlog

from processor.core.money import NUMERIC_CODE_OF_CURRENCY, Miles, Money
from processor.core.outcome import Outcome, Reason
from processor.core.reward import is_reward
from processor.flow.submission import Answer, AwardLine, IncomingMessage, Refusal, Submission, TillOffer, Verdict
from processor.log import described
from processor.wire.award_tlv import AwardText, encode_award
from processor.wire.dialect import Dialect
from processor.wire.encode import EncodeFailure, encode_answer

_LOG = structlog.get_logger(__name__)


def refuse(incoming: IncomingMessage, refusal: Refusal) -> Answer:
    """Return the answer to a message that went no further than intake."""
    return Answer(caller_id=incoming.caller_id, outcome=refusal.outcome, reason=refusal.reason, problem=refusal.problem)


def acknowledge(incoming: IncomingMessage, submission: Submission, dialect: Dialect) -> Answer:
    """Return the answer to a sign-on, echo or sign-off."""
    iso8583, problem = _encoded(submission, dialect, "")
    return Answer(
        caller_id=incoming.caller_id,
        outcome=Outcome.ACCEPTED,
        reason=Reason.NETWORK_MANAGEMENT,
        problem=problem,
        iso8583=iso8583,
    )


def award_lines(verdict: Verdict) -> tuple[AwardLine, ...]:
    """Return what a decision changed, in its own purchase and in others, from its stored document."""
    expected = verdict.detail.get("expected", {})
    changes = [(change, expected.get(change[0], "")) for change in verdict.detail.get("changes", ())]
    changes += [(change, "") for change in verdict.detail.get("elsewhere", ())]
    return tuple(
        [
            AwardLine(
                rule=rule,
                unit=unit,
                pending_change=pending_change,
                posted_change=posted_change,
                granted=granted,
                discount=discount,
                expected_date=expected_date,
            )
            for (rule, unit, pending_change, posted_change, granted, discount), expected_date in changes
        ]
    )


def answer(incoming: IncomingMessage, submission: Submission, verdict: Verdict, dialect: Dialect) -> Answer:
    """Return the answer to a decided, parked or refused message."""
    awards = award_lines(verdict)
    partner = verdict.detail.get("partner", "")
    iso8583, problem = b"", verdict.problem
    if submission.link.answers and verdict.outcome is not Outcome.UNAVAILABLE:
        iso8583, unwritten = _encoded(submission, dialect, _award_text(verdict, partner, awards))
        problem = unwritten or problem
    return Answer(
        caller_id=incoming.caller_id,
        outcome=verdict.outcome,
        reason=verdict.reason,
        problem=problem,
        iso8583=iso8583,
        explanation=verdict.explanation,
        partner=partner,
        quote=verdict.detail.get("quote", False),
        awards=awards,
        till_offer=till_offer(verdict),
    )


def till_offer(verdict: Verdict) -> TillOffer | None:
    """Return what a quote lets the till take off, None where it offers nothing."""
    if "at_till" not in verdict.detail:
        return None
    currency, off_minor, left_minor = verdict.detail["at_till"]
    return TillOffer(
        discount=Money(amount_minor=off_minor, currency=currency),
        left=Money(amount_minor=left_minor, currency=currency),
    )


def _award_text(verdict: Verdict, partner: str, awards: tuple[AwardLine, ...]) -> str:
    """Return what the award field carries: the change of miles, and of the discount, over all rules."""
    miles = sum(line.pending_change + line.posted_change for line in awards if _is_miles(line))
    discounts = [line for line in awards if line.discount]
    discount = None
    if discounts:
        amount_minor = sum(line.pending_change + line.posted_change for line in discounts)
        discount = Money(amount_minor=amount_minor, currency=discounts[0].unit)
    offer = till_offer(verdict)
    return encode_award(
        AwardText(
            outcome=verdict.outcome.name,
            partner=partner,
            miles=Miles(miles),
            discount=discount,
            till_discount=offer.discount if offer else None,
            till_amount=offer.left if offer else None,
        )
    )


def _is_miles(line: AwardLine) -> bool:
    """Tell whether a line is of miles: neither money nor a soft reward."""
    return line.unit not in NUMERIC_CODE_OF_CURRENCY and not is_reward(line.unit)


def _encoded(submission: Submission, dialect: Dialect, award: str) -> tuple[bytes, str]:
    """Return the answer's bytes, or none and why: a decision stands even where its answer cannot be written."""
    try:
        return encode_answer(dialect, submission.raw, award=award, decoded=submission.decoded), ""
    except EncodeFailure as failure:
        return b"", f"the decision is durable, but its ISO 8583 answer cannot be written: {failure}"
    except Exception as error:  # noqa: BLE001 - our fault costs this answer its bytes, and nobody else anything.
        _LOG.error("answer_not_written", dialect=dialect.name, **described(error))
        return b"", "the decision is durable, but the processor failed to write its ISO 8583 answer"
