"""Sending accruals to the owner of a programme: in a file that is made for it, or in what its system fetches by a call.

What leaves together is a dispatch; dispatches of a programme and bank are numbered without gaps, whichever way they go.
The order of a file is: collect, choose what may leave, render beside the folder, keep what was made, commit, publish.
A call that was cut off is made again: a dispatch whose file is not there is rendered again from its rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from sqlalchemy import Connection, Engine

from processor.core.accrual_terms import AccrualTerms, AccrualWay, MemberKey
from processor.core.programme import Programme
from processor.store import accrual as store
from processor.store.accrual import DeskRow, DispatchRow, SentRow
from processor.store.accrual_state import Pair
from settlement.accrual_collection import collect
from settlement.accrual_file import AccrualHeader, Target, Totals, render_accruals
from settlement.layout import load_layout
from settlement.publication import FileDiffersError, manifest_of, publish

MOST_OF_A_DISPATCH: Final = 20_000
"""Accruals that leave together at most: a response to all of them is booked in one transaction."""
FILES_LOOKED_AT: Final = 400
"""How many of the latest files are made again where they are missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The files that a call made, those it made again, and how many accruals still wait.

    ``nameless`` of those that wait have no member that the owner knows; the others wait for an earlier accrual of
    their purchase.
    """

    made: tuple[DispatchRow, ...]
    again: tuple[DispatchRow, ...]
    waiting: int
    nameless: int
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A dispatch that the owner's system fetched; ``dispatch`` is None where nothing may leave."""

    dispatch: DispatchRow | None
    accruals: tuple[SentRow, ...]


def accrual_folder(root: Path, pair: Pair) -> Path:
    """Return the folder of a pair's accrual files."""
    return root / pair.programme / pair.bank / "accruals"


def make_accrual_files(
    engine: Engine, programme: Programme, terms: AccrualTerms, bank: str, *, root: Path, now: datetime
) -> Made:
    """Send everything that may leave, in as many files as it takes; where nothing may, no file is made.

    Files that a crash left unpublished are made again, to the byte.
    Raises :class:`~settlement.publication.FileDiffersError` where one would differ.
    """
    pair = Pair(programme=programme.id, bank=bank)
    root.mkdir(parents=True, exist_ok=True)
    made: list[DispatchRow] = []
    while (dispatch := _make_file(engine, programme, terms, pair, root, now)) is not None:
        made.append(dispatch)
        if dispatch.record_count < MOST_OF_A_DISPATCH:
            break
    with engine.connect() as connection:
        latest = store.list_dispatches(connection, pair, before=2**31 - 1, limit=FILES_LOOKED_AT)
        waiting, nameless = store.count_waiting(connection, pair, by_reference=_by_reference(terms))
        folder = accrual_folder(root, pair)
        new = {dispatch.sequence for dispatch in made}
        again = [row for row in latest if row.name and row.sequence not in new and _is_missing(folder, row)]
        for row in again:
            remake_file(connection, pair, row, root)
    return Made(made=tuple(made), again=tuple(again), waiting=waiting, nameless=nameless, folder=folder)


def fetch_accruals(
    engine: Engine,
    programme: Programme,
    terms: AccrualTerms,
    bank: str,
    *,
    request: bytes,
    limit: int,
    now: datetime,
) -> Fetched:
    """Hand out at most ``limit`` accruals that may leave; the same request again gets the same ones."""
    pair = Pair(programme=programme.id, bank=bank)
    with engine.begin() as connection:
        desk = store.lock_desk(connection, pair)
        dispatch = store.find_dispatch(connection, pair, request)
        if dispatch is None:
            desk = collect(connection, pair, desk, terms, now)
            dispatch = _begin(connection, programme, terms, pair, desk, limit=limit, request=request, now=now)
        if dispatch is None:
            return Fetched(dispatch=None, accruals=())
        sent = tuple(store.stream_dispatch(connection, pair, dispatch.sequence))
        if not dispatch.record_count:
            totals = Totals()
            for entry in sent:
                totals.count(entry)
            dispatch = _complete(dispatch, totals)
            store.keep_dispatch(connection, pair, dispatch)
    return Fetched(dispatch=dispatch, accruals=sent)


