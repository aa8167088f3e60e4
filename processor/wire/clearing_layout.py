"""Layouts of clearing files of lines: which columns a bank's extract has and what its codes mean, read from YAML data.

``processor/wire/clearing_csv.py`` reads files by them; nothing here reads a file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import orjson

import schemas
from processor.core.document_schema import schema_errors
from processor.core.located_document import DocumentError, LocatedDocument, choice, did_you_mean
from processor.core.located_yaml import locate_yaml

REQUIRED_COLUMNS: Final = ("card_number", "type", "amount", "currency", "date")
"""Columns without which a line says too little."""

_REQUIRED: Final = ("encoding", "separator", "amounts", "date", "time", "header", "trailer", "columns", "types")
_REQUIRED_WITHIN: Final = {
    "columns": REQUIRED_COLUMNS,
    "header": ("mark", "file_id"),
    "trailer": ("mark", "file_id", "records", "total"),
}
_MERGED: Final = ("header", "trailer", "columns", "types")


@dataclass(frozen=True, slots=True, kw_only=True)
class LineEnd:
    """The header or the trailer: the mark in its first column, and the numbers of its columns from 1, 0 for none."""

    mark: str
    file_id: int
    records: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearingLayout:
    """How a bank's extract writes its lines; ``columns`` maps our columns to its names, ``types`` its codes to ours."""

    name: str
    description: str
    encoding: str
    separator: str
    amounts: str
    date: str
    time: str
    header: LineEnd
    trailer: LineEnd
    columns: Mapping[str, str]
    types: Mapping[str, str]


@cache
def layout_schema() -> Mapping[str, Any]:
    """Return the JSON Schema of a layout, which ships with the code."""
    schema: Mapping[str, Any] = orjson.loads(schemas.read("clearing", "layout.schema.json"))
    return schema


def read_layout(
    name: str, text: str, known: Mapping[str, str], *, source: str = ""
) -> ClearingLayout | tuple[DocumentError, ...]:
    """Return the layout of a text, or every error in it; ``known`` holds the texts of the layouts it may extend."""
    located = locate_yaml(text, source=source or f"{name}.yaml", content="clearing layout")
    if not isinstance(located, LocatedDocument):
        return located
    found = schema_errors(located, layout_schema())
    errors = [*located.errors, *(error for _, error in found)]
    document = replace(located, broken=located.broken.union(path for path, _ in found))
    parent = document.get("extends")
    if parent is not None and parent not in known:
        expected = f"{did_you_mean(parent, known)}write one of {choice(sorted(known))}"
        errors.append(document.error(("extends",), f"is {parent!r}", expected))
    if errors:
        return tuple(sorted(errors, key=lambda error: (error.line, error.column)))
    value: dict[str, Any] = dict(document.value)
    if parent is not None:
        inherited = read_layout(parent, known[parent], {key: known[key] for key in known if key != name})
        if not isinstance(inherited, ClearingLayout):
            return inherited
        value = _merged(_as_data(inherited), value)
    missing = [key for key in _REQUIRED if key not in value]
    missing += [
        f"{place}.{key}" for place, keys in _REQUIRED_WITHIN.items() for key in keys if key not in value.get(place, {})
    ]
    if missing:
        return (document.error((), f"lacks {choice(missing)}", "write them, or extend a layout that has them"),)
    return _layout(name, value)


def _merged(inherited: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**inherited, **own}
    for key in _MERGED:
        merged[key] = {**inherited[key], **own.get(key, {})}
    return merged


def _as_data(layout: ClearingLayout) -> dict[str, Any]:
    def line_end(end: LineEnd) -> dict[str, Any]:
        values = {"mark": end.mark, "file_id": end.file_id, "records": end.records, "total": end.total}
        return {key: value for key, value in values.items() if value}

    return {
        "description": layout.description,
        "encoding": layout.encoding,
        "separator": layout.separator,
        "amounts": layout.amounts,
        "date": layout.date,
        "time": layout.time,
        "header": line_end(layout.header),
        "trailer": line_end(layout.trailer),
        "columns": dict(layout.columns),
        "types": dict(layout.types),
    }


def _layout(name: str, value: Mapping[str, Any]) -> ClearingLayout:
    return ClearingLayout(
        name=name,
        description=value["description"],
        encoding=value["encoding"],
        separator=value["separator"],
        amounts=value["amounts"],
        date=value["date"],
        time=value["time"],
        header=LineEnd(**value["header"]),
        trailer=LineEnd(**value["trailer"]),
        columns=value["columns"],
        types=value["types"],
    )
