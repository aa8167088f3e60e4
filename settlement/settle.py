"""Settling a business date: close its cycle, then make every party's file, then publish them.

Each step can be repeated; a call that was cut off is made again and ends where the first one would have.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from sqlalchemy import Engine

from processor.core.programme import PartyRole, Programme
from processor.store import settlement as store
from processor.store.settlement import CycleKey, FileRow
from settlement.cycle import Cycle, Refused, close_cycle, load_cycle
from settlement.files import cycle_folder, make_files


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A closed business date, its files, by party, and the folder they are in."""

    cycle: Cycle
    files: tuple[FileRow, ...]
    already_closed: bool
    folder: Path


def parties_of(programme: Programme, bank: str) -> list[str]:
    """Return the parties that settle with a bank's cards: the owner, the bank itself, every retailer."""
    return [party.id for party in programme.parties.values() if party.id == bank or party.role is not PartyRole.BANK]


def settle(
    engine: Engine, key: CycleKey, *, parties: Iterable[str], current: date, now: datetime, root: Path
) -> Settled | Refused:
    """Close a business date and make its files below ``root``; a second call makes the same files again.

    Files of earlier dates that a crash left unmade are made first, so that sequence numbers follow the dates.
    ``current`` is the bank's business date at ``now``.
    """
    closing = close_cycle(engine, key, current=current, now=now)
    if isinstance(closing, Refused):
        return closing
    parties = list(parties)
    with engine.connect() as connection:
        unmade = [load_cycle(connection, row.key) for row in store.load_cycles_without_files(connection, key)]
    for cycle in unmade:
        if cycle is not None and cycle.key != key:
            make_files(engine, cycle, parties=parties, root=root, now=now)
    files = make_files(engine, closing.cycle, parties=parties, root=root, now=now)
    return Settled(
        cycle=closing.cycle, files=files, already_closed=closing.already_closed, folder=cycle_folder(root, key)
    )
