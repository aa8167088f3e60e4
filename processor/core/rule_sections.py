"""Where the rules of a programme document stand: the sections that every check of rules goes through."""

from typing import Final

from processor.core.located_document import LocatedDocument, Path

RULES: Final = ("earning", "discounts", "rewards", "fees")
"""The sections of a document that hold rules."""


def rules_of(document: LocatedDocument) -> list[Path]:
    """Return where every rule of a document stands."""
    return [path for section in RULES for path in document.entries(section)]
