"""What an explanation says of the member: who the rules took the holder for, and whom a rule is for instead.

It says in which window about a birthday a purchase lay, never the birthday.
"""

from collections.abc import Iterator

from processor.core.circumstances import Circumstances
from processor.core.person import Age, Member, Person, PersonUnmet
from processor.core.programme import Programme


def sentences_on_member(programme: Programme, at: Circumstances) -> Iterator[str]:
    """Yield who made the purchase, as far as the rules of the programme ask."""
    asked = programme.asked
    if asked is None:
        return
    member = at.member
    if programme.account_day is not None:
        yield f"The account's own statements are made on day {programme.account_day} of the month."
    if asked.by_tier and member.tier:
        yield f"The member's tier was {_tier(programme, member.tier)}."
    if asked.segments:
        named = ", ".join(f"{programme.segments[segment]} ({segment})" for segment in sorted(member.segments))
        yield f"The member was in {'the segments ' + named if named else 'no segment that a rule is for'}."
    if asked.by_age:
        yield _age(member)
    if asked.opted_in:
        yield f"Offers that the member had accepted: {', '.join(sorted(member.opted_in)) or 'none'}."
    if asked.by_household:
        yield f"The member's household was {member.household or 'not known, so that the account is limited alone'}."
    if asked.listed:
        yield f"Offers made to this member: {', '.join(sorted(member.listed)) or 'none'}."
    if asked.held:
        named = ", ".join(f"{programme.rewards[unit].name} ({unit})" for unit in sorted(member.holds))
        yield f"The account held {named or 'no soft reward that a rule is for'}."


def whom(programme: Programme, person: Person, unmet: PersonUnmet) -> str:
    """Return whom a rule is for, by the first condition that the member did not meet."""
    match unmet:
        case PersonUnmet.TIERS:
            named = [tier for tier in programme.tiers if tier in person.tiers]
            return f"members of tier {' or '.join(_tier(programme, tier) for tier in named)}"
        case PersonUnmet.TIER_FROM:
            return f"members from tier {_tier(programme, person.tier_from)} on"
        case PersonUnmet.SEGMENTS:
            return f"members in segment {' or '.join(sorted(person.segments))}"
        case PersonUnmet.MEMBER_FOR:
            return f"memberships of {_ages(person.member_for or Age())}"
        case PersonUnmet.BIRTHDAY:
            before, after = person.birthday or (0, 0)
            return f"purchases from {before} days before to {after} days after the member's birthday"
        case PersonUnmet.OPTED_IN:
            return "members who had accepted it when the purchase happened"
        case PersonUnmet.HOLDS:
            return f"members who held {' or '.join(sorted(person.holds))} when the purchase happened"
    return "members to whom it had been made when the purchase happened"


def _tier(programme: Programme, tier: str) -> str:
    return f"{programme.tiers[tier]} ({tier})"


def _age(member: Member) -> str:
    if member.member_since is None:
        return "Since when the member is one was not known."
    return f"The member was one since {member.member_since.isoformat()}."


def _ages(age: Age) -> str:
    ends = (
        ("at least", age.at_least_days, "days"),
        ("at least", age.at_least_months, "months"),
        ("less than", age.less_than_days, "days"),
        ("less than", age.less_than_months, "months"),
    )
    return " and ".join(f"{how} {number} {unit}" for how, number, unit in ends if number is not None)
