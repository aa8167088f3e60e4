"""Fields that several requests have: why, who, and the id that makes a call idempotent.

An error names the field and what to write there; it never repeats what was written, which may be a card number.
"""

from typing import Final
from uuid import UUID

from processor.core.card import holds_card_number
from processor.core.located_document import CONTROL
from processor.rpc.errors import CallError, ErrorReason

LONGEST_ACTOR: Final = 100


def invalid_field(field: str, problem: str) -> CallError:
    """Return the error of a field that holds what it must not."""
    return CallError(ErrorReason.INVALID_FIELD, f"{field} {problem}", field=field)


def reason_and_actor(reason: str, actor: str) -> tuple[str, str]:
    """Return why something is asked for, and by whom; raises :class:`CallError` naming the field that is wrong."""
    reason, actor = reason.strip(), actor.strip()
    if not 3 <= len(reason) <= 500:
        raise invalid_field("reason", "is not 3 to 500 characters; say why, for the auditor")
    if not 1 <= len(actor) <= LONGEST_ACTOR:
        raise invalid_field("actor", f"is not 1 to {LONGEST_ACTOR} characters; say who asks for it")
    for field, text in (("reason", reason), ("actor", actor)):
        if CONTROL.search(text):
            raise invalid_field(field, "holds a control character; write one line of text")
        if holds_card_number(text):
            raise invalid_field(field, "seems to hold a card number; name the account or a ticket instead")
    return reason, actor


def request_id_of(text: str) -> UUID:
    """Return a request's id; raises :class:`CallError` for what is no UUID."""
    try:
        return UUID(text)
    except ValueError:
        raise invalid_field("request_id", "is no UUID; make one, and keep it for a repeat of this call") from None
