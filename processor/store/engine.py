"""Engines: how this system connects to PostgreSQL, and what it never does there."""

from typing import Any

from sqlalchemy import Engine, create_engine, make_url

_SESSION = "-c timezone=UTC -c idle_in_transaction_session_timeout=30000 -c lock_timeout=20000 -c jit=off"
_KEYED = " -c enable_hashjoin=off -c enable_mergejoin=off -c enable_seqscan=off"


def connect(url: str, *, pool_size: int = 4, keyed: bool = False) -> Engine:
    """Return an engine for a ``postgresql://`` URL; bound values never reach an error's text.

    Transactions are READ COMMITTED, and one that sits idle is ended by the server, so that no lock outlives its worker.
    ``keyed`` is for connections that look rows up by key and nothing else: the planner, whose statistics of a fresh
    month know nothing, then never reads a whole table to find a batch's few hundred rows.
    """
    options: dict[str, Any] = {"options": _SESSION + (_KEYED if keyed else ""), "application_name": "cobrand"}
    return create_engine(
        make_url(url).set(drivername="postgresql+psycopg2"),
        hide_parameters=True,
        isolation_level="READ COMMITTED",
        pool_size=pool_size,
        max_overflow=4,
        pool_pre_ping=True,
        connect_args=options,
    )
