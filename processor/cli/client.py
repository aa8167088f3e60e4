"""The way to a server: a channel for the length of a block, pages of lists, and errors as sentences.

This version of the protocol runs without TLS, so the command talks to loopback addresses alone: card messages would
otherwise cross a network in clear.
"""

import ipaddress
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

import grpc
import typer

from processor.cli.failure import UnavailableError, failure_of
from processor.cli.output import say

DEFAULT_SERVER: Final = "127.0.0.1:7460"

ANSWER_SECONDS: Final = 30
"""How long a read or a small write may take."""

WORK_SECONDS: Final = 900
"""How long closing a day, taking a file or replaying may take."""

_MAXIMUM_PAGE: Final = 1000


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine alone: ``localhost`` or a loopback address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _checked_server(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise typer.BadParameter(f"{value!r} is not host:port; write one such as {DEFAULT_SERVER}")
    if not is_loopback(host):
        raise typer.BadParameter(
            f"{host} is not this machine, and this version has no TLS: card messages would cross the network in clear; "
            f"run the command beside the server, or reach it through a tunnel"
        )
    return value


ServerOption = Annotated[
    str,
    typer.Option(
        "--server",
        envvar="COBRAND_SERVER",
        metavar="HOST:PORT",
        help="The server to talk to, on this machine.",
        callback=_checked_server,
    ),
]


def open_channel(server: str) -> grpc.Channel:
    """Return a channel that is a connection of its own, so that several reach several workers."""
    return grpc.insecure_channel(server, options=[("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)])


@contextmanager
def connect(server: str) -> Iterator[grpc.Channel]:
    """Open a channel to a server for the length of a block, and turn gRPC's errors into sentences."""
    try:
        with open_channel(server) as channel:
            yield channel
    except grpc.RpcError as error:
        raise failure_of(error, server) from None


def book(server: str, request: Any, method: Callable[[grpc.Channel], Callable[..., Any]]) -> Any:
    """Make a call that books something under its request's id, and say how to go on where nobody knows whether it did.

    ``method`` returns what to call, on a channel.
    """
    try:
        with connect(server) as channel:
            return method(channel)(request, timeout=ANSWER_SECONDS)
    except UnavailableError:
        say(f"It may or may not be booked: repeat the command with --request-id {request.request_id}")
        raise


def list_pages(call: Callable[..., Any], request: Any, field: str, limit: int) -> tuple[list[Any], bool]:
    """Read at most ``limit`` entries of a list over as many pages as it takes; also tell whether there are more."""
    entries: list[Any] = []
    while True:
        request.page_size = min(limit - len(entries), _MAXIMUM_PAGE)
        response = call(request, timeout=ANSWER_SECONDS)
        entries.extend(getattr(response, field))
        request.page_token = response.next_page_token
        if not request.page_token or len(entries) >= limit:
            return entries, bool(request.page_token)
