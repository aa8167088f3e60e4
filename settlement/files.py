"""Settlement files: rendered from a cycle's rows in one pass, kept as rows, published on disk.

A file is published whole or not at all, and never over other bytes: made again it must be what it was, and a difference
is an error that a person looks at.
The order is: render beside the folder, keep what was made, commit, move into place, list all in ``SHA256SUMS``.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Protocol

from sqlalchemy import Connection, Engine, Row

from processor.core.posting import Template, party_of
from processor.store import settlement as store
from processor.store.settlement import CycleKey, FileRow
from settlement.cycle import Cycle
from settlement.layout import Layout, load_layout
from settlement.obligations import SettledPosting
from settlement.publication import FileDiffersError, manifest_of, publish
from settlement.render import FileHeader, PartyFile

LAYOUT: Final = "party-csv-v1"
"""The layout that new files are made in."""
MANIFEST: Final = "SHA256SUMS"
FILES_A_PASS: Final = 256
"""How many files are open at once; a cycle with more parties is read again for the next ones."""


class Target(Protocol):
    """Where a rendered file goes."""

    def write(self, data: bytes, /) -> object:
        """Take the next bytes."""


@dataclass(slots=True, kw_only=True)
class _Rendering:
    """A file on its way: what has been rendered so far, counted and digested."""

    file: PartyFile
    target: Target
    size_bytes: int
    digest: Any

    def write(self, data: bytes) -> None:
        self.target.write(data)
        self.size_bytes += len(data)
        self.digest.update(data)

    def row(self, layout: Layout) -> FileRow:
        of = self.file.of
        return FileRow(
            party=of.party,
            sequence=of.sequence,
            name=of.file_name,
            layout=layout.id,
            size_bytes=self.size_bytes,
            sha256=self.digest.digest(),
            record_count=self.file.record_count,
            hash_total=self.file.hash_total,
            totals=tuple((total.currency, total.debit_minor, total.credit_minor) for total in self.file.totals),
        )


def cycle_folder(root: Path, key: CycleKey) -> Path:
    """Return the folder of a cycle's files."""
    return root / key.programme / key.bank / key.business_date.isoformat()


def settled_posting(row: Row[Any]) -> SettledPosting:
    """Return a posting between two parties from its row."""
    return SettledPosting(
        posting_id=bytes(row.id),
        purchase_id=bytes(row.purchase_id),
        template=Template(row.template),
        rule=row.rule,
        partner=row.partner,
        debtor=party_of(row.debit),
        creditor=party_of(row.credit),
        currency=row.unit,
        amount_minor=row.amount,
        booked_at=row.booked_at,
        business_date=row.business_date,
    )


def stream_postings(connection: Connection, key: CycleKey) -> Iterator[SettledPosting]:
    """Yield a cycle's postings in the order of its files."""
    return map(settled_posting, store.stream_postings(connection, key))


def headers_of(cycle: Cycle, sequences: Mapping[str, int]) -> list[FileHeader]:
    """Return the headers of a cycle's files, by party; ``sequences`` maps every party that gets one to its number."""
    return [
        FileHeader(
            party=party,
            bank=cycle.key.bank,
            programme=cycle.key.programme,
            business_date=cycle.key.business_date,
            sequence=sequence,
            closed_at=cycle.closed_at,
        )
        for party, sequence in sorted(sequences.items())
    ]


def render_files(
    layout: Layout,
    headers: Sequence[FileHeader],
    postings: Iterable[SettledPosting],
    target_of: Callable[[FileHeader], Target],
) -> list[FileRow]:
    """Render several parties' files in one pass over a cycle's postings, and return what was made."""
    renderings = {
        header.party: _Rendering(
            file=PartyFile(layout, header), target=target_of(header), size_bytes=0, digest=hashlib.sha256()
        )
        for header in headers
    }
    for rendering in renderings.values():
        rendering.write(rendering.file.header())
    for posting in postings:
        for party in (posting.debtor, posting.creditor):
            if party in renderings:
                renderings[party].write(renderings[party].file.detail(posting))
    for rendering in renderings.values():
        rendering.write(rendering.file.trailer())
    return [rendering.row(layout) for rendering in renderings.values()]


def make_files(
    engine: Engine, cycle: Cycle, *, parties: Iterable[str], root: Path, now: datetime
) -> tuple[FileRow, ...]:
    """Make, or make again, the files of a closed cycle, and publish them below ``root``.

    ``parties`` get a file even if nothing concerns them; it counts at the first making alone.
    A file made again keeps the layout it was first made in.
    Raises :class:`FileDiffersError` where a file made again differs, and publishes none then.
    """
    root.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=root, prefix=".making-") as folder:
        with engine.begin() as connection:
            store.lock_cycles(connection, cycle.key.bank, cycle.key.programme)
            kept = store.load_files(connection, cycle.key)
            layout = load_layout(kept[0].layout if kept else LAYOUT)
            sequences = {file.party: file.sequence for file in kept} or _next_sequences(connection, cycle, parties)
            made = _render_into(Path(folder), connection, layout, headers_of(cycle, sequences))
            if kept:
                compare(kept, made)
            else:
                store.keep_files(connection, cycle.key, made, now)
        listed = manifest_of([(file.name, file.sha256) for file in made])
        (Path(folder) / MANIFEST).write_text(listed, encoding="utf-8", newline="\n")
        publish(Path(folder), cycle_folder(root, cycle.key), [file.name for file in made], MANIFEST)
    return tuple(made)


def _next_sequences(connection: Connection, cycle: Cycle, parties: Iterable[str]) -> dict[str, int]:
    """Return every party of a cycle with the next sequence number of its files."""
    involved = {party for obligation in cycle.obligations for party in (obligation.debtor, obligation.creditor)}
    last = store.load_sequences(connection, cycle.key.bank, cycle.key.programme)
    return {party: last.get(party, 0) + 1 for party in involved.union(parties)}


def _render_into(folder: Path, connection: Connection, layout: Layout, headers: Sequence[FileHeader]) -> list[FileRow]:
    """Render files into a folder, so many at a time that the process may have them open."""
    made: list[FileRow] = []
    for first in range(0, len(headers), FILES_A_PASS):
        postings = stream_postings(connection, _key_of(headers[first]))
        with ExitStack() as opened:

            def target_of(header: FileHeader, opened: ExitStack = opened) -> Target:
                return opened.enter_context((folder / header.file_name).open("xb"))

            made += render_files(layout, headers[first : first + FILES_A_PASS], postings, target_of)
    return made


def _key_of(header: FileHeader) -> CycleKey:
    return CycleKey(bank=header.bank, programme=header.programme, business_date=header.business_date)


def compare(kept: Sequence[FileRow], made: Sequence[FileRow]) -> None:
    """Raise :class:`FileDiffersError` unless files made again are those that were kept."""
    for before, after in zip(kept, made, strict=True):
        for differing in differences(before, after):
            raise FileDiffersError(
                f"{before.name} made again differs in {differing.what}: stated {differing.stated}, "
                f"calculated {differing.calculated}; nothing was published; run cobrand verify"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDifference:
    """One value of a file that is not what was kept."""

    what: str
    stated: str
    calculated: str


def differences(kept: FileRow, made: FileRow) -> Iterator[FileDifference]:
    """Yield each value in which a file made again differs from what was kept."""
    for name in (field.name for field in fields(FileRow)):
        stated, calculated = getattr(kept, name), getattr(made, name)
        if stated != calculated:
            yield FileDifference(what=name, stated=_shown(stated), calculated=_shown(calculated))


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
