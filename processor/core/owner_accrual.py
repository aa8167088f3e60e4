"""The life of an accrual to the owner's ledger: from waiting to an answer, into suspense and out of it.

An accrual is a signed number of miles that one purchase of one account changed; below zero it takes miles back.
``TRANSITIONS`` is the whole life, and the diagram of ``docs/accruals.md`` is drawn from it; ``STANDS_IN`` says where an
accrual's miles are in each state, and what a step posts follows from the two.
Nothing here knows how an accrual leaves or how its answer comes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from processor.core.posting import (
    MEMBER_AVAILABLE,
    MEMBER_PROVISIONAL,
    MEMBER_SUSPENSE,
    PROGRAMME_WRITTEN_OFF,
    Posting,
    Template,
    move,
)


class AccrualState(StrEnum):
    """How far an accrual is."""

    WAITING = "waiting"
    SENT = "sent"
    ACCEPTED = "accepted"
    SUSPENDED = "suspended"
    WRITTEN_OFF = "written-off"
    NETTED = "netted"


class Step(StrEnum):
    """What happens to an accrual."""

    SEND = "send"
    NET = "net"
    ACCEPT = "accept"
    REJECT = "reject"
    RESEND = "resend"
    WRITE_OFF = "write off"


TRANSITIONS: Final[Mapping[tuple[AccrualState, Step], AccrualState]] = {
    (AccrualState.WAITING, Step.SEND): AccrualState.SENT,
    (AccrualState.WAITING, Step.NET): AccrualState.NETTED,
    (AccrualState.SENT, Step.ACCEPT): AccrualState.ACCEPTED,
    (AccrualState.SENT, Step.REJECT): AccrualState.SUSPENDED,
    (AccrualState.SUSPENDED, Step.RESEND): AccrualState.WAITING,
    (AccrualState.SUSPENDED, Step.WRITE_OFF): AccrualState.WRITTEN_OFF,
}

OPEN: Final = frozenset({AccrualState.WAITING, AccrualState.SENT, AccrualState.SUSPENDED})
"""States that are not the end; a later accrual of the same purchase waits until the earlier one has left them."""

STANDS_IN: Final[Mapping[AccrualState, str]] = {
    AccrualState.WAITING: MEMBER_PROVISIONAL,
    AccrualState.SENT: MEMBER_PROVISIONAL,
    AccrualState.NETTED: MEMBER_PROVISIONAL,
    AccrualState.ACCEPTED: MEMBER_AVAILABLE,
    AccrualState.SUSPENDED: MEMBER_SUSPENSE,
    AccrualState.WRITTEN_OFF: PROGRAMME_WRITTEN_OFF,
}
"""The ledger account that an accrual's miles are in; netted ones add up to nothing there."""

_MOVES: Final[Mapping[tuple[str, str], Template]] = {
    (MEMBER_PROVISIONAL, MEMBER_AVAILABLE): Template.MILES_ACCEPTED,
    (MEMBER_PROVISIONAL, MEMBER_SUSPENSE): Template.MILES_SUSPENDED,
    (MEMBER_SUSPENSE, PROGRAMME_WRITTEN_OFF): Template.MILES_WRITTEN_OFF,
}


def after(state: AccrualState, step: Step) -> AccrualState | None:
    """Return the state that a step leads to, None where it may not be taken."""
    return TRANSITIONS.get((state, step))


def step_postings(before: AccrualState, now: AccrualState, miles: int, unit: str) -> Iterator[Posting]:
    """Yield the posting that moves an accrual's signed miles from one state's ledger account to another's."""
    debit, credit = STANDS_IN[before], STANDS_IN[now]
    if debit == credit:
        return
    if (debit, credit) in _MOVES:
        yield from move(_MOVES[debit, credit], debit, credit, unit, miles)
    else:
        yield from move(_MOVES[credit, debit], credit, debit, unit, -miles)


class Answer(NamedTuple):
    """What the owner says of one attempt: ``number`` is its place in the response, the rest is the owner's.

    ``accrual`` is the accrual's reference, bucket and id; ``code`` and ``text`` say why it was rejected.
    """

    number: int
    accrual: bytes
    attempt: int
    accepted: bool
    code: str
    text: str


class Known(NamedTuple):
    """An accrual as it stands: ``answered`` maps the attempts that were answered to whether they were accepted."""

    state: AccrualState
    attempt: int
    answered: Mapping[int, bool]


class Verdict(StrEnum):
    """What becomes of one answer, in order of precedence; all but the first leave everything as it is."""

    TAKEN = "taken"
    UNKNOWN = "unknown"
    NOT_SENT = "not-sent"
    CONTRADICTS = "contradicts"
    REPEATED = "repeated"


EXPLANATIONS: Final[Mapping[Verdict, str]] = {
    Verdict.TAKEN: "the answer is taken",
    Verdict.UNKNOWN: "no accrual of this bank and programme has this reference; ask the owner what it answers",
    Verdict.NOT_SENT: "this attempt has not been sent; ask the owner what it answers",
    Verdict.CONTRADICTS: "another answer to this attempt says the opposite; ask the owner which one holds",
    Verdict.REPEATED: "this attempt was answered so before; nothing needs to be done",
}


def judge(answers: Sequence[Answer], known: Mapping[bytes, Known]) -> list[Verdict]:
    """Return what becomes of each answer of one response, in its order.

    Answers of one response that contradict each other are all left aside: nothing says which of them is meant.
    """
    said: dict[tuple[bytes, int], set[bool]] = {}
    for answer in answers:
        said.setdefault((answer.accrual, answer.attempt), set()).add(answer.accepted)
    taken: set[tuple[bytes, int]] = set()
    verdicts = []
    for answer in answers:
        key = answer.accrual, answer.attempt
        verdict = _verdict(answer, known.get(answer.accrual), agreed=len(said[key]) == 1, again=key in taken)
        if verdict is Verdict.TAKEN:
            taken.add(key)
        verdicts.append(verdict)
    return verdicts


def _verdict(answer: Answer, known: Known | None, *, agreed: bool, again: bool) -> Verdict:
    if known is None:
        return Verdict.UNKNOWN
    earlier = known.answered.get(answer.attempt)
    sent = earlier is not None or (known.state is AccrualState.SENT and known.attempt == answer.attempt)
    if not sent:
        return Verdict.NOT_SENT
    if not agreed or (earlier is not None and earlier is not answer.accepted):
        return Verdict.CONTRADICTS
    if earlier is not None or again:
        return Verdict.REPEATED
    return Verdict.TAKEN


def at_owner(postings: Iterable[Posting]) -> tuple[Posting, ...]:
    """Return postings as they are where the owner keeps the ledger: what becomes available is provisional there."""
    return tuple(
        Posting(
            template=posting.template,
            debit=MEMBER_PROVISIONAL if posting.debit == MEMBER_AVAILABLE else posting.debit,
            credit=MEMBER_PROVISIONAL if posting.credit == MEMBER_AVAILABLE else posting.credit,
            unit=posting.unit,
            amount=posting.amount,
            rule=posting.rule,
        )
        for posting in postings
    )
