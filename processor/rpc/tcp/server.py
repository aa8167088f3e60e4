"""The raw TCP listeners of one worker process: which links listen, what they have done, and how they end.

Several workers share each port, as they share the one of gRPC.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import structlog

from processor.flow.worker import Worker
from processor.log import described
from processor.rpc.tcp.connection import LinkConnection
from processor.rpc.tcp.ground import Ground, HostConnection
from processor.rpc.tcp.links import TcpLink, tls_context
from processor.rpc.tcp.state import Pace, SignOn
from processor.wire.dialect import Dialect

HANDSHAKE_S: Final = 10.0
MOST_PEERS: Final = 16
"""Peers of a link that a worker names in its status."""
_BACKLOG: Final = 128
_CHECK_EVERY_S: Final = 0.2
_PAUSE_S: Final = 0.5
_ABORTED_S: Final = 1.0

_LOG = structlog.get_logger(__name__)


def listening_socket(address: str, port: int) -> socket.socket:
    """Return a bound socket that other workers may bind too; raises ``OSError``."""
    bound = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((address, port))
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


class LinkListener:
    """Accepts the connections of one link."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self._tls = tls_context(ground.link.tls) if ground.link.tls is not None else None
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._opening: set[asyncio.Task[None]] = set()
        self._places = ground.link.limits.connections

    def start(self) -> int:
        """Listen, and return the port; raises ``OSError``."""
        bound = listening_socket(self.ground.link.address, self.ground.link.port)
        bound.listen(_BACKLOG)
        self._socket = bound
        self._accepting = asyncio.create_task(self._accept(bound))
        return int(bound.getsockname()[1])

    async def stop(self) -> None:
        """Accept no more."""
        tasks = [task for task in (self._accepting, *self._opening) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()

    async def _accept(self, bound: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, peer = await loop.sock_accept(bound)
            except OSError as error:  # No file descriptors are left, or the peer is gone already.
                _LOG.warning("tcp_not_accepted", link=self.ground.link.name, error=error.strerror)
                await asyncio.sleep(_PAUSE_S)
                continue
            if self._places == 0:
                self.ground.refuse_connection(str(peer[0]), "the link has all the connections it may have")
                accepted.close()
                continue
            self._places -= 1
            task = asyncio.create_task(self._open(accepted, str(peer[0])))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, accepted: socket.socket, peer: str) -> None:
        """Make a connection of an accepted socket, after its TLS handshake where the link has one."""
        loop = asyncio.get_running_loop()
        opened = False
        try:
            _, connection = await loop.connect_accepted_socket(
                lambda: LinkConnection(self.ground),
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_S if self._tls is not None else None,
                ssl_shutdown_timeout=self.ground.link.limits.write_s if self._tls is not None else None,
            )
        except ssl.SSLError as error:
            self.ground.refuse_connection(peer, f"TLS: {error.reason or 'the handshake failed'}")
        except OSError as error:
            self.ground.refuse_connection(peer, f"the connection broke: {error.strerror or type(error).__name__}")
        else:
            opened = True
            connection.closed.add_done_callback(self._free_place)
        finally:
            self._places += not opened

    def _free_place(self, _: "asyncio.Future[None]") -> None:
        self._places += 1


class TcpServer:
    """Every raw TCP link of one worker; used on one event loop alone."""

    def __init__(
        self,
        links: Sequence[TcpLink],
        *,
        worker: Worker,
        dialects: Mapping[str, Dialect],
        clock: Callable[[], datetime],
    ) -> None:
        self._listeners = [
            LinkListener(
                Ground(
                    link=link,
                    dialect=dialects[link.dialect],
                    worker=worker,
                    clock=clock,
                    pace=Pace(per_second=link.limits.messages_per_second),
                )
            )
            for link in links
        ]
        self._checking: asyncio.Task[None] | None = None

    async def start(self) -> list[int]:
        """Listen on every link, and return their ports; raises ``OSError`` where one cannot be had."""
        ports = [listener.start() for listener in self._listeners]
        self._checking = asyncio.create_task(self._check())
        return ports

    async def drain(self, seconds: float) -> None:
        """Accept and read no more, let what was read be answered for so many seconds, then close what is left."""
        for listener in self._listeners:
            await listener.stop()
        for connection in self._connections():
            connection.drain()
        await self._closed(seconds)
        for connection in self._connections():
            connection.abort()
        await self._closed(_ABORTED_S)
        if self._checking is not None:
            self._checking.cancel()
            with suppress(asyncio.CancelledError):
                await self._checking

    def status(self) -> list[dict[str, Any]]:
        """Return what each link has done, as it is written into the worker's row."""
        return [_status(listener.ground) for listener in self._listeners]

    def _connections(self) -> list[HostConnection]:
        return [connection for listener in self._listeners for connection in listener.ground.connections]

    async def _closed(self, seconds: float) -> None:
        """Wait so long at most until every connection is closed."""
        waiting = [connection.closed for connection in self._connections()]
        if waiting:
            await asyncio.wait(waiting, timeout=seconds)

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_EVERY_S)
            now = asyncio.get_running_loop().time()
            for connection in self._connections():
                try:
                    connection.check(now)
                except Exception as error:  # noqa: BLE001 - our fault costs this connection alone.
                    _LOG.error("tcp_not_checked", **described(error))
                    connection.abort()


def _status(ground: Ground) -> dict[str, Any]:
    link, counts = ground.link, ground.counts
    states = [connection.sign_on for connection in ground.connections]
    return {
        "name": link.name,
        "bank": link.bank,
        "dialect": link.dialect,
        "address": link.place,
        "connections": len(states),
        "signed_on": states.count(SignOn.SIGNED_ON),
        "signed_off": states.count(SignOn.SIGNED_OFF),
        "messages": counts.messages,
        "answered": counts.answered,
        "undecodable": counts.undecodable,
        "unanswered": counts.unanswered,
        "refused": counts.refused,
        "closed": counts.closed,
        "refused_connections": counts.refused_connections,
        "last_message_at": counts.last_message_at.isoformat() if counts.last_message_at else None,
        "last_echo_at": counts.last_echo_at.isoformat() if counts.last_echo_at else None,
        "peers": sorted({connection.peer for connection in ground.connections})[:MOST_PEERS],
    }
