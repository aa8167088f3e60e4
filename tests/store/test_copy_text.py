"""PostgreSQL's text forms: whatever goes through COPY or an array parameter comes back as it was."""

from collections.abc import Iterator
from typing import Any, Final

import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.store.copy_text import (
    binary,
    binary_array,
    binary_or_null,
    copy_rows,
    integer_array,
    text,
    text_or_null,
)

AWKWARD: Final = (
    "",
    "\\",
    "\\N",
    "\\.",
    "\\t",
    "\t",
    "\n",
    "\r",
    "\r\n",
    '"',
    "'",
    "{}",
    ",",
    "NULL",
    "ß€𝄞",
    "\x7f\x08",
)
"""What COPY gives a meaning of its own, and what an encoding could lose."""

TEXTS: Final = st.one_of(
    st.sampled_from(AWKWARD),
    # A surrogate is no character, and PostgreSQL has no text with a zero byte.
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20),
    st.lists(st.sampled_from(AWKWARD), max_size=6).map("".join),
)


@pytest.fixture(scope="module")
def cursor(administrator_url: str) -> Iterator[Any]:
    """Open a connection with a table to copy into."""
    connection = psycopg2.connect(administrator_url)
    connection.autocommit = True
    with connection.cursor() as opened:
        opened.execute(
            "CREATE TEMPORARY TABLE copied"
            " (number integer, value text, perhaps text, raw bytea, raw_perhaps bytea, last text)"
        )
        yield opened
    connection.close()


@given(
    rows=st.lists(
        st.tuples(TEXTS, st.none() | TEXTS, st.binary(max_size=20), st.none() | st.binary(max_size=20), TEXTS),
        max_size=8,
    )
)
def test_rows_come_back_as_they_were_copied(
    cursor: Any, rows: list[tuple[str, str | None, bytes, bytes | None, str]]
) -> None:
    """Backslashes, tabs, line ends, quotes, empty values, NULL and every character survive, each in its own column."""
    cursor.execute("TRUNCATE copied")
    lines = [
        f"{number}\t{text(value)}\t{text_or_null(perhaps)}\t{binary(raw)}\t{binary_or_null(raw_perhaps)}\t{text(last)}"
        for number, (value, perhaps, raw, raw_perhaps, last) in enumerate(rows)
    ]

    copy_rows(cursor, "copied", "number, value, perhaps, raw, raw_perhaps, last", lines)

    cursor.execute("SELECT value, perhaps, raw, raw_perhaps, last FROM copied ORDER BY number")
    found = [
        (value, perhaps, bytes(raw), None if raw_perhaps is None else bytes(raw_perhaps), last)
        for value, perhaps, raw, raw_perhaps, last in cursor.fetchall()
    ]
    assert rows == found


@given(values=st.lists(st.binary(max_size=20), max_size=8))
def test_byte_strings_come_back_from_an_array(cursor: Any, values: list[bytes]) -> None:
    """An array parameter of byte strings holds each of them, also the empty one."""
    cursor.execute("SELECT %s::bytea[]", (binary_array(values),))
    assert values == [bytes(value) for value in cursor.fetchone()[0]]


@given(values=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=8))
def test_integers_come_back_from_an_array(cursor: Any, values: list[int]) -> None:
    """An array parameter of integers holds each of them, up to 64 bits."""
    cursor.execute("SELECT %s::bigint[]", (integer_array(values),))
    assert values == cursor.fetchone()[0]


def test_no_rows_copy_nothing(cursor: Any) -> None:
    """Without lines no COPY is sent, so the table need not even be there."""
    copy_rows(cursor, "no_such_table", "value", [])
