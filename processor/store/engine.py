"""Engines: how this system connects to PostgreSQL, and what it never does there."""

from typing import Any

from sqlalchemy import Engine, create_engine, make_url


def connect(url: str, *, pool_size: int = 4) -> Engine:
    """Return an engine for a ``postgresql://`` URL; bound values never reach an error's text.

    Transactions are READ COMMITTED, and one that sits idle is ended by the server, so that no lock outlives its worker.
    """
    options: dict[str, Any] = {
        "options": "-c timezone=UTC -c idle_in_transaction_session_timeout=30000 -c lock_timeout=20000",
        "application_name": "cobrand",
    }
    return create_engine(
        make_url(url).set(drivername="postgresql+psycopg2"),
        hide_parameters=True,
        isolation_level="READ COMMITTED",
        pool_size=pool_size,
        max_overflow=4,
        pool_pre_ping=True,
        connect_args=options,
    )
