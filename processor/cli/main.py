"""The ``cobrand`` command: everything an operator does, assembled from one file for each group of verbs.

It decides how errors end the command; the verbs themselves call the server and print.
"""

import sys
import traceback
from typing import Any, Final

import typer
from typer.core import TyperGroup

import schemas
from processor.cli import (
    accrual_verbs,
    award_verbs,
    budget_verbs,
    card_verbs,
    clearing_verbs,
    dialect_verbs,
    dispute_verbs,
    entitlement_verbs,
    ledger_verbs,
    link_verbs,
    member_verbs,
    message_verbs,
    operations_verbs,
    programme_verbs,
    purchase_verbs,
    service_verbs,
    settlement_verbs,
    tcp_verbs,
)
from processor.cli.failure import CommandError, ExitCode
from processor.cli.output import say

_INTERRUPTED: Final = 130


class CobrandGroup(TyperGroup):
    """The top of the command: turns what a verb refuses into a sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run a verb."""
        try:
            return super().invoke(ctx)
        except CommandError as error:
            say(str(error))
            raise typer.Exit(error.exit_code) from None
        except schemas.DialectsFolderError as error:
            say(f"{error}.")
            raise typer.Exit(ExitCode.FAILED) from None
        except KeyboardInterrupt:
            say("Stopped.")
            raise typer.Exit(_INTERRUPTED) from None


app: Final = typer.Typer(
    name="cobrand",
    cls=CobrandGroup,
    help="Run and operate the co-brand card processor.",
    epilog="Example: cobrand demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for _verbs in (
    service_verbs,
    programme_verbs,
    purchase_verbs,
    award_verbs,
    link_verbs,
    dispute_verbs,
    budget_verbs,
    card_verbs,
    message_verbs,
    dialect_verbs,
    entitlement_verbs,
    clearing_verbs,
    settlement_verbs,
    accrual_verbs,
    ledger_verbs,
    member_verbs,
    operations_verbs,
    tcp_verbs,
):
    _verbs.add_to(app)


def main() -> int:
    """Run the command line of this process and return its exit code."""
    try:
        app()
    except Exception as fault:  # noqa: BLE001 - A traceback would show values; its last place is what helps to mend it.
        place = traceback.extract_tb(fault.__traceback__)[-1]
        say(
            f"This is a fault of the cobrand command itself: {type(fault).__name__} at "
            f"{place.filename}:{place.lineno}. Report it with the command you gave; nothing else is known to be wrong."
        )
        return ExitCode.FAILED
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
