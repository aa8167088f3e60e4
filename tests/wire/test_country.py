"""Where the card acceptor is, by each place that may say so."""

import pytest

from processor.core.country import country_of_code
from processor.wire.country import acceptor_country


@pytest.mark.parametrize(
    ("fields", "country"),
    [
        ({}, ""),
        ({"acceptor_country_code": "804", "acceptor_country": "AUT"}, "UA"),
        ({"acceptor_country_code": "000", "acceptor_country": "AUT"}, "AT"),
        ({"acceptor_country": "AUT", "acquirer_country": "804"}, "AT"),
        ({"acceptor_country": "CA ", "acquirer_country": "840"}, "US"),
        ({"acceptor_name": f"{'SHOP':<23}{'KYIV':<13}  UA"}, "UA"),
        ({"acceptor_name": f"{'SHOP':<23}{'KYIV':<13}  ZZ", "acquirer_country": "804"}, "UA"),
        ({"acceptor_name": "SHOP\\STREET\\WIEN\\1010      AUT"}, "AT"),
        ({"acceptor_name": "SHOP\\STREET\\WIEN\\1010      QQQ"}, ""),
        ({"acceptor_name": "PIZZA ITA", "acquirer_country": "040"}, "AT"),
        ({"acquirer_country": "999"}, ""),
    ],
)
def test_a_country(fields: dict[str, str], country: str) -> None:
    """The surest place counts first; what is no country says nothing."""
    assert country == acceptor_country(fields)


def test_a_code_of_any_kind() -> None:
    """Two letters, three letters and the number are one country; nothing is none."""
    assert ["UA", "UA", "UA", "", ""] == [country_of_code(code) for code in ("UA", "UKR", "804", "", "ua")]
