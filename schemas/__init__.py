"""Data, not code: ISO 8583 dialects, settlement file layouts and JSON Schemas, shipped inside the wheel."""

from importlib import resources


def read(folder: str, name: str) -> str:
    """Return the text of one shipped data file, for example ``read("programme", "programme.schema.json")``."""
    return (resources.files(__name__) / folder / name).read_text(encoding="utf-8")


def iso8583_dialects() -> dict[str, str]:
    """Return the text of every shipped ISO 8583 dialect by its name, which is the file's name without ``.yaml``."""
    folder = resources.files(__name__) / "iso8583"
    return {
        entry.name.removesuffix(".yaml"): entry.read_text(encoding="utf-8")
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".yaml")
    }
