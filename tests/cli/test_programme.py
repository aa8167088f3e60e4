"""cobrand programme, offline: mistakes by their place, and what transactions would earn."""

import re
import shutil
from pathlib import Path

import orjson
import pytest

from tests.cli.conftest import Run

SKYWAYS = Path(__file__).parent.parent.parent / "examples" / "skyways"
PROGRAMME = str(SKYWAYS / "programme.yaml")
ANNA = '"account": "anna", "product": "alpha-gold"'
TRANSACTIONS = f"""
{{"id": "a", "type": "authorization", "at": "2026-11-02T08:10:00Z", "partner": "bluefuel", {ANNA},
  "amount": "62", "currency": "EUR"}}
{{"id": "b", "type": "clearing", "at": "2026-11-03T02:00:00Z", "purchase": "a", {ANNA},
  "amount": "62", "currency": "EUR"}}
{{"id": "c", "type": "authorization", "at": "2026-11-03T09:00:00Z", "partner": "moda-milano", {ANNA},
  "amount": "80", "currency": "EUR"}}
{{"id": "d", "type": "reversal", "at": "2026-11-03T09:01:00Z", "original": "c", {ANNA}}}
""".replace(",\n ", ",").encode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the example programme that a test may spoil."""
    return shutil.copytree(SKYWAYS, tmp_path / "skyways")


def test_a_sound_document_is_shown(run: Run) -> None:
    """A document without mistakes ends with 0 and shows what it holds."""
    result = run("programme", "validate", PROGRAMME)
    assert 0 == result.exit_code
    assert "partners" in result.stdout
    assert {"valid": True, "errors": []} == orjson.loads(run("programme", "validate", PROGRAMME, "--json").stdout)


def test_mistakes_name_file_line_and_column(run: Run, folder: Path) -> None:
    """Every mistake begins with file:line:column, those of the merchant file too, and the command ends with 1."""
    document, merchants = folder / "programme.yaml", folder / "merchants.csv"
    document.write_text(document.read_text().replace("rounding: down ", "rounding: dawn ", 1))
    merchants.write_text(f"{merchants.read_text()}412345,NOWHERE1,,,nobody\n")
    line = 1 + document.read_text()[: document.read_text().index("dawn")].count("\n")
    result = run("programme", "validate", str(document))
    first, second = result.stdout.splitlines()
    assert 1 == result.exit_code
    assert first.startswith(f"{document}:{line}:")
    assert second.startswith(f"{merchants}:{len(merchants.read_text().splitlines())}:")
    assert "2 to mend" in result.stderr
    errors = orjson.loads(run("programme", "validate", str(document), "--json").stdout)["errors"]
    assert [str(document), str(merchants)] == [error["source"] for error in errors]


def test_a_missing_merchant_file_is_a_mistake_of_the_document(run: Run, folder: Path) -> None:
    """Where the merchant file is missing, the document's line that names it is named."""
    (folder / "merchants.csv").unlink()
    result = run("programme", "validate", str(folder / "programme.yaml"))
    assert 1 == result.exit_code
    assert result.stdout.startswith(f"{folder / 'programme.yaml'}:")
    assert "merchants.csv" in result.stdout


def test_transactions_are_simulated_without_a_server(run: Run) -> None:
    """Each transaction shows its reason and awards, and each account its closing balance."""
    result = run("programme", "simulate", PROGRAMME, "-", stdin=TRANSACTIONS)
    assert 0 == result.exit_code
    assert "fuel-bonus: -93 pending, +93 available SKY" in result.stdout
    assert "moda-five: +4.00 pending EUR" in result.stdout
    document = orjson.loads(run("programme", "simulate", PROGRAMME, "-", "--json", stdin=TRANSACTIONS).stdout)
    expected = {"account": "anna", "pending": 0, "available": 31 + 15 + 93, "discounts": {}}
    assert [expected] == document["balances"]
    assert ["EARNED", "EARNED", "EARNED", "TAKEN_BACK"] == [entry["reason"] for entry in document["transactions"]]


def test_a_wrong_transaction_stops_the_simulation(run: Run) -> None:
    """A line that is no transaction is named by its place; nothing is simulated."""
    result = run("programme", "simulate", PROGRAMME, "-", stdin=b'{"id": "a"}\n')
    assert 1 == result.exit_code
    assert result.stdout.startswith("-:1:1 ")


def test_a_document_that_is_no_text_is_a_usage_error(run: Run, tmp_path: Path) -> None:
    """A file that is not UTF-8 is named with the byte where it stops being it."""
    file = tmp_path / "programme.yaml"
    file.write_bytes(b"name: M\xfcnchen\n")
    result = run("programme", "validate", str(file))
    assert 2 == result.exit_code
    assert "is not UTF-8 at byte 7" in " ".join(result.stderr.replace("│", " ").split())


def test_a_programme_to_begin_with(run: Run, tmp_path: Path) -> None:
    """What init writes is sound as it is, and with everything that it has commented out; it writes over nothing."""
    folder = tmp_path / "new" / "mine"

    assert 0 == run("programme", "init", str(folder)).exit_code
    written = orjson.loads(run("programme", "init", str(tmp_path / "other"), "--json").stdout)["files"]
    assert ["merchants.csv", "programme.yaml", "transactions.jsonl"] == sorted(Path(name).name for name in written)

    document = folder / "programme.yaml"
    assert 0 == run("programme", "validate", str(document)).exit_code
    simulated = run("programme", "simulate", str(document), str(folder / "transactions.jsonl"), "--json")
    reasons = [entry["reason"] for entry in orjson.loads(simulated.stdout)["transactions"]]
    assert ["EARNED", "EARNED", "EARNED", "EXCLUDED"] == reasons
    text = document.read_text(encoding="utf-8")
    document.write_text(re.sub(r"(?m)^( *)# (?= *(?:- |[a-z_]+:))", r"\1", text), encoding="utf-8")
    shown = run("programme", "validate", str(document))
    assert 0 == shown.exit_code, shown.stdout
    again = run("programme", "init", str(folder))
    assert 1 == again.exit_code
    assert "exists already" in again.stderr
