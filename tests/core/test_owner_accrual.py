"""The life of an accrual as a law: whatever answers come, in whatever order and however often, nothing is lost."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.owner_accrual import (
    STANDS_IN,
    TRANSITIONS,
    AccrualState,
    Answer,
    Known,
    Step,
    Verdict,
    after,
    judge,
    step_postings,
)

REFERENCE = bytes(18)


def answer(number: int, attempt: int, *, accepted: bool, accrual: bytes = REFERENCE) -> Answer:
    """Return an answer."""
    return Answer(number, accrual, attempt, accepted, "" if accepted else "NO", "")


@pytest.mark.parametrize("state", AccrualState)
@pytest.mark.parametrize("step", Step)
def test_a_step_leads_on_or_may_not_be_taken(state: AccrualState, step: Step) -> None:
    """What the table does not list may not happen, and what is over stays so."""
    assert TRANSITIONS.get((state, step)) == after(state, step)
    if state in {AccrualState.ACCEPTED, AccrualState.WRITTEN_OFF, AccrualState.NETTED}:
        assert after(state, step) is None


@pytest.mark.parametrize("miles", [7, -7])
@pytest.mark.parametrize(("before", "now"), [(before, now) for (before, _), now in TRANSITIONS.items()])
def test_a_step_moves_its_miles(before: AccrualState, now: AccrualState, miles: int) -> None:
    """A step takes the signed miles out of where they were and puts them where they are then."""
    moved: Counter[str] = Counter()
    for posting in step_postings(before, now, miles, "SKY"):
        assert posting.amount > 0
        moved[posting.debit] -= posting.amount
        moved[posting.credit] += posting.amount
    expected: Counter[str] = Counter()
    if STANDS_IN[before] != STANDS_IN[now]:
        expected[STANDS_IN[before]] -= miles
        expected[STANDS_IN[now]] += miles
    assert expected == moved


@given(
    st.integers(-1000, 1000).filter(bool),
    st.lists(
        st.one_of(
            st.tuples(st.just("answer"), st.integers(1, 4), st.booleans()),
            st.tuples(st.sampled_from(["send", "resend", "write-off"]), st.just(0), st.just(value=False)),
        ),
        max_size=30,
    ),
)
def test_whatever_comes_the_miles_are_somewhere_once(miles: int, happenings: list[tuple[str, int, bool]]) -> None:
    """After any sequence of sends, answers, repeats and steps the miles are where the state says, and nowhere else."""
    state, attempt = AccrualState.WAITING, 0
    answered: dict[int, bool] = {}
    places = Counter({STANDS_IN[state]: miles})

    def go(step: Step) -> None:
        nonlocal state
        now = after(state, step)
        assert now is not None
        for posting in step_postings(state, now, miles, "SKY"):
            places[posting.debit] -= posting.amount
            places[posting.credit] += posting.amount
        state = now

    for what, to, accepted in happenings:
        if what == "answer":
            (verdict,) = judge([answer(1, to, accepted=accepted)], {REFERENCE: Known(state, attempt, dict(answered))})
            if verdict is Verdict.TAKEN:
                assert to == attempt not in answered
                answered[to] = accepted
                go(Step.ACCEPT if accepted else Step.REJECT)
            else:
                assert (verdict is Verdict.NOT_SENT) is (to > attempt)
                assert (verdict is Verdict.CONTRADICTS) is (to in answered and answered[to] is not accepted)
        else:
            step = {"send": Step.SEND, "resend": Step.RESEND, "write-off": Step.WRITE_OFF}[what]
            if after(state, step) is not None:
                go(step)
                attempt += step is Step.SEND
    assert {STANDS_IN[state]: miles} == {place: held for place, held in places.items() if held}
    assert sum(answered.values()) == (state is AccrualState.ACCEPTED)
    assert len(answered) == attempt - (state is AccrualState.SENT)


@given(st.permutations([answer(1, 1, accepted=True), answer(2, 1, accepted=True), answer(3, 2, accepted=True)]))
def test_the_order_of_a_response_does_not_matter(answers: list[Answer]) -> None:
    """One of several equal answers is taken, whichever comes first, and what was not sent is not."""
    known = {REFERENCE: Known(AccrualState.SENT, 1, {})}
    assert Counter({Verdict.TAKEN: 1, Verdict.REPEATED: 1, Verdict.NOT_SENT: 1}) == Counter(judge(answers, known))


def test_what_is_unknown_comes_first() -> None:
    """An accrual that nobody knows is unknown, whatever else is said of it."""
    assert [Verdict.UNKNOWN] * 2 == judge([answer(1, 1, accepted=True), answer(2, 1, accepted=False)], {})
