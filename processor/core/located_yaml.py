"""YAML text to plain values with their lines and columns, the first step of reading a programme.

Scalars are built from their own text: ``NO`` stays a word, ``23:00`` a time, and ``0.0080`` a decimal that never was
a float.
It never follows an alias, a tag or a merge key, and its memory and depth are bounded by the text it is given.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import yaml

from processor.core.located_document import CONTROL, DocumentError, LocatedDocument, Path, Position, path_text

MAX_CHARACTERS: Final = 262_144
"""A longer document is refused; merchants, of which there are many, stand in a file of their own."""

MAX_DEPTH: Final = 10
"""How deep collections may nest; the deepest programme needs five."""

_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_DECIMAL: Final = re.compile(r"-?[0-9]{1,18}\.[0-9]{1,18}")
_TOP: Final = Position(line=1, column=1)
_WORDS: Final[Mapping[str, bool | None]] = {"true": True, "false": False, "null": None, "~": None, "": None}


def locate_yaml(text: str, *, source: str, content: str = "programme") -> LocatedDocument | tuple[DocumentError, ...]:
    """Read one YAML document of plain values; returns errors alone where the text cannot be read to its end.

    ``content`` is what errors call that which the document should hold.
    """
    tree = _Tree(source, content)
    if len(text) > MAX_CHARACTERS:
        expected = f"keep it to {MAX_CHARACTERS}; merchants stand in their own file"
        tree.refuse((), _TOP, f"has {len(text)} characters", expected)
        return tuple(tree.errors)
    if not _grow(tree, text):
        return tuple(tree.errors)
    if () not in tree.values_at:
        tree.refuse((), _TOP, "is empty", f"write a {content}")
        return tuple(tree.errors)
    return LocatedDocument(
        source=source,
        value=tree.root,
        values_at=tree.values_at,
        keys_at=tree.keys_at,
        errors=tuple(tree.errors),
        broken=frozenset(tree.broken),
    )


def _grow(tree: "_Tree", text: str) -> bool:
    """Feed a text's events to a tree; returns False where it could not be read to its end."""
    try:
        return all(tree.take(event) for event in yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = _place(mark) if mark else _TOP
        tree.refuse((), place, f"is not YAML: {error.problem or error.context}", "mend the text at this place")
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = Position(line=before.count("\n") + 1, column=error.position - (before.rfind("\n") + 1) + 1)
        tree.refuse((), place, "holds a character that YAML does not allow", "remove it")
    return False


def _place(mark: Any) -> Position:
    return Position(line=mark.line + 1, column=mark.column + 1)


def _scalar(event: yaml.ScalarEvent) -> str | int | Decimal | bool | None:
    """Build a scalar from its text; only a plain one, without quotes, can be anything but a word."""
    text: str = event.value
    if event.style is not None:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return Decimal(text) if _DECIMAL.fullmatch(text) else text


@dataclass(slots=True, kw_only=True)
class _Open:
    """A collection whose end was not read yet; ``key`` is the key that waits for its value."""

    path: Path
    items: dict[str, Any] | list[Any]
    key: str | None = None


class _Tree:
    """The values built so far from a stream of YAML events; it needs no recursion, so that depth cannot exhaust it."""

    def __init__(self, source: str, content: str) -> None:
        self.root: Any = None
        self.values_at: dict[Path, Position] = {}
        self.keys_at: dict[Path, Position] = {}
        self.errors: list[DocumentError] = []
        self.broken: set[Path] = set()
        self._source = source
        self._content = content
        self._open: list[_Open] = []

    def refuse(self, path: Path, place: Position, problem: str, expected: str, *, breaks: bool = True) -> None:
        """Note an error, and that the value at its path is of no use to later checks unless it does not break it."""
        error = DocumentError(
            source=self._source,
            line=place.line,
            column=place.column,
            path=path_text(path),
            problem=problem,
            expected=expected,
        )
        self.errors.append(error)
        if breaks:
            self.broken.add(path)

    def take(self, event: yaml.Event) -> bool:
        """Take one event; returns False where reading on would be of no use."""
        if isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()
            return True
        if isinstance(event, yaml.DocumentStartEvent) and () in self.values_at:
            self.refuse((), _place(event.start_mark), "starts a second document", f"write one {self._content} a file")
            return False
        if not isinstance(event, yaml.NodeEvent):
            return True
        parent = self._open[-1] if self._open else None
        if parent and isinstance(parent.items, dict) and parent.key is None:
            return self._take_key(parent, event)
        return self._take_value(parent, event)

    def _take_key(self, parent: _Open, event: yaml.NodeEvent) -> bool:
        place = _place(event.start_mark)
        if self._is_indirect(parent.path, event):
            return False
        if not isinstance(event, yaml.ScalarEvent):
            self.refuse(parent.path, place, "has a key that is not plain text", "write a word as the key")
            return False
        key: str = event.value
        if key in parent.items:
            first = self.keys_at[(*parent.path, key)]
            problem = f"is written a second time, first in line {first.line}"
            self.refuse((*parent.path, key), place, problem, "keep one of the two", breaks=False)
        else:
            self.keys_at[(*parent.path, key)] = place
        parent.key = key
        return True

    def _take_value(self, parent: _Open | None, event: yaml.NodeEvent) -> bool:
        path: Path = ()
        if parent:
            path = (*parent.path, parent.key if parent.key is not None else len(parent.items))
        place = _place(event.start_mark)
        self.values_at.setdefault(path, place)
        self._is_indirect(path, event)
        value: Any = None
        if isinstance(event, yaml.ScalarEvent):
            value = _scalar(event)
            if CONTROL.search(event.value):
                self.refuse(path, place, "spans lines or holds a control character", "write it in one line")
        elif isinstance(event, yaml.CollectionStartEvent):
            value = {} if isinstance(event, yaml.MappingStartEvent) else []
            self._open.append(_Open(path=path, items=value))
        if parent is None:
            self.root = value
        elif isinstance(parent.items, dict):
            parent.items.setdefault(str(parent.key), value)
            parent.key = None
        else:
            parent.items.append(value)
        if len(self._open) > MAX_DEPTH:
            self.refuse(path, place, f"nests deeper than {MAX_DEPTH} levels", "write it flatter")
            return False
        return True

    def _is_indirect(self, path: Path, event: yaml.NodeEvent) -> bool:
        """Refuse aliases, anchors and tags: an alias can stand for a billion values, a tag for code."""
        place = _place(event.start_mark)
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            self.refuse(
                path, place, "uses an anchor or an alias (& or *)", "write the value out, in quotes if it is text"
            )
            return True
        if getattr(event, "tag", None) is not None:
            self.refuse(path, place, "uses a tag (!)", "write the plain value, in quotes if it is text")
            return True
        return False
