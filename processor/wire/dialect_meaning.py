"""What a network means by its fields, from a dialect's text: kinds, marks, references, partial reversals, codes.

It decides nothing about a message; it reads the tables by which messages are decided on, and notes what is wrong there.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from processor.core.message import MessageKind
from processor.wire.dialect_text import DialectText, word_of

KINDS: Final = tuple(
    kind.name.lower() for kind in MessageKind if kind < MessageKind.EXPIRY and not kind.name.endswith("_REVERSAL")
)
"""The kinds that a dialect's table may give a message; a reversal mark in the message makes the reversal of each."""

LINKS: Final = ("lifecycle_id", "approval_code", "retrieval_reference", "trace_number")
"""The references that a dialect may say an authorization shares with its clearing record."""

MESSAGE_TYPE: Final = re.compile(r"[01][1-8][0-4][0-5]")

_KIND: Final = re.compile(r"([01][1-8][0-4][0-5])(?:/([0-9x]{3})(?:/([0-9x]{4}))?)?")
_MARKS: Final = ("estimated", "supersedes")
_TRACE: Final = ("transmission_date_time", "trace_number", "acquirer")
_DATED_BY: Final = ("transmission_date_time",)

Condition = tuple[tuple[str, frozenset[str]], ...]
"""Fields with the values of which any one has to be there."""


class KindRule(NamedTuple):
    """What a message of one type means, where its function code and reason are these; x stands for any digit."""

    message_type: str
    function_code: str
    message_reason: str
    kind: str

    @property
    def stated(self) -> int:
        """How many digits the rule states; of several that match, the one that states most wins."""
        return sum(character != "x" for character in self.function_code + self.message_reason)


class PartialReversal(NamedTuple):
    """How a reversal says what remains: in ``amount``, or as ``original`` less ``amount`` where that is what it takes.

    ``when`` tells a partial reversal from a full one; without it every reversal that carries ``amount`` is partial.
    """

    amount: str
    original: str
    takes: bool
    when: Condition


class Meaning(NamedTuple):
    """The tables of one dialect; :class:`~processor.wire.dialect.Dialect` says what each is."""

    kinds: tuple[KindRule, ...]
    marks: Mapping[str, Condition]
    trace: tuple[str, ...]
    original_trace: tuple[str, ...]
    dated_by: tuple[str, ...]
    partial_reversal: PartialReversal | None
    accepted: Mapping[str, str]
    links: tuple[str, ...]


def read_meaning(text: DialectText, kept: Collection[str]) -> Meaning:
    """Return a dialect's tables; ``kept`` are the fields that survive the parse, which alone can mean something."""
    trace = text.words(("trace",), text.value["trace"], kept) if "trace" in text.value else _TRACE
    original_trace = text.words(("original_trace",), text.value.get("original_trace"), kept)
    if original_trace and len(original_trace) != len(trace):
        expected = f"expected as many as trace has, which are {', '.join(trace)}"
        text.refuse(("original_trace",), f"has {len(original_trace)} fields", expected)
    return Meaning(
        kinds=_kinds(text),
        marks=_marks(text, kept),
        trace=trace,
        original_trace=original_trace,
        dated_by=text.words(("dated_by",), text.value["dated_by"], kept) if "dated_by" in text.value else _DATED_BY,
        partial_reversal=_partial_reversal(text, kept),
        accepted=_accepted(text),
        links=text.words(("links",), text.value.get("links"), LINKS),
    )


def read_message_types(text: DialectText) -> tuple[str, ...]:
    """Return every message type the dialect takes, repeats included; what is wrong is noted."""
    version = text.one_of(("version",), text.value.get("version"), ("0", "1"))
    found = []
    listed = text.words(("messages",), text.value.get("messages"))
    if not listed:
        text.refuse(("messages",), "lists nothing", 'expected message types, such as "0100"')
    for index, digits in enumerate(listed):
        path = ("messages", index)
        if not MESSAGE_TYPE.fullmatch(digits) or (version is not None and digits[0] != version):
            expected = f"expected a message type of four digits in quotes, {version} the first"
            text.refuse(path, f"lists {digits!r}", expected)
        elif int(digits[3]) % 2:
            text.refuse(path, f"lists {digits!r}", "repeats come by themselves; list the original")
        else:
            found += [digits, digits[:3] + str(int(digits[3]) + 1)]
    return tuple(found)


def _kinds(text: DialectText) -> tuple[KindRule, ...]:
    rules = []
    for meant, kind in text.mapping("kinds").items():
        path = ("kinds", meant)
        found = _KIND.fullmatch(meant)
        word = text.one_of(path, kind, KINDS)
        if found is None or int(found[1][3]) % 2:
            expected = "expected a message type, or 1240/200, or 1740/7xx/1234, x for any digit, in quotes"
            text.refuse(path, "is no meaning of a message", expected, at_key=True)
        elif word is not None:
            rules.append(
                KindRule(message_type=found[1], function_code=found[2] or "", message_reason=found[3] or "", kind=word)
            )
    return tuple(sorted(rules, key=lambda rule: -rule.stated))


def _marks(text: DialectText, kept: Collection[str]) -> dict[str, Condition]:
    stated = text.mapping("marks")
    text.known_keys(("marks",), stated, _MARKS)
    return {mark: _condition(text, ("marks", mark), kept) for mark in _MARKS if mark in stated}


def _condition(text: DialectText, path: tuple[str, ...], kept: Collection[str]) -> Condition:
    stated = text.mapping(*path)
    for field in [field for field in stated if field not in kept]:
        text.refuse((*path, field), "is not kept", "expected a field that kept lists", at_key=True)
    return tuple((field, frozenset(text.words((*path, field), values))) for field, values in stated.items())


def _partial_reversal(text: DialectText, kept: Collection[str]) -> PartialReversal | None:
    stated = text.mapping("partial_reversal")
    if not stated:
        return None
    path = "partial_reversal"
    text.known_keys((path,), stated, ("amount", "original", "states", "when"))
    states = text.one_of((path, "states"), stated.get("states"), ("remaining", "reversed"))
    amount = text.one_of((path, "amount"), stated.get("amount"), sorted(kept))
    original = ""
    if states == "reversed" or "original" in stated:
        original = text.one_of((path, "original"), stated.get("original"), sorted(kept)) or ""
    return PartialReversal(
        amount=amount or "",
        original=original,
        takes=states == "reversed",
        when=_condition(text, (path, "when"), kept) if "when" in stated else (),
    )


def _accepted(text: DialectText) -> dict[str, str]:
    found = {}
    for digit, code in text.mapping("accepted").items():
        word = word_of(code)
        if digit not in set("12345678") or word is None:
            expected = 'expected the class of a message type and a response code, such as "4": "400"'
            text.refuse(("accepted", digit), "is no code of an answer", expected, at_key=True)
        else:
            found[digit] = word
    return found


def holds(condition: Condition, fields: Mapping[str, Any]) -> bool:
    """Tell whether any of a condition's fields has one of its values."""
    for field, values in condition:  # noqa: SIM110 - any() takes three times as long, once or twice a message.
        if fields.get(field) in values:
            return True
    return False
