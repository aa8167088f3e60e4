"""Making files on a real PostgreSQL and a real disk: publishing, making again, differences, crashes."""

import csv
import hashlib
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from processor.store.settlement import load_files
from settlement import files
from settlement.cycle import Closing, close_cycle
from settlement.files import MANIFEST
from settlement.publication import FileDiffersError
from settlement.settle import Settled, settle
from tests.conftest import Database
from tests.settlement.books import FRIDAY, NIGHT, PARTIES, Charge, book, cycle_key, example_charges

DAY = timedelta(days=1)


def _settle(database: Database, root: Path, day: date = FRIDAY, parties: tuple[str, ...] = PARTIES) -> Settled:
    now = NIGHT + (day - FRIDAY)
    settled = settle(database.service, cycle_key(day), parties=parties, current=day, now=now, root=root)
    assert isinstance(settled, Settled)
    return settled


def _book(database: Database, *charges: Charge) -> None:
    with database.service.begin() as connection:
        book(connection, charges)


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _records(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file, strict=True))


def test_every_party_gets_a_file_and_the_manifest_lists_them(database: Database, tmp_path: Path) -> None:
    """The folder holds one file for each party, one without details included, and the list of their digests."""
    charges = [charge for charge in example_charges() if "fresh-foods" not in {charge.debtor, charge.creditor}]
    _book(database, *charges)
    settled = _settle(database, tmp_path)
    assert tmp_path / "skyways" / "alpha" / "2026-11-20" == settled.folder
    names = [f"{party}-alpha-skyways-2026-11-20-000001.csv" for party in PARTIES]
    assert sorted([MANIFEST, *names]) == sorted(_contents(settled.folder))
    assert [["T", "0", "0"]] == [row[:3] for row in _records(settled.folder / names[1])[1:]]
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", MANIFEST], cwd=settled.folder, capture_output=True, check=True, text=True
    )
    assert [f"{name}: OK" for name in names] == checked.stdout.splitlines()
    assert [] == [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_kept_rows_describe_the_files_on_disk(database: Database, tmp_path: Path) -> None:
    """Size, digest, counts and totals that were kept are those of the bytes."""
    _book(database, *example_charges())
    settled = _settle(database, tmp_path)
    with database.service.connect() as connection:
        kept = load_files(connection, cycle_key())
    assert list(settled.files) == kept
    for row in kept:
        data = (settled.folder / row.name).read_bytes()
        assert (len(data), hashlib.sha256(data).digest()) == (row.size_bytes, row.sha256)
        trailer = _records(settled.folder / row.name)[-1]
        assert [str(row.record_count), str(row.hash_total)] == trailer[1:3]
    assert (("EUR", 352, 795), ("JPY", 0, 250)) == kept[0].totals


def test_the_files_of_a_cycle_add_up_to_zero_for_each_currency(database: Database, tmp_path: Path) -> None:
    """What one party pays another receives: the nets in all files sum to nothing, and each posting is in two files."""
    _book(database, *example_charges())
    settled = _settle(database, tmp_path)
    nets: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for row in settled.files:
        for record in _records(settled.folder / row.name):
            if record[0] == "C":
                nets[record[1]] += int(record[5].replace(".", ""))
            elif record[0] == "D":
                seen[record[2]] += 1
    assert {"EUR": 0, "JPY": 0} == dict(nets)
    assert {charge.id.hex(): 2 for charge in example_charges()} == dict(seen)


def test_details_stand_in_order_and_name_their_partner(database: Database, tmp_path: Path) -> None:
    """By business date, then posting; the partner is the one that the purchase's award names."""
    _book(database, *example_charges())
    settled = _settle(database, tmp_path)
    details = [row for row in _records(settled.folder / settled.files[0].name) if row[0] == "D"]
    assert sorted(details, key=lambda row: (row[12], row[2])) == details
    assert ["1", "2", "3", "4", "5"] == [row[1] for row in details]
    concerned = [charge for charge in example_charges() if "alpha" in {charge.debtor, charge.creditor}]
    expected = {charge.id.hex(): charge.partner or "" for charge in concerned}
    assert expected == {row[2]: row[6] for row in details}


def test_a_charge_without_an_award_takes_its_partner_from_the_decision(database: Database, tmp_path: Path) -> None:
    """Where only a price changed, the message's decision still says which brand the purchase matched."""
    charge = replace(example_charges()[0], partner=None)
    _book(database, charge)
    with database.owner.begin() as connection:
        connection.execute(text("DELETE FROM award"))
        connection.execute(
            text(
                "INSERT INTO decision VALUES (:bucket, :message, 1, :account, :message, 1, 1,"
                """ '{"partner": "freshmart"}', :booked_at)"""
            ),
            {**charge.common, "message": charge.message_id},
        )
    settled = _settle(database, tmp_path)
    assert "freshmart" == _records(settled.folder / settled.files[0].name)[1][6]


def test_files_made_again_are_the_same_to_the_byte(database: Database, tmp_path: Path) -> None:
    """Later bookings, a changed list of parties, a later clock and another folder change nothing."""
    _book(database, *example_charges())
    first = _settle(database, tmp_path / "first")
    _book(database, Charge(name="straggler", debtor="alpha", creditor="skyways", amount=9, partner="freshmart"))
    key = cycle_key()
    again = settle(
        database.service,
        key,
        parties=("skyways", "newcomer"),
        current=FRIDAY + DAY,
        now=NIGHT + DAY,
        root=tmp_path / "second",
    )
    assert replace(first, already_closed=True, folder=tmp_path / "second/skyways/alpha/2026-11-20") == again
    assert _contents(first.folder) == _contents(tmp_path / "second/skyways/alpha/2026-11-20")


def test_a_missing_file_is_made_again_and_present_ones_are_left_alone(database: Database, tmp_path: Path) -> None:
    """Closing again brings a lost file and the manifest back."""
    _book(database, *example_charges())
    settled = _settle(database, tmp_path)
    before = _contents(settled.folder)
    stays, lost = settled.folder / settled.files[0].name, settled.folder / settled.files[1].name
    inode = stays.stat().st_ino
    lost.unlink()
    (settled.folder / MANIFEST).unlink()
    _settle(database, tmp_path)
    assert before == _contents(settled.folder)
    assert inode == stays.stat().st_ino


def test_a_file_that_was_changed_on_disk_is_an_error_and_stays(database: Database, tmp_path: Path) -> None:
    """A file is never written over: the error names it, and nothing else is published."""
    _book(database, *example_charges())
    settled = _settle(database, tmp_path)
    changed = settled.folder / settled.files[0].name
    changed.write_bytes(b"changed")
    (settled.folder / MANIFEST).unlink()
    with pytest.raises(FileDiffersError, match=f"{changed.name} is not the file that belongs there; move it away"):
        _settle(database, tmp_path)
    assert b"changed" == changed.read_bytes()
    assert not (settled.folder / MANIFEST).exists()


def test_a_changed_ledger_is_an_error_with_both_values(database: Database, tmp_path: Path) -> None:
    """A file made again that differs from what was kept is not published; the error states and calculates."""
    _book(database, *example_charges())
    settled = _settle(database, tmp_path)
    before = _contents(settled.folder)
    with database.owner.begin() as connection:
        connection.execute(text("UPDATE posting SET amount = amount + 1 WHERE amount = 1210"))
    with pytest.raises(FileDiffersError, match=r"fresh-foods-.*differs in sha256: stated [0-9a-f]{64}, calculated"):
        _settle(database, tmp_path)
    assert before == _contents(settled.folder)


def test_sequence_numbers_count_each_partys_files_without_gaps(database: Database, tmp_path: Path) -> None:
    """Every party counts its own files of this bank and programme, from when it takes part."""
    _settle(database, tmp_path, FRIDAY, ("alpha", "skyways"))
    _settle(database, tmp_path, FRIDAY + DAY, ("alpha", "skyways", "moda-group"))
    third = _settle(database, tmp_path, FRIDAY + 2 * DAY, ("alpha", "skyways", "moda-group"))
    assert {"alpha": 3, "skyways": 3, "moda-group": 2} == {row.party: row.sequence for row in third.files}


def test_files_that_a_crash_left_unmade_are_made_before_later_ones(database: Database, tmp_path: Path) -> None:
    """Sequence numbers follow the dates: the next settlement makes the older date's files first."""
    _book(database, *example_charges())
    assert isinstance(close_cycle(database.service, cycle_key(), current=FRIDAY, now=NIGHT), Closing)
    saturday = _settle(database, tmp_path, FRIDAY + DAY)
    friday = _settle(database, tmp_path)
    assert {2} == {row.sequence for row in saturday.files}
    assert {1} == {row.sequence for row in friday.files}
    assert (True, "JPY") == (friday.already_closed, friday.files[0].totals[1][0])


@pytest.mark.parametrize("survivors", [0, 2], ids=["before any file", "between files"])
def test_a_crash_while_publishing_is_mended_by_the_next_call(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survivors: int
) -> None:
    """The rows are kept before the files move, so the next call publishes the rest, the manifest last."""
    _book(database, *example_charges())
    real = Path.rename
    moved: list[str] = []

    def fail(path: Path, target: Path) -> Path:
        if len(moved) == survivors:
            raise OSError("the power fails")
        moved.append(path.name)
        return real(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="the power fails"):
        _settle(database, tmp_path)
    monkeypatch.undo()
    folder = tmp_path / "skyways" / "alpha" / "2026-11-20"
    assert survivors == len(list(folder.iterdir()))
    settled = _settle(database, tmp_path)
    assert {*(row.name for row in settled.files), MANIFEST} == set(_contents(folder))
    assert {1} == {row.sequence for row in settled.files}


def test_callers_at_once_publish_the_same_files(database: Database, tmp_path: Path) -> None:
    """Several callers settle one date together: one set of files, one sequence number."""
    _book(database, *example_charges())
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda _: _settle(database, tmp_path), range(3)))
    assert 1 == len({settled.files for settled in results})
    assert {1} == {row.sequence for row in results[0].files}
    assert len(PARTIES) + 1 == len(list(results[0].folder.iterdir()))


def test_more_parties_than_files_may_be_open_are_made_in_several_passes(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small limit of open files gives the same files as a large one."""
    _book(database, *example_charges())
    first = _settle(database, tmp_path / "at once")
    monkeypatch.setattr(files, "FILES_A_PASS", 1)
    second = _settle(database, tmp_path / "one by one")
    assert _contents(first.folder) == _contents(second.folder)
