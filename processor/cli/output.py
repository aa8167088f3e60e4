"""What a verb prints: tables or one JSON document on standard output, everything else on standard error.

It never decides what may be shown: what reaches it holds no card number.
"""

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC
from typing import Any, Final

import orjson
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from processor.core.money import decimal_amount

WIDTH_WITHOUT_TERMINAL: Final = 160
"""How wide a table may grow where no terminal says, so that a log shows names in full."""

_MOVE_SECONDS: Final = 0.1


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDTH_WITHOUT_TERMINAL
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False)


def say(text: str) -> None:
    """Tell a person something beside the result, on standard error."""
    _console(stderr=True).print(text, soft_wrap=True)


def show_text(text: str) -> None:
    """Print a line of the result."""
    _console(stderr=False).print(text, soft_wrap=True)


def show_json(document: Any) -> None:
    """Print the result as the one JSON document that programs read."""
    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode())
    sys.stdout.flush()


def show_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Iterable[str] = ()
) -> None:
    """Print rows under a title; the columns named in ``numbers`` are set flush right."""
    right = set(numbers)
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else _cell(cell) for cell in row))
    _console(stderr=False).print(table)


def _cell(cell: object) -> str:
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)


def money(amount_minor: int, currency: str) -> str:
    """Return an amount of money for a person, with the currency's decimals and no code: ``1,050.00``."""
    return f"{decimal_amount(amount_minor, currency):,}"


def amount_of_unit(amount: int, unit: str) -> str:
    """Return an amount of a ledger unit for a person: money with its decimals, miles in their smallest unit."""
    try:
        return money(amount, unit)
    except ValueError:
        return f"{amount:,}"


def instant(timestamp: Timestamp) -> str:
    """Return a moment for a person, to the second in UTC, or nothing where none is given."""
    if not timestamp.ByteSize():
        return ""
    return f"{timestamp.ToDatetime(tzinfo=UTC):%Y-%m-%d %H:%M:%S}Z"


def document_of(message: Message) -> dict[str, Any]:
    """Return a protobuf message as JSON values under its own field names.

    Integers of 64 bits are numbers, moments are RFC 3339, enums lose their prefix, absent messages are null.
    """
    return {field.name: _field_value(message, field) for field in message.DESCRIPTOR.fields}


def _field_value(message: Message, field: Any) -> Any:
    value = getattr(message, field.name)
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return dict(sorted(value.items()))
    if field.is_repeated:
        return [_value(entry, field) for entry in value]
    if kind is not None and not message.HasField(field.name):
        return None
    return _value(value, field)


def _value(value: Any, field: Any) -> Any:
    if isinstance(value, Timestamp):
        return value.ToJsonString()
    if isinstance(value, Message):
        return document_of(value)
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name.removeprefix(f"{field.enum_type.name.upper()}_")
    return value.hex() if isinstance(value, bytes) else value


@contextmanager
def progress_bar(what: str, total: int | None) -> Iterator["ProgressBar"]:
    """Show a progress bar on standard error, where that is a terminal, for the length of a block."""
    console = _console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal) as progress:
        yield ProgressBar(progress, progress.add_task(what, total=total), total)


class ProgressBar:
    """One bar; ``reach`` says how far the work is, as often as it likes and from any thread."""

    def __init__(self, progress: Progress, task: TaskID, total: int | None) -> None:
        self._progress = progress
        self._task = task
        self._total = total
        self._moved_at = 0.0

    def reach(self, completed: int) -> None:
        """Show that so much is done; the bar moves ten times a second and at the end."""
        now = time.monotonic()
        if completed == self._total or now - self._moved_at >= _MOVE_SECONDS:
            self._moved_at = now
            self._progress.update(self._task, completed=completed)


def more_exist(more: bool) -> None:
    """Tell a person that a list goes on."""
    if more:
        say("There are more: raise --limit to see them.")


def counted(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return counts with the largest first, equal ones by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
