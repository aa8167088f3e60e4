"""Data, not code: ISO 8583 dialects, file layouts and JSON Schemas, shipped inside the wheel.

An installation may add dialects of its own, one file each, in the folder that ``COBRAND_DIALECTS_FOLDER`` names, and
layouts of clearing files in its folder ``clearing``.
"""

import os
from importlib import resources
from pathlib import Path
from typing import Final

DIALECTS_FOLDER: Final = "COBRAND_DIALECTS_FOLDER"
"""The setting that names the folder of an installation's own dialects."""

CLEARING_FOLDER: Final = "clearing"
"""The folder of layouts of clearing files, here and below the installation's own dialects."""

_SUFFIX: Final = ".yaml"
_MOST_FILES: Final = 256


class DialectsFolderError(ValueError):
    """The folder of own dialects cannot be used; the text says why and what to do."""


def read(folder: str, name: str) -> str:
    """Return the text of one shipped data file, for example ``read("programme", "programme.schema.json")``."""
    return (resources.files(__name__) / folder / name).read_text(encoding="utf-8")


def iso8583_dialects() -> dict[str, str]:
    """Return the text of every ISO 8583 dialect by its name, which is the file's name without ``.yaml``.

    Those that ship come first, then those of the installation's own folder, where one is set.
    Raises :class:`DialectsFolderError`.
    """
    shipped = _shipped("iso8583")
    own = os.environ.get(DIALECTS_FOLDER)
    return shipped | dialects_of(Path(own), shipped) if own else shipped


def clearing_layouts() -> dict[str, str]:
    """Return the text of every layout of clearing files by its name, which is the file's name without ``.yaml``.

    Those that ship come first, then those in the folder ``clearing`` of the installation's own dialects, where it is.
    Raises :class:`DialectsFolderError`.
    """
    shipped = _shipped(CLEARING_FOLDER)
    own = os.environ.get(DIALECTS_FOLDER)
    if not own or not (Path(own) / CLEARING_FOLDER).is_dir():
        return shipped
    return shipped | dialects_of(Path(own) / CLEARING_FOLDER, shipped, what="layout")


def _shipped(name: str) -> dict[str, str]:
    folder = resources.files(__name__) / name
    return {
        entry.name.removesuffix(_SUFFIX): entry.read_text(encoding="utf-8")
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(_SUFFIX)
    }


def dialects_of(folder: Path, shipped: dict[str, str], *, what: str = "dialect") -> dict[str, str]:
    """Return the text of every dialect in a folder by its name; none may have the name of a shipped one.

    ``what`` is what errors call that which the folder holds.

    Raises :class:`DialectsFolderError`.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == _SUFFIX)
        if len(files) > _MOST_FILES:
            raise DialectsFolderError(f"{folder} has {len(files)} {what}s; keep it to {_MOST_FILES}")
        texts = {path.stem: path.read_text(encoding="utf-8-sig") for path in files}
    except OSError as error:
        problem = f"{DIALECTS_FOLDER} is {folder}, which cannot be read ({error.strerror}); name a folder of {what}s"
        raise DialectsFolderError(problem) from None
    except UnicodeDecodeError:
        raise DialectsFolderError(f"a {what} in {folder} is not UTF-8; save it as UTF-8") from None
    for name in sorted(set(texts) & set(shipped)):
        raise DialectsFolderError(f"{folder / name}{_SUFFIX} has the name of a shipped {what}; give it one of its own")
    return texts
