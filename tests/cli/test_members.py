"""Facts of members by the command: files by line and column, and a live server that records them once."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from time import sleep
from typing import Any, Final

import pytest

from processor.cli.demo_ground import running_server
from processor.cli.member_file import FACTS_OF_A_REQUEST, MemberFileError, MemberFileFact, read_facts, requests_of
from processor.store.embedded import create_database, drop_database
from processor.v1 import member_pb2 as pb
from tests.cli.conftest import Run
from tests.cli.test_live import NOW, House

HEADER: Final = "account_reference,kind,value"
AIRLINE: Final = Path(__file__).parents[2] / "examples" / "programmes" / "airline-tiers" / "programme.yaml"


def test_every_column_is_read() -> None:
    """Each column, in any order, ends in its field of the fact."""
    header = "ends,until,from,value,kind,account_reference"
    (entry,) = read_facts(f"{header}\nyes,2027-01-01T00:00:00Z,2026-12-01T00:00:00+01:00,crew,segment,A-1\n")
    assert isinstance(entry, MemberFileFact)
    fact = entry.fact
    assert (2, "A-1", pb.MEMBER_FACT_KIND_SEGMENT, "crew", True) == (
        entry.line,
        entry.account_reference,
        fact.kind,
        fact.value,
        fact.ended,
    )
    assert ("2026-11-30T23:00:00Z", "2027-01-01T00:00:00Z") == (
        fact.start_time.ToJsonString(),
        fact.end_time.ToJsonString(),
    )


@pytest.mark.parametrize(
    ("text", "line", "column", "name", "problem"),
    [
        ("", 1, 1, "", "is empty; begin with the columns"),
        ("account_reference,kind\n", 1, 2, "value", "is missing; add the column"),
        (f"{HEADER},kind\n", 1, 4, "", "names a column twice"),
        (f"{HEADER},name\n", 1, 4, "", "one that is none of"),
        (f"{HEADER}\nA-1,tier\n", 2, 2, "", "has 2 values; the header row has 3"),
        (f"{HEADER}\nA-1,tier,gold\n,tier,gold\n", 3, 1, "account_reference", "is empty"),
        (f"{HEADER}\nA-1,Tier,gold\n", 2, 2, "kind", "is none of tier, segment"),
        (f"{HEADER}\nA-1,tier,\n", 2, 3, "value", "is empty"),
        (f"{HEADER},ends\nA-1,segment,,yes\n", 2, 3, "value", "is empty"),
        (f"{HEADER},ends\nA-1,segment,crew,true\n", 2, 4, "ends", "is neither yes nor no"),
        (f"{HEADER},from\nA-1,tier,gold,2026-12-01\n", 2, 4, "from", "is no time with its zone"),
        (f"{HEADER},until\nA-1,tier,gold,2026-02-30T00:00:00Z\n", 2, 4, "until", "is no time with its zone"),
        (f'{HEADER}\nA-1,tier,"gold\n', 2, 1, "", "is not CSV"),
    ],
)
def test_a_mistake_is_named_by_line_and_column(text: str, line: int, column: int, name: str, problem: str) -> None:
    """Each mistake is found where it stands, and no value is repeated."""
    errors = [entry for entry in read_facts(text) if isinstance(entry, MemberFileError)]
    assert [(line, column, name)] == [(error.line, error.column, error.name) for error in errors]
    assert problem in errors[0].problem


def test_a_file_makes_the_same_requests_again() -> None:
    """Facts of one member go together, no more than a call takes; the same file makes the same ids, another others."""
    lines = [f"A-{number % 2},segment,s{number}" for number in range(2 * FACTS_OF_A_REQUEST + 2)]
    text = "\n".join([HEADER, *lines])
    requests = requests_of(text, "harbour")
    assert [("A-0", 100), ("A-0", 1), ("A-1", 100), ("A-1", 1)] == [
        (request.account_reference, len(request.facts)) for request in requests
    ]
    assert requests == requests_of(text, "harbour")
    ids = {request.request_id for request in requests}
    others = {request.request_id for request in (*requests_of(text, "yen"), *requests_of(f"{text}\n", "harbour"))}
    assert (4, 8, set()) == (len(ids), len(others), ids & others)


def test_a_file_with_mistakes_is_refused_before_it_is_sent(run: Run, tmp_path: Path) -> None:
    """All mistakes are named, and no server is asked."""
    file = tmp_path / "members.csv"
    file.write_text(f"{HEADER}\nA-1,rank,gold\nA-1,tier,\n")
    result = run("members", "import", str(file), "--bank", "harbour", "--server", "127.0.0.1:1")
    assert 1 == result.exit_code
    assert [f"{file}:2:2:", f"{file}:3:3:"] == [line.split(" ")[0] for line in result.stderr.splitlines()[:2]]
    assert "2 mistakes" in result.stderr


@pytest.fixture(scope="module")
def airline(administrator_url: str, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Start a server under the airline's programme with two members."""
    from typer.testing import CliRunner

    from processor.cli.main import app

    runner = CliRunner()
    folder = tmp_path_factory.mktemp("members")
    name = f"cli_{secrets.token_hex(6)}"
    urls = create_database(administrator_url, name, template=template_database)
    (folder / "cards.csv").write_text(
        "card_number,account_reference,product\n4000000000000002,A-1,everyday\n4000000000000010,A-2,everyday\n"
    )
    with running_server(urls.service_url, folder, workers=1, clock=NOW) as server:
        house = House(
            server=server,
            urls=urls,
            folder=folder,
            traffic=None,  # type: ignore[arg-type]  # These tests send no traffic.
            run=lambda *arguments, stdin=b"": runner.invoke(app, list(arguments), input=stdin, prog_name="cobrand"),
            printed=[],
        )
        house.call("programme", "apply", str(AIRLINE))
        house.call("cards", "submit", str(folder / "cards.csv"), "--bank", "harbour", "--delta")
        yield house
    drop_database(administrator_url, name)


