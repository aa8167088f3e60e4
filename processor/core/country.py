"""Countries by ISO 3166-1: their two letters from any of its codes."""

from collections.abc import Mapping
from functools import cache

import pycountry


@cache
def _by_code() -> Mapping[str, str]:
    """Return the two letters of every country by its two letters, its three and its number; read when first asked."""
    return {
        code: country.alpha_2
        for country in pycountry.countries
        for code in (country.alpha_2, country.alpha_3, country.numeric)
    }


def country_of_code(code: str) -> str:
    """Return a country's two letters from any code of ISO 3166-1, empty where it is none."""
    return _by_code().get(code, "")
