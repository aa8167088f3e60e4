"""cobrand clearing layout: a bank's own layout is checked and listed, and its folder is read by the service too."""

from pathlib import Path

import orjson
import pytest

import schemas
from processor.config import ConfigurationError
from processor.wiring import known_dialects, known_layouts
from tests.cli.conftest import Run

OWN = 'description: Own postings\nextends: posting-csv-v1\nseparator: ","\ntypes:\n  "05": purchase\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder of own layouts, inside the installation's folder of dialects."""
    monkeypatch.setenv(schemas.DIALECTS_FOLDER, str(tmp_path))
    own = tmp_path / schemas.CLEARING_FOLDER
    own.mkdir()
    return own


def test_a_sound_layout_is_said_to_be(run: Run, tmp_path: Path) -> None:
    """A file that compiles ends with what it holds; it may extend another file of its folder."""
    (tmp_path / "base.yaml").write_text(OWN)
    file = tmp_path / "own-bank.yaml"
    file.write_text("extends: base\n")

    result = run("clearing", "layout", "check", str(file))

    assert (0, "own-bank is sound: 19 columns, 7 types of posting.\n") == (result.exit_code, result.stdout)
    assert {"valid": True, "errors": []} == orjson.loads(run("clearing", "layout", "check", str(file), "--json").stdout)


def test_every_mistake_of_a_layout_is_named_with_its_place(run: Run, tmp_path: Path) -> None:
    """File, line, column, key and what was expected, for all mistakes at once."""
    file = tmp_path / "own-bank.yaml"
    file.write_text(f'{OWN}  "06": sale\ndates: DDMMYY\n')

    result = run("clearing", "layout", "check", str(file))
    listed = orjson.loads(run("clearing", "layout", "check", str(file), "--json").stdout)["errors"]

    assert 1 == result.exit_code
    assert f"{file}:6:9 types.06: is 'sale'; write purchase, refund" in result.stderr
    assert f"{file} has 2 mistakes; mend what is listed." in result.stderr
    assert {(str(file), 6, 9), (str(file), 7, 8)} == {(row["file"], row["line"], row["column"]) for row in listed}


def test_a_layout_that_is_not_there_is_an_error(run: Run) -> None:
    """A name without a file says what could be named."""
    assert 2 == run("clearing", "layout", "check", "no-such-layout").exit_code


def test_an_own_layout_is_all_a_bank_needs(run: Run, folder: Path) -> None:
    """One file in the folder is known to the service and to the list."""
    (folder / "own-bank.yaml").write_text(OWN)

    assert "purchase" == known_layouts(known_dialects())["own-bank"].types["05"]
    listed = orjson.loads(run("clearing", "layout", "list", "--json").stdout)
    assert ["dispute-csv-v1", "posting-csv-v1", "own-bank"] == [row["name"] for row in listed]
    assert "Own postings" in run("clearing", "layout", "list").stdout


def test_a_layout_that_is_not_sound_stops_the_service(run: Run, folder: Path) -> None:
    """The service says what is wrong before it serves, and the list does too."""
    (folder / "own-bank.yaml").write_text(f"{OWN}dates: DDMMYY\n")

    with pytest.raises(ConfigurationError, match=r"own-bank.yaml:6:8 dates: is 'DDMMYY'.*\n.*layout of clearing files"):
        known_layouts(known_dialects())
    assert "A layout is not sound; mend what is listed." in run("clearing", "layout", "list").stderr


def test_a_layout_with_the_name_of_a_shipped_one_is_refused(run: Run, folder: Path) -> None:
    """What ships is never replaced by another of its name."""
    (folder / "posting-csv-v1.yaml").write_text(OWN)

    with pytest.raises(ConfigurationError, match="has the name of a shipped layout"):
        known_layouts(known_dialects())
    assert 1 == run("clearing", "layout", "list").exit_code
