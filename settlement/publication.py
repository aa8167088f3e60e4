"""Publishing rendered files: whole, under their final names, never over other bytes, safe from a power cut.

The last file to appear is the one that tells a receiver that the others are there.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_DIGEST_CHUNK: Final = 1 << 20


class FileDiffersError(RuntimeError):
    """A file made again is not what it was, or another file stands in its place."""


def manifest_of(digests: Sequence[tuple[str, bytes]]) -> str:
    """Return the lines that ``sha256sum --check`` reads, by name."""
    return "".join(f"{digest.hex()}  {name}\n" for name, digest in sorted(digests))


def publish(folder: Path, destination: Path, names: Sequence[str], manifest: str) -> None:
    """Move rendered files into place, then the list of them; what is there already must be the same.

    Raises :class:`FileDiffersError` where something else is there, and publishes none then.
    """
    make_folder(destination)
    for name in (*names, manifest):
        _refuse_other(destination / name, folder / name)
    _move(names, folder, destination)
    _move([manifest], folder, destination)


def _move(names: Sequence[str], folder: Path, destination: Path) -> None:
    """Move those files that are not there yet, and wait until the disk has them."""
    missing = [name for name in names if not (destination / name).exists()]
    for name in missing:
        _synchronise(folder / name)
    for name in missing:
        (folder / name).rename(destination / name)
    _synchronise(destination)


def _refuse_other(there: Path, rendered: Path) -> None:
    if there.exists() and digest_of(there) != digest_of(rendered):
        raise FileDiffersError(f"{there} is not the file that belongs there; move it away and make the files again")


def digest_of(path: Path) -> bytes:
    """Return the SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_DIGEST_CHUNK):
            digest.update(chunk)
    return digest.digest()


def make_folder(folder: Path) -> None:
    """Make a folder and those above it so that they survive a power cut."""
    if not folder.exists():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _synchronise(folder.parent)


def _synchronise(path: Path) -> None:
    """Wait until a file's bytes, or a folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
