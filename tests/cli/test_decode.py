"""cobrand decode: bytes in any form become a masked table, without a server."""

import base64
from pathlib import Path

import orjson
import pytest

from tests.cli.conftest import Run

GOLDEN = Path(__file__).parent.parent / "wire" / "golden"
HEX = (GOLDEN / "iso87-ascii-0120.hex").read_bytes()
RAW = bytes.fromhex(HEX.decode())
PAN = "4000009876543219"


def _values(stdout: str) -> dict[str, str]:
    return {row["name"]: row["value"] for row in orjson.loads(stdout)["elements"]}


@pytest.mark.parametrize(
    ("form", "content"),
    [("hex", HEX), ("base64", base64.b64encode(RAW)), ("binary", RAW)],
)
@pytest.mark.parametrize("named", [True, False], ids=["named", "auto"])
def test_every_form_is_read(run: Run, tmp_path: Path, form: str, content: bytes, named: bool) -> None:
    """A message in hexadecimal, base64 or binary is read, whether its form is named or not."""
    file = tmp_path / "message"
    file.write_bytes(content)
    result = run("decode", str(file), "--dialect", "iso87-ascii", "--json", *(["--format", form] if named else []))
    assert 0 == result.exit_code
    assert {"message_type": "0120", "mcc": "5411", "trace_number": "223456"}.items() <= _values(result.stdout).items()


def test_card_data_is_masked(run: Run) -> None:
    """The table shows the account number masked, and sensitive elements as dropped."""
    result = run("decode", "-", "--dialect", "iso87-ascii", stdin=HEX)
    assert PAN in RAW.decode("latin-1")
    assert PAN not in result.stdout
    assert "400000******3219" in result.stdout
    assert "dropped" == _values(run("decode", "-", "--dialect", "iso87-ascii", "--json", stdin=HEX).stdout)["track_2"]


def test_a_message_of_hexadecimal_characters_alone_is_binary(run: Run) -> None:
    """An echo whose bytes are all hexadecimal characters is read as what it is."""
    echo = b"0800" + b"8220000000000000" + b"0400000000000000" + b"1122101530" + b"123456" + b"301"
    result = run("decode", "-", "--dialect", "iso87-ascii", "--json", stdin=echo)
    assert "0800" == _values(result.stdout)["message_type"]


def test_a_failure_names_the_place_and_not_the_payload(run: Run) -> None:
    """Bytes that do not decode end with 1, the place of the failure, and none of their content."""
    result = run("decode", "-", "--dialect", "iso87-ascii", "--format", "binary", stdin=RAW[:60])
    assert (1, "") == (result.exit_code, result.stdout)
    assert result.stderr.startswith("The message does not decode: iso87-ascii: ")
    assert "at byte" in result.stderr
    assert PAN not in result.stderr


@pytest.mark.parametrize("form", ["hex", "base64"])
def test_a_form_that_does_not_fit_is_named(run: Run, form: str) -> None:
    """Input that is not of the form it is said to be is refused with a hint."""
    result = run("decode", "-", "--dialect", "iso87-ascii", "--format", form, stdin=b"\xff\xfe")
    assert (1, f"The input is not {form}; name its form with --format.\n") == (result.exit_code, result.stderr)


def test_more_than_a_message_is_refused(run: Run) -> None:
    """Input longer than any message is refused before it is read whole."""
    result = run("decode", "-", "--dialect", "iso87-ascii", stdin=b"0" * 40_000)
    assert (1, "- is longer than one message can be; give one message.\n") == (result.exit_code, result.stderr)


def test_sub_fields_and_oddities_are_shown(run: Run) -> None:
    """Chip tags and sub-elements have rows of their own, and what is odd is said."""
    golden = (GOLDEN / "visa-like-bcd-0120.hex").read_bytes()
    rows = orjson.loads(run("decode", "-", "--dialect", "visa-like-bcd", "--json", stdin=golden).stdout)["elements"]
    shown = {row["number"]: row["value"] for row in rows if row["number"] != "header"}
    assert ("dropped", "326326402215310") == (shown["55.9F26"], shown["62.2"])
    odd = RAW.replace(b"1530112229", b"15301A2229")
    assert "local_date is not digits" in run("decode", "-", "--dialect", "iso87-ascii", stdin=odd).stdout


def test_a_dialect_may_be_a_file(run: Run, tmp_path: Path) -> None:
    """A dialect that is not installed is read from its file, and what it extends from beside it."""
    (tmp_path / "base.yaml").write_text("extends: iso87-ascii\nelements: {41: [till, ans8, Till]}\nkept: [amount]\n")
    own = tmp_path / "own.yaml"
    own.write_text(
        "extends: base\nidentity: []\nvolatile: []\nkept: [till, original_acquirer, original_trace_number, "
        "original_date_time, trace_number, transmission_date_time, acquirer, replacement_amounts, condition_code]\n"
        "echo: []\n"
    )
    result = run("decode", "-", "--dialect", str(own), "--json", stdin=HEX)
    assert "TERM0001" == _values(result.stdout)["till"]


def test_an_unknown_dialect_is_refused_with_the_known(run: Run) -> None:
    """A name that is no dialect's ends with those that are."""
    result = run("decode", "-", "--dialect", "iso87", stdin=HEX)
    assert 2 == result.exit_code
    assert "there is no dialect 'iso87'" in " ".join(result.stderr.split())
