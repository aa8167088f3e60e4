"""The state of the system: which workers live, what the links have carried, what waits.

Workers write of themselves; this reads and sums it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Engine

from processor.store.operations import WorkerRow, count_parked, list_workers
from processor.store.reference import load_version

SEEN_WITHIN: Final = timedelta(minutes=1)
"""A worker that has not written of itself for this long is taken for dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkState:
    """One bank's link, summed over the workers that live; ``last_at`` is None before its first message."""

    bank: str
    dialect: str
    messages: int
    undecodable: int
    last_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpLinkState:
    """One raw TCP link, summed over the workers that live; counts are since they started."""

    name: str
    bank: str
    dialect: str
    address: str
    connections: int
    signed_on: int
    signed_off: int
    peers: tuple[str, ...]
    messages: int
    answered: int
    undecodable: int
    unanswered: int
    refused: int
    refused_connections: int
    closed: int
    last_message_at: datetime | None
    last_echo_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemState:
    """The workers that live, by name; their links, by bank and dialect; the database's version and what waits there.

    ``tcp_links`` are the raw TCP links the workers listen for, by name.
    """

    workers: tuple[WorkerRow, ...]
    links: tuple[LinkState, ...]
    tcp_links: tuple[TcpLinkState, ...]
    reference_version: int
    parked: int


def load_status(engine: Engine, now: datetime) -> SystemState:
    """Return the state of the system at ``now``."""
    with engine.connect() as connection:
        workers = tuple(list_workers(connection, now - SEEN_WITHIN))
        version, parked = load_version(connection), count_parked(connection)
    return SystemState(
        workers=workers,
        links=_links(workers),
        tcp_links=_tcp_links(workers),
        reference_version=version,
        parked=parked,
    )


def _tcp_links(workers: tuple[WorkerRow, ...]) -> tuple[TcpLinkState, ...]:
    found: dict[str, list[dict[str, Any]]] = {}
    for worker in workers:
        for link in worker.detail.get("tcp_links", ()):  # A worker of an older version does not write it.
            found.setdefault(link["name"], []).append(link)
    return tuple(_summed(found[name]) for name in sorted(found))


def _summed(parts: list[dict[str, Any]]) -> TcpLinkState:
    """Return one link from what each worker says of it."""
    sums = {key: sum(part[key] for part in parts) for key, kind in TcpLinkState.__annotations__.items() if kind is int}
    times: dict[str, Any] = {
        key: max((datetime.fromisoformat(part[key]) for part in parts if part[key]), default=None)
        for key in ("last_message_at", "last_echo_at")
    }
    return TcpLinkState(
        name=parts[0]["name"],
        bank=parts[0]["bank"],
        dialect=parts[0]["dialect"],
        address=parts[0]["address"],
        peers=tuple(sorted({peer for part in parts for peer in part["peers"]})),
        **sums,
        **times,
    )


def _links(workers: tuple[WorkerRow, ...]) -> tuple[LinkState, ...]:
    states: dict[tuple[str, str], LinkState] = {}
    for worker in workers:
        for bank, dialect, messages, undecodable, last_at in worker.detail["links"]:
            before = states.get((bank, dialect))
            times = [datetime.fromisoformat(last_at)] if last_at else []
            if before is not None and before.last_at is not None:
                times.append(before.last_at)
            states[bank, dialect] = LinkState(
                bank=bank,
                dialect=dialect,
                messages=messages + (before.messages if before else 0),
                undecodable=undecodable + (before.undecodable if before else 0),
                last_at=max(times, default=None),
            )
    return tuple(states[key] for key in sorted(states))
