"""What a decision keeps of its member: what the rules knew, so that an explanation computes the same again.

A birthday is not kept with a decision, only in which of the rules' windows about it the purchase lay.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from processor.core.person import Asked, Member, reached


def member_to_values(member: Member) -> dict[str, Any]:
    """Return what is stored of a member; what is not known is left out."""
    values: dict[str, Any] = {}
    if member.tier:
        values["tier"] = member.tier
    for name in ("segments", "opted_in", "listed", "holds"):
        if getattr(member, name):
            values[name] = sorted(getattr(member, name))
    if member.member_since is not None:
        values["member_since"] = member.member_since.isoformat()
    if member.household:
        values["household"] = member.household
    if member.windows:
        values["birthday"] = sorted(map(list, member.windows))
    return values


def member_from_values(asked: Asked, values: Mapping[str, Any]) -> Member:
    """Return the member that was stored."""
    since = values.get("member_since")
    return Member(
        tier=values.get("tier", ""),
        reached=reached(asked, values.get("tier", "")),
        segments=frozenset(values.get("segments", ())),
        opted_in=frozenset(values.get("opted_in", ())),
        listed=frozenset(values.get("listed", ())),
        holds=frozenset(values.get("holds", ())),
        member_since=date.fromisoformat(since) if since else None,
        household=values.get("household", ""),
        windows=frozenset((before, after) for before, after in values.get("birthday", ())),
    )
