"""cobrand dialect: a bank's own file is checked, listed and shown, and its folder is read everywhere."""

from pathlib import Path

import orjson
import pytest

import schemas
from processor.config import ConfigurationError
from processor.wiring import known_dialects
from tests.cli.conftest import Run

EXAMPLE = Path(__file__).parents[2] / "examples" / "skyways"
OWN = "description: A bank of our own\nextends: iso87-bcd\nelements:\n  43: [acceptor_name, ans..99, Name]\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that is the installation's folder of dialects."""
    monkeypatch.setenv(schemas.DIALECTS_FOLDER, str(tmp_path))
    return tmp_path


def test_a_sound_dialect_is_said_to_be(run: Run, tmp_path: Path) -> None:
    """A file that compiles ends with what it holds."""
    file = tmp_path / "my-bank.yaml"
    file.write_text(OWN)

    result = run("dialect", "check", str(file))

    assert (0, "my-bank is sound: 126 elements, 5 sub-fields, 18 message types.\n") == (result.exit_code, result.stdout)
    assert {"valid": True, "errors": []} == orjson.loads(run("dialect", "check", str(file), "--json").stdout)


def test_every_mistake_is_named_with_its_place(run: Run, tmp_path: Path) -> None:
    """File, line, column, place and what was expected, for all mistakes at once."""
    file = tmp_path / "my-bank.yaml"
    file.write_text(f"{OWN}  44: [additional_response, ans.., X]\nlinks: [terminal]\n")

    result = run("dialect", "check", str(file))
    listed = orjson.loads(run("dialect", "check", str(file), "--json").stdout)["errors"]

    assert 1 == result.exit_code
    assert f"{file}:5:29 elements.44[1]: is 'ans..'; expected a format such as n6" in result.stderr
    assert f"{file} has 2 mistakes; mend what is listed." in result.stderr
    assert [(str(file), 5, 29), (str(file), 6, 9)] == [(row["file"], row["line"], row["column"]) for row in listed]


def test_a_file_that_is_not_there_is_an_error(run: Run) -> None:
    """A name without a file says what could be named."""
    assert 2 == run("dialect", "check", "no-such-dialect").exit_code
    assert 2 == run("dialect", "check", "no-such-folder/own.yaml").exit_code


def test_an_own_dialect_is_all_a_bank_needs(run: Run, folder: Path) -> None:
    """One file in the folder is known to the service, to decode and to the list."""
    (folder / "my-bank.yaml").write_text(OWN)

    assert 99 == known_dialects()["my-bank"].elements[43].length
    names = [row["name"] for row in orjson.loads(run("dialect", "list", "--json").stdout)]
    assert "my-bank" in names
    assert "A bank of our own" in run("dialect", "list").stdout
    assert "ans..99" in run("dialect", "show", "my-bank").stdout


def test_a_programme_may_name_an_own_dialect(run: Run, folder: Path, tmp_path: Path) -> None:
    """A bank's link speaks the bank's own dialect as it would a shipped one."""
    (folder / "my-bank.yaml").write_text(OWN)
    document = (EXAMPLE / "programme.yaml").read_text().replace("dialect: iso87-bcd", "dialect: my-bank")
    (tmp_path / "programme.yml").write_text(document)
    (tmp_path / "merchants.csv").write_bytes((EXAMPLE / "merchants.csv").read_bytes())

    result = run("programme", "validate", str(tmp_path / "programme.yml"))

    assert "my-bank" in document
    assert 0 == result.exit_code, result.stderr


def test_a_dialect_that_is_not_sound_stops_the_service(folder: Path) -> None:
    """The service does not start with half of its dialects; the error names the file and the setting."""
    (folder / "my-bank.yaml").write_text("extends: nothing\n")

    with pytest.raises(ConfigurationError, match=r"my-bank.yaml:1:10 .*(?s:.)*COBRAND_DIALECTS_FOLDER"):
        known_dialects()


def test_a_dialect_with_the_name_of_a_shipped_one_is_refused(run: Run, folder: Path) -> None:
    """Two meanings of one name would be a guess."""
    (folder / "iso87-bcd.yaml").write_text(OWN)

    result = run("dialect", "list")

    assert 1 == result.exit_code
    assert "has the name of a shipped dialect" in result.stderr
    with pytest.raises(ConfigurationError, match="name of a shipped dialect"):
        known_dialects()


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_a_folder_that_cannot_be_read_is_refused(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    """A folder that is not there, or a file that is no text, ends every verb that needs dialects with a sentence."""
    if content is None:
        monkeypatch.setenv(schemas.DIALECTS_FOLDER, str(folder / "none"))
    else:
        (folder / "odd.yaml").write_bytes(content)

    for words in (["dialect", "list"], ["programme", "validate", str(EXAMPLE / "programme.yaml")]):
        result = run(*words)
        assert (1, True) == (result.exit_code, "is not UTF-8" in result.stderr or "cannot be read" in result.stderr)


def test_a_dialect_is_shown_for_programs(run: Run) -> None:
    """Fields with number, format and handling, sub-fields under their tags."""
    shown = orjson.loads(run("dialect", "show", "visa-like-bcd", "--json").stdout)

    fields = {row["number"]: row for row in shown["fields"]}
    assert ("pan", "n..19", "token") == tuple(fields["2"][key] for key in ("name", "format", "handling"))
    assert ("lifecycle_id", "n15", "kept") == tuple(fields["62.2"][key] for key in ("name", "format", "handling"))
    assert "dropped" == fields["55.9F26"]["handling"]
    assert "0100" in shown["message_types"]
    assert "1987" == shown["version"]
