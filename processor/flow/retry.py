"""Running a transaction again when the database says that it may succeed, a bounded number of times."""

from collections.abc import Callable
from typing import Final, TypeVar

import structlog

from processor.store.failure import is_retryable

ATTEMPTS: Final = 4
"""How often a transaction runs: once, and three times again on retryable errors."""

_LOG = structlog.get_logger(__name__)
_Result = TypeVar("_Result")


class RacedError(Exception):
    """Another transaction was quicker; what was read is out of date, so run again from the beginning."""


def retried(name: str, run: Callable[[], _Result]) -> _Result:
    """Run a whole transaction, again on retryable errors and races; the last error is raised."""
    for attempt in range(1, ATTEMPTS):
        try:
            return run()
        except Exception as error:
            if not (isinstance(error, RacedError) or is_retryable(error)):
                raise
            _LOG.info("transaction_retried", transaction=name, attempt=attempt, error=type(error).__name__)
    return run()
