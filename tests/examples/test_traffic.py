"""The traffic as a whole: deterministic, well dated on any day, in files that the processor's own readers take."""

import base64
import re
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path

import orjson
import pytest

from examples.traffic import Traffic, TrafficFiles, TrafficMessage, authorizations, history, tell, write_traffic
from examples.traffic.__main__ import main
from examples.traffic.skyways import CLEARING_DIALECT, dialects, programme
from examples.traffic.stories import FAULTS, STORIES
from processor.cli.card_file import CardFileError, read_cards
from processor.cli.message_file import UnreadableLine, read_json_lines
from processor.core.card import CardReference
from processor.core.lifecycle import Effect, effect_of
from processor.core.merchant_match import match_merchant
from processor.core.message import MessageKind
from processor.core.programme import Enrolment, FinancialMeaning
from processor.wire.ipm import PROBE_BYTES, looks_blocked
from processor.wire.ipm_file import check_clearing_file
from tests.examples.conftest import NOW, TODAY, TOKENISER, Understood, understand, understood

DAYS = [date(2024, 2, 29), date(2025, 1, 1), date(2025, 3, 31), date(2026, 11, 22)]
NAMES = {story.name for story in (*STORIES, *FAULTS)}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TrafficFiles:
    """Write a small traffic."""
    return write_traffic(tmp_path_factory.mktemp("traffic"), today=TODAY, seed=7, messages=600, now=NOW)


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_same_seed_and_day_give_the_same_bytes(tmp_path: Path) -> None:
    """Two writings are equal file by file, and another seed's or day's are not."""
    written = []
    for name, seed, today in (("a", 7, TODAY), ("b", 7, TODAY), ("c", 8, TODAY), ("d", 7, TODAY - timedelta(1))):
        now = datetime.combine(today, time(), tzinfo=UTC)
        write_traffic(tmp_path / name, today=today, seed=seed, messages=300, now=now)
        written.append(_contents(tmp_path / name))

    first, same, other_seed, other_day = written
    assert first == same
    assert first["messages.jsonl"] not in {other_seed["messages.jsonl"], other_day["messages.jsonl"]}


@pytest.mark.parametrize("today", DAYS, ids=str)
def test_nothing_is_dated_ahead_or_long_ago(today: date) -> None:
    """On leap days, new year's days and month ends all times lie in the thirty days before, and none after now."""
    now = datetime.combine(today, time(15, 20), tzinfo=UTC)
    traffic = tell(seed=3, accounts=40, messages=1500, today=today, now=now)
    earliest = datetime.combine(today - timedelta(30), time(), tzinfo=UTC)

    times = [entry.message.transmitted_at for entry in understood(traffic, now)]

    assert max(times) <= now
    assert max(sent.sent_at for sent in traffic.messages) <= now
    assert max(record.day for record in traffic.presentments) <= today
    # A clearing record's time is the outlet's local one.
    assert earliest - timedelta(hours=5) <= min(times)
    assert today in {moment.date() for moment in times}
    assert NAMES == set(traffic.stories)


def test_a_moment_before_the_day_ends_the_traffic_there() -> None:
    """Where the clock in UTC has not reached the day yet, nothing is dated after the clock."""
    now = datetime(2026, 11, 21, 23, 10, tzinfo=UTC)
    traffic = tell(seed=3, accounts=4, messages=300, today=TODAY, now=now)

    assert max(sent.sent_at for sent in traffic.messages) <= now
    assert NAMES == set(traffic.stories)


def test_there_are_as_many_messages_as_asked_for(traffic: Traffic) -> None:
    """The default traffic has five thousand messages, and at most one story's more."""
    assert 5000 <= len(traffic.messages) < 5010


def test_messages_of_an_account_share_a_stream(traffic: Traffic) -> None:
    """Every card is seen in its account's stream alone, and all sixteen streams are used."""
    stream_of = {
        TOKENISER.reference(card.pan).token: entry.stream for entry in traffic.accounts for card in entry.cards
    }
    seen = {(card.token, sent.stream) for sent in traffic.messages if (card := _card(sent)) is not None}

    assert len(seen) > len(traffic.accounts) / 2
    assert seen <= set(stream_of.items())
    assert set(range(16)) == {sent.stream for sent in traffic.messages}


