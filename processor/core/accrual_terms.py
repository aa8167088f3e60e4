"""Where a programme's miles ledger is kept, and on which terms accruals leave where the owner keeps it.

Part of the programme document: ``miles.ledger`` and ``miles.accruals``.
A programme without the terms keeps its ledger here, and nothing of this costs it anything.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from processor.core.located_document import DocumentError, LocatedDocument

DEFAULT_LAYOUT: Final = "accrual-csv-v1"


class LedgerPlace(StrEnum):
    """Who keeps the members' miles: this installation, or the programme's owner."""

    HERE = "here"
    OWNER = "owner"


class AccrualWay(StrEnum):
    """How accruals reach the owner: in files that are made for it, or by calls with which its system fetches them."""

    FILE = "file"
    CALL = "call"


class AccrualPer(StrEnum):
    """What one accrual sums: everything that a purchase changed, or what each rule changed on it."""

    PURCHASE = "purchase"
    RULE = "rule"


class MemberKey(StrEnum):
    """By what the owner knows a member; both come with the bank's card file."""

    MEMBER_NUMBER = "member-number"
    BANK_REFERENCE = "bank-reference"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccrualTerms:
    """How accruals leave; ``layout`` is that of the files, None where they leave by calls."""

    by: AccrualWay
    layout: str | None
    per: AccrualPer = AccrualPer.PURCHASE
    member: MemberKey = MemberKey.MEMBER_NUMBER


def compile_accruals(miles: Mapping[str, Any]) -> AccrualTerms | None:
    """Return the terms of a checked document's ``miles``, None where the ledger is here."""
    entry = miles.get("accruals")
    if entry is None:
        return None
    by = AccrualWay(entry["by"])
    return AccrualTerms(
        by=by,
        layout=entry.get("layout", DEFAULT_LAYOUT) if by is AccrualWay.FILE else None,
        per=AccrualPer(entry.get("per", AccrualPer.PURCHASE)),
        member=MemberKey(entry.get("member", MemberKey.MEMBER_NUMBER)),
    )


def check_accruals(document: LocatedDocument) -> Iterator[DocumentError]:
    """Yield where the place of the ledger and the terms of accruals contradict each other."""
    place = document.get("miles", "ledger") or LedgerPlace.HERE
    stated = document.get("miles", "accruals") is not None
    if place == LedgerPlace.OWNER and not stated:
        problem = "the owner keeps the ledger, and nothing says how accruals reach it"
        yield document.error(("miles", "ledger"), problem, "add accruals, such as {by: file}, beside it")
    elif place == LedgerPlace.HERE and stated:
        problem = "accruals leave only where the owner keeps the ledger"
        yield document.error(("miles", "accruals"), problem, "write ledger: owner, or take accruals out")
    if document.get("miles", "accruals", "by") == AccrualWay.CALL and document.get("miles", "accruals", "layout"):
        problem = "a layout is that of files, and these accruals leave by calls"
        yield document.error(("miles", "accruals", "layout"), problem, "take it out, or write by: file")
