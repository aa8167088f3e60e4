"""Proving the books from the database, without a server: what ``cobrand verify`` does, and the demo at its end."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Engine

from processor.cli.database import open_database, settings
from processor.cli.failure import CommandError, sentence
from processor.cli.output import progress_bar, show_json, show_table
from processor.flow.snapshot import SnapshotError, compile_snapshot
from processor.store.reference import load_revisions, load_version
from processor.store.verification import snapshot
from settlement.verification import DIFFERENCES_KEPT, Checked, verify


def prove_books(*, limit: int, as_json: bool) -> None:
    """Run every check on the configured database, print the results, and raise where the books differ."""
    with open_database(settings().database_url, "COBRAND_DATABASE_URL") as engine:
        results = run_checks(engine, limit=limit)
    if as_json:
        show_json({"sound": is_sound(results), "checks": [asdict(result) for result in results]})
    else:
        show_checks(results)
    if not is_sound(results):
        failed = ", ".join(result.check for result in results if result.differences)
        raise CommandError(
            f"The books differ ({failed}). Stop settling, and keep the database as it is for a developer."
        )


def run_checks(engine: Engine, *, limit: int = DIFFERENCES_KEPT) -> list[Checked]:
    """Run every check in one snapshot of the database, with a progress bar."""
    results: list[Checked] = []
    with snapshot(engine) as connection, progress_bar("Checks", None) as bar:
        try:
            reference = compile_snapshot(load_version(connection), load_revisions(connection))
        except SnapshotError as error:
            raise CommandError(sentence(str(error))) from None
        for result in verify(connection, revision_of=reference.revision, limit=limit):
            results.append(result)
            bar.reach(len(results))
    return results


def is_sound(results: Sequence[Checked]) -> bool:
    """Tell whether no check found a difference."""
    return not any(result.differences for result in results)


def show_checks(results: Sequence[Checked]) -> None:
    """Print each check with what it looked at, and the differences."""
    rows: list[tuple[object, ...]] = [
        (result.check, result.subjects, "sound" if not result.differences else "DIFFERS") for result in results
    ]
    show_table("Checks of the books", ("check", "looked at", "result"), rows, numbers=("looked at",))
    rows = [
        (difference.check, difference.subject, difference.stated, difference.calculated)
        for result in results
        for difference in result.differences
    ]
    if rows:
        show_table("First differences", ("check", "subject", "stated", "calculated"), rows)
