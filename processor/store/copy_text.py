"""PostgreSQL's text form of values for COPY and for array parameters: the fast way to hand over many rows.

Source: PostgreSQL 18 documentation, COPY, "Text Format", and "Array Input and Output Syntax".
"""

from collections.abc import Iterable
from io import StringIO
from typing import Any, Final

NULL: Final = "\\N"


def text(value: str) -> str:
    """Return a text value for COPY: backslashes and the characters that would end a value or row are escaped."""
    if "\\" in value or "\t" in value or "\n" in value or "\r" in value:
        return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
    return value


def text_or_null(value: str | None) -> str:
    """Return a text value for COPY, or its NULL."""
    return NULL if value is None else text(value)


def binary(value: bytes) -> str:
    """Return a ``bytea`` value for COPY."""
    return "\\\\x" + value.hex()


def binary_or_null(value: bytes | None) -> str:
    """Return a ``bytea`` value for COPY, or its NULL."""
    return NULL if value is None else "\\\\x" + value.hex()


def binary_array(values: Iterable[bytes]) -> str:
    """Return a ``bytea[]`` literal."""
    return "{" + ",".join([f'"\\\\x{value.hex()}"' for value in values]) + "}"


def integer_array(values: Iterable[int]) -> str:
    """Return an integer array literal."""
    return "{" + ",".join(map(str, values)) + "}"


def copy_rows(cursor: Any, table: str, columns: str, lines: list[str]) -> None:
    """Append rows to a table; each line is its values, already in text form, joined by tabs."""
    if lines:
        cursor.copy_expert(f"COPY {table} ({columns}) FROM STDIN", StringIO("\n".join(lines) + "\n"))
