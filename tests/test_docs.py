"""The pages say what is so: links lead somewhere, commands parse, paths exist, and figures are those of the code."""

import importlib
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer

from processor.cli.main import app
from processor.store.tables import Access, metadata

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")],
    key=lambda page: str(page.relative_to(ROOT)),
)
TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}
OWN_PATHS = ["README.md", "CONTRIBUTING.md", "deploy/README.md", "docs/architecture.md", "docs/glossary.md"]

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]*)(?:#[^)]*)?\)")
SPAN = re.compile(r"`([^`\n]+)`")
FOLDERS = ("benchmarks/", "deploy/", "docs/", "examples/", "processor/", "proto/", "schemas/", "settlement/", "tests/")
COMMAND = typer.main.get_command(app)
USAGE_ERROR: Any = typer.BadParameter.__base__  # typer carries a click of its own and does not export this one.


def _table(text: str, heading: str) -> list[list[str]]:
    """Return the body rows of the first table under a heading, its cells without backticks."""
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows[2:]]


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_somewhere(page: str) -> None:
    """Every relative link of a page names a file or folder that is there."""
    prose = FENCED.sub("", TEXTS[page])
    targets = [target for target in LINK.findall(prose) if target and "://" not in target]
    assert [] == [target for target in targets if not (ROOT / page).parent.joinpath(target).exists()]


def test_decisions_have_numbers_of_their_own() -> None:
    """Records of decisions are numbered from 1 on, each once, and their headings say so."""
    records = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [int(record.name[:4]) for record in records]
    assert list(range(1, len(records) + 1)) == numbers
    assert numbers == [int(record.read_text(encoding="utf-8").split(".")[0].removeprefix("# ")) for record in records]


@pytest.mark.parametrize("page", OWN_PATHS)
def test_paths_exist(page: str) -> None:
    """Every path of the project that a page names is there."""
    spans = [span for span in SPAN.findall(FENCED.sub("", TEXTS[page])) if re.fullmatch(r"[\w./*-]+", span)]
    named = [span for span in spans if span.startswith(FOLDERS) and not re.search(r"\*|NAME", span)]
    missing = [path for path in named if not (ROOT / path).exists()]
    assert ([], True) == (missing, len(named) > 0)


def _commands(text: str) -> Iterator[tuple[list[str], bool]]:
    """Yield the words of every cobrand command of a page, and whether it stands in a block, where it is whole."""
    for _, block in FENCED.findall(text):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            found = re.match(r"\s*(?:\S*/)?cobrand (.+)", line)
            if found:
                yield _words(found[1]), True
    for span in SPAN.findall(FENCED.sub("", text)):
        if span.startswith("cobrand ") and "=" not in span.split()[1]:
            yield _words(span.removeprefix("cobrand ")), False


def _words(line: str) -> list[str]:
    """Return the words of a command line up to a redirection, a pipe or a list."""
    words = shlex.split(line, comments=True)
    ends = [index for index, word in enumerate(words) if word in {">", "|", "||", "&&", "&", ";"}]
    return words[: min(ends, default=len(words))]


def _problem(words: list[str], *, whole: bool) -> str | None:
    """Return what is wrong with a command, or None: it leads to a verb, and a whole one is a line the verb accepts."""
    command: Any = COMMAND
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    if command is COMMAND:
        return "no such verb"
    if whole:
        try:
            command.make_context("cobrand", list(words))
        except USAGE_ERROR as error:
            return str(error)
    return None


def test_commands_parse() -> None:
    """Every cobrand command quoted in a page is a verb, and one that stands in a block is a whole command line."""
    quoted = [(page, words, whole) for page, text in TEXTS.items() for words, whole in _commands(text)]
    problems = {f"{page}: {' '.join(words)}": _problem(words, whole=whole) for page, words, whole in quoted}
    assert {} == {place: problem for place, problem in problems.items() if problem is not None}
    assert len(problems) > 50


@pytest.mark.parametrize(
    ("line", "whole"), [("frobnicate", False), ("settle --bank alpha", True), ("verify --x", True)]
)
def test_a_wrong_command_would_be_found(line: str, whole: bool) -> None:
    """A verb that is not there, an option left out and an unknown option are problems."""
    assert _problem(line.split(), whole=whole)


def test_settings_are_documented() -> None:
    """The page on running it lists exactly the variables that the code reads."""
    files = ("processor/config.py", "processor/cli/client.py", "schemas/__init__.py")
    source = "".join((ROOT / file).read_text() for file in files)
    read = set(re.findall(r"\"(COBRAND_[A-Z_]+)\"", source))
    assert read == {row[0] for row in _table(TEXTS["deploy/README.md"], "Settings")}


def test_settings_of_the_units_are_settings() -> None:
    """The environment files of the units set only variables that the page lists."""
    listed = {row[0] for row in _table(TEXTS["deploy/README.md"], "Settings")}
    files = sorted((ROOT / "deploy" / "systemd").glob("*.example"))
    set_there = {name for file in files for name in re.findall(r"^#? ?(COBRAND_\w+)=", file.read_text(), re.MULTILINE)}
    assert set() == set_there - listed
    assert "COBRAND_DATABASE_URL" in set_there


