"""Resource names: what a request's name means, and which account it leads to.

A name that is no such name is refused with the form it should have; the name itself is not repeated, since a caller may
have put a card number there.
"""

import re
from functools import cache
from typing import Final

from sqlalchemy import Connection

from processor.rpc.errors import CallError, ErrorReason
from processor.store.card_side import Key
from processor.store.directory import bucket_of
from processor.store.ledger import find_reference

ACCOUNT: Final = "accounts/{account}"
REFERENCE: Final = "banks/{bank}/accountReferences/{reference=**}"

_PLACEHOLDER: Final = re.compile(r"\{(?:\w+)(=\*\*)?\}")
_ID: Final = re.compile(r"[0-9a-f]{32}")


def parts_of(name: str, form: str) -> tuple[str, ...]:
    """Return the variable parts of a name; ``{x}`` stands for one segment, ``{x=**}`` for the rest.

    Raises :class:`CallError` for a name of another form.
    """
    match = _pattern(form).fullmatch(name)
    if match is None:
        raise _invalid(f"is not of the form {_shown(form)}")
    return match.groups()


def id_of(part: str, what: str) -> bytes:
    """Return the 16 bytes of an account or message; raises :class:`CallError` for anything but 32 hexadecimals."""
    if not _ID.fullmatch(part):
        raise _invalid(f"names no {what}: write its 32 lower-case hexadecimal digits")
    return bytes.fromhex(part)


def account_key_of(connection: Connection, name: str, bucket_count: int) -> Key:
    """Return the bucket and id of the account a name leads to, by its id or by its bank's reference.

    Raises :class:`CallError` for a malformed name and for a reference that no card file named.
    """
    match = _pattern(ACCOUNT).fullmatch(name)
    if match is not None:
        account = id_of(match.group(1), "account")
        return bucket_of(account, bucket_count), account
    match = _pattern(REFERENCE).fullmatch(name)
    if match is None:
        raise _invalid(f"is neither of the form {_shown(ACCOUNT)} nor {_shown(REFERENCE)}")
    found = find_reference(connection, bank=match.group(1), reference=match.group(2))
    if found is None:
        problem = "no card file of this bank has named this account reference; check both parts of the name"
        raise CallError(ErrorReason.ACCOUNT_NOT_FOUND, problem)
    return found


@cache
def _pattern(form: str) -> re.Pattern[str]:
    """Return the expression of a form: no part is empty or holds a control character."""
    text = ""
    end = 0
    for placeholder in _PLACEHOLDER.finditer(form):
        text += re.escape(form[end : placeholder.start()])
        text += r"([^\x00-\x1f\x7f]+)" if placeholder.group(1) else r"([^/\x00-\x1f\x7f]+)"
        end = placeholder.end()
    return re.compile(text + re.escape(form[end:]))


def _shown(form: str) -> str:
    return form.replace("=**", "")


def _invalid(problem: str) -> CallError:
    return CallError(ErrorReason.INVALID_NAME, f"the name {problem}")