def _card(sent: TrafficMessage) -> CardReference | None:
    return None if sent.story.startswith("undecodable") else understand(sent, NOW).card


def test_messages_stand_in_the_order_of_sending(traffic: Traffic) -> None:
    """Their times never fall, and each has an id of its own."""
    assert all(one.sent_at <= next_one.sent_at for one, next_one in pairwise(traffic.messages))
    assert len(traffic.messages) == len({sent.caller_id for sent in traffic.messages})


def test_only_repeats_share_an_identity(told: list[Understood]) -> None:
    """Two messages of one identity have one content, and only the stories of repeats have any."""
    contents: dict[bytes, set[bytes]] = {}
    sent_again = set()
    for entry in told:
        if entry.message.message_id in contents:
            sent_again.add(entry.story)
        contents.setdefault(entry.message.message_id, set()).add(entry.message.content)

    assert {"duplicate", "repeat", "reversal_repeat"} == sent_again
    assert {1} == {len(found) for found in contents.values()}


def test_references_lead_to_one_purchase(told: list[Understood]) -> None:
    """No two lifecycles of an account share an approval code or a retrieval reference by chance."""
    owners: dict[tuple[str, str], set[str]] = {}
    for entry in told:
        message = entry.message
        if message.credit or message.card is None:
            continue
        for reference in (message.approval_code, message.retrieval_reference):
            if reference:
                owners.setdefault((message.bank, reference), set()).add(message.lifecycle_id)

    assert {1} == {len(found) for found in owners.values()}


def test_purchases_are_at_partners_and_elsewhere(told: list[Understood]) -> None:
    """Every partner of the programme is visited, and a third of the purchases match none."""
    presented = [entry.message for entry in told if entry.message.kind is MessageKind.PRESENTMENT]
    matched = [
        match_merchant(
            programme(),
            acquirer=message.acquirer,
            acceptor=message.acceptor,
            terminal=message.terminal,
            mcc=message.mcc,
        )
        for message in presented
    ]

    assert set(programme().partners) == {merchant.partner for merchant in matched if merchant}
    assert 0.2 < matched.count(None) / len(matched) < 0.45


def test_cards_are_present_and_absent(told: list[Understood]) -> None:
    """Chip, contactless, magnetic stripe and e-commerce all occur."""
    entries = {(entry.message.entry_mode, entry.message.condition_code) for entry in told if entry.message.entry_mode}

    assert {("051", "00"), ("071", "00"), ("901", "00"), ("812", "59"), ("051", "06")} <= entries


def test_every_clearing_file_passes_its_controls(files: TrafficFiles) -> None:
    """Each file is in blocks and whole, and all of them together hold every presentment told."""
    presentments, file_ids = 0, set()
    for bank, paths in files.clearing.items():
        assert len(paths) > 20, bank
        for path in paths:
            with path.open("rb") as source:
                assert looks_blocked(source.read(PROBE_BYTES))
                source.seek(0)
                summary = check_clearing_file(source, dialects()[CLEARING_DIALECT], blocked=True)
            presentments += summary.records
            file_ids.add(summary.file_id)

    assert files.presented.total() == presentments
    assert sum(map(len, files.clearing.values())) == len(file_ids)


def test_the_lines_hold_the_messages(files: TrafficFiles) -> None:
    """A line says stream, bank, dialect and story; the stories of the lines add up to the counts returned."""
    lines = [orjson.loads(line) for line in files.messages.read_bytes().splitlines()]
    told_again = tell(seed=7, accounts=60, messages=600, today=TODAY, now=NOW)

    assert [sent.message for sent in told_again.messages] == [base64.b64decode(line["message"]) for line in lines]
    assert [sent.response for sent in told_again.messages] == [
        base64.b64decode(line["response"]) if "response" in line else None for line in lines
    ]
    assert {"caller_id", "stream", "bank", "dialect", "message", "story"} == set.intersection(*map(set, lines))
    assert files.sent == Counter(line["story"] for line in lines)
    assert files.stories == told_again.stories


