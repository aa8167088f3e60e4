"""Pages of a list: how many entries a page has, and where the next one begins.

A page token is a keyset position, the last entry's place in the list's order, so that a page costs the same however far
down it is and a row inserted meanwhile moves no other.
A token names the list it belongs to: one from another list is refused.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

import orjson

from processor.rpc.errors import CallError, ErrorReason

DEFAULT_PAGE_SIZE: Final = 50
LARGEST_PAGE_SIZE: Final = 1000
LONGEST_TOKEN: Final = 2048

Entry = TypeVar("Entry")


def page_size_of(requested: int) -> int:
    """Return how many entries a page may have; raises :class:`CallError` outside 0 to 1000."""
    if not 0 <= requested <= LARGEST_PAGE_SIZE:
        problem = f"page_size is {requested}; write 1 to {LARGEST_PAGE_SIZE}, or 0 for {DEFAULT_PAGE_SIZE}"
        raise CallError(ErrorReason.INVALID_PAGE_SIZE, problem)
    return requested or DEFAULT_PAGE_SIZE


def page_token(scope: str, *position: str) -> str:
    """Return the token of a position in a list; ``scope`` names the list and what it was asked for."""
    return urlsafe_b64encode(orjson.dumps([scope, *position])).decode()


def position_of(token: str, scope: str, readers: Sequence[Callable[[str], Any]]) -> tuple[Any, ...] | None:
    """Return the position a token holds, each part through its reader, or None for the first page's empty token.

    A reader raises ``ValueError`` for what is no such part.
    Raises :class:`CallError` for whatever :func:`page_token` did not make for this list.
    """
    if not token:
        return None
    try:
        if len(token) > LONGEST_TOKEN:
            raise ValueError  # noqa: TRY301 - every way a token is wrong ends in the same answer below.
        made_for, *parts = orjson.loads(urlsafe_b64decode(token.encode("ascii")))
        if made_for != scope or page_token(scope, *parts) != token:
            raise ValueError  # noqa: TRY301 - as above.
        return tuple(reader(part) for reader, part in zip(readers, parts, strict=True))
    except (ValueError, TypeError, binascii.Error):
        problem = "page_token is not one this list gave; leave it empty to begin with the first page"
        raise CallError(ErrorReason.INVALID_PAGE_TOKEN, problem) from None


def cut(entries: Sequence[Entry], page_size: int) -> tuple[Sequence[Entry], bool]:
    """Return one page of what was read, one entry more than a page at most, and whether there are more."""
    return entries[:page_size], len(entries) > page_size


def instant_part(text: str) -> datetime:
    """Read the part of a position that is a moment."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("an instant without its zone")
    return instant


def bucket_part(text: str) -> int:
    """Read the part of a position that is a bucket."""
    bucket = int(text)
    if not 0 <= bucket < 2**15:
        raise ValueError("no bucket")
    return bucket
