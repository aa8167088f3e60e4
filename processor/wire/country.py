"""Where the card acceptor is, from the country of its name and location (DE43), or else from the acquirer's (DE19).

It never guesses: letters that are no country of ISO 3166-1 say nothing, and two letters count only in the place that
ISO 8583:1987 gives them, for elsewhere they may be a state.
"""

from collections.abc import Mapping
from typing import Final

from processor.core.country import country_of_code

_FIXED_LENGTH: Final = 40
"""Name and location in 1987: the country is its last two characters (ISO 8583:1987, element 43)."""
_LETTERS: Final = 3


def acceptor_country(fields: Mapping[str, str]) -> str:
    """Return the two letters of the card acceptor's country, empty where the message does not say."""
    code = fields.get("acceptor_country_code")
    if code and (found := country_of_code(code)):
        return found
    letters = fields.get("acceptor_country", "").strip()
    if len(letters) == _LETTERS and (found := country_of_code(letters)):
        return found
    return _of_location(fields.get("acceptor_name", "")) or country_of_code(fields.get("acquirer_country", ""))


def _of_location(location: str) -> str:
    """Return the country of a whole element 43: in its last place, or of a clearing record behind a backslash."""
    if len(location) == _FIXED_LENGTH:
        return country_of_code(location[-2:])
    return country_of_code(location.rstrip()[-_LETTERS:]) if "\\" in location else ""
