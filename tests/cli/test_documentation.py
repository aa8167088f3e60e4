"""docs/cli.md beside the command it describes."""

import re
import shlex
from pathlib import Path

import pytest

from processor.cli.failure import ExitCode
from tests.cli.test_command import VERBS

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^cobrand .+$", PAGE, re.MULTILINE)


def _verb_of(words: list[str]) -> tuple[str, ...]:
    return next(path for path in VERBS if tuple(words[1 : 1 + len(path)]) == path)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_the_page_parses(example: str) -> None:
    """Every command line of the page is one that its verb accepts."""
    words = shlex.split(example)
    path = _verb_of(words)
    assert [] == VERBS[path].make_context(path[-1], words[1 + len(path) :]).args


def test_every_verb_has_an_example_on_the_page() -> None:
    """The page shows every verb at work."""
    assert set(VERBS) == {_verb_of(shlex.split(example)) for example in EXAMPLES}


def test_the_exit_codes_are_those_of_the_command() -> None:
    """The page lists every exit code, and 130 for an interrupt."""
    listed = [int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)]
    assert [*ExitCode, 130] == listed


def test_files_that_the_examples_name_are_there() -> None:
    """Examples that name a file of the checkout name one that is there."""
    named = {word for example in EXAMPLES for word in example.split() if word.startswith("examples/")}
    assert named
    assert [] == [name for name in named if not (ROOT / name).is_file()]


def test_a_sentence_stands_on_a_line_of_its_own() -> None:
    """Prose has one sentence a line, so that a change shows as itself."""
    prose = [line for line in PAGE.splitlines() if line and line[0] not in "|{#`" and not line.startswith("cobrand")]
    assert [] == [line for line in prose if re.search(r"[.!?] [A-Z]", line)]
