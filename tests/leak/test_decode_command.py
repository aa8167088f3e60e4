"""``cobrand decode``: what a person is shown of a message holds no card data, in a table, in JSON, in a complaint."""

from base64 import b64encode
from pathlib import Path

import pytest

from processor.wire.dialect import Dialect
from processor.wire.encode import encode_message
from tests.cli.conftest import Run, run
from tests.flow.conftest import DIALECTS
from tests.leak.forms import leaks
from tests.leak.known import GOLD, SECRETS, parts_of
from tests.leak.messages import full_fields, full_message, mti_of, placed

__all__ = ["run"]

SOUGHT = (*SECRETS, *parts_of(GOLD))
DECODED = [pytest.param(dialect, id=name) for name, dialect in DIALECTS.items()]


def shown(run: Run, dialect: Dialect, raw: bytes, *arguments: str) -> bytes:
    """Return what the command prints of a message on its standard input."""
    result = run("decode", "-", "--dialect", dialect.name, *arguments, stdin=raw)
    return f"{result.stdout}{result.stderr}{result.exception!r}".replace("\n", "").encode()


@pytest.mark.parametrize("dialect", DECODED)
def test_card_data_is_not_shown(run: Run, tmp_path: Path, dialect: Dialect) -> None:
    """A full message, as a table and as JSON, from a file, in hexadecimal and cut, shows none of its card data."""
    raw = full_message(dialect, 1, GOLD)
    (tmp_path / "message").write_bytes(raw)
    said = {
        "table": shown(run, dialect, raw.hex().encode()),
        "json": shown(run, dialect, raw, "--json"),
        "file": run("decode", str(tmp_path / "message"), "--dialect", dialect.name).stdout.encode(),
        "cut": shown(run, dialect, raw[: len(raw) // 2], "--format", "binary"),
        "no hexadecimal": shown(run, dialect, raw, "--format", "hex"),
        "number alone": shown(run, dialect, GOLD.encode()),
    }

    assert b"400000******7899" in said["table"]
    assert {} == {how: leaks(output, SOUGHT) for how, output in said.items() if leaks(output, SOUGHT)}


@pytest.mark.parametrize("dialect", DECODED)
def test_a_misplaced_number_is_not_shown(run: Run, dialect: Dialect) -> None:
    """A number in an element that is kept is not shown either; every eighth place of every dialect is looked at."""
    said = {
        one.place: shown(run, dialect, one.raw.hex().encode(), "--json") for one in list(placed(dialect, GOLD))[::8]
    }

    assert {} == {place: leaks(output, SOUGHT) for place, output in said.items() if leaks(output, SOUGHT)}


@pytest.mark.parametrize("dialect", DECODED)
def test_a_number_that_is_not_in_its_own_element_is_not_shown(run: Run, dialect: Dialect) -> None:
    """A message whose number stands in a track or the chip alone, or nowhere, does not show a copy in a name."""
    fields = full_fields(dialect, 1, GOLD)
    stated = {**fields, "acceptor_name": "CARD 4000 0012 3456 7899"}
    without = {name: value for name, value in stated.items() if name not in {"pan", "track_2"}}
    for left_out in (set[str](), {"track_1", "track_3", "pan_extended"}):
        raw = encode_message(
            dialect, mti_of(dialect), {name: value for name, value in without.items() if name not in left_out}
        )

        assert set() == leaks(shown(run, dialect, raw.hex().encode(), "--json"), SOUGHT)


@pytest.mark.parametrize("dialect", DECODED)
def test_a_message_where_a_file_is_named_is_not_repeated(run: Run, dialect: Dialect) -> None:
    """Somebody who writes the message, or the number, where the file's name belongs is told so, and not shown it."""
    raw = full_message(dialect, 1, GOLD)
    for named in (raw.hex(), b64encode(raw).decode(), GOLD, raw[:48].hex()):
        result = run("decode", named, "--dialect", dialect.name)

        said = f"{result.stdout}{result.stderr}".replace("\n", "").replace(" ", "").replace("│", "")
        assert 2 == result.exit_code
        assert "standardinput" in said
        assert set() == leaks(said.encode(), SOUGHT)


def test_a_number_in_the_place_of_a_dialect_is_not_repeated(run: Run) -> None:
    """An unknown dialect is named in the complaint, save where it is a card number."""
    assert "'iso78'" in run("decode", "-", "--dialect", "iso78", stdin=b"00").stderr
    result = run("decode", "-", "--dialect", GOLD, stdin=b"00")
    assert 2 == result.exit_code
    assert set() == leaks(f"{result.stdout}{result.stderr}".encode(), SOUGHT)
