"""``cobrand serve``, ``db upgrade`` and ``verify``: run the processor, and prove its books."""

import typer


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this file to the command."""