@pytest.mark.xdist_group("cli-live")
def test_members_are_recorded_shown_and_imported(airline: House) -> None:
    """A file is taken once, what is refused is named by line and column, and nothing of it is lost."""
    member = "banks/harbour/accountReferences/A-1"
    done = airline.json("members", "set", member, "--tier", "gold", "--birthday", "02-29", "--reason", "Ticket 4711")
    assert (2, 0, False) == (done["recorded"], done["unchanged"], done["duplicate"])
    file = airline.folder / "members.csv"
    file.write_text(
        f"{HEADER},ends\nA-1,tier,gold,\nA-1,segment,crew,\nA-2,segment,crew,\nA-2,tier,golden,\nA-3,tier,gold,\n"
    )
    arguments = ("members", "import", str(file), "--bank", "harbour")
    expected = {
        "recorded": 1,
        "unchanged": 1,
        "recorded_before": 0,
        "refused": 3,
        "errors": [
            {"line": 4, "column": 1, "problem": "Not recorded, because line 5 of the same member was refused."},
            {
                "line": 5,
                "column": 3,
                "problem": "Value is no tier of the programme; did you mean 'gold'? write classic, gold, platinum or"
                " silver.",
            },
            {
                "line": 6,
                "column": 1,
                "problem": "No card file of this bank has named this account reference; check both parts of the name.",
            },
        ],
    }
    assert expected == airline.json(*arguments, code=1)
    assert {**expected, "recorded": 0, "unchanged": 0, "recorded_before": 2} == airline.json(*arguments, code=1)
    airline.call(*arguments, code=1)
    assert f"{file}:5:3: Value is no tier" in airline.printed[-1]

    shown = airline.json("members", "show", member)
    assert ["gold", "02-29", "crew"] == [fact["value"] for fact in shown]
    told = airline.call("members", "show", member)
    assert "02-29" in told
    for _ in range(100):  # What was recorded takes effect with the next whole second.
        said = " ".join(airline.printed[-1].split())
        if "Gold (gold)" in said:
            break
        sleep(0.1)
        airline.call("members", "show", member)
    assert "The tier of banks/harbour/accountReferences/A-1 is Gold (gold), recorded by " in said
    tier = airline.json("members", "tier", member)
    assert ("gold", "Gold", []) == (tier["tier"], tier["title"], tier["progress"])
    airline.call("members", "set", member, "--ends", "segment:crew", "--ends", "tier", "--reason", "Ticket 4712")
    assert [True, True] == [fact["ended"] for fact in airline.json("members", "show", member)[3:]]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--reason", "Ticket 4711"), "name something that is known"),
        (("--tier", "gold", "--from", "tomorrow", "--reason", "Ticket 4711"), "is no time with its zone"),
        (("--ends", "rank", "--reason", "Ticket 4711"), "names no kind of fact"),
    ],
)
def test_a_wrong_command_is_refused(run: Run, arguments: tuple[str, ...], problem: str) -> None:
    """What cannot be meant is an error of usage, before any server is asked."""
    result = run("members", "set", "accounts/1", *arguments)
    assert (2, True) == (result.exit_code, problem in " ".join(result.stderr.replace("│", " ").split()))


@pytest.mark.xdist_group("cli-live")
def test_a_household_is_recorded_by_verb_and_by_file(airline: House) -> None:
    """Its key is shown as it was given; what is no key is refused at its place."""
    member = "banks/harbour/accountReferences/A-2"
    done = airline.json("members", "set", member, "--household", "H-12", "--reason", "Same address")
    assert (1, 0) == (done["recorded"], done["unchanged"])
    file = airline.folder / "households.csv"
    file.write_text(f"{HEADER}\nA-2,household,H-12\nA-1,household,the Smiths\n")
    told = airline.json("members", "import", str(file), "--bank", "harbour", code=1)

    assert (0, 1, 1) == (told["recorded"], told["unchanged"], told["refused"])
    problem = (
        "Value names no household; write at most 32 letters, digits, points, hyphens and underlines, and nobody's name."
    )
    assert [{"line": 3, "column": 3, "problem": problem}] == told["errors"]
    shown = airline.json("members", "show", member)
    assert ("MEMBER_FACT_KIND_HOUSEHOLD", "H-12") == (shown[-1]["kind"], shown[-1]["value"])
