"""cobrand demo: it proves the books, and ends what it started whatever happens."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

import processor
from processor.cli import demo_ground
from processor.cli.demo_ground import running_server
from processor.cli.failure import CommandError
from processor.store.embedded import EmbeddedDatabase, create_database, drop_database
from tests.cli.conftest import Run
from tests.conftest import Database

pytestmark = pytest.mark.xdist_group("cli-live")


@pytest.fixture
def empty_database(administrator_url: str) -> Iterator[EmbeddedDatabase]:
    """Give a test a database without a schema."""
    name = f"demo_{secrets.token_hex(6)}"
    yield create_database(administrator_url, name)
    drop_database(administrator_url, name)


def _demo(urls: EmbeddedDatabase, folder: Path) -> "subprocess.Popen[bytes]":
    environment = {
        **os.environ,
        "COBRAND_DATABASE_URL": urls.service_url,
        "COBRAND_OWNER_DATABASE_URL": urls.owner_url,
    }
    arguments = ["demo", "--messages", "1000", "--folder", str(folder), "--json"]
    return subprocess.Popen(
        [sys.executable, "-m", "processor.cli.main", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _processes_of(folder: Path) -> list[str]:
    """Return the command lines of living processes that name a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # It ended while we looked.
            found += [line] if str(folder) in line else []
    return found


def test_the_demo_proves_the_books(empty_database: EmbeddedDatabase, tmp_path: Path) -> None:
    """On an empty database the demo runs everything, ends with 0, writes its files and leaves no process behind."""
    demo = _demo(empty_database, tmp_path)
    stdout, stderr = demo.communicate(timeout=120)
    assert 0 == demo.returncode, stderr.decode()
    document = orjson.loads(stdout)
    assert document["sound"]
    assert {"miles", "discount"} == {total["benefit"] for total in document["awards"]}
    assert document["messages"]["answered"] == document["repeats"]["answered"] >= 1000
    assert (
        {"DUPLICATE"}
        <= set(document["raw_tcp"])
        <= {
            "DUPLICATE",
            "(network management)",
            "PARKED",
            "REJECTED",
            "(not answered)",
        }
    )
    assert document["raw_tcp"]["DUPLICATE"] > 100
    files = [file["file_name"] for cycle in document["cycles"] for file in cycle["files"]]
    assert len(files) > 10
    assert set(files) <= {path.name for path in (tmp_path / "settlement").rglob("*.csv")}
    assert [] == _processes_of(tmp_path)


def test_an_ended_demo_ends_its_server(empty_database: EmbeddedDatabase, tmp_path: Path) -> None:
    """A demo that is told to end while its server runs ends the server and its workers, and says that it stopped."""
    demo = _demo(empty_database, tmp_path)
    deadline = time.monotonic() + 60
    while len(_processes_of(tmp_path)) < 4 and time.monotonic() < deadline:  # The demo, the supervisor, two workers.
        time.sleep(0.1)
    demo.send_signal(signal.SIGTERM)
    _, stderr = demo.communicate(timeout=60)
    assert (130, b"Stopped.") == (demo.returncode, stderr.splitlines()[-1])
    assert [] == _processes_of(tmp_path)


def test_a_database_in_use_is_refused(
    run: Run, database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The demo never touches a database that has a schema already."""
    monkeypatch.setenv("COBRAND_DATABASE_URL", database.urls.service_url)
    monkeypatch.setenv("COBRAND_OWNER_DATABASE_URL", database.urls.owner_url)
    result = run("demo", "--folder", str(tmp_path))
    expected = "COBRAND_OWNER_DATABASE_URL names a database that is in use; the demo needs an empty one.\n"
    assert (1, expected) == (result.exit_code, result.stderr)


def test_one_database_url_is_not_enough(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Either both roles are configured or neither is."""
    monkeypatch.setenv("COBRAND_DATABASE_URL", "postgresql://cobrand_service@127.0.0.1/x")
    monkeypatch.delenv("COBRAND_OWNER_DATABASE_URL", raising=False)
    result = run("demo", "--folder", str(tmp_path))
    expected = "Set both COBRAND_DATABASE_URL and COBRAND_OWNER_DATABASE_URL, or neither.\n"
    assert (1, expected) == (result.exit_code, result.stderr)


def test_the_demo_needs_a_checkout(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The installed package has no examples, and the demo says so."""
    monkeypatch.setattr(processor, "__file__", str(tmp_path / "processor" / "__init__.py"))
    result = run("demo", "--folder", str(tmp_path))
    assert 1 == result.exit_code
    assert result.stderr.startswith("The demo needs a checkout of the project")


def test_a_server_that_does_not_start_is_explained(tmp_path: Path) -> None:
    """Where the server ends at once, the error shows the end of its log."""
    url = "postgresql://nobody@127.0.0.1:1/nothing"
    with pytest.raises(CommandError, match=r"did not start(.|\n)*does not answer"), running_server(url, tmp_path):
        pass


def test_old_demo_data_is_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A demo removes data folders of demos that ended over an hour ago, and no others."""
    for name in ("demo-old", "demo-running", "demo-new", "dev"):
        (tmp_path / name).mkdir()
    (tmp_path / "demo-running" / "postmaster.pid").touch()
    for name in ("demo-old", "demo-running", "dev"):
        os.utime(tmp_path / name, (0, 0))
    monkeypatch.setattr(demo_ground, "start_server", str)
    monkeypatch.setattr(
        demo_ground, "create_database", lambda *_: EmbeddedDatabase(owner_url="owner", service_url="service")
    )
    assert str(tmp_path / "demo-now") == demo_ground._embedded(tmp_path, "now").place
    assert ["demo-new", "demo-running", "dev"] == sorted(entry.name for entry in tmp_path.iterdir())
