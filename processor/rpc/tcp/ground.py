"""What the connections of one link share: the link's terms, the worker, the counts, and the connections themselves."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

import structlog

from processor.flow.worker import Worker
from processor.rpc.tcp.links import TcpLink
from processor.rpc.tcp.state import LinkCounts, Pace, SignOn
from processor.wire.dialect import Dialect

_TRACE_NUMBERS: Final = 999_999

_LOG = structlog.get_logger(__name__)


class HostConnection(Protocol):
    """What the listener asks of a connection."""

    peer: str
    sign_on: SignOn
    closed: "asyncio.Future[None]"

    def drain(self) -> None:
        """Read no more, answer what was read, then close."""

    def abort(self) -> None:
        """Close at once."""

    def check(self, now: float) -> None:
        """Look at the deadlines."""


@dataclass(slots=True, kw_only=True, eq=False)
class Ground:
    """One link in one worker."""

    link: TcpLink
    dialect: Dialect
    worker: Worker
    clock: Callable[[], datetime]
    pace: Pace
    counts: LinkCounts = field(default_factory=LinkCounts)
    connections: set[HostConnection] = field(default_factory=set)
    _trace_number: int = 0

    def next_trace_number(self) -> str:
        """Return the next trace number of our own messages, six digits from 000001 on."""
        self._trace_number = self._trace_number % _TRACE_NUMBERS + 1
        return f"{self._trace_number:06d}"

    def refuse_connection(self, peer: str, reason: str) -> None:
        """Count and log a connection that never carried a message."""
        self.counts.refused_connections += 1
        _LOG.warning("tcp_refused", link=self.link.name, peer=peer, reason=reason)
