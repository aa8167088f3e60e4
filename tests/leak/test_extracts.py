"""Extracts of lines: a number in any column in any spelling breaks its line or refuses the file, and is not said."""

import io
from collections.abc import Iterator

import pytest

from processor.wire.clearing_file import ClearingFileError
from processor.wire.clearing_format import open_reading
from processor.wire.encode import encode_message
from processor.wire.ipm import write_records
from tests.flow.conftest import DIALECTS
from tests.leak.forms import leaks
from tests.leak.held import said_by
from tests.leak.known import DISCRETIONARY, GOLD, SECRETS, TRACK_2, parts_of
from tests.leak.messages import full_message
from tests.wire.test_clearing_csv import LAYOUTS

SOUGHT = (*SECRETS, *parts_of(GOLD))
LINE = {
    "card_number": GOLD,
    "type": "PURCHASE",
    "amount": "10.00",
    "currency": "EUR",
    "billing_amount": "10.00",
    "billing_currency": "EUR",
    "date": "2026-11-19",
    "time": "10:00:00",
    "part": "",
    "acceptor": "SHOP",
    "acceptor_name": "",
    "terminal": "",
    "mcc": "5411",
    "acquirer": "",
    "acquirer_reference": "",
    "approval_code": "",
    "retrieval_reference": "",
    "lifecycle_id": "",
}
NAMES = ";".join(LINE)
SOUND = ";".join(LINE.values())
WRITTEN = {
    "digits": GOLD,
    "groups": "4000 0012 3456 7899",
    "dashes": "4000-0012-3456-7899",
    "text": f"CARD {GOLD}",
    "track": TRACK_2.format(pan=GOLD),
    "hexadecimal": GOLD.encode().hex(),
    "cut on the right": GOLD[:12],
    "cut on the left": GOLD[4:],
}


def said_of(content: bytes) -> tuple[bytes, int, bool]:
    """Return what reading a file says, how many of its lines broke, and whether it was refused."""
    said: list[bytes] = []
    broken = 0
    try:
        for record in open_reading(io.BytesIO(content), "", DIALECTS, LAYOUTS).records():
            broken += record.failure is not None
            said += [repr(record.decoded).encode(), said_by(record.failure) if record.failure else b""]
    except ClearingFileError as error:
        return b"\n".join([*said, said_by(error)]), broken, True
    return b"\n".join(said), broken, False


def extract(
    line: str = SOUND, *, header: str = "POSTINGS;A-1", names: str = NAMES, end: str = "END;A-1;1;10.00"
) -> bytes:
    """Return an extract of one line."""
    return f"{header}\n{names}\n{line}\n{end}\n".encode()


def spoilt_lines() -> Iterator[tuple[str, str]]:
    """Yield lines with a number in each column but its own; an amount's digits may look like a part of one."""
    for column in LINE:
        for spelling, value in WRITTEN.items():
            if column != "card_number" and not (column.endswith("amount") and spelling.startswith("cut")):
                yield f"{column}: {spelling}", ";".join({**LINE, column: value}.values())


def test_a_number_in_any_column_is_not_said() -> None:
    """The line is broken, or the file is refused, and neither says the number or most of it."""
    heard = {place: said_of(extract(line)) for place, line in spoilt_lines()}

    assert [] == [place for place, (_, broken, refused) in heard.items() if not (broken or refused)]
    assert {} == {place: leaks(said, SOUGHT) for place, (said, _, _) in heard.items() if leaks(said, SOUGHT)}


@pytest.mark.parametrize(
    "content",
    [
        extract(header=f"POSTINGS;{GOLD}", end=f"END;{GOLD};1;10.00"),
        extract(header=f"POSTINGS;2026-{GOLD}", end=f"END;2026-{GOLD};1;10.00"),
        extract(end=f"END;{GOLD};1;10.00"),
        extract(end=f"END;A-1;{GOLD};10.00"),
        extract(end=f"END;A-1;1;{GOLD}"),
        extract(names=f"{GOLD};{GOLD}"),
        extract(names=f"{NAMES};{GOLD};{GOLD}"),
        extract(f'"{GOLD}'),
        f"{GOLD};A-1\n".encode(),
    ],
    ids=["file id", "part of the file id", "trailer", "count", "total", "no names", "names", "quotes", "mark"],
)
def test_a_refused_extract_says_no_number(content: bytes) -> None:
    """Where header, names or trailer hold a number, shifted columns say, the refusal names the place alone."""
    said, _, refused = said_of(content)

    assert refused
    assert set() == leaks(said, (GOLD, DISCRETIONARY, *parts_of(GOLD)))


def test_records_whose_file_is_named_after_a_card_are_refused() -> None:
    """A file id that is a card number of the file's own records would be kept beside each of them."""
    dialect = DIALECTS["ipm93-ebcdic"]
    header = encode_message(dialect, "1644", {"function_code": "697", "file_id": f"A{GOLD}"})

    said, _, refused = said_of(write_records([header, full_message(dialect, 1, GOLD)], blocked=True))

    assert refused
    assert b"the file's id holds a card number" in said
    assert set() == leaks(said, SOUGHT)
