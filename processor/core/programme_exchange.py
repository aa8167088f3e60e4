"""Rate sources as a programme document names them, and the rules that convert amounts by them: compiled and checked."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from processor.core.exchange import Quotation, RateSource
from processor.core.exchange_file import RateList, read_rates
from processor.core.located_document import DocumentError, LocatedDocument, Path, did_you_mean, shown
from processor.core.rule import Convert
from processor.core.rule_sections import rules_of

Errors = Iterator[DocumentError]

DEFAULT_DAYS: Final = 7
"""How many days a rate stands behind its own where the document states none: over a weekend and some holidays."""

_TABLES: Final = (("rate", "per"), ("every", "amount"), ("when", "amounts"))
"""The tables by currency that amounts are converted for."""


def rate_files(document: LocatedDocument) -> tuple[str, ...]:
    """Return the names of the files of rates that a document refers to, each once."""
    names = [document.get(*path, "file") for path in document.entries("exchange_rates")]
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))


def read_rate_files(document: LocatedDocument, files: Mapping[str, str]) -> dict[str, RateList]:
    """Return what each source of a document says, by its identifier; sources whose file cannot be read are left out."""
    return {
        document.get(*path, "id"): read_rates(
            files[document.get(*path, "file")], source=document.get(*path, "file"), base=document.get(*path, "base")
        )
        for path in document.entries("exchange_rates")
        if document.get(*path, "file") in files
        and all(isinstance(document.get(*path, key), str) for key in ("id", "base"))
    }


def compile_source(entry: Mapping[str, Any], listed: RateList) -> RateSource:
    """Return a source that was checked."""
    return RateSource(
        id=entry["id"],
        name=entry["name"],
        base=entry["base"],
        quotation=Quotation(entry["quotation"]),
        days=entry.get("days", DEFAULT_DAYS),
        quotes=listed.quotes,
    )


def compile_convert(rule: Mapping[str, Any]) -> Convert | None:
    """Return how a rule that was checked converts amounts."""
    return Convert(**rule["convert"]) if "convert" in rule else None


def check_exchange(document: LocatedDocument) -> Errors:
    """Yield what is wrong with the sources of a document and the rules that convert, the rates themselves aside."""
    sources: dict[str, Path] = {}
    for path in document.entries("exchange_rates"):
        identifier = document.get(*path, "id")
        first = sources.setdefault(identifier, path)
        if identifier is not None and first != path:
            problem = f"{shown(identifier)} is taken by line {document.position((*first, 'id')).line}"
            yield document.error((*path, "id"), problem, "write another identifier")
        if document.get(*path, "file") is not None and document.get(*path, "file") == document.get("merchants", "file"):
            problem = "is the file of the merchants"
            yield document.error((*path, "file"), problem, "put the rates into a file of their own")
    for rule in rules_of(document):
        if document.get(*rule, "convert") is not None and (*rule, "convert") not in document.broken:
            yield from _check_convert(document, rule, set(sources))


def _check_convert(document: LocatedDocument, rule: Path, sources: set[str]) -> Errors:
    at = (*rule, "convert")
    by, to = document.get(*at, "by"), document.get(*at, "to")
    if by is not None and by not in sources:
        hint = f"{did_you_mean(by, sources)}write the identifier of one of exchange_rates"
        yield document.error((*at, "by"), f"{shown(by)} is no rate source", hint)
    if document.get(*rule, "mode") == "at-the-till":
        problem = "converts amounts, and the till compares only what it charges itself"
        yield document.error(at, problem, "remove it, or write mode: billed-less", at_key=True)
    if document.get(*rule, "multiply") is not None:
        problem = "converts nothing: a multiplier looks at what other rules give"
        yield document.error(at, problem, "write it at the rules that it multiplies", at_key=True)
        return
    tables = [table for keys in _TABLES if isinstance(table := document.get(*rule, *keys), dict)]
    stated = [(*rule, *keys) for keys in _TABLES if isinstance(document.get(*rule, *keys), dict)]
    if not tables and not any(path[: len(rule)] == rule for path in document.broken):
        problem = "converts nothing: the rule states no amounts by currency"
        yield document.error(at, problem, "remove it, or write rate.per, every.amount or when.amounts", at_key=True)
    for table, place in zip(tables, stated, strict=True):
        if to is not None and to not in table:
            where = ".".join(str(key) for key in place[len(rule) :])
            problem = f"{shown(to)} has no amount under {where}"
            yield document.error((*at, "to"), problem, f"write one there, or convert to {' or '.join(sorted(table))}")


def check_quoted(document: LocatedDocument, listed: Mapping[str, RateList]) -> Errors:
    """Yield the rules that convert to a currency of which their source has no rate at all."""
    bases = {document.get(*path, "id"): document.get(*path, "base") for path in document.entries("exchange_rates")}
    for rule in rules_of(document):
        by, to = document.get(*rule, "convert", "by"), document.get(*rule, "convert", "to")
        if by in listed and not listed[by].errors and to is not None and to not in {bases[by], *listed[by].quotes}:
            problem = (
                f"{shown(to)} is no currency of {shown(by)}, whose base is {bases[by]}: its file has no rate of it"
            )
            expected = f"write {bases[by]}, or add rates of {to} to the file"
            yield document.error((*rule, "convert", "to"), problem, expected)
