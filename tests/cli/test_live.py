"""The command against a real server, a real database and example traffic; the tests share one history, in order.

The server's clock starts at a fixed instant, so that the same traffic meets the same day every time.
"""

import hashlib
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from examples.traffic import TrafficFiles, write_traffic
from processor.cli.demo_ground import running_server
from processor.store.embedded import EmbeddedDatabase, create_database, drop_database
from processor.store.engine import connect
from tests.cli.conftest import Run
from tests.conftest import TODAY

pytestmark = pytest.mark.xdist_group("cli-live")

NOW = datetime(TODAY.year, TODAY.month, TODAY.day, 10, 0, tzinfo=UTC)
PROGRAMME = str(Path(__file__).parent.parent.parent / "examples" / "skyways" / "programme.yaml")
SETTLE = ("settle", "--programme", "skyways", "--bank", "alpha", "--date", f"{TODAY}")
CYCLE = f"programmes/skyways/banks/alpha/cycles/{TODAY}"


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """A running server with its database, folder and traffic, and everything the command has printed against it."""

    server: str
    urls: EmbeddedDatabase
    folder: Path
    traffic: TrafficFiles
    run: Run
    printed: list[str]

    def call(self, *arguments: str, code: int = 0) -> str:
        """Run a verb against the server, expect its exit code, and return standard output."""
        result = self.run(*arguments, "--server", self.server)
        self.printed.extend((result.stdout, result.stderr))
        assert (code, None) == (result.exit_code, result.exc_info and result.exception and None), result.output
        return result.stdout

    def json(self, *arguments: str, code: int = 0) -> Any:
        """Run a verb with --json and return its document."""
        return orjson.loads(self.call(*arguments, "--json", code=code))

    def ledger(self) -> Any:
        """Return the sums of all ledger accounts."""
        return self.json("ledger", "accounts", "--programme", "skyways")


