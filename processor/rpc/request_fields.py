"""Fields that several requests have: why, who, and the id that makes a call idempotent.

An error names the field and what to write there; it never repeats what was written, which may be a card number.
"""

import re
from typing import Final
from uuid import UUID

from processor.core.card import passes_check_digit
from processor.core.located_document import CONTROL
from processor.rpc.errors import CallError, ErrorReason

LONGEST_ACTOR: Final = 100

_CARD_NUMBER: Final = re.compile(
    r"(?<![0-9])(?:[0-9]{12,19}|[0-9]{4}(?:[ -][0-9]{4}){2}(?:[ -][0-9]{1,4}){1,2}|[0-9]{4}[ -][0-9]{6}[ -][0-9]{4,5})"
    r"(?![0-9])"
)
"""What is written like a card number: 12 to 19 digits in one run, in groups of four, or of 4, 6 and 4 or 5."""


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
        if _holds_card_number(text):
            raise invalid_field(field, "seems to hold a card number; name the account or a ticket instead")
    return reason, actor


def request_id_of(text: str) -> UUID:
    """Return a request's id; raises :class:`CallError` for what is no UUID."""
    try:
        return UUID(text)
    except ValueError:
        raise invalid_field("request_id", "is no UUID; make one, and keep it for a repeat of this call") from None


def _holds_card_number(text: str) -> bool:
    digits = (re.sub(r"[ -]", "", found.group()) for found in _CARD_NUMBER.finditer(text))
    return any(passes_check_digit(number) for number in digits)
