"""The tests' own ground: where servers keep their data, and documents that are compiled once."""

import os
from pathlib import Path

import pytest

from processor.core.programme import Programme
from tests import data_folder as ground
from tests.compiled_once import compiled_once
from tests.flow.conftest import SKYWAYS


def test_what_killed_processes_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of processes that run, and what is no folder of ours, stay."""
    monkeypatch.setattr(ground, "MEMORY", tmp_path)
    monkeypatch.setattr(ground, "ROOM_BYTES", 0)
    for name in (f"test-{os.getpid()}-00000001", "test-99999999-00000001", "test-docs-00000001"):
        (tmp_path / "cobrand" / name).mkdir(parents=True)

    assert ground.data_folder().parent == tmp_path / "cobrand"

    left = {folder.name for folder in (tmp_path / "cobrand").iterdir()}
    assert {f"test-{os.getpid()}-00000001", "test-docs-00000001"} == left


def test_without_room_in_memory_the_disk_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where less is free than a server may take, its data lies where it always did."""
    monkeypatch.setattr(ground, "MEMORY", tmp_path / "none")
    monkeypatch.setattr(ground, "DISK", tmp_path)
    assert ground.data_folder().parent == tmp_path / "cobrand"


def test_a_document_is_compiled_once_for_each_revision_and_merchant_file() -> None:
    """Another text, file or revision is compiled; a document with errors is refused by its own name each time."""
    text, merchants = (SKYWAYS / "programme.yaml").read_text(), (SKYWAYS / "merchants.csv").read_text()
    compiled = compiled_once()
    first = compiled(text, merchants={"merchants.csv": merchants}, source="a.yaml", revision=1)
    assert isinstance(first, Programme)
    assert first is compiled(text, merchants={"merchants.csv": merchants}, source="b.yaml", revision=1)
    second = compiled(text, merchants={"merchants.csv": merchants}, source="a.yaml", revision=2)
    assert (1, 2) == (first.revision, getattr(second, "revision", None))
    errors = [compiled(text, merchants={}, source=source, revision=1) for source in ("a.yaml", "b.yaml")]
    assert [True, True] == [isinstance(found, tuple) for found in errors]
    assert errors[0] != errors[1]
