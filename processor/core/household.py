"""Households: accounts that share what caps for each household leave, and how their counters are named.

An account is of a household from a moment on that a fact states; a purchase counts for the household of its anchor's
instant.
The counter of a household is named by the cap and the household, so that it stands among those of its account in a
decision; where it is kept is the store's business.
"""

import re
from typing import Final

OWN: Final = "/own"
"""What ends the name of a counter of a cap of which grants keep what they took."""
_MARK: Final = "@"
"""What parts a cap from the household whose counter it is; no identifier of a programme has it."""
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,32}")


def is_household(text: str) -> bool:
    """Tell whether a text can name a household: up to 32 letters, digits, points, hyphens and underlines."""
    return _NAME.fullmatch(text) is not None


def kept_counter(cap: str, household: str = "") -> str:
    """Return the name of a cap's counter of what grants keep: a household's, or the account's own where it has none."""
    return f"{cap}{_MARK}{household}{OWN}" if household else cap + OWN


def cap_in(counter: str) -> str:
    """Return the cap whose counter of a household this is."""
    return counter.partition(_MARK)[0]


def household_in(counter: str) -> str:
    """Return the household whose counter this is, empty for a counter of the account alone."""
    return counter.partition(_MARK)[2].removesuffix(OWN)
