"""How a clearing file in CSV may be written: ends, pieces, columns, signs, dates, totals; what is written is read."""

import io
from datetime import datetime
from typing import Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.money import exponent
from processor.wire.clearing_csv import CsvReading
from processor.wire.clearing_layout import ClearingLayout
from processor.wire.clearing_lines import PIECE_BYTES
from tests.wire.clearing_extracts import (
    ARN,
    NAMES,
    POSTING,
    broken,
    decoded_in,
    extract,
    layout_of,
    line_of,
    reading,
    refusal,
)
from tests.wire.conftest import PAN


def test_ends_of_lines_a_mark_of_order_and_empty_lines_at_the_end_change_nothing() -> None:
    """CR LF, a byte order mark, no end of the last line and empty lines behind it read as the plain file does."""
    plain = extract(line_of())
    fields = decoded_in(reading(plain)[0][0]).fields
    others = [plain.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + plain, plain[:-1], plain + b"\n\r\n"]

    assert [fields] * 4 == [decoded_in(reading(other)[0][0]).fields for other in others]


class _Trickle:
    """A source that gives few bytes at a time, and counts the most that it was asked for."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data = io.BytesIO(data)
        self._step = step
        self.most = 0

    def read(self, size: int, /) -> bytes:
        self.most = max(self.most, size)
        return self._data.read(min(size, self._step))


@given(step=st.integers(min_value=1, max_value=60))
def test_the_pieces_a_file_comes_in_change_nothing(step: int) -> None:
    """A file reads the same in pieces of any size, and is never asked for whole."""
    source = _Trickle(b"\xef\xbb\xbf" + extract(line_of()), step)

    records = list(CsvReading(source, POSTING).records())
    assert ([3], PIECE_BYTES) == ([record.number for record in records], source.most)


def test_columns_may_stand_in_any_order() -> None:
    """The line of names says where each value is."""
    names, values = NAMES.split(";"), line_of().split(";")
    turned = extract(";".join([values[0], *reversed(values[1:])]), names=";".join([names[0], *reversed(names[1:])]))

    assert decoded_in(reading(extract(line_of()))[0][0]).fields == decoded_in(reading(turned)[0][0]).fields


def test_other_columns_are_ignored_where_the_layout_says_so() -> None:
    """A bank's further columns may be read over."""
    layout = layout_of("extends: posting-csv-v1\nothers: ignore\nheader: {mark: H, fields: [bank, file_id, day]}")

    assert 1 == reading(extract(f"{line_of()};blue", names=f"{NAMES};COLOUR"), layout)[1].records


PER_LINE: Final = "extends: posting-csv-v1\nheader: null\ndetail_mark: null\ncolumns: {file_id: FILE}\ntrailer: "


def test_a_file_may_be_named_by_its_records() -> None:
    """Without a header every record names the file, and the same one."""
    layout = layout_of(f"{PER_LINE}null")
    names = NAMES.replace("RECORD", "FILE")
    one, other, none = (line_of(RECORD=name) for name in ("F1", "F2", ""))

    assert "F1" == reading(f"{names}\n{one}\n{one}\n".encode(), layout)[1].file_id
    assert "line 3, column 1 (file_id): the line names another file" in str(
        refusal(f"{names}\n{one}\n{other}\n".encode(), layout)
    )
    assert "line 2, column 1 (file_id): the record's file id is not" in str(
        refusal(f"{names}\n{none}\n".encode(), layout)
    )
    assert "line 1: the file has no record, and nothing names it" in str(refusal(f"{names}\n".encode(), layout))


def test_one_total_may_be_over_all_currencies() -> None:
    """A total over all adds the numbers as they are written, whatever their decimals."""
    layout = layout_of("extends: posting-csv-v1\ntrailer: {fields: [amount_total, file_id]}")
    header = "H;own;F;1"
    lines = (line_of(), line_of(CURRENCY="JPY", AMOUNT="5200"), line_of(CURRENCY="BHD", AMOUNT="1.005"))

    assert {"EUR": 12050, "JPY": 5200, "BHD": 1005} == reading(
        extract(*lines, header=header, trailer=("T;5321.505;F",)), layout
    )[1].totals
    assert "(stated 5321.500, calculated 5321.505)" in str(
        refusal(extract(*lines, header=header, trailer=("T;5321.50;F",)), layout)
    )
    assert "line 6, column 3 (file_id): the trailer names another file" in str(
        refusal(extract(*lines, header=header, trailer=("T;5321.505;G",)), layout)
    )
    assert "line 7: a second trailer" in str(
        refusal(extract(*lines, header=header, trailer=("T;5321.505;F",) * 2), layout)
    )


def test_amounts_may_be_minor_units() -> None:
    """Minor units are whole numbers, also in the totals."""
    layout = layout_of("extends: posting-csv-v1\namounts: minor\ntrailer: {fields: [record_count, amount_total]}")
    lines = (line_of(AMOUNT="12050"), line_of(CURRENCY="JPY", AMOUNT="5200"))

    assert {"EUR": 12050, "JPY": 5200} == reading(extract(*lines, header="H;own;F;1", trailer=("T;2;17250",)), layout)[
        1
    ].totals
    assert "write a whole number of minor units" in broken(
        extract(line_of(), header="H;own;F;1", trailer=("T;1;12050",)), layout
    )