def test_the_command_line_reads_the_submission(files: TrafficFiles) -> None:
    """``cobrand submit`` takes every line, and finds the same bytes in it."""
    with files.submission.open("rb") as source:
        entries = list(read_json_lines(source))
    lines = [orjson.loads(line) for line in files.messages.read_bytes().splitlines()]

    assert [] == [entry for entry in entries if isinstance(entry, UnreadableLine)]
    assert [base64.b64decode(line["message"]) for line in lines] == [
        entry.message.iso8583 for entry in entries if not isinstance(entry, UnreadableLine)
    ]


def test_card_files_name_whom_they_should(files: TrafficFiles) -> None:
    """The command line reads every card file, and the later one names only what the full one does not say."""
    for bank in files.cards:
        full, later = (
            [entry for entry in read_cards(path.read_text()) if not isinstance(entry, CardFileError)]
            for path in (files.cards[bank], files.later_cards[bank])
        )
        assert len(files.cards[bank].read_text().splitlines()) == len(full) + 1
        assert len(files.later_cards[bank].read_text().splitlines()) == len(later) + 1
        said = {(record.card_number, record.status) for record in full}
        assert later
        assert said.isdisjoint((record.card_number, record.status) for record in later)


def test_a_small_history_tells_every_story() -> None:
    """A history of 140 messages holds all stories that send any."""
    stories = {sent.story for sent in history(5, 20, 140, TODAY)}

    assert NAMES - {"never_authorized"} == stories


def test_a_smaller_history_is_no_longer_than_it_must_be() -> None:
    """A history ends with the story that reaches its length."""
    assert 10 <= len(history(5, 20, 10, TODAY)) < 14


@pytest.mark.parametrize(("bank", "dialect"), [("alpha", "iso87-ascii"), ("beta", "iso87-bcd")])
def test_authorizations_are_distinct_approved_purchases(bank: str, dialect: str) -> None:
    """A benchmark's messages are approved, of one identity each, of many accounts in turn and in the past."""
    sent = list(authorizations(1000, seed=1, now=NOW, bank=bank, dialect=dialect, accounts=90))

    messages = [understand(entry, NOW) for entry in sent]
    assert 1000 == len({message.message_id for message in messages})
    assert 1000 == len({message.lifecycle_id for message in messages})
    assert {Effect.AUTHORIZED} == {effect_of(message, FinancialMeaning.FINAL) for message in messages}
    assert {"0110"} == {message.mti for message in messages}
    tokens = [message.card.token for message in messages if message.card]
    assert 90 == len(set(tokens))
    assert tokens[:90] == tokens[90:180]
    assert {Enrolment.AUTOMATIC} == {
        programme().products[message.card.product or ""].enrolment for message in messages if message.card
    }
    assert max(message.transmitted_at for message in messages) == NOW
    assert 90 == len({(token, entry.stream) for token, entry in zip(tokens, sent, strict=True)})


def test_authorizations_of_another_seed_are_other_purchases_of_the_same_cards() -> None:
    """Two benchmarks with one clock do not send one another's messages."""
    one, other = (
        [
            understand(entry, NOW)
            for entry in authorizations(500, seed=seed, now=NOW, bank="alpha", dialect="iso87-ascii", accounts=50)
        ]
        for seed in (1, 2)
    )

    assert {message.message_id for message in one}.isdisjoint(message.message_id for message in other)
    assert {message.card for message in one} == {message.card for message in other}


def test_the_documented_command_writes_the_documented_stories(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page's command runs, and its table lists exactly the stories that it prints."""
    page = (Path(__file__).parents[2] / "docs" / "example-traffic.md").read_text(encoding="utf-8")
    command = re.search(r"^python -m examples\.traffic (\S+) (.*)$", page, re.MULTILINE)
    assert command is not None

    main([str(tmp_path), *command[2].split(), "--messages", "150"])

    printed = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == printed - {"story", "total", "in"}
    assert printed - {"story", "total", "in"} == NAMES