@pytest.mark.parametrize("row", _table(TEXTS["docs/architecture.md"], "Bounds"), ids=lambda row: row[0])
def test_bounds_are_those_of_the_code(row: list[str]) -> None:
    """Every bound that the page names is that constant of that module, and has that value."""
    constant, path, value, _ = row
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    assert float(value) == getattr(module, constant)


def test_tables_are_those_of_the_schema() -> None:
    """The page lists every table with what the service role may do, whether it has a bucket, and how it is dated."""
    words = {Access.READ: "read", Access.APPEND: "append", Access.UPDATE: "update", Access.QUEUE: "queue"}
    expected = {
        table.name: (words[table.info["access"]], "yes" if table.info["sharded"] else "", table.info["dated"] or "")
        for table in metadata.sorted_tables
    }
    assert expected == {row[0]: tuple(row[1:]) for row in _table(TEXTS["docs/architecture.md"], "Tables")}


def test_the_layers_are_those_that_are_checked() -> None:
    """The picture of the house draws an arrow from each layer to the next one of the import contract, and no other."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    stories = [{name.rpartition(".")[2] for name in layer.split(" | ")} for layer in layers]
    house = TEXTS["docs/architecture.md"].split("## The house")[1].split("## ")[0]
    arrows = re.findall(r"(\w+)(?:\[[^\]]*\])? --> (\w+)", house)
    below = {name: stories[index + 1] for index, story in enumerate(stories[:-1]) for name in story}
    assert {name for story in stories for name in story} == {name for arrow in arrows for name in arrow}
    assert [] == [(upper, lower) for upper, lower in arrows if lower not in below[upper]]


def test_the_short_way_shows_what_the_example_gives() -> None:
    """What the first page quotes of a simulation is what the example programme gives."""
    arguments = ["programme", "simulate", "examples/skyways/programme.yaml", "examples/skyways/transactions.jsonl"]
    printed = subprocess.run(
        [sys.executable, "-m", "processor.cli.main", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    quoted = [
        line for kind, block in FENCED.findall(TEXTS["README.md"]) if kind == "text" for line in block.split("\n")
    ]
    rows = [line for line in quoted if line.startswith("│")]
    assert [] == [row for row in rows if row not in printed]
    assert len(rows) > 3


@contextmanager
def _kept_running(line: str, folder: Path, environment: dict[str, str], shown: list[str]) -> Iterator[None]:
    """Run a block of shell that does not end by itself; go on once it has shown its lines."""
    log = folder / f"{secrets.token_hex(4)}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-euc", line], cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _wait(lambda: all(text in log.read_text() for text in shown) or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def _wait(reached: Any) -> None:
    deadline = time.monotonic() + 180
    while not reached():
        assert time.monotonic() < deadline, "what was waited for did not happen within three minutes"
        time.sleep(0.2)


def _answers(environment: dict[str, str]) -> bool:
    return not subprocess.run(["cobrand", "status"], env=environment, capture_output=True, check=False).returncode


def _checkout(folder: Path) -> None:
    """Make a folder look like a checkout to the page's commands, with a ``var/`` of its own."""
    for name in ("examples", "deploy"):
        (folder / name).symlink_to(ROOT / name)


@pytest.fixture
def own_data_folder() -> Iterator[Path]:
    """Give the page's database a folder where opening the folders above it does no harm."""
    folder = Path("/var/tmp/cobrand") / f"test-docs-{secrets.token_hex(4)}"  # noqa: S108 - see store/embedded.py.
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.timeout(900)
@pytest.mark.xdist_group("cli-live")
def test_the_first_programme_runs_as_written(tmp_path: Path, own_data_folder: Path) -> None:
    """Every block of the page runs in its order, on a database of its own, and prints the lines that the page shows."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    _checkout(tmp_path)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COBRAND_")} | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COBRAND_DATA_FOLDER": str(own_data_folder),
        "COBRAND_SERVER": f"127.0.0.1:{port}",
    }
    blocks = FENCED.findall(TEXTS["docs/first-programme.md"].replace("7460", str(port)))
    kinds = [kind for kind, _ in blocks]
    with ExitStack() as running:
        for index, (kind, block) in enumerate(blocks):
            shown = blocks[index + 1][1].splitlines() if kinds[index + 1 : index + 2] == ["text"] else []
            shown = [line for line in shown if line != "..."]
            if kind == "sh":
                line = block.replace("cobrand serve", f"cobrand serve --port {port}")
                running.enter_context(_kept_running(line, tmp_path, environment, shown))
                if "cobrand serve" in block:
                    _wait(lambda: _answers(environment))
            elif kind == "bash":
                done = subprocess.run(
                    ["bash", "-euc", block],
                    cwd=tmp_path,
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    check=False,
                )
                assert (0, []) == (done.returncode, [line for line in shown if line not in done.stdout]), done.stdout
    assert {"sh": 2, "bash": 8} == {kind: kinds.count(kind) for kind in ("sh", "bash")}
