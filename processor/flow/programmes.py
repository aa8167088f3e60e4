"""Applying a programme: check the document, make it the next revision, and tell every worker.

Revisions take effect in the future only: the first one may reach back, because nothing was decided before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import orjson
from sqlalchemy import Engine

from processor.core.located_document import DocumentError
from processor.core.programme import Programme
from processor.core.programme_document import parse_programme
from processor.store.reference import StoredRevision, keep_revision, load_revisions, lock_version


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The revision a document is, and whether it was that already."""

    revision: StoredRevision
    unchanged: bool


def digest_of(document: str, files: Mapping[str, str]) -> bytes:
    """Return SHA-256 over a document and its files, in order of their names."""
    digest = sha256(document.encode())
    for name in sorted(files):
        digest.update(b"\x00" + name.encode() + b"\x00" + files[name].encode())
    return digest.digest()


def apply_programme(
    engine: Engine, *, document: str, files: Mapping[str, str], source: str, actor: str, now: datetime
) -> Applied | tuple[DocumentError, ...]:
    """Make a document the next revision of its programme; errors are values and nothing is applied.

    The same document and files as the latest revision change nothing.
    """
    parsed = parse_programme(document, merchants=files, source=source, revision=1)
    if not isinstance(parsed, Programme):
        return parsed
    digest = digest_of(document, files)
    with engine.begin() as connection:
        lock_version(connection)
        stored = load_revisions(connection)
        earlier = [revision for revision in stored if revision.programme == parsed.id]
        if earlier and earlier[-1].digest == digest:
            return Applied(revision=earlier[-1], unchanged=True)
        taken = _taken_elsewhere(parsed, stored, source)
        if taken:
            return taken
        moved = _ledger_moved(parsed, earlier[-1], source) if earlier else ()
        if moved:
            return moved
        effective_from = max(parsed.effective_from, now) if earlier else parsed.effective_from
        revision = StoredRevision(
            programme=parsed.id,
            revision=len(earlier) + 1,
            document=document,
            files=dict(files),
            digest=digest,
            effective_from=effective_from,
            applied_at=now,
        )
        keep_revision(
            connection,
            {
                "programme": revision.programme,
                "revision": revision.revision,
                "document": document,
                "files": orjson.dumps(revision.files).decode(),
                "digest": digest,
                "effective_from": effective_from,
                "applied_at": now,
                "actor": actor,
            },
        )
    return Applied(revision=revision, unchanged=False)


def _ledger_moved(programme: Programme, before: StoredRevision, source: str) -> tuple[DocumentError, ...]:
    """Return an error where a revision would move the miles ledger: what purchases gave would lie in both places."""
    earlier = parse_programme(before.document, merchants=before.files, source=source, revision=before.revision)
    if not isinstance(earlier, Programme) or (earlier.accruals is None) is (programme.accruals is None):
        return ()
    kept = "here" if earlier.accruals is None else "owner"
    return (
        DocumentError(
            source=source,
            line=1,
            column=1,
            path="miles.ledger",
            problem="a programme's miles ledger stays where its first revision put it",
            expected=f"write ledger: {kept}, or give the programme another identifier",
        ),
    )


def _taken_elsewhere(programme: Programme, stored: list[StoredRevision], source: str) -> tuple[DocumentError, ...]:
    """Return errors for card products and ranges that another programme's latest revision holds."""
    latest = {revision.programme: revision for revision in stored if revision.programme != programme.id}
    errors: list[DocumentError] = []
    for other in latest.values():
        parsed = parse_programme(other.document, merchants=other.files, source=source, revision=other.revision)
        if not isinstance(parsed, Programme):
            continue
        theirs = {prefix for product in parsed.products.values() for prefix in product.card_ranges}
        for product in programme.products.values():
            clash = [
                mine
                for mine in product.card_ranges
                for their in theirs
                if mine.startswith(their) or their.startswith(mine)
            ]
            if product.id in parsed.products or clash:
                errors.append(
                    DocumentError(
                        source=source,
                        line=1,
                        column=1,
                        path=f"card_products.{product.id}",
                        problem=f"programme {parsed.id} has this product or a card range of it",
                        expected="give it another id and card ranges that no other programme holds",
                    )
                )
    return tuple(errors)
