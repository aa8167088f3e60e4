"""A document's values with their places, and what is wrong with them as values a person can act on.

``located_yaml`` and ``document_schema`` find errors in one; ``programme_checks`` finds the rest.
It never repeats a long run of digits, which may be a card number.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

Path = tuple[str | int, ...]
"""The keys and indexes, counted from zero, that lead from the document's top to a value."""

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
"""What no single-line value may hold: control characters and line separators."""

_LONG_DIGITS: Final = re.compile(r"([0-9]{6})[0-9]{5,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A place in a file, line and column counted from one."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentError:
    """One thing that is wrong in a file: where, what it is, and what to write instead.

    ``path`` reads ``earning[2].rate``, or is the column's name in a CSV file.
    """

    source: str
    line: int
    column: int
    path: str
    problem: str
    expected: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column} {self.path}: {self.problem}; {self.expected}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocatedDocument:
    """A document's plain values, and where each value and each key stands.

    ``errors`` are those that reading found without having to stop.
    ``broken`` holds the paths that already have an error, so that no later check reads what is known to be wrong.
    """

    source: str
    value: Any
    values_at: Mapping[Path, Position]
    keys_at: Mapping[Path, Position] = field(default_factory=dict)
    errors: tuple[DocumentError, ...] = ()
    broken: frozenset[Path] = frozenset()

    def position(self, path: Path) -> Position:
        """Return where a value stands, or the closest thing around it that has a place."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.values_at:
                return self.values_at[path[:length]]
        return self.values_at[()]

    def get(self, *path: str | int) -> Any:
        """Return the value at a path, or None where it is missing or known to be wrong."""
        value: Any = self.value
        for length, step in enumerate(path, start=1):
            if path[:length] in self.broken:
                return None
            steps = range(len(value)) if isinstance(value, list) else value if isinstance(value, dict) else ()
            if step not in steps:
                return None
            value = value[step]
        return value

    def entries(self, *path: str | int) -> tuple[Path, ...]:
        """Return the path of every item of a list, and of none where the list is missing or wrong."""
        items = self.get(*path)
        return tuple((*path, index) for index in range(len(items))) if isinstance(items, list) else ()

    def error(self, path: Path, problem: str, expected: str, *, at_key: bool = False) -> DocumentError:
        """Return an error about the value, or the key, at a path."""
        position = self.keys_at.get(path) if at_key else None
        position = position or self.position(path)
        return DocumentError(
            source=self.source,
            line=position.line,
            column=position.column,
            path=path_text(path),
            problem=problem,
            expected=expected,
        )


def path_text(path: Path) -> str:
    """Return a path as people write it: ``earning[2].rate``, ``document`` for the top."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return shown(text.removeprefix("."), quoted=False) if path else "document"


def shown(value: object, *, quoted: bool = True) -> str:
    """Return a value as an error may repeat it: cut short, and a long run of digits down to its first six."""
    text = _LONG_DIGITS.sub(r"\1...", str(value))
    text = CONTROL.sub("?", text if len(text) <= 60 else f"{text[:57]}...")
    return repr(text) if quoted and isinstance(value, str) else text


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'? `` where a known word is close, else nothing."""
    close = get_close_matches(str(word)[:60], sorted(known), n=1)
    return f"did you mean {close[0]!r}? " if close else ""


def with_article(noun: str) -> str:
    """Return a noun behind its indefinite article."""
    return f"an {noun}" if noun[:1] in "aeiou" else f"a {noun}"


def choice(words: Iterable[object]) -> str:
    """Return words as a choice: ``a, b or c``."""
    *most, last = [str(word) for word in words]
    return f"{', '.join(most)} or {last}" if most else last
