"""A layout's text to the layout: the values over those that it extends, checked, each error at its line and column.

It decides what a layout may say, and refuses one whose keys contradict each other.
It never reads a file: its callers hand in the text.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Final

import orjson

import schemas
from processor.core.document_schema import schema_errors
from processor.core.located_document import DocumentError, LocatedDocument, did_you_mean, shown
from processor.wire.clearing_layout import POSTING_TYPES, ClearingLayout, EdgeLine, meaning
from processor.wire.clearing_values import BadValueError, currency_value, text_value
from processor.wire.dialect import Dialect
from processor.wire.dialect_text import DialectText, read_dialect_text

_NO_QUOTE: Final = "none"
_TAB: Final = "tab"
_FILE_ID: Final = "file_id"
_NEEDED: Final = ("type", "amount", "currency")
_DEFAULTS: Final[Mapping[str, Any]] = {
    "encoding": "utf-8",
    "separator": ",",
    "quote": '"',
    "decimal": ".",
    "amounts": "decimal",
    "dates": "YYYY-MM-DD",
    "times": "HH:MM:SS",
    "date_times": "YYYY-MM-DDTHH:MM:SS+HH:MM",
    "names": True,
    "others": "refuse",
    "file_id": [_FILE_ID],
}
"""What a layout means where neither it nor one that it extends says it."""


def parse_clearing_layout(
    name: str, text: str, parents: Mapping[str, str], dialects: Mapping[str, Dialect], source: str = ""
) -> ClearingLayout:
    """Compile one layout; ``parents`` holds the text of the layouts it may extend, by name.

    ``dialects`` are those whose records a layout may have; ``source`` is the file's name for errors.
    Raises :class:`~processor.wire.dialect_text.DialectError` with everything that is wrong.
    """
    read = read_dialect_text(source or f"{name}.yaml", text, parents, content="layout")
    for document in read.documents:
        read.errors += [error for _, error in schema_errors(_stated(document), _schema())]
    read.stop_at_errors()
    read.value = {**_DEFAULTS, **read.value}
    dialect = _dialect_of(read, dialects)
    for problem in _problems(read):
        read.errors.append(problem)
    read.stop_at_errors()
    if dialect is None:
        raise AssertionError("a layout without errors has a dialect")
    _require_meanings(read, dialect)
    return _layout(name, read.value, dialect)


@cache
def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = orjson.loads(schemas.read(schemas.CLEARING_FOLDER, "clearing_layout.schema.json"))
    return schema


def _stated(document: LocatedDocument) -> LocatedDocument:
    """Return a document without its keys that have no value: they take away what is extended."""
    return replace(document, value=_without_nothing(document.value))


def _without_nothing(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nothing(entry) for key, entry in value.items() if entry is not None}
    return value


def _dialect_of(read: DialectText, dialects: Mapping[str, Dialect]) -> Dialect | None:
    known = sorted(name for name, dialect in dialects.items() if dialect.clearing_identity)
    named = read.one_of(("dialect",), read.value.get("dialect"), known)
    return None if named is None else dialects[named]


def _problems(read: DialectText) -> Iterator[DocumentError]:
    """Yield what no schema can say: what the keys of one layout mean to each other."""
    value, document = read.value, read.documents[0]
    given = set(value.get("columns", {})) | set(value.get("constants", {}))
    missing = [name for name in _NEEDED if name not in given]
    if "local_date" not in given and "local_date_time" not in given:
        missing.append("local_date")
    for name in missing:
        yield document.error(("columns",), f"lacks {name}", f"write {name}: the bank's name of that column")
    yield from _card_problems(document, given)
    yield from _line_problems(document, value)
    yield from _constant_problems(document, value)
    for name in sorted(set(value.get("columns", {})) & set(value.get("constants", {}))):
        yield document.error(("constants", name), "is a column as well", "remove it here or from columns", at_key=True)
    names = list(value.get("columns", {}).values())
    for ours, bank in value.get("columns", {}).items():
        if names.count(bank) > 1:
            yield document.error(("columns", ours), f"names {shown(bank)} twice", "name each column once")
    if not value.get("types"):
        yield document.error(("types",), "lists nothing", "write each code of the bank with what it means")


def _card_problems(document: LocatedDocument, given: set[str]) -> Iterator[DocumentError]:
    if ("card_number" in given) == ("card_token" in given):
        yield document.error(("columns",), "has not one of card_number and card_token", "write exactly one of the two")
    elif "card_token" in given:
        for name in ("card_token_key", "card_last_four"):
            if name not in given:
                expected = f"write {name} as a column or a constant"
                yield document.error(("columns",), f"has card_token without {name}", expected)


def _constant_problems(document: LocatedDocument, value: Mapping[str, Any]) -> Iterator[DocumentError]:
    for name, text in value.get("constants", {}).items():
        problem = ""
        try:
            if name in {"currency", "billing_currency"}:
                currency_value(name, text)
            elif name != "type":
                text_value(name, text)
            elif text not in value.get("types", {}):
                problem = "is none of the layout's types"
        except BadValueError as error:
            problem = error.problem
        if problem:
            yield document.error(("constants", name), problem, "mend the constant")


def _line_problems(document: LocatedDocument, value: Mapping[str, Any]) -> Iterator[DocumentError]:
    for edge in ("header", "trailer"):
        stated = value.get(edge)
        if stated and not {"mark", "fields"} <= set(stated):
            yield document.error((edge,), "lacks its mark or its fields", "write both")
    header = value.get("header", {}).get("fields", ())
    if "file_id" not in value.get("columns", {}):
        for name in value["file_id"]:
            if name not in header:
                expected = f"{did_you_mean(name, header)}name fields of the header, or map the column file_id"
                yield document.error(("file_id",), f"names {name}, which the header does not have", expected)
    yield from _column_line_problems(document, value)
    if value["separator"] == value["decimal"] and value["quote"] == _NO_QUOTE:
        yield document.error(("separator",), "is the decimal sign as well", "write another, or quote the amounts")


def _column_line_problems(document: LocatedDocument, value: Mapping[str, Any]) -> Iterator[DocumentError]:
    if not value["names"]:
        order = value.get("order", ())
        for ours, bank in value.get("columns", {}).items():
            if bank not in order:
                yield document.error(("columns", ours), f"{shown(bank)} is not in order", "list every column in order")
    elif "order" in value:
        yield document.error(("order",), "is given though the file names its columns", "remove it or say names: false")


def _require_meanings(read: DialectText, dialect: Dialect) -> None:
    for code, name in read.value["types"].items():
        posting = POSTING_TYPES[name]
        if meaning(dialect, posting, posting.function_code) is not posting.kind:
            expected = f"name a dialect whose kinds have {posting.message_type}/{posting.function_code}"
            read.refuse(("types", code), f"is {name}, which {dialect.name} gives no such meaning", expected)
    read.stop_at_errors()


def _layout(name: str, value: Mapping[str, Any], dialect: Dialect) -> ClearingLayout:
    return ClearingLayout(
        name=name,
        description=value.get("description", ""),
        records=dialect.name,
        dialect=replace(dialect, name=name, numbers={}),
        encoding=value["encoding"],
        separator="\t" if value["separator"] == _TAB else value["separator"],
        quote="" if value["quote"] == _NO_QUOTE else value["quote"],
        decimal=value["decimal"],
        minor=value["amounts"] == "minor",
        dates=value["dates"],
        times=value["times"],
        date_times=value["date_times"],
        header=_edge(value.get("header")),
        file_id=tuple(value["file_id"]),
        names=value["names"],
        order=tuple(value.get("order", ())),
        ignores_others=value["others"] == "ignore",
        detail_mark=value.get("detail_mark", ""),
        trailer=_edge(value.get("trailer")),
        columns=dict(value.get("columns", {})),
        optional=frozenset(value.get("optional", ())),
        constants=dict(value.get("constants", {})),
        types=dict(value["types"]),
    )


def _edge(stated: Mapping[str, Any] | None) -> EdgeLine | None:
    return EdgeLine(mark=stated["mark"], fields=tuple(stated["fields"])) if stated else None
