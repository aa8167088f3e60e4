"""A dialect's text to its values with their places: the first step of compiling one.

It decides how a dialect takes over what it extends, and collects everything that is wrong, so that a bank's engineer
mends a file in one go.
It never reads a file: its callers hand in the text.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from processor.core.located_document import DocumentError, LocatedDocument, Path, did_you_mean, shown
from processor.core.located_yaml import locate_yaml

MAXIMUM_PARENTS: Final = 4
"""How many dialects may extend one another in a row."""

_INHERITED: Final = "inherited"


class DialectError(ValueError):
    """A dialect's text is wrong; each of ``errors`` says file, line, column, place and what was expected."""

    def __init__(self, errors: Iterable[DocumentError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join([str(error) for error in self.errors]))


class DialectText:
    """The values of a dialect over those that it extends; ``documents`` are its own and theirs, the nearest first."""

    __slots__ = ("documents", "errors", "value")

    def __init__(self, value: dict[str, Any], documents: tuple[LocatedDocument, ...]) -> None:
        self.value = value
        self.documents = documents
        self.errors = [error for document in documents for error in document.errors]

    def refuse(self, path: Path, problem: str, expected: str, *, at_key: bool = False) -> None:
        """Note what is wrong at a path, in the file that wrote the value there."""
        document = next((own for own in self.documents if path in own.values_at), self.documents[0])
        self.errors.append(document.error(path, problem, expected, at_key=at_key))

    def mapping(self, *path: str) -> dict[str, Any]:
        """Return the mapping at a path; empty where there is none, and noted where something else stands there."""
        value: Any = self.value
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.refuse(path, f"is {shown(value)}", "expected a mapping of keys to values")
            return {}
        return value

    def known_keys(self, path: Path, stated: Mapping[str, Any], known: Iterable[str]) -> None:
        """Note every key that means nothing, with the closest that does."""
        names = sorted(known)
        for key in stated:
            if key not in names:
                expected = f"{did_you_mean(key, names)}expected one of {', '.join(names)}"
                self.refuse((*path, key), "is not a known key", expected, at_key=True)

    def one_of(self, path: Path, value: Any, choices: Iterable[str]) -> str | None:
        """Return the value where it is one of the choices; note it and return None where it is not."""
        names = list(choices)
        word = word_of(value)
        if word in names:
            return word
        expected = f"{did_you_mean(value, names)}expected one of {', '.join(names)}" if names else _NONE
        self.refuse(path, f"is {shown(value)}", expected)
        return None

    def words(self, path: Path, value: Any, choices: Iterable[str] | None = None) -> tuple[str, ...]:
        """Return a list of words, each one of the choices; note what is not."""
        if value is None:
            return ()
        if not isinstance(value, list):
            self.refuse(path, f"is {shown(value)}", "expected a list such as [trace_number, acquirer]")
            return ()
        names = None if choices is None else frozenset(choices)
        found = []
        for index, entry in enumerate(value):
            word = word_of(entry)
            if word is None or (names is not None and word not in names):
                hint = did_you_mean(entry, names or ())
                expected = _NONE if names is not None and not names else f"{hint}expected {_choices(names)}"
                self.refuse((*path, index), f"lists {shown(entry)}", expected)
            else:
                found.append(word)
        return tuple(found)

    def whole_number(self, path: Path, value: Any, least: int, most: int) -> int | None:
        """Return a number within its bounds; note it and return None where it is none."""
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.refuse(path, f"is {shown(value)}", f"expected a whole number from {least} to {most}")
        return None

    def stop_at_errors(self) -> None:
        """Raise :class:`DialectError` where anything was noted."""
        if self.errors:
            raise DialectError(dict.fromkeys(self.errors))


def word_of(value: Any) -> str | None:
    """Return a scalar as the text it was written as; codes of digits need no quotes."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def read_dialect_text(source: str, text: str, parents: Mapping[str, str], *, content: str = "dialect") -> DialectText:
    """Read a dialect over those that it extends; ``source`` names its file in errors, ``content`` what it is.

    A mapping is merged key by key, at any depth; a list or a word replaces what the parent says, and a list that ends
    in ``inherited`` adds to it; a key without a value takes away the parent's; sub-fields of another layout replace the
    parent's whole.
    Raises :class:`DialectError` where a text cannot be read to its end.
    """
    documents = [_located(source, text, content)]
    while (parent := _parent(documents, parents, content)) is not None:
        documents.append(_located(f"{parent}.yaml", parents[parent], content))
    value: dict[str, Any] = {}
    for document in reversed(documents):
        value = _over(value, {key: entry for key, entry in document.value.items() if key != "extends"})
    return DialectText(value, tuple(documents))


def _parent(documents: list[LocatedDocument], parents: Mapping[str, str], content: str) -> str | None:
    document = documents[-1]
    stated = document.value.get("extends")
    if stated is None:
        return None
    if not isinstance(stated, str) or stated not in parents:
        known = ", ".join(sorted(parents)) or f"none, for no other {content} is there"
        expected = f"{did_you_mean(stated, parents)}expected one of {known}"
        raise DialectError([document.error(("extends",), f"names {shown(stated)}, which is no {content}", expected)])
    if len(documents) > MAXIMUM_PARENTS:
        problem = f"goes over {MAXIMUM_PARENTS} parents or in a circle"
        raise DialectError([documents[0].error(("extends",), problem, "shorten the chain")])
    return stated


def _over(parent: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    merged = dict(parent)
    for key, value in own.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            below = merged.get(key)
            # Sub-fields of another layout have other tags, so that nothing of the parent's fits them.
            same = isinstance(below, dict) and value.get("layout", below.get("layout")) == below.get("layout")
            merged[key] = _over(below if isinstance(below, dict) and same else {}, value)
        elif isinstance(value, list) and value[-1:] == [_INHERITED] and isinstance(merged.get(key), list):
            merged[key] = [*value[:-1], *merged[key]]
        else:
            merged[key] = value
    return merged


@lru_cache(maxsize=64)
def _located(source: str, text: str, content: str) -> LocatedDocument:
    found = locate_yaml(text, source=source, content=content)
    if isinstance(found, tuple):
        raise DialectError(found)
    if not isinstance(found.value, dict):
        expected = "expected a mapping of keys to values, such as description"
        raise DialectError([found.error((), f"is no {content}", expected)])
    return found


_NONE: Final = "there is none to choose from; mend what stands before"


def _choices(names: frozenset[str] | None) -> str:
    if names is None:
        return "a word"
    return f"one of {', '.join(sorted(names))}" if len(names) <= 12 else "the name of an element or sub-field"
