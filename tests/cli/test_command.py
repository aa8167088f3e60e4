"""The command as a whole: what every verb offers, and how errors end it."""

import shlex
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from processor.cli import main, operations_verbs
from processor.cli.main import app
from tests.cli.conftest import Run


def _leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every verb with the words that lead to it."""
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, inner in command.commands.items():
        yield from _leaves(inner, (*path, name))


VERBS = dict(_leaves(typer.main.get_command(app)))


@pytest.fixture
def closed_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def test_the_verbs_are_all_there() -> None:
    """The command has exactly these verbs."""
    expected = """
        accruals acknowledge; accruals list; accruals make; accruals mend; accruals resend; accruals show;
        accruals suspense; accruals write-off;
        adjust; awards held; awards refuse; awards release; budgets household; budgets list;
        budgets show; cards submit;
        clearing layout check; clearing layout list;
        clearing list; clearing show; clearing submit; cycles list; cycles show; db upgrade; decode; demo;
        dialect check; dialect list; dialect show;
        disputes record; entitlements show; entitlements use; explain; files download; files list; ledger accounts;
        ledger balance;
        ledger statement; links break; links confirm; links find; links list; members import; members set;
        members show; members tier;
        parked list; parked replay; parked show; programme apply; programme init; programme list;
        programme show; programme simulate; programme validate; purchases expire; purchases list; purchases post-due;
        purchases show; serve; settle; status; submit; tcp check; undecodable list; verify
    """
    assert [word.strip() for word in expected.split(";")] == sorted(" ".join(path) for path in VERBS)


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_help_has_an_example_and_json(run: Run, path: tuple[str, ...]) -> None:
    """Every verb's help shows an example of itself and offers --json."""
    result = run(*path, "--help")
    words = " ".join(result.stdout.split())
    assert 0 == result.exit_code
    assert f"Example: cobrand {' '.join(path)}" in words
    assert "--json" in words


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_the_example_of_a_verb_parses(path: tuple[str, ...]) -> None:
    """Every example is a command line that its verb accepts."""
    example = shlex.split(VERBS[path].epilog.removeprefix("Example: "))
    assert ["cobrand", *path] == example[: 1 + len(path)]
    context = VERBS[path].make_context(path[-1], example[1 + len(path) :])
    assert [] == context.args


def test_no_server_is_an_exit_code_of_its_own(run: Run, closed_port: int) -> None:
    """Where no server answers, the command says what to do and ends with 3."""
    result = run("status", "--server", f"127.0.0.1:{closed_port}")
    expected = (
        f"No server answers at 127.0.0.1:{closed_port}. Start one with cobrand serve, or name another with --server.\n"
    )
    assert (3, "", expected) == (result.exit_code, result.stdout, result.stderr)


@pytest.mark.parametrize(
    "command",
    [
        ("adjust", "accounts/9f3a", "--miles", "5"),
        ("entitlements", "use", "accounts/9f3a", "lounge"),
        ("disputes", "record", "accounts/9/messages/0", "--stage", "chargeback", "--amount", "1", "--currency", "EUR"),
    ],
    ids=lambda command: command[0],
)
def test_what_may_be_booked_says_how_to_go_on(run: Run, closed_port: int, command: tuple[str, ...]) -> None:
    """Where nobody knows whether a request was carried out, its id is said, so that repeating it books once."""
    asked = "1f0e0d0c-0b0a-4908-8706-050403020100"
    said = run(*command, "--reason", "Ticket", "--request-id", asked, "--server", f"127.0.0.1:{closed_port}")
    assert 3 == said.exit_code
    assert f"It may or may not be booked: repeat the command with --request-id {asked}\n" in said.stderr


def test_the_server_may_come_from_the_environment(run: Run, closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """COBRAND_SERVER names the server where --server does not."""
    monkeypatch.setenv("COBRAND_SERVER", f"localhost:{closed_port}")
    assert f"localhost:{closed_port}" in run("programme", "list").stderr


@pytest.mark.parametrize("server", ["192.0.2.7:7460", "[2001:db8::1]:7460", "bank.example:7460"])
def test_another_machine_is_refused(run: Run, server: str) -> None:
    """Card messages never leave the machine in clear: a server elsewhere is an error of usage that says why."""
    result = run("status", "--server", server)
    assert 2 == result.exit_code
    assert "no TLS" in " ".join(result.stderr.split())


@pytest.mark.parametrize("server", ["", "7460", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536"])
def test_a_server_is_host_and_port(run: Run, server: str) -> None:
    """A server that is not host:port is an error of usage."""
    assert 2 == run("status", "--server", server).exit_code


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-verb"],
        ["submit"],
        ["submit", "/no/such/file"],
        ["submit", "-", "--format", "length-prefixed"],
        ["settle", "--programme", "skyways", "--bank", "alpha", "--date", "20.11.2026"],
        ["adjust", "accounts/1", "--miles", "0", "--reason", "nothing"],
        ["parked", "replay"],
        ["parked", "replay", "accounts/1/parkedMessages/2", "--all"],
        ["decode", "-", "--dialect", "morse"],
        ["cards", "submit", "/no/such/file", "--bank", "alpha"],
        ["programme", "validate", "/no/such/file"],
    ],
    ids=" ".join,
)
def test_usage_errors(run: Run, arguments: list[str]) -> None:
    """A command line that cannot be right ends with 2, prints no result and shows no traceback."""
    result = run(*arguments)
    assert (2, "") == (result.exit_code, result.stdout)
    assert "Traceback" not in result.stderr


def test_a_fault_shows_its_place_and_no_values(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error that no verb knows is reported by type and place, without its text, which may hold card data."""

    def fail(*_: object, **__: object) -> None:
        raise ValueError("4000000000000002")

    monkeypatch.setattr(operations_verbs, "connect", fail)
    monkeypatch.setattr("sys.argv", ["cobrand", "status"])
    assert 1 == main.main()
    printed = capsys.readouterr()
    assert "" == printed.out
    assert "ValueError at " in printed.err
    assert "4000000000000002" not in printed.err
    assert "Traceback" not in printed.err
