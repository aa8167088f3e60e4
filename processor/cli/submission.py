"""Submitting a file of messages: spreads its streams over connections, and adds up what became of them.

``cobrand submit`` and the demo both go through here.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

import orjson

from processor.cli.message_file import MessageLine, UnreadableLine
from processor.cli.message_stream import Connection, StreamTerms
from processor.cli.output import document_of, progress_bar
from processor.v1.card_network_pb2 import OUTCOME_REJECTED, OUTCOME_UNAVAILABLE, MessageAnswer, Outcome

REPORTED_REFUSALS: Final = 100
"""How many refused messages are named; all are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A message that was not taken: its line, why, and what to correct."""

    line: int
    reason: str
    problem: str


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of the messages of a file, brought up to date by several connections.

    ``outcomes`` counts answers by outcome and reason; ``refusals`` names the first messages that were not taken and
    ``refused`` counts all of them; ``granted`` adds up the changes of awards by partner, unit and whether a discount.
    """

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    refusals: list[Refusal] = field(default_factory=list)
    refused: int = 0
    answered: int = 0
    granted: Counter[tuple[str, str, bool]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def take(self, entry: MessageLine, answer: MessageAnswer) -> None:
        """Count one final answer."""
        with self._lock:
            self.answered += 1
            self.outcomes[outcome_name(answer), answer.reason] += 1
            if answer.outcome in {OUTCOME_REJECTED, OUTCOME_UNAVAILABLE}:
                self._refuse(Refusal(line=entry.line, reason=answer.reason, problem=answer.problem))
            if not answer.decision.quote:
                for award in answer.decision.awards:
                    key = (answer.decision.partner, award.unit, award.discount)
                    self.granted[key] += award.pending_change + award.posted_change

    def take_unreadable(self, line: UnreadableLine) -> None:
        """Count one line that was not sent."""
        with self._lock:
            self.outcomes["NOT SENT", "UNREADABLE_LINE"] += 1
            self._refuse(Refusal(line=line.line, reason="UNREADABLE_LINE", problem=line.problem))

    def _refuse(self, refusal: Refusal) -> None:
        self.refused += 1
        if len(self.refusals) < REPORTED_REFUSALS:
            self.refusals.append(refusal)

    def document(self) -> dict[str, Any]:
        """Return the tally as JSON values."""
        return {
            "answered": self.answered,
            "outcomes": [
                {"outcome": outcome, "reason": reason, "messages": messages}
                for (outcome, reason), messages in sorted(self.outcomes.items())
            ],
            "refused": self.refused,
            "refusals": [
                {"line": refusal.line, "reason": refusal.reason, "problem": refusal.problem}
                for refusal in sorted(self.refusals, key=lambda refusal: refusal.line)
            ],
        }


def outcome_name(answer: MessageAnswer) -> str:
    """Return an answer's outcome without its prefix."""
    return Outcome.Name(answer.outcome).removeprefix("OUTCOME_")


class AnswerFile:
    """Writes every answer as a line of JSON, without the ISO 8583 bytes: those repeat the card number."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._lock = threading.Lock()

    def write(self, entry: MessageLine, answer: MessageAnswer) -> None:
        """Write one answer."""
        document = {
            "line": entry.line,
            "id": entry.name,
            "outcome": outcome_name(answer),
            "reason": answer.reason,
            "problem": answer.problem,
            "decision": document_of(answer.decision) if answer.HasField("decision") else None,
        }
        line = orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)
        with self._lock:
            self._target.write(line)


def submit_messages(
    server: str,
    lines: Iterable[MessageLine | UnreadableLine],
    *,
    terms: StreamTerms,
    connections: int,
    tally: Tally,
    total: int | None,
    write: Callable[[MessageLine, MessageAnswer], None] | None = None,
) -> None:
    """Send every message, with a progress bar, and return when all are answered.

    Messages of one stream travel over one connection, in order.
    ``total`` is how many messages there are, None where nobody knows; ``write`` gets every answer, from several
    threads.
    Raises :class:`~processor.cli.failure.CommandError`; what was answered until then is in the tally.
    """
    with progress_bar("Messages", total) as bar:

        def take(entry: MessageLine, answer: MessageAnswer) -> None:
            tally.take(entry, answer)
            if write is not None:
                write(entry, answer)
            bar.reach(tally.answered)

        _spread(lines, [Connection(server, terms, take) for _ in range(connections)], tally)


def _spread(lines: Iterable[MessageLine | UnreadableLine], opened: Sequence[Connection], tally: Tally) -> None:
    """Hand each line to its stream's connection, and wait until all are answered."""
    try:
        for line in lines:
            if isinstance(line, UnreadableLine):
                tally.take_unreadable(line)
            else:
                opened[line.stream % len(opened)].offer(line)
        for connection in opened:
            connection.complete()
        for connection in opened:
            connection.join()
    finally:
        for connection in opened:
            connection.stop()
