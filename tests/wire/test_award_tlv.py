"""The award element: tag, length, value, readable by a host that knows fewer tags."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.money import Miles, Money
from processor.wire.award_tlv import AwardText, AwardTextError, decode_award, encode_award

_LATIN = st.text(st.characters(max_codepoint=0xFF), max_size=40)


def test_an_award_equals_its_golden_text() -> None:
    """The text is what hosts were told it is."""
    award = AwardText(
        outcome="earned", partner="partner-air", miles=Miles(-120), discount=Money(amount_minor=250, currency="EUR")
    )

    assert "OC006earnedPT011partner-airMI004-120DI003250DC003EUR" == encode_award(award)


def test_an_offer_at_the_till_equals_its_golden_text() -> None:
    """What the till may take off and what is left to pay stand behind what hosts knew before."""
    award = AwardText(
        outcome="earned",
        till_discount=Money(amount_minor=12_00, currency="EUR"),
        till_amount=Money(amount_minor=108_00, currency="EUR"),
    )

    assert "OC006earnedTI0041200TA00510800TC003EUR" == encode_award(award)
    assert award == decode_award(encode_award(award))


@given(
    award=st.builds(
        AwardText,
        outcome=_LATIN,
        partner=_LATIN,
        miles=st.none() | st.integers().map(Miles),
        discount=st.none() | st.builds(Money, amount_minor=st.integers(), currency=st.sampled_from(["EUR", "JPY"])),
    )
)
def test_an_award_survives_its_text(award: AwardText) -> None:
    """Any award comes back as it was."""
    assert award == decode_award(encode_award(award))


def test_an_unknown_tag_is_skipped() -> None:
    """A host's older reader takes what it knows."""
    assert AwardText(miles=Miles(7)) == decode_award("XX002ab" + "MI0017")


@pytest.mark.parametrize("text", ["MI", "MI00", "MI0x17", "MI0099", "MI001\xb2", "MI001-", "DI002+5"])
def test_a_text_that_is_no_award_is_refused(text: str) -> None:
    """A length or a number that is none is an error, not a guess."""
    with pytest.raises(AwardTextError):
        decode_award(text)


@pytest.mark.parametrize("award", [AwardText(outcome="x" * 1000), AwardText(partner="\u20ac")])
def test_a_value_that_does_not_fit_is_refused(award: AwardText) -> None:
    """Nothing is cut and nothing is replaced."""
    with pytest.raises(AwardTextError, match="does not fit"):
        encode_award(award)
