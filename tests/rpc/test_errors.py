"""Errors: one table of reasons and codes, and a fault of ours that tells the caller and the log nothing of the call."""

from typing import Any

import grpc
import psycopg2
import pytest
from structlog.testing import capture_logs

from processor.flow.adjust import AdjustmentRefusal
from processor.flow.clearing import ChangedClearingFileError
from processor.rpc.errors import CODES, CallError, ErrorReason, ErrorsAnswered, call_error_of
from processor.v1.operations_pb2 import GetStatusRequest, GetStatusResponse
from processor.v1.operations_pb2_grpc import OperationsServiceServicer, OperationsServiceStub
from processor.v1.operations_pb2_grpc import add_OperationsServiceServicer_to_server as add_operations
from tests.rpc.serving import Failure, failure_of, serving

CARD = "4000000000000002"


class Failing(OperationsServiceServicer):
    """A service whose one call raises what a test gives it."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def GetStatus(  # noqa: N802 - the contract's name.
        self, request: GetStatusRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> GetStatusResponse:
        """Fail."""
        async with ErrorsAnswered(context):
            raise self._error

    ListParkedMessages = GetParkedMessage = ReplayParkedMessages = ListUndecodableMessages = GetStatus  # type: ignore[assignment]
    AdjustAccount = ExplainDecision = ListBudgets = ListBudgetShares = ListHouseholdCaps = GetStatus  # type: ignore[assignment]


def failing_with(error: Exception) -> Failure:
    """Return how a call over real gRPC fails when its method raises an error."""
    with serving(lambda server: add_operations(Failing(error), server)) as channel:
        return failure_of(OperationsServiceStub(channel).GetStatus, GetStatusRequest())


def test_every_reason_has_a_code() -> None:
    """A reason without a code would end a call without a status of ours."""
    assert set(ErrorReason) == set(CODES)
    assert grpc.StatusCode.OK not in CODES.values()


def test_every_refusal_of_an_adjustment_is_a_reason() -> None:
    """The service turns a refusal into the reason of the same value."""
    assert {refusal.value for refusal in AdjustmentRefusal} <= {reason.value for reason in ErrorReason}


def test_a_call_error_reaches_the_caller_with_reason_and_text() -> None:
    """Code, reason and text arrive as they were raised."""
    failure = failing_with(CallError(ErrorReason.ACCOUNT_NOT_FOUND, "check the name", account="x"))
    expected = Failure(code=grpc.StatusCode.NOT_FOUND, reason="ACCOUNT_NOT_FOUND", text="check the name")
    assert expected == failure


def test_a_fault_of_ours_tells_neither_caller_nor_log_what_was_sent() -> None:
    """An unknown exception is INTERNAL; its text, which may hold a card number, goes nowhere, its place to the log."""
    with capture_logs() as logs:
        failure = failing_with(ValueError(f"cannot handle {CARD}"))
    assert (grpc.StatusCode.INTERNAL, "INTERNAL") == (failure.code, failure.reason)
    assert CARD not in failure.text
    (entry,) = logs
    assert ("call_failed", "ValueError") == (entry["event"], entry["error"])
    assert any("test_errors.py" in place for place in entry["place"])
    assert CARD not in str(logs)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ChangedClearingFileError("another file"), ErrorReason.CLEARING_FILE_CHANGED),
        (psycopg2.OperationalError("server closed the connection"), ErrorReason.DATABASE_UNAVAILABLE),
        (psycopg2.ProgrammingError(f"syntax error at {CARD}"), ErrorReason.INTERNAL),
    ],
)
def test_errors_are_told_apart_by_what_helps(error: Exception, reason: ErrorReason) -> None:
    """A lost database asks for a repeat, a changed file for another name, a fault of ours for a look at the log."""
    with capture_logs():
        found = call_error_of(error)
    assert reason == found.reason
    assert CARD not in found.problem
