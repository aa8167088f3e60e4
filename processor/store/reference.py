"""Programme revisions and their version: the statements behind the snapshot of reference data."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRevision:
    """A programme revision as it was applied; ``files`` maps the names the document uses to their text."""

    programme: str
    revision: int
    document: str
    files: Mapping[str, str]
    digest: bytes
    effective_from: datetime
    applied_at: datetime


# Every revision of every programme, in order.
LOAD_REVISIONS: Final = text(
    "SELECT programme, revision, document, merchants, digest, effective_from, applied_at"
    " FROM programme_revision ORDER BY programme, revision"
)
# The version that rises with every applied revision.
LOAD_VERSION: Final = text("SELECT version FROM reference_version WHERE id = 1")
# Serialises those who apply programmes.
LOCK_VERSION: Final = text("SELECT version FROM reference_version WHERE id = 1 FOR UPDATE")
# Tell every worker that there is a newer snapshot.
RAISE_VERSION: Final = text("UPDATE reference_version SET version = version + 1 WHERE id = 1")
# Keep a revision for good.
KEEP_REVISION: Final = text(
    "INSERT INTO programme_revision"
    " (programme, revision, document, merchants, digest, effective_from, applied_at, applied_by)"
    " VALUES (:programme, :revision, :document, CAST(:files AS json), :digest, :effective_from, :applied_at, :actor)"
)
# How many buckets this installation spreads its accounts over.
LOAD_BUCKET_COUNT: Final = text("SELECT bucket_count FROM installation WHERE id = 1")


def load_revisions(connection: Connection) -> list[StoredRevision]:
    """Return every applied revision."""
    return [
        StoredRevision(
            programme=row.programme,
            revision=row.revision,
            document=row.document,
            files=row.merchants,
            digest=bytes(row.digest),
            effective_from=row.effective_from,
            applied_at=row.applied_at,
        )
        for row in connection.execute(LOAD_REVISIONS)
    ]


def load_version(connection: Connection) -> int:
    """Return the current version of the reference data."""
    return int(connection.execute(LOAD_VERSION).scalar_one())


def load_bucket_count(connection: Connection) -> int:
    """Return how many buckets the installation has."""
    return int(connection.execute(LOAD_BUCKET_COUNT).scalar_one())


def lock_version(connection: Connection) -> int:
    """Wait for whoever applies a programme, and keep others waiting until this transaction ends."""
    return int(connection.execute(LOCK_VERSION).scalar_one())


def keep_revision(connection: Connection, values: Mapping[str, Any]) -> None:
    """Append a revision and raise the version."""
    connection.execute(KEEP_REVISION, values)
    connection.execute(RAISE_VERSION)
