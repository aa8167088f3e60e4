"""Purchases and link reviews as the contract writes them; no value holds a token or a card number."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from processor.core.due import expected_in
from processor.core.event import Event
from processor.core.kept_purchase import Purchase
from processor.core.links import Confidence, ties_of
from processor.core.message import MessageKind
from processor.core.programme import Programme
from processor.core.purchase import Amounts, fold
from processor.core.review import held_rules
from processor.flow.batch_work import explanation_name
from processor.flow.link_review import BROKEN, CONFIRMED, OPEN, review_name
from processor.rpc.timestamps import timestamp
from processor.store.purchases import LinkReviewRow
from processor.v1 import purchase_pb2 as pb

VERDICTS: Final = {
    verdict: pb.LinkReview.Verdict.Value(f"VERDICT_{verdict.upper()}") for verdict in (OPEN, CONFIRMED, BROKEN)
}
STAGES: Final[Mapping[int, MessageKind]] = {
    pb.RecordDisputeRequest.STAGE_CHARGEBACK: MessageKind.CHARGEBACK,
    pb.RecordDisputeRequest.STAGE_SECOND_PRESENTMENT: MessageKind.SECOND_PRESENTMENT,
    pb.RecordDisputeRequest.STAGE_ARBITRATION_CHARGEBACK: MessageKind.ARBITRATION_CHARGEBACK,
}
TIES: Final[Mapping[Confidence, str]] = {
    Confidence.LIFECYCLE: "lifecycle",
    Confidence.REFERENCE: "reference",
    Confidence.STRONG: "strong",
    Confidence.PROBABLE: "probable",
    Confidence.WEAK: "confirmed by operations",
}
"""How surely a message belongs to its purchase; a weak tie acts because operations confirmed it."""


def purchase_message(
    account: bytes,
    purchase: Purchase,
    *,
    family: Mapping[bytes, Purchase] | None = None,
    attempts: Mapping[bytes, int] | None = None,
    programme: Programme | None = None,
) -> pb.Purchase:
    """Return a purchase; ``family`` holds those it is parted from, ``attempts`` the latest decision on each message.

    ``programme`` is the revision that it was decided under, by which the days are told on which miles are expected.
    """
    ordered = sorted(purchase.events, key=lambda event: event.order)
    folded = fold(purchase.events, refunded=purchase.refunded, placed=purchase.placed)
    first = (folded.anchor or ordered[0]).message_id if ordered else b""
    ties = ties_of(ordered, first) if ordered else {}
    expected = {} if programme is None else expected_in(programme, purchase)
    return pb.Purchase(
        name=purchase_name(account, purchase.id),
        state=pb.Purchase.State.Value(f"STATE_{folded.state.name}"),
        amounts=map(_amounts, folded.transaction),
        billing_amounts=map(_amounts, folded.billing),
        occur_date=purchase.occurred_on.isoformat() if purchase.occurred_on else "",
        partner=purchase.partner or "",
        revision=purchase.revision or 0,
        grants=[
            pb.PurchaseGrant(
                rule=grant.rule,
                unit=grant.unit,
                entitled=grant.entitled,
                granted=grant.granted,
                pending=grant.pending,
                available=grant.available,
                expected_date=expected[grant.rule].isoformat() if grant.rule in expected else "",
            )
            for grant in purchase.grants
        ],
        events=[_event(account, event, ties.get(event.message_id), attempts or {}) for event in ordered],
        merged_into=purchase_name(account, purchase.merged_into) if purchase.merged_into else "",
        parted_from=[purchase_name(account, other) for other in _parted_from(purchase, family or {})],
    )


def purchase_name(account: bytes, purchase_id: bytes) -> str:
    """Return the resource name of a purchase."""
    return f"accounts/{account.hex()}/purchases/{purchase_id.hex()}"


def _message_name(account: bytes, message_id: bytes) -> str:
    return f"accounts/{account.hex()}/messages/{message_id.hex()}"


def _parted_from(purchase: Purchase, family: Mapping[bytes, Purchase]) -> list[bytes]:
    """Return the other purchases of a family that stand for themselves; a merged one is parted from none."""
    if purchase.merged_into is not None:
        return []
    head = purchase.head or purchase.id
    return sorted(
        other.id
        for other in family.values()
        if other.merged_into is None and other.id != purchase.id and (other.head or other.id) == head
    )


def _amounts(amounts: Amounts) -> pb.PurchaseAmounts:
    return pb.PurchaseAmounts(
        currency=amounts.currency, open_minor=amounts.open_minor, cleared_minor=amounts.cleared_minor
    )


def _event(account: bytes, event: Event, tie: Confidence | None, attempts: Mapping[bytes, int]) -> pb.PurchaseEvent:
    amount, billing = event.amount, event.billing
    attempt = attempts.get(event.message_id)
    return pb.PurchaseEvent(
        message=_message_name(account, event.message_id),
        kind=event.kind.name,
        effect=event.effect.name,
        send_time=timestamp(datetime.fromtimestamp(event.at, UTC)),
        amount_minor=amount.amount_minor if amount else 0,
        currency=amount.currency if amount else "",
        billing_minor=billing.amount_minor if billing else 0,
        billing_currency=billing.currency if billing else "",
        credit=event.credit,
        tie="" if tie is None else TIES[tie],
        refers_to=[_message_name(account, message_id) for message_id in event.refers_to],
        acquirer=event.acquirer,
        acceptor=event.acceptor.strip(),
        acquirer_reference=event.acquirer_reference,
        decision="" if attempt is None else explanation_name(account, event.message_id, attempt),
    )


def review_message(row: LinkReviewRow) -> pb.LinkReview:
    """Return a link review."""
    return pb.LinkReview(
        name=review_name(row.account, (row.first, row.second)),
        verdict=VERDICTS[row.verdict],
        confidence=Confidence(row.confidence).name.lower(),
        reasons=row.detail["reasons"],
        find_time=timestamp(row.found_at),
        update_time=timestamp(row.updated_at),
    )


def held_messages(account: bytes, purchase: Purchase) -> list[pb.ListHeldAwardsResponse.HeldAward]:
    """Return what of a purchase is held for review, rule by rule; nothing where all of it has been released."""
    rules = held_rules(purchase.grants, purchase.events)
    return [
        pb.ListHeldAwardsResponse.HeldAward(
            purchase=purchase_name(account, purchase.id),
            rule=grant.rule,
            limit=grant.review,
            unit=grant.unit,
            held=grant.pending,
        )
        for grant in purchase.grants
        if grant.rule in rules and grant.review
    ]
