"""cobrand serve and cobrand db upgrade: what they refuse before they start, and how a server ends."""

import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import pytest
from sqlalchemy import inspect

from processor.store.embedded import create_database, drop_database
from processor.store.engine import connect
from tests.cli.conftest import Run
from tests.conftest import Database

pytestmark = pytest.mark.xdist_group("cli-live")

KEYS = f"test:{'5a' * 32}"


@pytest.fixture
def configured(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Configure a service database and a token key in the environment."""
    monkeypatch.setenv("COBRAND_DATABASE_URL", database.urls.service_url)
    monkeypatch.setenv("COBRAND_TOKEN_KEYS", KEYS)
    return database


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "bank.example"])  # noqa: S104 - it is refused.
def test_only_loopback_is_served(run: Run, host: str) -> None:
    """An address that others can reach is an error of usage that says why."""
    result = run("serve", "--host", host)
    assert 2 == result.exit_code
    assert "TLS" in result.stderr


def test_a_taken_port_is_refused(run: Run) -> None:
    """A port that another program listens on is named, even where that program would share it."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        result = run("serve", "--port", str(port))
    expected = f"127.0.0.1:{port} cannot be taken (Address already in use); choose another --port.\n"
    assert (1, expected) == (result.exit_code, result.stderr)


def test_serving_needs_a_database(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without COBRAND_DATABASE_URL the command says what to set."""
    monkeypatch.delenv("COBRAND_DATABASE_URL", raising=False)
    result = run("serve", "--port", "0")
    expected = "COBRAND_DATABASE_URL is not set; set it to postgresql://ROLE@HOST/DATABASE.\n"
    assert (1, expected) == (result.exit_code, result.stderr)


def test_serving_needs_token_keys(run: Run, configured: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without COBRAND_TOKEN_KEYS the command says what to set."""
    monkeypatch.delenv("COBRAND_TOKEN_KEYS")
    result = run("serve", "--port", "0")
    assert 1 == result.exit_code
    assert result.stderr.startswith("COBRAND_TOKEN_KEYS is not set")


def test_serving_as_owner_is_refused(run: Run, configured: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A role that could change a posting does not serve."""
    monkeypatch.setenv("COBRAND_DATABASE_URL", configured.urls.owner_url)
    result = run("serve", "--port", "0", "--workers", "2")
    assert 1 == result.exit_code
    assert "append-only" in result.stderr


def test_an_unreachable_database_is_unavailable(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that does not answer ends serve, verify and db upgrade with 3."""
    for variable in ("COBRAND_DATABASE_URL", "COBRAND_OWNER_DATABASE_URL"):
        monkeypatch.setenv(variable, "postgresql://nobody@127.0.0.1:1/nothing")
    monkeypatch.setenv("COBRAND_TOKEN_KEYS", KEYS)
    assert [3, 3, 3] == [run(*verb).exit_code for verb in (["serve", "--port", "0"], ["verify"], ["db", "upgrade"])]


@contextmanager
def _serving(workers: int) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """Serve on a free port for the length of a block; gives the process and its address."""
    arguments = ["serve", "--port", "0", "--workers", str(workers), "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "processor.cli.main", *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        printed = b"".join(process.stdout.readline() for _ in range(4))
        document = orjson.loads(printed)
        assert workers == document["workers"]
        yield process, document["address"]
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.mark.parametrize(("workers", "asked"), [(1, signal.SIGINT), (2, signal.SIGTERM)], ids=["one", "two"])
def test_a_server_serves_until_it_is_ended(run: Run, configured: Database, workers: int, asked: signal.Signals) -> None:
    """A server announces its address, reports its workers, and ends with 0 when asked to."""
    with _serving(workers) as (process, address):
        deadline = time.monotonic() + 30
        seen = 0
        while seen < workers and time.monotonic() < deadline:
            result = run("status", "--json", "--server", address)
            seen = len(orjson.loads(result.stdout)["workers"]) if result.stdout else 0
            time.sleep(0.1)
        assert workers == seen
        process.send_signal(asked)
        assert 0 == process.wait(60)


def test_a_database_is_upgraded_for_its_service_role(
    run: Run, administrator_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upgrading makes the schema of an empty database, grants the configured role, and may be run again."""
    name = f"upgrade_{secrets.token_hex(6)}"
    urls = create_database(administrator_url, name)
    monkeypatch.setenv("COBRAND_OWNER_DATABASE_URL", urls.owner_url)
    monkeypatch.setenv("COBRAND_DATABASE_URL", urls.service_url)
    expected = {"upgraded": True, "service_role": "cobrand_service"}
    assert expected == orjson.loads(run("db", "upgrade", "--json").stdout)
    assert "The schema is up to date, and cobrand_service may run the service.\n" == run("db", "upgrade").stderr
    service = connect(urls.service_url)
    assert inspect(service).has_table("posting")
    service.dispose()
    assert 0 == run("verify").exit_code
    drop_database(administrator_url, name)


def test_settings_that_are_wrong_are_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A malformed key or URL is named by its variable and never repeated."""
    monkeypatch.setenv("COBRAND_TOKEN_KEYS", "demo:5a5a")
    result = run("verify")
    assert (1, False) == (result.exit_code, "5a5a" in result.stderr)
    monkeypatch.setenv("COBRAND_TOKEN_KEYS", "")
    monkeypatch.setenv("COBRAND_DATABASE_URL", "secret-password")
    result = run("verify")
    expected = "COBRAND_DATABASE_URL is no database URL; set it to postgresql://ROLE@HOST/DATABASE.\n"
    assert (1, expected) == (result.exit_code, result.stderr)
