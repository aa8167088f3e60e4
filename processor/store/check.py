"""What a check of the books is that one statement can decide."""

from dataclasses import dataclass

from sqlalchemy import TextClause


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: its name, what counts as checked, and the statement that finds ``subject, stated, calculated``."""

    name: str
    count: TextClause
    differences: TextClause
