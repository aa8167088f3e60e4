"""The card file: adoption of provisional accounts, re-issue, joining, full files, and records that are refused."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import text

from processor.core.card import Pan, passes_check_digit
from processor.core.outcome import Outcome, Reason
from processor.flow.adjust import Adjusted, Adjustment, adjust
from processor.flow.card_file import CardFileIntake, CardFileRecord, CardFileResult
from processor.flow.submission import Answer
from processor.store.directory import bucket_of
from settlement.verification import verify
from tests.flow.audit import rows
from tests.flow.conftest import BUCKETS, NOW, Pipeline, iso87, make_pipeline

CLASSIC = "4000010000000001"
CLASSIC_TWO = "4000010000000019"
GOLD = "4000000000000002"
GOLD_TWO = "4000000000000010"


def record(card: str, reference: str = "ACC-1", product: str = "alpha-classic", **values: str) -> CardFileRecord:
    """Build a record; a predecessor is given as text."""
    before = values.pop("predecessor", "")
    return CardFileRecord(
        card_number=Pan(card),
        account_reference=reference,
        product=product,
        predecessor_card_number=Pan(before) if before else None,
        **values,
    )


def submit(pipeline: Pipeline, *records: CardFileRecord, full: bool = False, bank: str = "alpha") -> CardFileResult:
    """Hand in one card file."""
    taking = CardFileIntake(bank=bank, full=full, decider=pipeline.decider, intake=pipeline.intake)
    taking.take(records)
    return taking.finish()


def approve(pipeline: Pipeline, card: str, number: int, **fields: str) -> Answer:
    """Send one approved authorization of 100.00 EUR."""
    (answer,) = pipeline.send(
        iso87("0110", pan=card, trace_number=f"{number:06d}", response_code="00", retrieval_reference="", **fields)
    )
    return answer


def balances(pipeline: Pipeline) -> dict[str, tuple[int, int]]:
    """Return pending and available miles of every account by its status."""
    with pipeline.database.service.connect() as connection:
        rows = connection.execute(text("SELECT status, sum(pending), sum(available) FROM account GROUP BY status"))
        return {row[0]: (int(row[1]), int(row[2])) for row in rows}


def test_numbers_of_the_tests_are_right() -> None:
    """The test cards pass the check digit, and a wrong digit does not."""
    assert all(map(passes_check_digit, (CLASSIC, CLASSIC_TWO, GOLD, GOLD_TWO)))
    assert not passes_check_digit("4000010000000002")


def test_a_waiting_message_is_decided_when_its_card_arrives(pipeline: Pipeline) -> None:
    """A message of an unknown card waits; the card file adopts its account and decides it."""
    waiting = approve(pipeline, CLASSIC, 1)
    assert (Outcome.PARKED, Reason.UNKNOWN_CARD) == (waiting.outcome, waiting.reason)

    result = submit(pipeline, record(CLASSIC))

    assert (1, 1, 0) == (result.taken, result.messages_decided, result.rejected)
    assert {"active": (50, 0)} == balances(pipeline)
    again = approve(pipeline, CLASSIC, 1)
    assert (Outcome.DUPLICATE, Reason.EARNED) == (again.outcome, again.reason)


def test_a_reissued_card_keeps_its_account(pipeline: Pipeline) -> None:
    """The new card earns for the account of the one it replaces, named by reference or by predecessor alone."""
    submit(pipeline, record(CLASSIC))
    approve(pipeline, CLASSIC, 1)

    submit(pipeline, record(CLASSIC, status="closed"), record(CLASSIC_TWO, predecessor=CLASSIC))
    approve(pipeline, CLASSIC_TWO, 2)

    assert {"active": (100, 0)} == balances(pipeline)


def test_the_predecessor_alone_names_the_account(pipeline: Pipeline) -> None:
    """A card that enrolled by itself gives its account to the reference of the card that replaces it."""
    approve(pipeline, GOLD, 1)

    result = submit(pipeline, record(GOLD_TWO, "ACC-7", "alpha-gold", predecessor=GOLD))
    approve(pipeline, GOLD_TWO, 2)

    assert 0 == result.accounts_opened
    assert {"active": (150, 0)} == balances(pipeline)


def test_a_card_used_before_the_bank_named_it_is_joined(pipeline: Pipeline) -> None:
    """What it earned under an account of its own moves to the one the bank says, and repeats find it there."""
    submit(pipeline, record(GOLD, "ACC-1", "alpha-gold"))
    approve(pipeline, GOLD, 1)
    approve(pipeline, GOLD_TWO, 2)
    other_worker = make_pipeline(pipeline.database)
    approve(other_worker, GOLD_TWO, 3)

    result = submit(pipeline, record(GOLD_TWO, "ACC-1", "alpha-gold", predecessor=GOLD))

    assert (1, 0) == (result.taken, result.messages_decided)
    assert {"active": (225, 0), "joined": (0, 0)} == balances(pipeline)
    for number, worker in ((2, pipeline), (3, other_worker)):
        again = approve(worker, GOLD_TWO, number)
        assert (Outcome.DUPLICATE, 75) == (again.outcome, sum(line.pending_change for line in again.awards))
    assert Outcome.ACCEPTED == approve(other_worker, GOLD_TWO, 4).outcome
    assert {"active": (300, 0), "joined": (0, 0)} == balances(pipeline)


def test_no_two_postings_have_one_number_after_a_join(pipeline: Pipeline) -> None:
    """What a message booked under each account has numbers of its own, for a settlement file shows the number alone."""
    submit(pipeline, record(GOLD, "ACC-1", "alpha-gold"))
    approve(pipeline, GOLD_TWO, 2)

    submit(pipeline, record(GOLD_TWO, "ACC-1", "alpha-gold"))

    for table in ("posting", "award"):
        ((all_of_them, numbers),) = rows(pipeline.database, f"SELECT count(*), count(DISTINCT id) FROM {table}")
        assert all_of_them == numbers > 2


def test_a_join_loses_nothing_that_is_old(pipeline: Pipeline) -> None:
    """What came in time moves whole, however long ago; what came too late waits on."""
    submit(pipeline, record(GOLD, "ACC-1", "alpha-gold"))
    approve(pipeline, GOLD_TWO, 2)
    pipeline.now = NOW + timedelta(days=301)
    late = approve(pipeline, GOLD_TWO, 3)
    assert (Outcome.PARKED, Reason.TOO_OLD) == (late.outcome, late.reason)

    result = submit(pipeline, record(GOLD_TWO, "ACC-1", "alpha-gold"))

    assert 0 == result.messages_decided
    assert {"active": (75, 0), "joined": (0, 0)} == balances(pipeline)
    again = approve(pipeline, GOLD_TWO, 3)
    assert (Outcome.DUPLICATE, Reason.TOO_OLD) == (again.outcome, again.reason)


def test_a_reversal_after_a_join_takes_back_what_was_moved(pipeline: Pipeline) -> None:
    """The moved purchase is whole: a later reversal finds it in its new account."""
    submit(pipeline, record(GOLD, "ACC-1", "alpha-gold"))
    approve(pipeline, GOLD_TWO, 2)
    submit(pipeline, record(GOLD_TWO, "ACC-1", "alpha-gold"))

    (answer,) = pipeline.send(
        iso87(
            "0400",
            pan=GOLD_TWO,
            trace_number="000009",
            original_data="0100000002112011300000012345678" + "0" * 11,
        )
    )

    assert Reason.TAKEN_BACK == answer.reason
    assert {"active": (0, 0), "joined": (0, 0)} == balances(pipeline)


def test_adjusted_miles_move_with_a_join(pipeline: Pipeline) -> None:
    """What operations gave the joined account is the survivor's afterwards, by postings that the audit explains."""
    submit(pipeline, record(GOLD, "ACC-1", "alpha-gold"))
    name = approve(pipeline, GOLD_TWO, 2).explanation.split("/")[1]
    account = bytes.fromhex(name)
    given = adjust(
        pipeline.database.service,
        pipeline.snapshots,
        (bucket_of(account, BUCKETS), account),
        Adjustment(miles=500, reason="goodwill", actor="test", request_id=UUID(int=1)),
        clock=pipeline.clock,
    )
    assert isinstance(given, Adjusted)

    submit(pipeline, record(GOLD_TWO, "ACC-1", "alpha-gold"))

    assert {"active": (75, 500), "joined": (0, 0)} == balances(pipeline)
    with pipeline.database.service.connect() as connection:
        checked = list(verify(connection, revision_of=pipeline.snapshots.current.revision))
    assert [] == [difference for check in checked for difference in check.differences]


