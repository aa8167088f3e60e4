"""A posting extract of one line, in the shipped layout, to put card data in."""

from typing import Final

from tests.leak.known import GOLD

LINE: Final = {
    "CARD_NUMBER": GOLD,
    "TYPE": "PURCHASE",
    "AMOUNT": "10.00",
    "CURRENCY": "EUR",
    "BILLING_AMOUNT": "10.00",
    "BILLING_CURRENCY": "EUR",
    "LOCAL_DATE": "2026-11-19",
    "LOCAL_TIME": "10:00:00",
    "PART": "",
    "ACQUIRER": "412345",
    "ACCEPTOR": "SHOP",
    "ACCEPTOR_NAME": "A SHOP",
    "TERMINAL": "",
    "MCC": "5411",
    "ARN": "74123456326000000000011",
    "APPROVAL_CODE": "A1B2C3",
    "RETRIEVAL_REFERENCE": "",
    "LIFECYCLE_ID": "",
    "PROCESSING_CODE": "",
}
NAMES: Final = ";".join(("RECORD", *LINE))
SOUND: Final = ";".join(("D", *LINE.values()))


def extract(
    line: str = SOUND, *, header: str = "A-1;2026-11-19", names: str = NAMES, end: str = "EUR;1;10.00"
) -> bytes:
    """Return an extract of one line."""
    return f"H;posting-csv-v1;{header}\n{names}\n{line}\nT;{end}\n".encode()
