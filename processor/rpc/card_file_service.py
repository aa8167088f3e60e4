"""The bank's cards and accounts, as a file in pieces or a single record by call."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc

from processor.core.card import Pan
from processor.flow.batch import BatchDecider
from processor.flow.card_file import CardFileIntake, CardFileRecord
from processor.flow.intake import Intake
from processor.rpc.errors import CallError, ErrorReason, ErrorsAnswered
from processor.v1 import card_file_pb2 as pb
from processor.v1 import card_file_pb2_grpc as pb_grpc

LARGEST_PIECE: Final = 1000
_ROLES: Final = {
    pb.CARD_ROLE_UNSPECIFIED: "primary",
    pb.CARD_ROLE_PRIMARY: "primary",
    pb.CARD_ROLE_SUPPLEMENTARY: "supplementary",
}
_STATUSES: Final = {
    pb.CARD_STATUS_UNSPECIFIED: "active",
    pb.CARD_STATUS_ACTIVE: "active",
    pb.CARD_STATUS_BLOCKED: "blocked",
    pb.CARD_STATUS_CLOSED: "closed",
}


class CardFileService(pb_grpc.CardFileServiceServicer):
    """Takes card files one at a time; several wait for each other."""

    def __init__(self, *, decider: BatchDecider, intake: Intake) -> None:
        self._decider = decider
        self._intake = intake
        self._one_at_a_time = asyncio.Lock()

    async def SubmitCards(  # noqa: N802 - the contract's name.
        self,
        request_iterator: AsyncIterator[pb.SubmitCardsRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> pb.SubmitCardsResponse:
        """Take each piece as it comes; the end of a full file closes what it left out."""
        async with ErrorsAnswered(context), self._one_at_a_time:
            taking: CardFileIntake | None = None
            async for piece in request_iterator:
                taking = taking or CardFileIntake(
                    bank=piece.bank, full=piece.full, decider=self._decider, intake=self._intake
                )
                _check_piece(piece, taking)
                await asyncio.to_thread(taking.take, [_record(entry) for entry in piece.records])
            if taking is None:
                raise CallError(ErrorReason.INVALID_FIELD, "the stream is empty; send the bank and its records")
            result = await asyncio.to_thread(taking.finish)
            return pb.SubmitCardsResponse(
                taken=result.taken,
                accounts_opened=result.accounts_opened,
                cards_closed=result.cards_closed,
                messages_decided=result.messages_decided,
                rejected=result.rejected,
                errors=[pb.CardRecordError(record=number, problem=problem) for number, problem in result.errors],
            )


def _check_piece(piece: pb.SubmitCardsRequest, taking: CardFileIntake) -> None:
    if piece.bank not in {"", taking.bank} or piece.full != taking.full:
        raise CallError(ErrorReason.INVALID_FIELD, "bank and full must be the same in every piece of a file")
    if len(piece.records) > LARGEST_PIECE:
        raise CallError(ErrorReason.INVALID_FIELD, f"a piece holds more than {LARGEST_PIECE} records; send several")


def _record(entry: pb.CardRecord) -> CardFileRecord:
    return CardFileRecord(
        card_number=Pan(entry.card_number),
        account_reference=entry.account_reference,
        product=entry.product,
        role=_ROLES.get(entry.role, "unknown"),
        predecessor_card_number=Pan(entry.predecessor_card_number) if entry.predecessor_card_number else None,
        member_number=entry.member_number,
        opened_on=entry.opened_on,
        status=_STATUSES.get(entry.status, "unknown"),
        status_from=entry.status_from,
        statement_day=str(entry.statement_day or ""),
    )
