"""Fixtures of the command's tests: a way to run it, and to look at what it prints."""

from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from processor.cli.main import app

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    """Return a function that runs the command with arguments, and with bytes on standard input if given."""
    runner = CliRunner()

    def call(*arguments: str, stdin: bytes = b"") -> Result:
        return runner.invoke(app, list(arguments), input=stdin, prog_name="cobrand")

    return call
