"""Data, not code: ISO 8583 dialects, settlement file layouts and JSON Schemas, shipped inside the wheel.

An installation may add dialects of its own, one file each, in the folder that ``COBRAND_DIALECTS_FOLDER`` names.
"""

import os
from importlib import resources
from pathlib import Path
from typing import Final

DIALECTS_FOLDER: Final = "COBRAND_DIALECTS_FOLDER"
"""The setting that names the folder of an installation's own dialects."""

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
    folder = resources.files(__name__) / "iso8583"
    shipped = {
        entry.name.removesuffix(_SUFFIX): entry.read_text(encoding="utf-8")
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(_SUFFIX)
    }
    own = os.environ.get(DIALECTS_FOLDER)
    return shipped | dialects_of(Path(own), shipped) if own else shipped


def clearing_layouts() -> dict[str, str]:
    """Return the text of every layout of clearing files of lines by its name.

    Those that ship come first, then those in the folder ``clearing`` of the installation's own dialects, where it has
    one.
    Raises :class:`DialectsFolderError`.
    """
    folder = resources.files(__name__) / "clearing"
    shipped = {
        entry.name.removesuffix(_SUFFIX): entry.read_text(encoding="utf-8")
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(_SUFFIX)
    }
    own = os.environ.get(DIALECTS_FOLDER)
    if own and (Path(own) / "clearing").is_dir():
        return shipped | dialects_of(Path(own) / "clearing", shipped)
    return shipped


def dialects_of(folder: Path, shipped: dict[str, str]) -> dict[str, str]:
    """Return the text of every dialect in a folder by its name; none may have the name of a shipped one.

    Raises :class:`DialectsFolderError`.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == _SUFFIX)
        if len(files) > _MOST_FILES:
            raise DialectsFolderError(f"{folder} has {len(files)} dialects; keep it to {_MOST_FILES}")
        texts = {path.stem: path.read_text(encoding="utf-8-sig") for path in files}
    except OSError as error:
        problem = f"{DIALECTS_FOLDER} is {folder}, which cannot be read ({error.strerror}); name a folder of dialects"
        raise DialectsFolderError(problem) from None
    except UnicodeDecodeError:
        raise DialectsFolderError(f"a dialect in {folder} is not UTF-8; save it as UTF-8") from None
    for name in sorted(set(texts) & set(shipped)):
        raise DialectsFolderError(f"{folder / name}{_SUFFIX} has the name of a shipped dialect; give it one of its own")
    return texts
