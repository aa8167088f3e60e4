"""Errors as a caller sees them: one table from reason to gRPC code, and the one place that ends a call with an error.

Every error a caller gets is a ``google.rpc.Status`` with an ``ErrorInfo``: its reason never changes, its text says what
to do next.
It never repeats what the caller sent, which may be a card number, and it says nothing about a fault of our own: that
stands in the log, by type and place, without the exception's text.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import TracebackType
from typing import Any, Final, NoReturn

import grpc
import structlog
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # It ships none.
from grpc_status import rpc_status

from processor.flow.card_file import UnknownBankError
from processor.flow.clearing import ChangedClearingFileError, ClearingInterruptedError, UnknownClearingLinkError
from processor.flow.event_message import EventNotBookedError
from processor.log import described
from processor.store.failure import is_retryable
from processor.wire.clearing_file import ClearingFileError
from settlement.layout_reading import FileRefusedError
from settlement.publication import FileDiffersError

DOMAIN: Final = "cobrand"

_LOG = structlog.get_logger(__name__)


class ErrorReason(StrEnum):
    """Why a call fails, as ``ErrorInfo`` says it; programs branch on these, so that a value is never renamed."""

    INVALID_NAME = "INVALID_NAME"
    INVALID_FIELD = "INVALID_FIELD"
    INVALID_PAGE_SIZE = "INVALID_PAGE_SIZE"
    INVALID_PAGE_TOKEN = "INVALID_PAGE_TOKEN"  # noqa: S105 - a reason's name, not a secret.
    CLEARING_FILE_UNSOUND = "CLEARING_FILE_UNSOUND"
    PROGRAMME_NOT_FOUND = "PROGRAMME_NOT_FOUND"
    BANK_NOT_FOUND = "BANK_NOT_FOUND"
    LINK_NOT_FOUND = "LINK_NOT_FOUND"
    ACCOUNT_NOT_FOUND = "ACCOUNT_NOT_FOUND"
    DECISION_NOT_FOUND = "DECISION_NOT_FOUND"
    ENTITLEMENT_NOT_FOUND = "ENTITLEMENT_NOT_FOUND"
    PARKED_MESSAGE_NOT_FOUND = "PARKED_MESSAGE_NOT_FOUND"
    PURCHASE_NOT_FOUND = "PURCHASE_NOT_FOUND"
    MESSAGE_NOT_FOUND = "MESSAGE_NOT_FOUND"
    CLEARING_FILE_NOT_FOUND = "CLEARING_FILE_NOT_FOUND"
    CYCLE_NOT_FOUND = "CYCLE_NOT_FOUND"
    SETTLEMENT_FILE_NOT_FOUND = "SETTLEMENT_FILE_NOT_FOUND"
    ACCRUAL_NOT_FOUND = "ACCRUAL_NOT_FOUND"
    BUDGET_NOT_FOUND = "BUDGET_NOT_FOUND"
    ACCRUAL_RESPONSE_UNSOUND = "ACCRUAL_RESPONSE_UNSOUND"
    LEDGER_IS_HERE = "LEDGER_IS_HERE"
    ACCRUALS_LEAVE_OTHERWISE = "ACCRUALS_LEAVE_OTHERWISE"
    ACCRUAL_NOT_SUSPENDED = "ACCRUAL_NOT_SUSPENDED"
    WRITE_OFF_NOT_ASKED = "WRITE_OFF_NOT_ASKED"
    SECOND_PERSON_NEEDED = "SECOND_PERSON_NEEDED"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    CLEARING_FILE_CHANGED = "CLEARING_FILE_CHANGED"
    ACCOUNT_JOINED = "ACCOUNT_JOINED"
    ACCOUNT_PROVISIONAL = "ACCOUNT_PROVISIONAL"
    NO_PROGRAMME_IN_FORCE = "NO_PROGRAMME_IN_FORCE"
    FACT_REFUSED = "FACT_REFUSED"
    TOO_MANY_FACTS = "TOO_MANY_FACTS"
    MESSAGE_NOT_OF_PURCHASE = "MESSAGE_NOT_OF_PURCHASE"
    NOT_COUNTED = "NOT_COUNTED"
    NOT_ENOUGH_LEFT = "NOT_ENOUGH_LEFT"
    NOT_USED = "NOT_USED"
    NOT_PRESENTED = "NOT_PRESENTED"
    NOTHING_TO_RELEASE = "NOTHING_TO_RELEASE"
    LINK_CERTAIN = "LINK_CERTAIN"
    LINK_HELD = "LINK_HELD"
    NO_BUSINESS_DAY = "NO_BUSINESS_DAY"
    BUSINESS_DATE_AHEAD = "BUSINESS_DATE_AHEAD"
    LATER_DATE_CLOSED = "LATER_DATE_CLOSED"
    SETTLEMENT_FILE_DIFFERS = "SETTLEMENT_FILE_DIFFERS"
    DISPUTE_AMOUNT_WRONG = "DISPUTE_AMOUNT_WRONG"
    BALANCE_OUT_OF_RANGE = "BALANCE_OUT_OF_RANGE"
    DATABASE_UNAVAILABLE = "DATABASE_UNAVAILABLE"
    INTERNAL = "INTERNAL"


CODES: Final[Mapping[ErrorReason, grpc.StatusCode]] = {
    ErrorReason.INVALID_NAME: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorReason.INVALID_FIELD: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorReason.INVALID_PAGE_SIZE: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorReason.INVALID_PAGE_TOKEN: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorReason.CLEARING_FILE_UNSOUND: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorReason.PROGRAMME_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorReason.BANK_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorReason.LINK_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorReason.ACCOUNT_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorReason.DECISION_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorReason.ENTITLEMENT_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorReason.PARKED_MESSAGE_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorReason.PURCHASE_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorReason.MESSAGE_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorReason.CLEARING_FILE_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorReason.CYCLE_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorReason.SETTLEMENT_FILE_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorReason.ACCRUAL_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorReason.BUDGET_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorReason.ACCRUAL_RESPONSE_UNSOUND: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorReason.LEDGER_IS_HERE: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorReason.ACCRUALS_LEAVE_OTHERWISE: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorReason.ACCRUAL_NOT_SUSPENDED: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorReason.WRITE_OFF_NOT_ASKED: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorReason.SECOND_PERSON_NEEDED: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorReason.REQUEST_ID_REUSED: grpc.StatusCode.ALREADY_EXISTS,
    ErrorReason.CLEARING_FILE_CHANGED: grpc.StatusCode.ALREADY_EXISTS,
    ErrorReason.ACCOUNT_JOINED: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorReason.ACCOUNT_PROVISIONAL: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorReason.NO_PROGRAMME_IN_FORCE: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorReason.FACT_REFUSED: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorReason.TOO_MANY_FACTS: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorReason.MESSAGE_NOT_OF_PURCHASE: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorReason.NOT_COUNTED: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorReason.NOT_ENOUGH_LEFT: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorReason.NOT_USED: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorReason.NOT_PRESENTED: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorReason.NOTHING_TO_RELEASE: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorReason.LINK_CERTAIN: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorReason.LINK_HELD: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorReason.NO_BUSINESS_DAY: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorReason.BUSINESS_DATE_AHEAD: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorReason.LATER_DATE_CLOSED: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorReason.SETTLEMENT_FILE_DIFFERS: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorReason.DISPUTE_AMOUNT_WRONG: grpc.StatusCode.OUT_OF_RANGE,
    ErrorReason.BALANCE_OUT_OF_RANGE: grpc.StatusCode.OUT_OF_RANGE,
    ErrorReason.DATABASE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    ErrorReason.INTERNAL: grpc.StatusCode.INTERNAL,
}
"""The code of every reason; a client may repeat a call that ends with UNAVAILABLE."""

_RAISED: Final[tuple[tuple[type[Exception], ErrorReason], ...]] = (
    (UnknownBankError, ErrorReason.BANK_NOT_FOUND),
    (UnknownClearingLinkError, ErrorReason.LINK_NOT_FOUND),
    (ChangedClearingFileError, ErrorReason.CLEARING_FILE_CHANGED),
    (ClearingFileError, ErrorReason.CLEARING_FILE_UNSOUND),
    (EventNotBookedError, ErrorReason.DATABASE_UNAVAILABLE),
    (FileRefusedError, ErrorReason.ACCRUAL_RESPONSE_UNSOUND),
    (FileDiffersError, ErrorReason.SETTLEMENT_FILE_DIFFERS),
    (ClearingInterruptedError, ErrorReason.DATABASE_UNAVAILABLE),
)
"""Exceptions whose own text was written for the caller, and the reason each one gives."""


class CallError(Exception):
    """A call ends with an error: its reason, a sentence for the caller, and what a program may want to read.

    Neither the sentence nor a value of ``metadata`` holds card data.
    """

    def __init__(self, reason: ErrorReason, problem: str, **metadata: str) -> None:
        super().__init__(problem)
        self.reason = reason
        self.problem = problem
        self.metadata = metadata


class ErrorsAnswered:
    """Ends the call with a status when the block raises: ``async with ErrorsAnswered(context): ...``."""

    def __init__(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self._context = context

    async def __aenter__(self) -> None:
        """Begin the block."""

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Turn what the block raised into a status; a call that was ended or cancelled already stays so."""
        if isinstance(error, Exception) and not isinstance(error, grpc.aio.AbortError):
            await abort(self._context, call_error_of(error))


def call_error_of(error: Exception) -> CallError:
    """Return what an exception means for the caller; one that is nobody's fault but ours is logged."""
    if isinstance(error, CallError):
        return error
    for kind, reason in _RAISED:
        if isinstance(error, kind):
            return CallError(reason, str(error))
    if is_retryable(error):
        _LOG.error("database_unavailable", **described(error))
        return CallError(
            ErrorReason.DATABASE_UNAVAILABLE, "the database did not answer; send the request again after a pause"
        )
    _LOG.error("call_failed", **described(error))
    return CallError(ErrorReason.INTERNAL, "the processor failed on this request; its log says where")


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: CallError) -> NoReturn:
    """End a call with an error's code, its text, and its reason as details."""
    code = CODES[error.reason]
    details = error_details_pb2.ErrorInfo(reason=error.reason.value, domain=DOMAIN, metadata=error.metadata)
    status = status_pb2.Status(code=code.value[0], message=error.problem)
    status.details.add().Pack(details)
    rich = rpc_status.to_status(status)
    await context.abort(rich.code, rich.details, rich.trailing_metadata)