def test_submitting_again_changes_nothing(pipeline: Pipeline) -> None:
    """A card file is made of upserts."""
    first = submit(pipeline, record(CLASSIC), record(CLASSIC_TWO, role="supplementary"))
    second = submit(pipeline, record(CLASSIC), record(CLASSIC_TWO, role="supplementary"))

    assert (2, 1) == (first.taken, first.accounts_opened)
    assert (2, 0, 0) == (second.taken, second.accounts_opened, second.messages_decided)


def test_a_full_file_closes_the_cards_it_leaves_out(pipeline: Pipeline) -> None:
    """Closing spares cards that wait for a file, and other banks' cards."""
    submit(pipeline, record(CLASSIC), record(CLASSIC_TWO, "ACC-2"))
    pipeline.now = pipeline.now.replace(hour=13)

    result = submit(pipeline, record(CLASSIC), full=True)

    assert 1 == result.cards_closed


def test_a_full_file_with_a_bad_record_closes_nothing(pipeline: Pipeline) -> None:
    """The bad record might be the card it would close."""
    submit(pipeline, record(CLASSIC))
    pipeline.now = pipeline.now.replace(hour=13)

    result = submit(pipeline, record("4000010000000002"), full=True)

    assert (0, 1) == (result.cards_closed, result.rejected)


def test_bad_records_are_refused_by_number_and_neighbours_taken(pipeline: Pipeline) -> None:
    """Each refusal says what to correct and shows no card number."""
    result = submit(
        pipeline,
        record("4000010000000002"),
        record(CLASSIC, "4000000000000002"),
        record(CLASSIC, product="beta-blue"),
        record(CLASSIC, role="owner"),
        record(CLASSIC, opened_on="2026-13-01"),
        record(CLASSIC),
    )

    assert (1, 5) == (result.taken, result.rejected)
    assert [1, 2, 3, 4, 5] == [number for number, _ in result.errors]
    assert not any("4000" in problem for _, problem in result.errors)


def test_a_card_does_not_move_between_two_accounts_of_the_bank(pipeline: Pipeline) -> None:
    """A card that belongs to one reference is refused under another."""
    submit(pipeline, record(CLASSIC, "ACC-1"), record(CLASSIC_TWO, "ACC-2"))

    result = submit(pipeline, record(CLASSIC, "ACC-2"))

    assert (0, 1) == (result.taken, result.rejected)
