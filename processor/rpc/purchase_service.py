# ruff: noqa: N802 - the contract names the methods.
"""PurchaseService: purchases as operations see them, expiry, the review of weak links, disputes recorded by hand.

It reads requests, refuses what is malformed, and leaves the work to ``flow/``.
It never shows a card's token; a purchase holds none.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import grpc
from sqlalchemy import Connection, Engine

from processor.core.kept_purchase import Purchase
from processor.core.message import MessageKind
from processor.core.money import Money, exponent
from processor.core.programme import Programme
from processor.flow.batch import BatchDecider
from processor.flow.disputes import DisputeStage, record_dispute
from processor.flow.event_message import EventRefused
from processor.flow.expire import DAYS_BACK as EXPIRE_DAYS_BACK
from processor.flow.expire import expire, start_of_day
from processor.flow.link_review import DAYS_BACK as LINK_DAYS_BACK
from processor.flow.link_review import Ruling, find_links, rule_on_link
from processor.flow.post_due import DAYS_BACK as DUE_DAYS_BACK
from processor.flow.post_due import post_due
from processor.flow.release_awards import Release, Released, release_awards
from processor.flow.sweep import Sweep
from processor.rpc.errors import CallError, ErrorReason, ErrorsAnswered
from processor.rpc.paging import bucket_part, cut, instant_part, page_size_of, page_token, position_of
from processor.rpc.purchase_messages import STAGES, VERDICTS, held_messages, purchase_message, review_message
from processor.rpc.request_fields import invalid_field, reason_and_actor, request_id_of
from processor.rpc.resource_names import account_key_of, id_of, parts_of
from processor.store.card_side import Key, load_known
from processor.store.directory import bucket_of
from processor.store.ledger import load_balance
from processor.store.purchases import AFTER_EVERY_ID, list_held, list_purchases, list_reviews, load_purchase
from processor.store.schema import id_of_day
from processor.v1 import purchase_pb2 as pb
from processor.v1.purchase_pb2_grpc import PurchaseServiceServicer

MOST_DAYS_BACK: Final = 300
"""No message that is older is decided."""
HELD_DAYS_BACK: Final = 60
MOST_RULES: Final = 20
LONGEST_RULE: Final = 32
"""How many rules one release may name, and how long an identifier is at most."""

_PURCHASE: Final = "accounts/{account}/purchases/{purchase}"
_MESSAGE: Final = "accounts/{account}/messages/{message}"
_REVIEW: Final = "accounts/{account}/linkReviews/{pair}"

Context = grpc.aio.ServicerContext[Any, Any]


class PurchaseService(PurchaseServiceServicer):
    """Answers the contract's PurchaseService; what decides waits for each other, as a decider serves one at a time."""

    def __init__(
        self, *, engine: Engine, clock: Callable[[], datetime], bucket_count: int, decider: BatchDecider
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._bucket_count = bucket_count
        self._decider = decider
        self._deciding = asyncio.Lock()

    async def ListPurchases(self, request: pb.ListPurchasesRequest, context: Context) -> pb.ListPurchasesResponse:
        """List an account's purchases, the latest first."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._list_purchases, request)

    async def GetPurchase(self, request: pb.GetPurchaseRequest, context: Context) -> pb.Purchase:
        """Show one purchase."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._purchase, request.name)

    async def ExpireAuthorizations(
        self, request: pb.ExpireAuthorizationsRequest, context: Context
    ) -> pb.ExpireAuthorizationsResponse:
        """Let authorizations expire that did not clear."""
        async with ErrorsAnswered(context), self._deciding:
            return await asyncio.to_thread(self._expire, request)

    async def PostDue(self, request: pb.PostDueRequest, context: Context) -> pb.PostDueResponse:
        """Post what has become due."""
        async with ErrorsAnswered(context), self._deciding:
            return await asyncio.to_thread(self._post_due, request)

    async def ReleaseAwards(self, request: pb.ReleaseAwardsRequest, context: Context) -> pb.ReleaseAwardsResponse:
        """Release miles that wait for it."""
        async with ErrorsAnswered(context), self._deciding:
            return await asyncio.to_thread(self._release_awards, request)

    async def RefuseAwards(self, request: pb.RefuseAwardsRequest, context: Context) -> pb.RefuseAwardsResponse:
        """Refuse miles that are held for review."""
        async with ErrorsAnswered(context), self._deciding:
            return await asyncio.to_thread(self._refuse_awards, request)

    async def ListHeldAwards(self, request: pb.ListHeldAwardsRequest, context: Context) -> pb.ListHeldAwardsResponse:
        """List what is held for review, the latest purchases first."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._list_held, request)

    async def FindLinkReviews(self, request: pb.FindLinkReviewsRequest, context: Context) -> pb.FindLinkReviewsResponse:
        """Look for messages that may be of one purchase."""
        async with ErrorsAnswered(context), self._deciding:
            return await asyncio.to_thread(self._find_links, request)

    async def ListLinkReviews(self, request: pb.ListLinkReviewsRequest, context: Context) -> pb.ListLinkReviewsResponse:
        """List link reviews, the latest found first."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._list_reviews, request)

    async def ConfirmLink(self, request: pb.ConfirmLinkRequest, context: Context) -> pb.LinkReview:
        """Say that two messages are of one purchase."""
        async with ErrorsAnswered(context), self._deciding:
            return await asyncio.to_thread(self._rule, request, MessageKind.LINK_CONFIRMED)

    async def BreakLink(self, request: pb.BreakLinkRequest, context: Context) -> pb.LinkReview:
        """Say that two messages are not of one purchase."""
        async with ErrorsAnswered(context), self._deciding:
            return await asyncio.to_thread(self._rule, request, MessageKind.LINK_BROKEN)

    async def RecordDispute(self, request: pb.RecordDisputeRequest, context: Context) -> pb.RecordDisputeResponse:
        """Record a stage of a presentment's dispute."""
        async with ErrorsAnswered(context), self._deciding:
            return await asyncio.to_thread(self._record_dispute, request)

    def _list_purchases(self, request: pb.ListPurchasesRequest) -> pb.ListPurchasesResponse:
        size = page_size_of(request.page_size)
        with self._engine.connect() as connection:
            key = account_key_of(connection, request.parent, self._bucket_count)
            scope = f"purchases/{key[1].hex()}"
            position = position_of(request.page_token, scope, [bytes.fromhex])
            before = position[0] if position else AFTER_EVERY_ID
            page, more = cut(list_purchases(connection, key, before=before, limit=size + 1), size)
            if not page and load_balance(connection, key) is None:
                raise CallError(ErrorReason.ACCOUNT_NOT_FOUND, "there is no such account; check its name")
        return pb.ListPurchasesResponse(
            purchases=[purchase_message(key[1], purchase) for purchase in page],
            next_page_token=page_token(scope, page[-1].id.hex()) if more else "",
        )

    def _purchase(self, name: str) -> pb.Purchase:
        account_part, purchase_part = parts_of(name, _PURCHASE)
        account, purchase_id = id_of(account_part, "account"), id_of(purchase_part, "purchase")
        bucket = bucket_of(account, self._bucket_count)
        with self._engine.connect() as connection:
            family = load_purchase(connection, (bucket, purchase_id), account)
            if not family:
                problem = "the account has no such purchase; list its purchases to see their names"
                raise CallError(ErrorReason.PURCHASE_NOT_FOUND, problem)
            purchase = family[purchase_id]
            keys = [(bucket, event.message_id) for event in purchase.events]
            known = load_known(connection.connection.cursor(), keys) if keys else {}
            programme = self._programme_of(connection, (bucket, account), purchase)
        attempts = {message_id: message.attempt for (_, message_id), message in known.items()}
        return purchase_message(account, purchase, family=family, attempts=attempts, programme=programme)

    def _programme_of(self, connection: Connection, key: Key, purchase: Purchase) -> Programme | None:
        """Return the revision that a purchase was decided under, None where it was not decided yet."""
        balance = load_balance(connection, key)
        if balance is None or balance.programme is None or purchase.revision is None:
            return None
        return self._decider.snapshots.refresh(connection).revision(balance.programme, purchase.revision)

    def _expire(self, request: pb.ExpireAuthorizationsRequest) -> pb.ExpireAuthorizationsResponse:
        now = self._clock().astimezone(UTC)
        as_of = start_of_day(now)
        if request.HasField("as_of_time"):
            as_of = _not_ahead(request.as_of_time.ToDatetime(tzinfo=UTC), now)
        days_back = _days_back(request.days_back, EXPIRE_DAYS_BACK)
        scope = f"expire/{as_of.isoformat() if request.HasField('as_of_time') else ''}/{days_back}"
        sweep = self._sweep(request.page_token, scope)
        done = expire(self._decider, sweep, as_of=as_of, days_back=days_back)
        return pb.ExpireAuthorizationsResponse(
            examined=done.examined,
            expired=done.expired,
            left=done.left,
            buckets_done=sweep.buckets_done,
            buckets=sweep.buckets,
            next_page_token=_token(sweep, scope),
        )

    def _post_due(self, request: pb.PostDueRequest) -> pb.PostDueResponse:
        as_of = self._clock().astimezone(UTC)
        if request.HasField("as_of_time"):
            as_of = _not_ahead(request.as_of_time.ToDatetime(tzinfo=UTC), as_of)
        days_back = _days_back(request.days_back, DUE_DAYS_BACK)
        scope = f"postDue/{as_of.date() if request.HasField('as_of_time') else ''}/{days_back}"
        sweep = self._sweep(request.page_token, scope)
        done = post_due(self._decider, sweep, as_of=as_of, days_back=days_back)
        return pb.PostDueResponse(
            examined=done.examined,
            posted=done.posted,
            left=done.left,
            buckets_done=sweep.buckets_done,
            buckets=sweep.buckets,
            next_page_token=_token(sweep, scope),
        )

    def _release_awards(self, request: pb.ReleaseAwardsRequest) -> pb.ReleaseAwardsResponse:
        account_part, done = self._told(request, refuses=False)
        return pb.ReleaseAwardsResponse(
            message=f"accounts/{account_part}/messages/{done.message_id.hex()}",
            decision=done.verdict.explanation,
            reason=done.verdict.reason.name,
            duplicate=done.duplicate,
        )

    def _refuse_awards(self, request: pb.RefuseAwardsRequest) -> pb.RefuseAwardsResponse:
        account_part, done = self._told(request, refuses=True)
        return pb.RefuseAwardsResponse(
            message=f"accounts/{account_part}/messages/{done.message_id.hex()}",
            decision=done.verdict.explanation,
            reason=done.verdict.reason.name,
            duplicate=done.duplicate,
        )

    def _told(
        self, request: pb.ReleaseAwardsRequest | pb.RefuseAwardsRequest, *, refuses: bool
    ) -> tuple[str, Released]:
        """Release or refuse, and return the account's part of the name with what was done."""
        account_part, purchase_part = parts_of(request.purchase, _PURCHASE)
        reason, actor = reason_and_actor(request.reason, request.actor)
        rules = tuple(sorted(set(request.rules)))
        if len(rules) > MOST_RULES or not all(0 < len(rule) <= LONGEST_RULE for rule in rules):
            raise invalid_field("rules", f"are not up to {MOST_RULES} identifiers; leave them out for every rule")
        release = Release(
            purchase=id_of(purchase_part, "purchase"),
            rules=rules,
            reason=reason,
            actor=actor,
            request_id=request_id_of(request.request_id),
            refuses=refuses,
        )
        done = release_awards(self._decider, self._key(account_part), release)
        if isinstance(done, EventRefused):
            raise _refused(done)
        return account_part, done

    def _list_held(self, request: pb.ListHeldAwardsRequest) -> pb.ListHeldAwardsResponse:
        size = page_size_of(request.page_size)
        days_back = _days_back(request.days_back, HELD_DAYS_BACK)
        scope = f"heldAwards/{days_back}"
        position = position_of(request.page_token, scope, [bytes.fromhex, bucket_part])
        before = (position[0], position[1]) if position else (AFTER_EVERY_ID, 0)
        low = id_of_day(self._clock().date() - timedelta(days=days_back))
        with self._engine.connect() as connection:
            page, more = cut(list_held(connection, low, before=before, limit=size + 1), size)
        token = page_token(scope, page[-1][1].id.hex(), str(page[-1][0][0])) if more else ""
        return pb.ListHeldAwardsResponse(
            held_awards=[held for key, purchase in page for held in held_messages(key[1], purchase)],
            next_page_token=token,
        )

    def _find_links(self, request: pb.FindLinkReviewsRequest) -> pb.FindLinkReviewsResponse:
        days_back = _days_back(request.days_back, LINK_DAYS_BACK)
        scope = f"findLinkReviews/{days_back}"
        sweep = self._sweep(request.page_token, scope)
        done = find_links(self._decider, sweep, days_back=days_back)
        return pb.FindLinkReviewsResponse(
            examined=done.examined,
            found=done.found,
            buckets_done=sweep.buckets_done,
            buckets=sweep.buckets,
            next_page_token=_token(sweep, scope),
        )

    def _sweep(self, token: str, scope: str) -> Sweep:
        position = position_of(token, scope, [bucket_part, bytes.fromhex])
        return Sweep(buckets=self._bucket_count, position=(position[0], position[1]) if position else (0, b""))

    def _list_reviews(self, request: pb.ListLinkReviewsRequest) -> pb.ListLinkReviewsResponse:
        size = page_size_of(request.page_size)
        verdicts = [
            verdict
            for verdict, number in VERDICTS.items()
            if request.verdict in {number, pb.LinkReview.VERDICT_UNSPECIFIED}
        ]
        if not verdicts:
            raise invalid_field("verdict", "is none that a review has; leave it out for every one")
        scope = f"linkReviews/{request.verdict}"
        readers = [instant_part, bucket_part, bytes.fromhex, bytes.fromhex, bytes.fromhex]
        position = position_of(request.page_token, scope, readers)
        before = (position[0], position[1], position[2], position[3], position[4]) if position else None
        with self._engine.connect() as connection:
            page, more = cut(list_reviews(connection, verdicts, before=before, limit=size + 1), size)
        token = ""
        if more:
            last = page[-1]
            ids = (last.account.hex(), last.first.hex(), last.second.hex())
            token = page_token(scope, last.found_at.isoformat(), str(last.bucket), *ids)
        return pb.ListLinkReviewsResponse(reviews=map(review_message, page), next_page_token=token)

    def _rule(self, request: pb.ConfirmLinkRequest | pb.BreakLinkRequest, kind: MessageKind) -> pb.LinkReview:
        reason, actor = reason_and_actor(request.reason, request.actor)
        account_part, pair = parts_of(request.name, _REVIEW)
        first, dash, second = pair.partition("-")
        if not dash:
            problem = "the name's review is not of the form {first}-{second}; copy it from the list of reviews"
            raise CallError(ErrorReason.INVALID_NAME, problem)
        key = self._key(account_part)
        ruling = Ruling(kind=kind, reason=reason, actor=actor)
        done = rule_on_link(self._decider, key, (id_of(first, "message"), id_of(second, "message")), ruling)
        if isinstance(done, EventRefused):
            raise _refused(done)
        return review_message(done)

    def _record_dispute(self, request: pb.RecordDisputeRequest) -> pb.RecordDisputeResponse:
        account_part, message_part = parts_of(request.presentment, _MESSAGE)
        key, presentment = self._key(account_part), id_of(message_part, "message")
        kind = STAGES.get(request.stage)
        if kind is None:
            raise invalid_field("stage", "is none of a dispute; write chargeback, second presentment or arbitration")
        if request.amount_minor <= 0:
            raise invalid_field("amount_minor", "is not above zero; write how much is in dispute")
        try:
            exponent(request.currency)
        except ValueError:
            raise invalid_field("currency", "is not an ISO 4217 letter code; write one such as EUR") from None
        reason, actor = reason_and_actor(request.reason, request.actor)
        stage = DisputeStage(
            presentment=presentment,
            kind=kind,
            amount=Money(amount_minor=request.amount_minor, currency=request.currency),
            reason=reason,
            actor=actor,
            request_id=request_id_of(request.request_id),
        )
        done = record_dispute(self._decider, key, stage)
        if isinstance(done, EventRefused):
            raise _refused(done)
        return pb.RecordDisputeResponse(
            message=f"accounts/{account_part}/messages/{done.message_id.hex()}",
            decision=done.verdict.explanation,
            reason=done.verdict.reason.name,
            duplicate=done.duplicate,
        )

    def _key(self, account_part: str) -> Key:
        account = id_of(account_part, "account")
        return bucket_of(account, self._bucket_count), account


def _not_ahead(moment: datetime, now: datetime) -> datetime:
    if moment > now:
        raise invalid_field("as_of_time", "lies ahead of the clock; name a moment that has passed")
    return moment


def _days_back(asked: int, usual: int) -> int:
    if not 0 <= asked <= MOST_DAYS_BACK:
        raise invalid_field("days_back", f"is not 1 to {MOST_DAYS_BACK}; write 0 for {usual}")
    return asked or usual


def _token(sweep: Sweep, scope: str) -> str:
    if sweep.position is None:
        return ""
    bucket, after = sweep.position
    return page_token(scope, str(bucket), after.hex())


def _refused(refused: EventRefused) -> CallError:
    return CallError(ErrorReason(refused.refusal.value), refused.explanation)
