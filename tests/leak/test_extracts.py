"""Extracts of lines: a number in any column in any spelling breaks its line or refuses the file, and is not said."""

import io
from collections.abc import Iterator

import pytest

from processor.wire.clearing_file import ClearingFileError
from processor.wire.clearing_format import open_reading
from processor.wire.encode import encode_message
from processor.wire.ipm import write_records
from tests.flow.conftest import DIALECTS
from tests.leak.extracts import LINE, NAMES, SOUND, extract
from tests.leak.forms import leaks
from tests.leak.held import said_by
from tests.leak.known import DISCRETIONARY, GOLD, SECRETS, TRACK_2, parts_of
from tests.leak.messages import full_message
from tests.wire.clearing_extracts import LAYOUTS

SOUGHT = (*SECRETS, *parts_of(GOLD))
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
    """Return what reading a file says, how many of its lines broke or lost a value, and whether it was refused."""
    said: list[bytes] = []
    broken = 0
    try:
        for record in open_reading(io.BytesIO(content), "", DIALECTS, LAYOUTS).records():
            broken += record.failure is not None or bool(record.decoded and record.decoded.oddities)
            said += [repr(record.decoded).encode(), said_by(record.failure) if record.failure else b""]
    except ClearingFileError as error:
        return b"\n".join([*said, said_by(error)]), broken, True
    return b"\n".join(said), broken, False


def spoilt_lines() -> Iterator[tuple[str, str]]:
    """Yield lines with a number in each column but its own; an amount's digits may look like a part of one."""
    for column in LINE:
        for spelling, value in WRITTEN.items():
            if column != "CARD_NUMBER" and not (column.endswith("AMOUNT") and spelling.startswith("cut")):
                yield f"{column}: {spelling}", ";".join(("D", *{**LINE, column: value}.values()))


def test_a_number_in_any_column_is_not_said() -> None:
    """The line is broken, the value dropped, or the file refused, and none of it says the number or most of it."""
    heard = {place: said_of(extract(line)) for place, line in spoilt_lines()}

    assert [] == [place for place, (_, broken, refused) in heard.items() if not (broken or refused)]
    assert {} == {place: leaks(said, SOUGHT) for place, (said, _, _) in heard.items() if leaks(said, SOUGHT)}


@pytest.mark.parametrize(
    "content",
    [
        extract(header=f"{GOLD};2026-11-19"),
        extract(header=f"2026-{GOLD};2026-11-19"),
        extract(header=f"A-1;2026-11-19;{GOLD}"),
        extract(end=f"{GOLD};1;10.00"),
        extract(end=f"EUR;{GOLD};10.00"),
        extract(end=f"EUR;1;{GOLD}"),
        extract(names=f"{GOLD};{GOLD}"),
        extract(names=f"{NAMES};{GOLD};{GOLD}"),
        extract(f'D;"{GOLD}'),
        extract(f"{GOLD};{SOUND}"),
        f"{GOLD};posting-csv-v1;A-1\n".encode(),
    ],
    ids=[
        "file id",
        "part of the file id",
        "header",
        "currency",
        "count",
        "total",
        "no names",
        "names",
        "quotes",
        "mark of a line",
        "mark of the file",
    ],
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