@pytest.mark.parametrize(
    ("keys", "date", "time"),
    [
        ("dates: YYYYMMDD\ntimes: HHMMSS", "20261122", "111530"),
        ("dates: YYMMDD\ntimes: HHMMSS", "261122", "111530"),
        ("dates: DD.MM.YYYY\ntimes: HH:MM:SS", "22.11.2026", "11:15:30"),
        ("dates: DD/MM/YYYY\ntimes: HH:MM:SS", "22/11/2026", "11:15:30"),
        ("dates: MM/DD/YYYY\ntimes: HH:MM:SS", "11/22/2026", "11:15:30"),
    ],
)
def test_every_form_of_a_date_and_a_time(keys: str, date: str, time: str) -> None:
    """Each form is read to the same moment."""
    layout = layout_of(f"extends: posting-csv-v1\n{keys}")
    data = extract(f"{line_of(LOCAL_DATE=date)};{time}", names=f"{NAMES};LOCAL_TIME", header="H;own;F;1")

    assert "261122111530" == decoded_in(reading(data, layout)[0][0]).fields["local_date_time"]


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("YYYY-MM-DDTHH:MM:SS+HH:MM", "2026-11-22T23:15:30+05:30", "261122231530"),
        ("YYYY-MM-DDTHH:MM:SS+HH:MM", "2026-11-22T23:15:30Z", "261122231530"),
        ("YYYY-MM-DD HH:MM:SS", "2026-11-22 23:15:30", "261122231530"),
        ("YYYYMMDDHHMMSS", "20261122231530", "261122231530"),
        ("DD.MM.YYYY HH:MM:SS", "22.11.2026 23:15:30", "261122231530"),
    ],
)
def test_every_form_of_a_date_with_its_time(form: str, text: str, expected: str) -> None:
    """One column may hold both, as the card acceptor's clock showed them."""
    layout = layout_of(
        f'extends: posting-csv-v1\ndate_times: "{form}"\ncolumns: {{local_date: null, local_date_time: LOCAL_DATE}}'
    )
    data = extract(line_of(LOCAL_DATE=text), header="H;own;F;1")

    assert expected == decoded_in(reading(data, layout)[0][0]).fields["local_date_time"]
    assert "is no date and time" in broken(extract(line_of(LOCAL_DATE="2026"), header="H;own;F;1"), layout)


WORDS: Final = st.text(st.sampled_from("ABCxyz09 -;,\"'|.é"), min_size=1, max_size=12)


@given(
    separator=st.sampled_from([";", ",", "|", "\t"]),
    quote=st.sampled_from(['"', "'"]),
    encoding=st.sampled_from(["utf-8", "latin-1", "cp1252"]),
    decimal=st.sampled_from([".", ","]),
    amounts=st.sampled_from(["decimal", "minor"]),
    postings=st.lists(
        st.tuples(
            st.integers(min_value=0, max_value=10**12 - 1),
            st.sampled_from(["EUR", "JPY", "BHD", "978"]),
            st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2099, 12, 31)),  # noqa: DTZ001 - local.
            WORDS,
        ),
        max_size=4,
    ),
)
def test_what_is_written_in_a_layout_is_read(
    separator: str,
    quote: str,
    encoding: str,
    decimal: str,
    amounts: str,
    postings: list[tuple[int, str, datetime, str]],
) -> None:
    """Whatever signs a layout has, its records come back value by value, and its totals hold."""
    word = "tab" if separator == "\t" else separator
    signs = {"separator": word, "quote": quote, "encoding": encoding, "decimal": decimal, "amounts": amounts}
    layout = layout_of(
        "extends: posting-csv-v1\n" + "".join(f"{key}: {orjson.dumps(sign).decode()}\n" for key, sign in signs.items())
    )
    lines = [["H", "own", "F", "1"], [*NAMES.split(";"), "LOCAL_TIME"]]
    totals: dict[str, list[int]] = {}
    for amount, currency, moment, name in postings:
        code = "EUR" if currency == "978" else currency
        totals.setdefault(code, []).append(amount)
        stated = _written(layout, amount, code)
        said = [
            stated,
            currency,
            f"{moment:%Y-%m-%d}",
            "400001",
            "M",
            name,
            "5411",
            ARN,
            "A1B2C3",
            f"{moment:%H:%M:%S}",
        ]
        lines.append(["D", PAN, "PURCHASE", *said])
    lines += [["T", code, str(len(parts)), _written(layout, sum(parts), code)] for code, parts in totals.items()]
    data = "".join(separator.join(_quoted(value, layout) for value in line) + "\r\n" for line in lines)

    if not postings:
        data += separator.join(["T", "EUR", "0", "0"])
    records, summary = reading(data.encode(encoding), layout)
    assert {code: sum(parts) for code, parts in totals.items()} == summary.totals
    assert [(amount, f"{moment:%y%m%d%H%M%S}", name) for amount, _, moment, name in postings] == [
        (int(fields["amount"]), fields["local_date_time"], fields["acceptor_name"])
        for fields in (decoded_in(record).fields for record in records)
    ]


def _written(layout: ClearingLayout, amount_minor: int, currency: str) -> str:
    decimals = 0 if layout.minor else exponent(currency)
    digits = f"{amount_minor:0{decimals + 1}d}"
    return f"{digits[:-decimals]}{layout.decimal}{digits[-decimals:]}" if decimals else digits


def _quoted(value: str, layout: ClearingLayout) -> str:
    if layout.separator in value or layout.quote in value:
        return f"{layout.quote}{value.replace(layout.quote, layout.quote * 2)}{layout.quote}"
    return value
