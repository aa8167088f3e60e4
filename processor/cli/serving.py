"""Serving: check what can be wrong before any worker starts, then run one worker here or several under a supervisor."""

import os
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import typer

from processor.cli.database import open_database, settings
from processor.cli.failure import CommandError, sentence
from processor.cli.output import say, show_json
from processor.config import ConfigurationError, Settings
from processor.rpc.server import NotLoopbackError, require_loopback
from processor.rpc.tcp.links import TcpLink
from processor.store.schema import check_service_role
from processor.wiring import ServeOptions, known_dialects, load_links, run_worker, supervise


def serve_until_ended(
    *,
    host: str,
    port: int,
    workers: int,
    output_folder: Path | None,
    clock: datetime | None,
    number: int,
    supervisor: int,
    as_json: bool,
) -> None:
    """Serve until told to stop; ``number`` is that of a worker under a supervisor, 0 for the command a person gave.

    ``supervisor`` is that process, 0 where there is none.
    """
    configured = settings()
    if output_folder is not None:
        configured = replace(configured, output_folder=output_folder)
    _check_address(host, port, shared=number > 0)
    links = _links(configured, shared=number > 0)
    options = ServeOptions(
        host=host, port=port, workers=workers, clock=clock, number=number or 1, supervisor=supervisor or None
    )

    def announce(bound: int) -> None:
        if number:
            return
        if as_json:
            listening = {"tcp_links": [link.place for link in links]} if links else {}
            show_json({"address": f"{host}:{bound}", "workers": workers, **listening})
            return
        for link in links:
            say(f"Listening for {link.name} on {link.place}.")
        say(f"Serving on {host}:{bound} with {workers} worker processes. End it with Ctrl-C.")

    with open_database(configured.database_url, "COBRAND_DATABASE_URL") as engine, engine.connect() as connection:
        check_service_role(connection)  # Before any worker starts, which would only end again.
    try:
        if workers == 1:
            run_worker(configured, options, announce)
        elif supervise(_worker_command(host, clock, configured.output_folder), options, announce, links):
            raise CommandError("The workers ended by themselves too often; their log lines above say why.")
    except ConfigurationError as error:
        raise CommandError(sentence(str(error))) from None


def _check_address(host: str, port: int, *, shared: bool) -> None:
    """Refuse an address that others can reach, and a port that is taken, except where workers share it."""
    try:
        require_loopback(host)
    except NotLoopbackError as error:
        raise typer.BadParameter(str(error), param_hint="--host") from None
    try:
        _probe(host, port, shared=shared)
    except OSError as error:
        raise CommandError(f"{host}:{port} cannot be taken ({error.strerror}); choose another --port.") from None


def _links(configured: Settings, *, shared: bool) -> tuple[TcpLink, ...]:
    """Return the raw TCP links that are to listen, whose ports must be free too."""
    try:
        links = load_links(configured, known_dialects())
    except ConfigurationError as error:
        raise CommandError(f"{error}\nMend it, and see with cobrand tcp check.") from None
    for link in links:
        try:
            _probe(link.address, link.port, shared=shared)
        except OSError as error:
            raise CommandError(
                f"Link {link.name} cannot listen on {link.place} ({error.strerror}); write another port in "
                f"{configured.tcp_links}."
            ) from None
    return links


def _probe(host: str, port: int, *, shared: bool) -> None:
    """Raise ``OSError`` where a port cannot be taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
        probe.bind((host, port))


def _worker_command(host: str, clock: datetime | None, output_folder: Path) -> Callable[[int, int], list[str]]:
    """Return what gives the command line of worker n on a port."""

    def command(number: int, port: int) -> list[str]:
        own = ["--host", host, "--port", str(port), "--number", str(number), "--supervisor", str(os.getpid())]
        if clock is not None:
            own += ["--clock", clock.isoformat()]
        return [sys.executable, "-m", "processor.cli.main", "serve", *own, "--output-folder", str(output_folder)]

    return command
