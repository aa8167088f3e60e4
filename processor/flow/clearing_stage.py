"""Chunks of a clearing file: its records, tokenised, as they wait in the database until they are decided.

A chunk holds no card number: a record became a card message, or where it failed to, before it was written here.
"""

import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

import orjson

from processor.flow.submission import Undecodable

RECORDS_IN_A_CHUNK: Final = 256
"""Records that are decided in one batch, and how much of a file is decided again at most after a kill."""

_FAST: Final = 1
_MESSAGE, _REFUSED, _NOTHING = b"m", b"r", b"-"


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedRecord:
    """One record that waits: a card message as JSON, why it is none, or neither where it books nothing."""

    number: int
    place: str
    fields: bytes = field(default=b"", repr=False)
    refused: Undecodable | None = None


def pack_chunk(records: Sequence[StagedRecord]) -> bytes:
    """Return the bytes of a chunk; :func:`unpack_chunk` returns equal records."""
    return zlib.compress(b"\n".join([_line(record) for record in records]), _FAST)


def unpack_chunk(content: bytes) -> list[StagedRecord]:
    """Return the records of a chunk, in order."""
    return [_record(line) for line in zlib.decompress(content).split(b"\n")]


def problem_of(refused: Undecodable) -> str:
    """Return in a few words what is wrong with a record, and where in it."""
    position = f" at byte {refused.position}" if refused.position >= 0 else ""
    return f"{refused.field}{position}: {refused.problem}"


def _line(record: StagedRecord) -> bytes:
    kind, document = _NOTHING, b""
    if record.refused is not None:
        values = {**asdict(record.refused), "id": record.refused.id.hex(), "digest": record.refused.digest.hex()}
        kind, document = _REFUSED, orjson.dumps(values)
    elif record.fields:
        kind, document = _MESSAGE, record.fields
    return b"\t".join((str(record.number).encode(), record.place.encode(), kind, document))


def _record(line: bytes) -> StagedRecord:
    number, place, kind, document = line.split(b"\t", 3)
    refused = None
    if kind == _REFUSED:
        values = orjson.loads(document)
        values |= {"id": bytes.fromhex(values["id"]), "digest": bytes.fromhex(values["digest"])}
        refused = Undecodable(**values)
    fields = document if kind == _MESSAGE else b""
    return StagedRecord(number=int(number), place=place.decode(), fields=fields, refused=refused)
