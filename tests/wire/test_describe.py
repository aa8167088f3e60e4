"""Describing a message for a person: everything is named, nothing secret is shown."""

from processor.wire.describe import DescribedElement, describe
from processor.wire.dialect import Dialect
from processor.wire.encode import encode_message
from tests.wire.conftest import PAN, PIN_BLOCK, authorization, presentment


def test_every_element_has_a_row(online: Dialect) -> None:
    """The rows follow the message: its type, then each element in order."""
    rows = describe(online, encode_message(online, "0120", authorization(online)))

    assert ["mti", "2", "3", "4", "6", "7", "11", "12", "13", "14", "18"] == [row.number for row in rows[:11]]
    assert "0120" == rows[0].value
    assert (
        DescribedElement(number="2", name="pan", description="Primary account number", value="400000******3219") in rows
    )


def test_secrets_are_shown_as_dropped(online: Dialect) -> None:
    """Track, PIN block and expiry date are named and not shown; the account number is masked."""
    rows = describe(online, encode_message(online, "0120", authorization(online, additional_private="GRAPE")))

    shown = {row.name: row.value for row in rows}
    assert ["dropped"] * 3 == [shown[name] for name in ("track_2", "pin_block", "expiry_date")]
    assert "not kept (5 characters)" == shown["additional_private"]
    for secret in (PAN, PAN[6:12], PIN_BLOCK, "2912201", "GRAPE"):
        assert secret not in repr(rows)


def test_subelements_have_rows_of_their_own(ipm: Dialect) -> None:
    """Named private data is shown under its tag, the carrier by its length."""
    fields = presentment(clearing_part="0102") | {}

    rows = describe(ipm, encode_message(ipm, "1240", fields))

    found = [(row.number, row.name, row.value) for row in rows if row.number.startswith("48")]
    assert [("48", "additional_data", "not kept (11 characters)"), ("48.1000", "clearing_part", "0102")] == found
