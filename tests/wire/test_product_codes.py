"""Product codes: read where a bank's own dialect or layout has them, bounded, and never a card number in pieces."""

from dataclasses import replace
from typing import Final

import pytest

from processor.core.card import Pan
from processor.core.message import CardMessage
from processor.wire.card_message import to_card_message
from processor.wire.clearing_posting import read_posting
from processor.wire.clearing_values import BadValueError, ValueReader
from processor.wire.decode import decode
from processor.wire.dialect import Dialect, parse_dialect
from processor.wire.encode import encode_message
from processor.wire.product_codes import MOST, PLACES, product_codes
from processor.wire.stored import message_from_json, message_to_json
from processor.wire.tokenise import Tokeniser
from tests.wire.clearing_extracts import POSTING, layout_of
from tests.wire.clearing_extracts import TEXTS as LAYOUT_TEXTS
from tests.wire.conftest import DIALECTS, PAN, RECEIVED_AT, TEXTS, authorization, presentment

LISTING: Final = parse_dialect(
    "listing",
    "extends: iso87-ascii\nelements: {61: [product_codes, ans...60, Codes]}\nkept: [product_codes, inherited]\n",
    TEXTS,
)
PLACED: Final = parse_dialect(
    "placed",
    """extends: iso87-ascii
subfields:
  private_61:
    layout: positions
    fields:
      "4-6": [product_code_1, First product]
      "30-32": [product_code_2, Second product]
kept: [product_code_1, product_code_2, inherited]
""",
    TEXTS,
)
CLEARING: Final = parse_dialect(
    "fuel-clearing",
    """extends: ipm93-ebcdic
subfields:
  additional_data:
    fields:
      "0990": [product_codes, Product codes]
kept: [product_codes, inherited]
""",
    TEXTS,
)


def message_of(dialect: Dialect, mti: str, fields: dict[str, str], tokeniser: Tokeniser) -> CardMessage:
    """Return the card message that these fields make, written and read again."""
    return to_card_message(
        decode(dialect, encode_message(dialect, mti, fields)),
        dialect=dialect,
        bank="bank-a",
        received_at=RECEIVED_AT,
        tokeniser=tokeniser,
        clearing_file="1" if mti == "1240" else "",
        record_number=2 if mti == "1240" else None,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("019 400", ("019", "400")),
        ("400,019;400", ("019", "400")),
        ("diesel/ADBLUE|7", ("7", "ADBLUE", "DIESEL")),
        ("1\\19\\", ("1", "19")),
        ("   ", ()),
    ],
)
def test_a_list_is_taken_apart(text: str, expected: tuple[str, ...], tokeniser: Tokeniser) -> None:
    """Codes come each once and in order, whatever stands between them, and survive being stored."""
    message = message_of(LISTING, "0120", authorization(LISTING, product_codes=text), tokeniser)
    assert (expected, ()) == (message.product_codes, message.oddities)
    assert message == message_from_json(message_to_json(message))


def test_codes_with_places_of_their_own_are_read(tokeniser: Tokeniser) -> None:
    """A dialect that keeps one code at each place gives the same list, and what stands around them is forgotten."""
    private = "F02019" + "L30000004500199PRICE".ljust(23, "9") + "400" + "U1"
    message = message_of(PLACED, "0120", authorization(PLACED, private_61=private), tokeniser)
    assert ("019", "400") == message.product_codes
    assert b"PRICE" not in message_to_json(message)
    assert PLACES[:2] == PLACED.product_places


def test_clearing_records_carry_them_in_private_data(tokeniser: Tokeniser) -> None:
    """A private data sub-element that a bank's dialect names is read as an online message's element is."""
    fields = presentment(product_codes="019")
    message = message_of(CLEARING, "1240", fields, tokeniser)
    assert ("019",) == message.product_codes


