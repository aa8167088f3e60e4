"""Compiling a programme document once for all tests that apply it: compiling is pure, and hundreds apply the same."""

from collections.abc import Callable, Mapping
from typing import Final

from processor.core.located_document import DocumentError
from processor.core.programme import Programme
from processor.core.programme_document import parse_programme

MOST: Final = 64
Compile = Callable[..., Programme | tuple[DocumentError, ...]]


def compiled_once(compile_document: Compile = parse_programme) -> Compile:
    """Return the compiler, which remembers the last programmes; a document with errors is compiled each time anew."""
    known: dict[tuple[object, ...], Programme] = {}

    def compiled(
        text: str, *, merchants: Mapping[str, str], source: str, revision: int
    ) -> Programme | tuple[DocumentError, ...]:
        key = (text, tuple(sorted(merchants.items())), revision)
        found = known.get(key)
        if found is not None:
            return found
        parsed = compile_document(text, merchants=merchants, source=source, revision=revision)
        if isinstance(parsed, Programme):
            if len(known) == MOST:
                known.pop(next(iter(known)))
            known[key] = parsed
        return parsed

    return compiled
