"""Which database errors mean *try again*, and which mean that something in the batch is wrong."""

from typing import Final

import psycopg2

_CONTENDED: Final = frozenset({"40001", "40P01", "55P03", "25P03"})
_UNIQUE_KEY: Final = "23505"
_LOST_CLASSES: Final = ("08", "57P0", "53")


def is_unavailable(error: BaseException) -> bool:
    """Tell whether the database could not be reached, or ended the connection: what was committed is then unknown."""
    cause = _driver_error(error)
    if cause is None:
        return False
    state = cause.pgcode
    return isinstance(cause, psycopg2.OperationalError | psycopg2.InterfaceError) and (
        state is None or state.startswith(_LOST_CLASSES)
    )


def is_contended(error: BaseException) -> bool:
    """Tell whether other transactions stood in the way, so that nothing in this one is to blame.

    Serialization failures and deadlocks (40001, 40P01), and a lock or idle time-out.
    """
    cause = _driver_error(error)
    return cause is not None and cause.pgcode in _CONTENDED


def is_retryable(error: BaseException) -> bool:
    """Tell whether running the same transaction again, with the same ids, may succeed.

    Contention, a lost or refused connection, a resource that ran out (53), and a unique key (23505) that another
    transaction took between look-up and write.
    """
    cause = _driver_error(error)
    return is_unavailable(error) or is_contended(error) or (cause is not None and cause.pgcode == _UNIQUE_KEY)


def _driver_error(error: BaseException) -> psycopg2.Error | None:
    if isinstance(error, psycopg2.Error):
        return error
    original = getattr(error, "orig", None)
    return original if isinstance(original, psycopg2.Error) else None
