"""The account number never shows itself: not printed, formatted, logged in a traceback, pickled or copied to JSON."""

import copy
import json
import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.card import CardReference, Pan

DIGITS = "4000001234567899"


@dataclass
class Holder:
    """Something that holds a number, as a frame or a record does."""

    pan: Pan


def test_clear_gives_the_digits() -> None:
    """One named method gives the number itself."""
    assert Pan(DIGITS).clear() == DIGITS


@pytest.mark.parametrize(
    ("digits", "masked"),
    [
        ("4000001234567899", "Pan(400000******7899)"),
        ("5413330089010434", "Pan(541333******0434)"),
        ("2223000048410010000", "Pan(222300*********0000)"),
        ("4000001234562", "Pan(400000***4562)"),
        ("400000123456", "Pan(****)"),
        ("", "Pan(****)"),
    ],
)
def test_a_number_shows_masked(digits: str, masked: str) -> None:
    """At most the first six and the last four digits show, and of a short number none."""
    pan = Pan(digits)
    shown = (repr(pan), str(pan), f"{pan}", f"{pan:>40}", f"{pan!r}", f"{pan}")
    assert (masked,) * 6 == shown


@given(st.text(alphabet="0123456789", min_size=13, max_size=19))
def test_the_middle_digits_never_show(digits: str) -> None:
    """No way of printing a number, alone or inside something, gives the middle digits away."""
    pan = Pan(digits)
    for shown in (repr(pan), str(Holder(pan)), f"{[pan]} {(pan, {pan: pan})}"):
        assert f"{digits[:6]}{'*' * (len(digits) - 10)}{digits[-4:]}" in shown
        assert digits not in shown


def test_a_traceback_shows_it_masked() -> None:
    """An exception that carries a number prints it masked."""
    shown = "".join(traceback.format_exception(ValueError(Pan(DIGITS))))
    assert "Pan(400000******7899)" in shown
    assert DIGITS not in shown


@pytest.mark.parametrize("serialise", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, vars])
def test_a_number_is_never_serialised(serialise: Callable[[Pan], object]) -> None:
    """Pickling, copying, JSON and a look at its attributes are refused."""
    with pytest.raises(TypeError) as caught:
        serialise(Pan(DIGITS))
    assert DIGITS not in str(caught.value)


def test_equal_digits_are_equal_numbers() -> None:
    """Numbers compare and hash by their digits, and never equal a string."""
    assert Pan(DIGITS) == Pan(DIGITS)
    assert hash(Pan(DIGITS)) == hash(Pan(DIGITS))
    assert Pan(DIGITS) != Pan("5413330089010434")
    assert Pan(DIGITS) != DIGITS


def test_last_four_may_be_kept() -> None:
    """Statements show the last four digits."""
    assert Pan(DIGITS).last_four == "7899"


def test_a_reference_holds_no_number() -> None:
    """What stands for a card is its token, the last four digits and the product."""
    reference = CardReference(token=b"\x01" * 32, key_id="k1", last_four="7899", product="alpha-gold")
    assert list(CardReference.__slots__) == ["token", "key_id", "last_four", "product", "alternates"]
    assert reference.alternates == ()
