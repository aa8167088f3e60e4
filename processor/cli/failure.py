"""How a command ends: its exit codes, and the errors that tell a person what to do next.

Every refusal a verb knows is one of these; anything else that escapes a verb is a fault of the command itself.
"""

from enum import IntEnum
from typing import Final

import grpc


class ExitCode(IntEnum):
    """What a script reads; ``docs/cli.md`` lists them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNAVAILABLE = 3


class CommandError(Exception):
    """The thing asked for failed; the text is one sentence or two that say what to do."""

    exit_code = ExitCode.FAILED


class UnavailableError(CommandError):
    """A server or database does not answer now; the same command may succeed later."""

    exit_code = ExitCode.UNAVAILABLE


def sentence(text: str) -> str:
    """Return an error's text as a sentence."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


_SERVER_SAID: Final = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
    }
)
"""Statuses whose text the server wrote for the caller."""

_RICH_STATUS: Final = "grpc-status-details-bin"


def failure_of(error: grpc.RpcError, server: str) -> CommandError:
    """Return what a gRPC error means for the person at the command line."""
    code, details = error.code(), (error.details() or "").rstrip(".")
    if code is grpc.StatusCode.UNAVAILABLE:
        if _has_rich_status(error):
            return UnavailableError(f"The server at {server} cannot do this now: {details}. Try again in a moment.")
        return UnavailableError(
            f"No server answers at {server}. Start one with cobrand serve, or name another with --server."
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return UnavailableError(
            f"The server at {server} did not answer in time. Look at cobrand status, and try again."
        )
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return UnavailableError(f"The server at {server} is at a limit: {details}. Try again in a moment.")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return CommandError(f"The server at {server} does not know this call. Run the same version on both sides.")
    if code in _SERVER_SAID and details:
        return CommandError(sentence(details))
    return CommandError(f"The server at {server} failed ({code.name}). Its log says why; trying again is harmless.")


def _has_rich_status(error: grpc.RpcError) -> bool:
    """Tell a status that the server sent from one that the channel made up because nothing answers."""
    return any(entry.key == _RICH_STATUS for entry in error.trailing_metadata() or ())
