"""The search itself: it finds each spelling where it is planted among other bytes, and nothing where none is."""

from base64 import b64encode

import pytest

from tests.leak.forms import exchanged, leaks
from tests.leak.known import BLUE, GOLD, HOLDER, PIN_BLOCK, SECRETS

ODD = "400000123456789"

PLANTED = {
    "text": f"x{GOLD}y".encode(),
    "hexadecimal of text": GOLD.encode().hex().encode(),
    "ebcdic": GOLD.encode("cp500"),
    "hexadecimal of ebcdic, upper case": GOLD.encode("cp037").hex().upper().encode(),
    "groups of four with spaces": b"4000 0012 3456 7899",
    "groups of four with dashes": b"4000-0012-3456-7899",
    "other groups": b"4000 001234  56789-9",
    "packed": b"\x01" + bytes.fromhex(GOLD) + b"\x02",
    "packed at the other half of a byte": b"\x01" + bytes.fromhex(f"1{GOLD}F") + b"\x02",
    "packed in a dump": b"\\x01" + GOLD.encode() + b"02",
    "exchanged halves": b"\x01" + bytes.fromhex(exchanged(GOLD)) + b"\x02",
    "exchanged halves in a dump": exchanged(GOLD).lower().encode(),
    **{f"base64 at {before}": b64encode(b"z" * before + GOLD.encode() + b"tail") for before in range(4)},
    **{
        f"base64 of packed at {before}": b64encode(b"z" * before + bytes.fromhex(GOLD) + b"tail") for before in range(4)
    },
    "base64 of packed at the other half": b64encode(bytes.fromhex(f"9{GOLD}F")),
    "base64 of ebcdic": b64encode(b"12345" + GOLD.encode("cp500")),
}


@pytest.mark.parametrize("form", PLANTED)
def test_every_form_is_found(form: str) -> None:
    """A number that is planted in a form is found, alone."""
    assert {GOLD} == leaks(PLANTED[form], SECRETS)


def test_an_odd_count_of_digits_is_found_with_its_padding() -> None:
    """A packed number of fifteen digits is found with F or zero on either side, also with halves exchanged."""
    packed = [bytes.fromhex(padded) for padded in (f"{ODD}F", f"F{ODD}", f"0{ODD}", exchanged(ODD))]

    assert [{ODD}] * len(packed) == [leaks(found, [ODD]) for found in packed]


def test_what_is_no_number_is_found() -> None:
    """Names and blocks are found in text, in bytes and in hexadecimal."""
    planted = [
        HOLDER.encode("cp500"),
        PIN_BLOCK.lower().encode(),
        bytes.fromhex(PIN_BLOCK),
        HOLDER.encode().hex().encode(),
    ]

    assert [{HOLDER}, {PIN_BLOCK}, {PIN_BLOCK}, {HOLDER}] == [leaks(found, SECRETS) for found in planted]


def test_nothing_is_found_where_nothing_is() -> None:
    """Masked numbers, parts that may be kept and other digits are none."""
    harmless = f"{GOLD[:6]}******{GOLD[-4:]} {BLUE[:8]} 4000001234567898 0412AC89 MTIzNDU2Nzg5MA=="

    assert set() == leaks(harmless.encode(), SECRETS)