@pytest.fixture(scope="module")
def house(administrator_url: str, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Start a server on a database of its own and hand everything in: programme, cards, messages, clearing files."""
    from typer.testing import CliRunner

    from processor.cli.main import app

    runner = CliRunner()
    folder = tmp_path_factory.mktemp("live")
    name = f"cli_{secrets.token_hex(6)}"
    urls = create_database(administrator_url, name, template=template_database)
    traffic = write_traffic(
        folder, today=TODAY, seed=3, messages=400, now=datetime.combine(TODAY, datetime.min.time(), UTC)
    )
    with running_server(urls.service_url, folder, workers=1, clock=NOW) as server:
        yield House(
            server=server,
            urls=urls,
            folder=folder,
            traffic=traffic,
            run=lambda *arguments, stdin=b"": runner.invoke(app, list(arguments), input=stdin, prog_name="cobrand"),
            printed=[],
        )
    drop_database(administrator_url, name)


@pytest.fixture(scope="module")
def answers(house: House) -> list[dict[str, Any]]:
    """Hand in programme, cards and messages once, and return every answer."""
    house.call("programme", "apply", PROGRAMME)
    for bank, file in house.traffic.cards.items():
        house.call("cards", "submit", str(file), "--bank", bank, "--full")
    target = house.folder / "answers.jsonl"
    document = house.json(
        "submit", str(house.traffic.submission), "--connections", "2", "--answers", str(target), code=1
    )
    assert {"UNDECODABLE"} == {refusal["reason"] for refusal in document["refusals"]}
    return [orjson.loads(line) for line in target.read_bytes().splitlines()]


@pytest.fixture(scope="module")
def cleared(house: House, answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Hand in every clearing file once, and return what became of each."""
    return [
        house.json("clearing", "submit", str(file), "--bank", bank)
        for bank, files in house.traffic.clearing.items()
        for file in files
    ]


@pytest.fixture(scope="module")
def closed(house: House, cleared: list[dict[str, Any]]) -> Any:
    """Close the business date once."""
    return house.json(*SETTLE)


@pytest.fixture(autouse=True)
def handed_in(cleared: list[dict[str, Any]]) -> None:
    """Let every test find the history there, whichever test of this file a process runs first."""


def test_a_programme_is_applied_once(house: House, answers: list[dict[str, Any]]) -> None:
    """Applying the same document again changes nothing; list and show name its revision."""
    again = house.json("programme", "apply", PROGRAMME)
    assert (True, "programmes/skyways/revisions/1") == (again["unchanged"], again["programme"]["name"])
    assert ["programmes/skyways/revisions/1"] == [entry["name"] for entry in house.json("programme", "list")]
    assert (
        Path(PROGRAMME).read_text(encoding="utf-8").strip()
        == house.call("programme", "show", "skyways", "--document").strip()
    )
    assert "Skyways Miles" in house.call("programme", "show", "skyways", "--revision", "1")
    house.call("programme", "show", "landways", code=1)


def test_a_wrong_programme_is_not_applied(house: House, tmp_path: Path) -> None:
    """The server's errors are named by file, line and column."""
    broken = shutil.copytree(Path(PROGRAMME).parent, tmp_path / "skyways") / "programme.yaml"
    broken.write_text(broken.read_text().replace("rounding: down ", "rounding: dawn ", 1))
    assert house.call("programme", "apply", str(broken), code=1).startswith(f"{broken}:")


def test_cards_may_be_handed_in_again(house: House, answers: list[dict[str, Any]]) -> None:
    """The same card file again opens no account."""
    file = str(house.traffic.cards["alpha"])
    result = house.json("cards", "submit", file, "--bank", "alpha", "--full")
    assert (0, 0) == (result["accounts_opened"], result["rejected"])
    assert "records taken" in house.call("cards", "submit", file, "--bank", "alpha", "--full")


def test_every_answer_is_written(house: House, answers: list[dict[str, Any]]) -> None:
    """Each message of the file has one answer, by its line and its own id."""
    lines = house.traffic.submission.read_bytes().splitlines()
    expected = [(number, orjson.loads(line)["id"]) for number, line in enumerate(lines, start=1)]
    assert expected == sorted((answer["line"], answer["id"]) for answer in answers)
    assert {"ACCEPTED", "DUPLICATE", "PARKED", "REJECTED"} == {answer["outcome"] for answer in answers}


def test_sending_again_changes_nothing(house: House, answers: list[dict[str, Any]]) -> None:
    """Every decided message is a duplicate the second time, and the ledger stays as it is."""
    before = house.ledger()
    document = house.json("submit", str(house.traffic.submission), code=1)
    counts = {(entry["outcome"], entry["reason"]): entry["messages"] for entry in document["outcomes"]}
    assert {"DUPLICATE", "REJECTED", "ACCEPTED"} == {outcome for outcome, _ in counts}
    assert {"NETWORK_MANAGEMENT"} == {reason for outcome, reason in counts if outcome == "ACCEPTED"}
    assert before == house.ledger()


def test_clearing_files_are_taken_once(house: House, cleared: list[dict[str, Any]]) -> None:
    """Every clearing file is taken; the same one again is a duplicate; a broken one is refused whole."""
    assert {(True, False)} == {(response["file"]["complete"], response["duplicate"]) for response in cleared}
    first = house.traffic.clearing["alpha"][0]
    before = house.ledger()
    assert house.json("clearing", "submit", str(first), "--bank", "alpha")["duplicate"]
    assert before == house.ledger()
    assert "outcome" in house.call("clearing", "submit", str(first), "--bank", "alpha")
    file_id = cleared[0]["file"]["file_id"]
    shown = house.json("clearing", "show", file_id, "--bank", "alpha")
    assert (cleared[0]["file"], []) == (shown["file"], shown["exceptions"])
    assert "problem" in house.call("clearing", "show", file_id, "--bank", "alpha")
    assert "" == house.call("clearing", "show", "NO-SUCH-FILE", "--bank", "alpha", code=1)
    cut = house.folder / "cut.ipm"
    cut.write_bytes(first.read_bytes()[:-1014])
    assert "" == house.call("clearing", "submit", str(cut), "--bank", "alpha", code=1)
    listed = house.json("clearing", "list", "--bank", "alpha", "--limit", "1000")
    assert len(house.traffic.clearing["alpha"]) == len(listed)
    assert "complete" in house.call("clearing", "list", "--bank", "alpha", "--limit", "3")


def test_the_ledger_adds_up(house: House) -> None:
    """Debits equal credits in every unit, for people and for programs."""
    sums: dict[str, int] = {}
    for account in house.ledger():
        sums[account["unit"]] = sums.get(account["unit"], 0) + account["credit"] - account["debit"]
    assert {"EUR": 0, "SKY": 0, "USD": 0} == sums
    assert "member/available" in house.call("ledger", "accounts", "--programme", "skyways")


def _account(house: House) -> str:
    """Return an account that has postings."""
    for number in range(40):
        name = f"banks/alpha/accountReferences/ALPHA-{number:06d}"
        result = house.run("ledger", "statement", name, "--json", "--server", house.server)
        if result.exit_code == 0 and orjson.loads(result.stdout):
            return name
    raise AssertionError("no account of the example has a posting")


def test_balance_and_statement_agree(house: House) -> None:
    """An account's available miles are the sum of its statement, however many pages that takes."""
    name = _account(house)
    entries = house.json("ledger", "statement", name, "--limit", "5000")
    moved = [
        entry["amount"] * ((entry["credit"] == "member/available") - (entry["debit"] == "member/available"))
        for entry in entries
    ]
    assert sum(moved) == house.json("ledger", "balance", name)["available"]
    assert "available" in house.call("ledger", "balance", name)
    assert "template" in house.call("ledger", "statement", name, "--limit", "1")
    unknown = house.run("ledger", "balance", "banks/alpha/accountReferences/X", "--server", house.server)
    assert (1, True) == (unknown.exit_code, unknown.stderr.startswith("No card file of this bank has named"))


def test_an_adjustment_is_booked_once(house: House) -> None:
    """The same request id again changes nothing, and a short reason is refused."""
    name = _account(house)
    before = house.json("ledger", "balance", name)["available"]
    first = house.json("adjust", name, "--miles", "-50", "--reason", "Ticket 4711")
    assert (before - 50, False) == (first["available"], first["duplicate"])
    again = ("--miles", "-50", "--reason", "Ticket 4711", "--request-id", first["request_id"])
    second = house.json("adjust", name, *again)
    assert (before - 50, True) == (second["available"], second["duplicate"])
    assert name in house.call("adjust", name, *again)
    house.call("adjust", name, "--miles", "5", "--reason", "x", code=1)


def test_purchases_are_listed_and_shown(house: House) -> None:
    """An account's purchases are listed, and each is shown with its messages and what ties them to it."""
    account = _account(house)
    listed = house.json("purchases", "list", account)
    assert {"events", "state", "amounts"} < set(listed[0])
    shown = house.json("purchases", "show", listed[0]["name"])
    assert [event["message"] for event in listed[0]["events"]] == [event["message"] for event in shown["events"]]
    assert "open" in house.call("purchases", "list", account, "--limit", "1")
    assert "tied by" in house.call("purchases", "show", listed[0]["name"])
    house.call("purchases", "show", f"accounts/{'0' * 32}/purchases/{'0' * 32}", code=1)


def test_expiry_and_the_search_for_links_run_again_and_again(house: House) -> None:
    """Both go through every bucket, and the second time they have nothing left to do."""
    done = house.json("purchases", "expire", "--as-of", NOW.isoformat(), "--days-back", "300")
    assert {"examined", "expired", "left"} == set(done)
    assert 0 == house.json("purchases", "expire", "--as-of", NOW.isoformat(), "--days-back", "300")["expired"]
    assert "expired" in house.call("purchases", "expire")
    house.json("links", "find")
    assert 0 == house.json("links", "find")["found"]
    assert "found" in house.call("links", "find")
    house.call("purchases", "expire", "--as-of", "yesterday", code=2)
    house.call("purchases", "expire", "--as-of", "2027-11-20T00:00:00Z", code=1)


def _paid(house: House) -> dict[str, Any]:
    """Return a purchase that has cleared by a presentment of its own, and its presentment as the last event."""
    for number in range(40):
        name = f"banks/alpha/accountReferences/ALPHA-{number:06d}"
        result = house.run("purchases", "list", name, "--json", "--server", house.server)
        for purchase in orjson.loads(result.stdout) if result.exit_code == 0 else []:
            kinds = [event["kind"] for event in purchase["events"]]
            if purchase["state"] == "CLEARED" and kinds[-1] == "PRESENTMENT" and len(kinds) == 2:
                return dict(purchase)
    raise AssertionError("no purchase of the example has cleared")


def test_a_dispute_is_recorded_once(house: House) -> None:
    """A chargeback moves the purchase; the same request again changes nothing; too many decimals are refused."""
    purchase = _paid(house)
    event = purchase["events"][-1]
    record = ("disputes", "record", event["message"], "--stage", "chargeback", "--reason", "Case 4711")
    amount = ("--currency", event["currency"], "--amount")
    first = house.json(*record, *amount, "0.01")
    again = house.json(*record, *amount, "0.01", "--request-id", first["request_id"])
    assert (False, True, first["message"]) == (first["duplicate"], again["duplicate"], again["message"])
    assert "CHARGED_BACK" == house.json("purchases", "show", purchase["name"])["state"]
    house.call(*record, *amount, "0.001", code=2)
    house.call(*record, *amount, "99999999", code=1)
    assert first["reason"] in house.call(*record, *amount, "0.01", "--request-id", first["request_id"])


def test_a_link_is_broken(house: House) -> None:
    """Two messages of two purchases are kept apart and listed so, once; what names no two messages is refused."""
    account = house.json("purchases", "list", _account(house))
    one, other = (purchase["events"][0]["message"] for purchase in account[:2])
    owner, _, first = one.partition("/messages/")
    second = other.rpartition("/")[2]
    said = ("--reason", "Ticket 4711", "--actor", "maria")
    broken = house.json("links", "break", "--messages", one, other, *said)
    assert ("BROKEN", {first, second}) == (broken["verdict"], set(broken["name"].rpartition("/")[2].split("-")))
    assert broken["name"] in [entry["name"] for entry in house.json("links", "list", "--verdict", "broken")]
    assert "verdict" in house.call("links", "list")
    house.call("links", "break", broken["name"], *said)
    house.call("links", "break", *said, code=2)
    house.call("links", "break", "--messages", one, "accounts/x/messages/y", *said, code=2)
    house.call("links", "confirm", f"{owner}/linkReviews/{'0' * 32}-{first}", *said, code=1)


def test_a_decision_is_explained(house: House, answers: list[dict[str, Any]]) -> None:
    """The explanation that an answer names says why, and recomputing it gives the same."""
    earned = next(answer for answer in answers if answer["reason"] == "EARNED")
    document = house.json("explain", earned["decision"]["explanation"])
    assert ("EARNED", True) == (document["reason"], document["reproduced"])
    assert document["sentences"]
    assert document["sentences"][0] in house.call("explain", earned["decision"]["explanation"])
    house.call("explain", f"accounts/{'0' * 32}/decisions/{'0' * 32}-1", code=1)


def test_what_waits_is_shown_and_replayed(house: House, answers: list[dict[str, Any]]) -> None:
    """Parked messages are listed and shown masked; a later card file decides some, a replay leaves the others."""
    waiting = house.json("parked", "list", "--limit", "1000")
    assert {"UNKNOWN_CARD"} == {message["reason"] for message in waiting}
    shown = house.json("parked", "show", waiting[0]["name"])
    assert waiting[0]["name"] == shown["name"]
    assert shown["fields"]
    assert "UNKNOWN_CARD" in house.call("parked", "list", "--limit", "2")
    house.call("parked", "show", waiting[0]["name"])
    decided = 0
    for bank, file in house.traffic.later_cards.items():
        decided += house.json("cards", "submit", str(file), "--bank", bank)["messages_decided"]
    still = house.json("parked", "list", "--limit", "1000")
    assert 0 < len(waiting) - len(still) <= decided
    assert {entry["name"] for entry in still} < {entry["name"] for entry in waiting}
    assert {"decided": 0, "still_parked": len(still)} == house.json("parked", "replay", "--all")
    assert {"decided": 0, "still_parked": 1} == house.json("parked", "replay", still[0]["name"])


def test_what_did_not_decode_is_listed(house: House, answers: list[dict[str, Any]]) -> None:
    """Undecodable messages are listed with the place of their failure."""
    found = house.json("undecodable", "list")
    assert {"exchange"} == {entry["source"] for entry in found}
    assert all(entry["problem"] and entry["length_bytes"] for entry in found)
    assert "problem" in house.call("undecodable", "list")


def test_the_status_counts_the_worker(house: House, answers: list[dict[str, Any]]) -> None:
    """The status shows the worker and the version of its reference data."""
    status = house.json("status")
    assert [1] == [worker["snapshot_version"] for worker in status["workers"]]
    assert len(house.json("parked", "list", "--limit", "1000")) == status["parked"]
    assert "Workers" in house.call("status")


def test_a_business_date_is_closed_once(house: House, closed: Any) -> None:
    """Closing a date shows positions that add up to zero, and closing it again gives the same files."""
    first = closed
    sums: dict[str, int] = {}
    for position in first["cycle"]["positions"]:
        sums[position["currency"]] = sums.get(position["currency"], 0) + position["net_minor"]
    assert {0} == set(sums.values())
    again = house.json(*SETTLE)
    assert (False, True) == (first["already_closed"], again["already_closed"])
    assert first["files"] == again["files"]
    assert "Net positions" in house.call(*SETTLE)
    house.call("settle", "--programme", "skyways", "--bank", "alpha", "--date", "2027-01-04", code=1)


def test_cycles_and_files_are_listed(house: House, closed: Any) -> None:
    """Cycles and files are found by name."""
    assert [CYCLE] == [cycle["name"] for cycle in house.json("cycles", "list", "--bank", "alpha")]
    assert house.json("cycles", "show", CYCLE)["obligations"]
    assert CYCLE in house.call("cycles", "list")
    assert "Obligations" in house.call("cycles", "show", CYCLE)
    assert "sha256" in house.call("files", "list", CYCLE)
    house.call("cycles", "show", CYCLE.replace("alpha", "gamma"), code=1)


def test_files_are_fetched_and_never_overwritten(house: House, closed: Any, tmp_path: Path) -> None:
    """All files of a cycle arrive with the bytes their SHA-256 states; another file of the name is left alone."""
    files = house.json("files", "download", CYCLE, "--to", str(tmp_path))
    assert house.json("files", "list", CYCLE) == [
        {key: entry[key] for key in entry if key != "path"} for entry in files
    ]
    for entry in files:
        assert entry["sha256"] == hashlib.sha256(Path(entry["path"]).read_bytes()).hexdigest()
    house.call("files", "download", files[0]["name"], "--to", str(tmp_path))
    Path(files[0]["path"]).write_bytes(b"mine")
    house.call("files", "download", files[0]["name"], "--to", str(tmp_path), code=1)
    assert b"mine" == Path(files[0]["path"]).read_bytes()
    house.call("files", "download", f"{CYCLE}/files/nobody", code=1)


def test_the_books_are_sound(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """After all of this every figure of the books is what its rows add up to."""
    monkeypatch.setenv("COBRAND_DATABASE_URL", house.urls.service_url)
    result = house.run("verify", "--json")
    assert (0, True) == (result.exit_code, orjson.loads(result.stdout)["sound"])
    assert "sound" in house.run("verify").stdout


def test_no_card_number_is_printed(house: House) -> None:
    """Nothing that any verb printed against the server, and nothing in its log, holds a card number of the traffic."""
    numbers = {
        line.split(",")[0]
        for file in (*house.traffic.cards.values(), *house.traffic.later_cards.values())
        for line in file.read_text().splitlines()[1:]
    }
    written = "".join(
        [*house.printed, (house.folder / "server.log").read_text(), (house.folder / "answers.jsonl").read_text()]
    )
    assert len(numbers) > 20
    assert len(house.printed) > 50
    assert [] == [number for number in numbers if number in written]


def test_a_changed_balance_is_found(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A balance that somebody changed by hand ends verify with 1 and names the account."""
    owner = connect(house.urls.owner_url)
    with owner.begin() as connection:
        account = bytes(
            connection.execute(
                text(
                    "UPDATE account SET available = available + 1 WHERE available > 0 AND id = "
                    "(SELECT min(id) FROM account WHERE available > 0) RETURNING id"
                )
            ).scalar_one()
        )
    owner.dispose()
    monkeypatch.setenv("COBRAND_DATABASE_URL", house.urls.service_url)
    result = house.run("verify")
    assert 1 == result.exit_code
    assert account.hex() in result.stdout
    assert "The books differ (balances)" in result.stderr