def _make_file(
    engine: Engine, programme: Programme, terms: AccrualTerms, pair: Pair, root: Path, now: datetime
) -> DispatchRow | None:
    with TemporaryDirectory(dir=root, prefix=".making-") as folder:
        with engine.begin() as connection:
            desk = collect(connection, pair, store.lock_desk(connection, pair), terms, now)
            dispatch = _begin(connection, programme, terms, pair, desk, limit=MOST_OF_A_DISPATCH, request=b"", now=now)
            if dispatch is None:
                return None
            dispatch = _complete(dispatch, _render(connection, pair, dispatch, Path(folder)))
            store.keep_dispatch(connection, pair, dispatch)
        _publish(Path(folder), accrual_folder(root, pair), dispatch)
    return dispatch


def _begin(
    connection: Connection,
    programme: Programme,
    terms: AccrualTerms,
    pair: Pair,
    desk: DeskRow,
    *,
    limit: int,
    request: bytes,
    now: datetime,
) -> DispatchRow | None:
    """Let what may leave leave as the next dispatch, and keep the desk; None where nothing may."""
    sent = store.find_sendable(connection, pair, by_reference=_by_reference(terms), limit=limit)
    if not sent:
        store.set_desk(connection, pair, desk)
        return None
    sequence = desk.dispatch + 1
    store.set_desk(connection, pair, replace(desk, dispatch=sequence))
    store.keep_attempts(connection, pair, sequence, sent, now)
    dispatch = DispatchRow(
        sequence=sequence,
        by=terms.by,
        request=request,
        name="",
        layout=terms.layout or "",
        unit=programme.unit,
        decimals=programme.decimals,
        size_bytes=0,
        sha256=b"",
        record_count=0,
        accrued=0,
        taken_back=0,
        made_at=now.astimezone(UTC),
    )
    by_file = terms.by is AccrualWay.FILE and not request
    return replace(dispatch, name=_header(pair, dispatch).file_name if by_file else "")


def _header(pair: Pair, dispatch: DispatchRow) -> AccrualHeader:
    return AccrualHeader(
        pair=pair,
        sequence=dispatch.sequence,
        unit=dispatch.unit,
        decimals=dispatch.decimals,
        made_at=dispatch.made_at,
    )


def _complete(dispatch: DispatchRow, totals: Totals) -> DispatchRow:
    return replace(
        dispatch,
        size_bytes=totals.size_bytes,
        sha256=totals.sha256,
        record_count=totals.record_count,
        accrued=totals.accrued,
        taken_back=totals.taken_back,
    )


def _render(connection: Connection, pair: Pair, dispatch: DispatchRow, folder: Path) -> Totals:
    """Render a dispatch's file into a folder, with the list that says that it is whole."""
    with (folder / dispatch.name).open("xb") as target:
        sent = store.stream_dispatch(connection, pair, dispatch.sequence)
        totals = render_accruals(load_layout(dispatch.layout), _header(pair, dispatch), sent, target)
    listed = manifest_of([(dispatch.name, totals.sha256)])
    (folder / manifest_name(dispatch)).write_text(listed, encoding="utf-8", newline="\n")
    return totals


def render_again(connection: Connection, pair: Pair, dispatch: DispatchRow, target: Target) -> DispatchRow:
    """Render a dispatch's file again into a target, and return what it is now."""
    sent = store.stream_dispatch(connection, pair, dispatch.sequence)
    return _complete(dispatch, render_accruals(load_layout(dispatch.layout), _header(pair, dispatch), sent, target))


def remake_file(connection: Connection, pair: Pair, dispatch: DispatchRow, root: Path) -> None:
    """Make a dispatch's file again and publish it; raises ``FileDiffersError`` where it would differ."""
    with TemporaryDirectory(dir=root, prefix=".making-") as folder:
        made = _complete(dispatch, _render(connection, pair, dispatch, Path(folder)))
        if made != dispatch:
            raise FileDiffersError(
                f"{dispatch.name} made again has SHA-256 {made.sha256.hex()}, it was {dispatch.sha256.hex()}; "
                f"nothing was published; run cobrand verify"
            )
        _publish(Path(folder), accrual_folder(root, pair), dispatch)


def manifest_name(dispatch: DispatchRow) -> str:
    """Return the name of the list that stands beside a file once it is whole."""
    return f"{dispatch.name}.sha256"


def _publish(folder: Path, destination: Path, dispatch: DispatchRow) -> None:
    publish(folder, destination, [dispatch.name], manifest_name(dispatch))


def _is_missing(folder: Path, dispatch: DispatchRow) -> bool:
    names: Sequence[str] = (dispatch.name, manifest_name(dispatch))
    return not all((folder / name).is_file() for name in names)


def _by_reference(terms: AccrualTerms) -> bool:
    return terms.member is MemberKey.BANK_REFERENCE