def test_what_is_no_code_is_odd() -> None:
    """Long values and signs are not kept, and noted; more codes than are kept are noted too."""
    oddities: list[str] = []
    listed = {"product_codes": "019 123456789 4*0"}
    assert ("019",) == product_codes(listed, (), None, oddities)
    many = {"product_codes": " ".join(f"{code:03d}" for code in range(MOST + 4))}
    assert MOST == len(product_codes(many, (), None, oddities))
    assert ["product_codes holds what is no product code", f"product_codes holds more than {MOST} codes"] == oddities


@pytest.mark.parametrize("cut", [PAN, f"{PAN[:4]},{PAN[4:8]},{PAN[8:12]},{PAN[12:]}", f"{PAN[:8]}/{PAN[8:]}"])
def test_a_card_number_in_pieces_is_dropped(cut: str, tokeniser: Tokeniser) -> None:
    """Codes that together are the card number reach neither the message nor what is stored of it."""
    message = message_of(LISTING, "0120", authorization(LISTING, product_codes=cut), tokeniser)
    assert () == message.product_codes
    assert any("product_codes holds" in oddity for oddity in message.oddities)
    stored = message_to_json(message).decode()
    assert [] == [part for part in (PAN, PAN[:8], PAN[4:12], PAN[:6]) if f'"{part}' in stored]


def test_pieces_are_looked_for_over_all_places() -> None:
    """Two places that hold the card number between them are dropped as one list that does."""
    oddities: list[str] = []
    fields = {"product_code_1": PAN[:8], "product_code_2": PAN[8:]}
    assert () == product_codes(fields, PLACES, Pan(PAN), oddities)
    assert ["product_codes holds the card number"] == oddities


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_shipped_dialects_keep_none(name: str) -> None:
    """What shipped dialects read of a message, and so what makes it the same message, is as it was."""
    assert set() == DIALECTS[name].kept & {"product_codes", *PLACES}


def test_another_list_is_another_content(tokeniser: Tokeniser) -> None:
    """What was bought is content of a message, and not what identifies it."""
    one, other, none = (
        message_of(LISTING, "0120", authorization(LISTING, **fields), tokeniser)
        for fields in ({"product_codes": "019"}, {"product_codes": "400"}, {})
    )
    plain = message_of(DIALECTS["iso87-ascii"], "0120", authorization(LISTING), tokeniser)
    assert one.message_id == other.message_id == none.message_id
    assert one.content != other.content
    assert none.content == plain.content
    assert none == replace(plain, dialect="listing")


WITH_CODES: Final = layout_of(
    "extends: posting-csv-v1\ncolumns: {product_codes: PRODUCTS}\noptional: [product_codes, inherited]\n"
)
STATED: Final = {
    "card_number": PAN,
    "type": "PURCHASE",
    "amount": "60.00",
    "currency": "EUR",
    "local_date": "2026-11-22",
    "acquirer_reference": "05400006326100000000018",
}


def test_extracts_have_a_column_for_them(tokeniser: Tokeniser) -> None:
    """A layout that names the column gives a line's codes; the shipped layout has none."""
    decoded, _ = read_posting(WITH_CODES, ValueReader(WITH_CODES), {**STATED, "product_codes": "400,019"})
    message = to_card_message(
        decoded,
        dialect=WITH_CODES.dialect,
        bank="bank-a",
        received_at=RECEIVED_AT,
        tokeniser=tokeniser,
        clearing_file="1",
        record_number=2,
    )
    assert ("019", "400") == message.product_codes
    assert "product_codes" not in POSTING.columns
    assert set(LAYOUT_TEXTS) == {name for name, text in LAYOUT_TEXTS.items() if "product_codes" not in text}


@pytest.mark.parametrize("odd", ["123456789", " ".join(["019"] * 17), "019  400", "4*0"])
def test_an_odd_column_is_refused(odd: str) -> None:
    """A line whose codes are none is parked, as with every other column."""
    with pytest.raises(BadValueError) as caught:
        read_posting(WITH_CODES, ValueReader(WITH_CODES), {**STATED, "product_codes": odd})
    assert "write at most 16 codes" in caught.value.problem
