"""Token keys that rotate: while the old key lives, every card finds its account and every repeat its original."""

from datetime import timedelta
from typing import Final

from processor.core.outcome import Outcome, Reason
from processor.flow.intake import Intake
from processor.flow.replay import ReplayResult, replay
from processor.flow.submission import IncomingMessage
from tests.flow.audit import assert_books_agree, balances, count, rows, said, totals
from tests.flow.conftest import DIALECTS, TOKEN_KEYS, Pipeline, iso87, make_pipeline
from tests.flow.test_card_file import CLASSIC, CLASSIC_TWO, GOLD, GOLD_TWO, record, submit

EARNED: Final = (Outcome.ACCEPTED, Reason.EARNED)
AGAIN: Final = (Outcome.DUPLICATE, Reason.EARNED)
LIVE: Final = {**TOKEN_KEYS, "k2": bytes(range(32, 64))}


def rotated(pipeline: Pipeline, active: str = "k2") -> Pipeline:
    """Start a worker that makes new tokens with another key and still knows the old one."""
    after = make_pipeline(pipeline.database)
    after.intake = Intake(dialects=DIALECTS, token_keys=LIVE, active=active)
    after.worker._intake = after.intake
    after.now = pipeline.now + timedelta(minutes=1)
    return after


def approved(number: int, card: str = GOLD, **fields: str) -> IncomingMessage:
    """Build an approved authorization of 100.00 EUR, a purchase of its own."""
    values = {"trace_number": f"{number:06d}", "retrieval_reference": f"{number:012d}", **fields}
    return iso87("0110", pan=card, response_code="00", **values)


def test_a_card_finds_its_account_and_a_repeat_its_original(pipeline: Pipeline) -> None:
    """After the rotation a card that enrolled before earns for the same account, and nothing counts twice."""
    before = pipeline.send(approved(1))
    after = rotated(pipeline)
    original = f"0100{1:06d}1120113000{'12345678':0>11}{'0':0>11}"
    reversal = iso87("0420", pan=GOLD, trace_number="000009", original_data=original, retrieval_reference="")

    answers = after.send(approved(1), approved(2), approved(2), reversal)

    taken_back = (Outcome.ACCEPTED, Reason.TAKEN_BACK)
    assert [EARNED, AGAIN, EARNED, AGAIN, taken_back] == said(before + answers)
    assert [(75, 0)] == list(balances(pipeline.database).values())
    assert 1 == count(pipeline.database, "account")
    assert_books_agree(after)


def test_another_content_is_still_a_conflict(pipeline: Pipeline) -> None:
    """The content that tells a repeat from another message holds no token."""
    pipeline.send(approved(1))

    answers = rotated(pipeline).send(approved(1, amount="000000000100"))

    assert [(Outcome.REJECTED, Reason.IDENTITY_CONFLICT)] == said(answers)


def test_workers_of_both_keys_serve_beside_each_other(pipeline: Pipeline) -> None:
    """During the rotation one worker makes tokens with the new key, another with the old: both lead to one account."""
    old, new = rotated(pipeline, "k1"), rotated(pipeline, "k2")

    answers = new.send(approved(1)) + old.send(approved(1), approved(2)) + new.send(approved(2))

    assert [EARNED, AGAIN, EARNED, AGAIN] == said(answers)
    assert 1 == count(pipeline.database, "account")
    assert (150, 0) == totals(pipeline.database)


def test_a_card_file_names_the_same_cards_under_the_new_key(pipeline: Pipeline) -> None:
    """A full file after the rotation opens no account, moves no card, and closes only what it leaves out."""
    submit(pipeline, record(CLASSIC), record(CLASSIC_TWO, "ACC-2"), record(GOLD, "ACC-3", "alpha-gold"))
    pipeline.send(approved(1, CLASSIC))
    after = rotated(pipeline)

    result = submit(after, record(CLASSIC), record(GOLD, "ACC-3", "alpha-gold"), full=True)
    answers = after.send(approved(1, CLASSIC), approved(2, CLASSIC))

    assert (2, 0, 1, 0) == (result.taken, result.accounts_opened, result.cards_closed, result.rejected)
    assert [AGAIN, EARNED] == said(answers)
    assert (100, 0) == totals(pipeline.database)
    closed = rows(pipeline.database, "SELECT DISTINCT last_four FROM card WHERE status = 'closed'")
    assert [(CLASSIC_TWO[-4:],)] == closed
    assert_books_agree(after)


def test_a_card_that_earned_before_the_rotation_is_joined_after_it(pipeline: Pipeline) -> None:
    """What a card earned under an account of its own moves to the one that the bank names, also under another key."""
    submit(pipeline, record(GOLD, "ACC-1", "alpha-gold"))
    pipeline.send(approved(1, GOLD), approved(2, GOLD_TWO))
    after = rotated(pipeline)

    submit(after, record(GOLD_TWO, "ACC-1", "alpha-gold", predecessor=GOLD))
    answers = after.send(approved(2, GOLD_TWO), approved(3, GOLD_TWO)) + pipeline.send(approved(2, GOLD_TWO))

    assert [AGAIN, EARNED, AGAIN] == said(answers)
    assert [(225, 0)] == list(balances(pipeline.database).values())
    assert_books_agree(after)


def test_a_card_of_another_account_is_refused_under_the_new_key(pipeline: Pipeline) -> None:
    """A card that one reference named before the rotation does not move to another reference after it."""
    submit(pipeline, record(CLASSIC, "ACC-1"), record(CLASSIC_TWO, "ACC-2"))
    after = rotated(pipeline)

    result = submit(after, record(CLASSIC, "ACC-2"))
    after.send(approved(1, CLASSIC))

    assert (0, 1) == (result.taken, result.rejected)
    account, earned = rows(pipeline.database, "SELECT id, pending FROM account WHERE pending > 0")[0]
    bound = rows(pipeline.database, "SELECT account FROM account_reference WHERE reference = 'ACC-1'")
    assert (bytes(account), 50) == (bytes(bound[0][0]), earned)


def test_what_waited_under_the_old_key_is_decided_under_the_new_one(pipeline: Pipeline) -> None:
    """A message that was stored with the old token is decided when the card file names the card by the new one."""
    waiting = pipeline.send(approved(1, CLASSIC), approved(2, CLASSIC_TWO))
    after = rotated(pipeline)

    result = submit(after, record(CLASSIC))

    assert [(Outcome.PARKED, Reason.UNKNOWN_CARD)] * 2 == said(waiting)
    assert 1 == result.messages_decided
    assert ReplayResult(decided=0, still_parked=1) == replay(after.decider, after.intake, None, 10)
    assert [AGAIN] == said(after.send(approved(1, CLASSIC)))
    assert (50, 0) == totals(pipeline.database)
    assert_books_agree(after)


def test_a_replaced_card_names_its_predecessor_under_the_new_key(pipeline: Pipeline) -> None:
    """A predecessor that enrolled by itself under the old key gives its account to the card that replaces it."""
    pipeline.send(approved(1, GOLD))
    after = rotated(pipeline)

    result = submit(after, record(GOLD_TWO, "ACC-7", "alpha-gold", predecessor=GOLD))
    after.send(approved(2, GOLD_TWO))

    assert 0 == result.accounts_opened
    assert [(150, 0)] == list(balances(pipeline.database).values())
