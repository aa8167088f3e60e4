"""``cobrand disputes``: record stages of a dispute."""

import getpass
import uuid
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Annotated

import typer

from processor.cli.client import DEFAULT_SERVER, ServerOption, book
from processor.cli.options import (
    ActorOption,
    JsonOption,
    ReasonOption,
    RequestIdOption,
)
from processor.cli.output import (
    document_of,
    say,
    show_json,
    show_table,
)
from processor.core.money import exponent
from processor.v1.purchase_pb2 import (
    RecordDisputeRequest,
)
from processor.v1.purchase_pb2_grpc import PurchaseServiceStub


class DisputeStage(StrEnum):
    """Which stage of a dispute is recorded."""

    CHARGEBACK = "chargeback"
    SECOND_PRESENTMENT = "second-presentment"
    ARBITRATION = "arbitration"


_STAGES = {
    DisputeStage.CHARGEBACK: RecordDisputeRequest.STAGE_CHARGEBACK,
    DisputeStage.SECOND_PRESENTMENT: RecordDisputeRequest.STAGE_SECOND_PRESENTMENT,
    DisputeStage.ARBITRATION: RecordDisputeRequest.STAGE_ARBITRATION_CHARGEBACK,
}


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this file to the command."""
    disputes = typer.Typer(help="Record stages of a dispute.", no_args_is_help=True)
    disputes.command(
        "record",
        epilog="Example: cobrand disputes record accounts/9f3a/messages/0b4e --stage chargeback --amount 12.34"
        " --currency EUR --reason 'Case 4711'",
    )(record_dispute)
    app.add_typer(disputes, name="disputes")


def record_dispute(
    presentment: Annotated[
        str, typer.Argument(metavar="MESSAGE", help="accounts/ID/messages/ID of the first presentment.")
    ],
    stage: Annotated[DisputeStage, typer.Option("--stage", help="Which stage of the dispute it is.")],
    amount: Annotated[str, typer.Option("--amount", help="How much is in dispute, such as 12.34.")],
    currency: Annotated[str, typer.Option("--currency", help="The presentment's currency, such as EUR.")],
    reason: ReasonOption,
    actor: ActorOption = "",
    request_id: RequestIdOption = "",
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Record a stage of a presentment's dispute, and let the books follow."""
    request = RecordDisputeRequest(
        presentment=presentment,
        stage=_STAGES[stage],
        amount_minor=_minor_units(amount, currency),
        currency=currency,
        reason=reason,
        actor=actor or getpass.getuser(),
        request_id=request_id or str(uuid.uuid4()),
    )
    response = book(server, request, lambda channel: PurchaseServiceStub(channel).RecordDispute)
    if as_json:
        show_json({**document_of(response), "request_id": request.request_id})
        return
    done = "was recorded before" if response.duplicate else "is recorded"
    say(f"The {stage.value} {done} under request id {request.request_id}.")
    columns = ("message", "reason", "decision")
    show_table("Dispute", columns, [(response.message, response.reason, response.decision)])


def _minor_units(amount: str, currency: str) -> int:
    """Return an amount in minor units; more decimals than the currency has are an error of usage."""
    try:
        minor = Decimal(amount).scaleb(exponent(currency))
    except InvalidOperation:
        raise typer.BadParameter("write a number such as 12.34", param_hint="--amount") from None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--currency") from None
    if not minor.is_finite() or minor != minor.to_integral_value() or not 0 < minor < 2**63:
        raise typer.BadParameter(
            f"write an amount above zero with at most the decimals of {currency}", param_hint="--amount"
        )
    return int(minor)
