"""cobrand tcp check, and what serve says of a file of links that it cannot follow."""

import socket
from pathlib import Path

import orjson
import pytest

from processor.cli.operations_verbs import _show_status
from processor.v1.operations_pb2 import TCP_LINK_STATE_SIGNED_ON, GetStatusResponse, TcpLinkStatus
from tests.cli.conftest import Run
from tests.conftest import Database
from tests.flow.conftest import SKYWAYS

EXAMPLE = str(SKYWAYS / "tcp-links.yaml")
LINK = "links:\n  - {{name: alpha, bank: alpha, dialect: {dialect}, port: {port}, length: {{encoding: binary-2}}}}\n"


def test_a_sound_file_is_shown(run: Run) -> None:
    """The table names each link and where it listens."""
    result = run("tcp", "check", EXAMPLE)
    assert 0 == result.exit_code
    assert "127.0.0.1:7471" in result.stdout
    assert "is sound" in result.stderr


def test_mistakes_are_named_by_place(run: Run, tmp_path: Path) -> None:
    """Every mistake is one line, and one entry of the JSON document; the exit code is 1."""
    file = tmp_path / "links.yaml"
    file.write_text(LINK.format(dialect="iso99", port=70000))

    result = run("tcp", "check", str(file))
    assert (1, 2) == (result.exit_code, result.stdout.count(f"{file}:2:"))

    document = orjson.loads(run("tcp", "check", str(file), "--json").stdout)
    assert (False, ["links[0].dialect", "links[0].port"]) == (
        document["valid"],
        [error["path"] for error in document["errors"]],
    )


def test_serve_names_the_mistakes_of_its_links(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server does not start on a file with a mistake, or without the file."""
    file = tmp_path / "links.yaml"
    monkeypatch.setenv("COBRAND_TCP_LINKS", str(file))
    assert "cannot be read (No such file or directory)" in run("serve", "--port", "0").stderr

    file.write_text(LINK.format(dialect="iso99", port=7471))
    result = run("serve", "--port", "0")
    assert 1 == result.exit_code
    assert f"{file}:2:41 links[0].dialect: is 'iso99'" in result.stderr


def test_serve_names_a_link_whose_port_is_taken(
    run: Run, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server does not start without one of its links."""
    file = tmp_path / "links.yaml"
    monkeypatch.setenv("COBRAND_TCP_LINKS", str(file))
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        file.write_text(LINK.format(dialect="iso87-ascii", port=port))
        result = run("serve", "--port", "0")
    expected = f"Link alpha cannot listen on 127.0.0.1:{port} (Address already in use); write another port in {file}.\n"
    assert (1, expected) == (result.exit_code, result.stderr)


def test_status_shows_where_a_link_stands(capsys: pytest.CaptureFixture[str]) -> None:
    """The table has the link's state, what it carried, what it did not take, and whom it cut off."""
    link = TcpLinkStatus(
        link="alpha-switch",
        address="127.0.0.1:7471",
        state=TCP_LINK_STATE_SIGNED_ON,
        connections=2,
        messages=1234,
        answered=1200,
        undecodable=4,
        unanswered=20,
        refused=10,
        refused_connections=1,
        closed_connections=5,
    )

    _show_status(GetStatusResponse(tcp_links=[link]))

    row = next(line for line in capsys.readouterr().out.splitlines() if "alpha-switch" in line)
    expected = ["alpha-switch", "127.0.0.1:7471", "signed on", "2", "1,234", "1,200", "4", "30", "6", "", ""]
    assert expected == [cell.strip() for cell in row.strip("│").split("│")]
