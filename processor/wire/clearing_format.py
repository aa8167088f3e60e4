"""Which format a clearing file has: named by who hands it in, or recognised from how it begins.

It decides the dialect and the framing before the first record is read.
It never guesses between two formats that would both do.
"""

from collections.abc import Mapping
from typing import Final

from processor.wire.clearing_csv import CsvReading, begins_like
from processor.wire.clearing_file import ClearingFileError, ClearingReading, ClearingSource
from processor.wire.clearing_layout import ClearingLayout
from processor.wire.dialect import Dialect
from processor.wire.ipm import PROBE_BYTES, looks_blocked
from processor.wire.ipm_file import IpmReading

_LENGTH_BYTES: Final = 4
_PRESENTMENT: Final = "1240"


class UnknownFormatError(ValueError):
    """The format that was named is not one of clearing files; the text says which are."""


def clearing_formats(dialects: Mapping[str, Dialect], layouts: Mapping[str, ClearingLayout]) -> list[str]:
    """Return the names of every format of clearing files: dialects of IPM records, and layouts of lines."""
    return sorted([*(name for name, dialect in dialects.items() if _is_ipm(dialect)), *layouts])


def open_reading(
    source: ClearingSource, name: str, dialects: Mapping[str, Dialect], layouts: Mapping[str, ClearingLayout]
) -> ClearingReading:
    """Return the reading of a file in the format of that name, or in the one it is recognised by where ``name`` is "".

    Raises :class:`UnknownFormatError` for another name, :class:`ClearingFileError` where no format is recognised.
    """
    known = clearing_formats(dialects, layouts)
    if name and name not in known:
        raise UnknownFormatError(f"the format is none of clearing files; use one of {', '.join(known)}")
    begun = _beginning(source)
    named = name or _recognised(begun, dialects, layouts, known)
    rewound = Rewound(begun, source)
    if named in layouts:
        return CsvReading(rewound, layouts[named])
    return IpmReading(rewound, dialects[named], blocked=looks_blocked(begun))


class Rewound:
    """A source whose beginning was read already, and is read again."""

    def __init__(self, begun: bytes, rest: ClearingSource) -> None:
        self._begun = begun
        self._rest = rest

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, none at the end."""
        if self._begun:
            piece, self._begun = self._begun[:size], self._begun[size:]
            return piece
        return self._rest.read(size)


def _beginning(source: ClearingSource) -> bytes:
    begun = b""
    while len(begun) < PROBE_BYTES:
        piece = source.read(PROBE_BYTES - len(begun))
        if not piece:
            break
        begun += piece
    return begun


def _recognised(
    begun: bytes, dialects: Mapping[str, Dialect], layouts: Mapping[str, ClearingLayout], known: list[str]
) -> str:
    """Return the one format whose first record, or first line, may begin like this."""
    found = [name for name in known if name in dialects and _is_header(begun, dialects[name])]
    found += [name for name, layout in sorted(layouts.items()) if begins_like(layout, begun)]
    if len(found) == 1:
        return found[0]
    what = f"it may be {' or '.join(found)}" if found else "it begins like no format of clearing files"
    raise ClearingFileError(f"{what}; name one of {', '.join(known)}", place="the beginning")


def _is_header(begun: bytes, dialect: Dialect) -> bool:
    return begun[_LENGTH_BYTES:][: dialect.message_type_length] == dialect.message_type_bytes["1644"]


def _is_ipm(dialect: Dialect) -> bool:
    return _PRESENTMENT in dialect.message_type_bytes and bool(dialect.clearing_identity)
