"""Example traffic as files: what a bank's host, its card department and its clearing desk would hand over.

Messages are JSON Lines in the order of sending; cards are CSV, full and later; clearing is one file a bank and day.
The files hold test card numbers in clear, as the banks' own do.
"""

from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final

import orjson

from examples.traffic.clearing import by_bank_and_day, clearing_file
from examples.traffic.generate import Traffic, tell
from examples.traffic.portfolio import Account, full_card_file, later_card_file
from examples.traffic.scene import TrafficMessage

DEFAULT_MESSAGES: Final = 5000
MESSAGES_TO_AN_ACCOUNT: Final = 10

_SEQUENCES: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficFiles:
    """Where the files are, by bank, and what they tell.

    Submit ``cards``, then ``messages`` and ``clearing`` in any order, then ``later_cards``.
    ``messages`` says of which story each message is; ``submission`` holds the same messages for ``cobrand submit``.
    ``stories`` counts how often each story was told, ``sent`` its messages, ``presented`` its clearing records.
    """

    messages: Path
    submission: Path
    cards: Mapping[str, Path]
    later_cards: Mapping[str, Path]
    clearing: Mapping[str, tuple[Path, ...]]
    stories: Counter[str]
    sent: Counter[str]
    presented: Counter[str]


def write_traffic(
    folder: Path, *, today: date, seed: int, messages: int = DEFAULT_MESSAGES, now: datetime
) -> TrafficFiles:
    """Write at least ``messages`` card messages and what belongs to them into a folder, and return where they are.

    Nothing is dated after ``now`` (aware) or more than thirty days before ``today``.
    The same arguments give the same bytes; files of the same name are written over.
    """
    traffic = tell(seed=seed, accounts=messages // MESSAGES_TO_AN_ACCOUNT, messages=messages, today=today, now=now)
    return TrafficFiles(
        messages=_write(folder / "messages.jsonl", b"".join(map(_message_line, traffic.messages))),
        submission=_write(folder / "submission.jsonl", b"".join(map(_submission_line, traffic.messages))),
        cards=_write_cards(folder / "cards", "full", traffic, full_card_file),
        later_cards=_write_cards(folder / "cards", "later", traffic, later_card_file),
        clearing=_write_clearing(folder / "clearing", traffic, seed % _SEQUENCES),
        stories=traffic.stories,
        sent=Counter(message.story for message in traffic.messages),
        presented=Counter(presentment.story for presentment in traffic.presentments),
    )


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _message_line(sent: TrafficMessage) -> bytes:
    line = {
        "caller_id": sent.caller_id,
        "stream": sent.stream,
        "bank": sent.bank,
        "dialect": sent.dialect,
        **_bytes(sent),
        "story": sent.story,
    }
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _submission_line(sent: TrafficMessage) -> bytes:
    """Return a line as ``schemas/messages/message_line.schema.json`` describes it."""
    line = {
        "id": sent.caller_id,
        "stream": sent.stream,
        "bank": sent.bank,
        "dialect": sent.dialect,
        "encoding": "base64",
        **_bytes(sent),
    }
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _bytes(sent: TrafficMessage) -> dict[str, str]:
    written = {"message": b64encode(sent.message).decode()}
    if sent.response is not None:
        written["response"] = b64encode(sent.response).decode()
    return written


def _write_cards(
    folder: Path, which: str, traffic: Traffic, content: Callable[[tuple[Account, ...], str], str]
) -> dict[str, Path]:
    return {
        bank: _write(folder / f"{bank}-{which}.csv", content(traffic.accounts, bank).encode())
        for bank in traffic.institutions
    }


def _write_clearing(folder: Path, traffic: Traffic, sequence: int) -> dict[str, tuple[Path, ...]]:
    """Write a file for each bank and day; ``sequence`` tells the file ids of two seeds apart."""
    written: dict[str, list[Path]] = {bank: [] for bank in traffic.institutions}
    for (bank, day), presentments in by_bank_and_day(traffic.presentments).items():
        institution = traffic.institutions[bank]
        content = clearing_file(presentments, day=day, institution=institution, sequence=sequence)
        written[bank].append(_write(folder / f"{bank}-{day}.ipm", content))
    return {bank: tuple(paths) for bank, paths in written.items()}
