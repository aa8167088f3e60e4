"""Proving the books: sound books have no difference, and each single corruption is found as exactly what it is."""

import csv
import io
import secrets
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy import text
from sqlalchemy.exc import InternalError

from examples.traffic.clearing import by_bank_and_day, clearing_file
from examples.traffic.generate import Traffic, tell
from examples.traffic.portfolio import full_card_file, later_card_file
from examples.traffic.skyways import CLEARING_DIALECT, programme
from processor.core.card import Pan
from processor.core.posting import ANSWER, Template
from processor.core.programme import Programme
from processor.flow.adjust import Adjusted, Adjustment, adjust
from processor.flow.card_file import CardFileIntake, CardFileRecord
from processor.flow.submission import IncomingMessage
from processor.store.budget_checks import BUDGET_CHECKS
from processor.store.embedded import create_database, drop_database
from processor.store.engine import connect
from processor.store.settlement import CycleKey
from processor.store.verification import MEMBER_FACTS, SHAPES, snapshot
from settlement.settle import Settled, parties_of, settle
from settlement.verification import Checked, Difference, verify
from tests.conftest import Database
from tests.flow.conftest import Pipeline, apply_skyways, make_pipeline, take_clearing_file

FRIDAY = date(2026, 11, 20)
MONDAY = date(2026, 11, 23)
BANKS = ("alpha", "beta")


def revision_of(programme_id: str, revision: int) -> Programme:
    """Return the one revision that is applied."""
    return {("skyways", 1): programme()}[programme_id, revision]


@pytest.fixture(scope="session")
def sound_books(administrator_url: str, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Book every story of the example traffic over two settled days and a straggling third part, once."""
    name = "template_sound_books"
    urls = create_database(administrator_url, name, template=template_database)
    database = Database(owner=connect(urls.owner_url), service=connect(urls.service_url), urls=urls)
    apply_skyways(database)
    pipeline = make_pipeline(database)
    traffic = tell(seed=7, accounts=80, messages=420, today=FRIDAY, now=pipeline.now)
    root = tmp_path_factory.mktemp("settlement")
    half = len(traffic.messages) // 2
    _cards(pipeline, traffic, later=False)
    _messages(pipeline, traffic, 0, half)
    _settle(pipeline, FRIDAY, root)
    pipeline.now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    _messages(pipeline, traffic, half, len(traffic.messages))
    _clearing(pipeline, traffic)
    _adjust(pipeline)
    _settle(pipeline, MONDAY, root)
    pipeline.now += timedelta(hours=6)
    _cards(pipeline, traffic, later=True)
    pipeline.decider.engine.dispose()
    database.owner.dispose()
    return name


@pytest.fixture
def books(administrator_url: str, sound_books: str) -> Iterator[Database]:
    """Give a test sound books of its own to corrupt."""
    name = f"test_{secrets.token_hex(6)}"
    urls = create_database(administrator_url, name, template=sound_books)
    owner, service = connect(urls.owner_url), connect(urls.service_url)
    yield Database(owner=owner, service=service, urls=urls)
    owner.dispose()
    service.dispose()
    drop_database(administrator_url, name)


def _messages(pipeline: Pipeline, traffic: Traffic, first: int, last: int) -> None:
    incoming = [
        IncomingMessage(
            caller_id=sent.caller_id,
            bank=sent.bank,
            dialect=sent.dialect,
            iso8583=sent.message,
            iso8583_response=sent.response or b"",
        )
        for sent in traffic.messages[first:last]
    ]
    for start in range(0, len(incoming), 64):
        pipeline.send(*incoming[start : start + 64])


def _cards(pipeline: Pipeline, traffic: Traffic, *, later: bool) -> None:
    for bank in BANKS:
        content = (later_card_file if later else full_card_file)(traffic.accounts, bank)
        taking = CardFileIntake(bank=bank, full=False, decider=pipeline.decider, intake=pipeline.intake)
        taking.take([_record(row) for row in csv.DictReader(io.StringIO(content))])
        assert 0 == taking.finish().rejected


def _record(row: dict[str, str]) -> CardFileRecord:
    before = row.pop("predecessor_card_number")
    return CardFileRecord(
        card_number=Pan(row.pop("card_number")), predecessor_card_number=Pan(before) if before else None, **row
    )


def _clearing(pipeline: Pipeline, traffic: Traffic) -> None:
    for (bank, day), presentments in by_bank_and_day(traffic.presentments).items():
        content = clearing_file(presentments, day=day, institution=traffic.institutions[bank], sequence=1)
        take_clearing_file(
            io.BytesIO(content),
            bank=bank,
            dialect_name=CLEARING_DIALECT,
            intake=pipeline.intake,
            decider=pipeline.decider,
        )


def _adjust(pipeline: Pipeline) -> None:
    with pipeline.database.service.connect() as connection:
        accounts = connection.execute(
            text("SELECT bucket, id FROM account WHERE status = 'active' ORDER BY bucket, id LIMIT 2")
        ).all()
    for (bucket, account), miles in zip(accounts, (500, -20), strict=True):
        adjustment = Adjustment(miles=miles, reason="goodwill", actor="ann", request_id=UUID(int=miles % 7 + 1))
        adjusted = adjust(
            pipeline.database.service, pipeline.snapshots, (bucket, bytes(account)), adjustment, clock=pipeline.clock
        )
        assert isinstance(adjusted, Adjusted)


def _settle(pipeline: Pipeline, day: date, root: Path) -> None:
    for bank in BANKS:
        settled = settle(
            pipeline.database.service,
            CycleKey(bank=bank, programme="skyways", business_date=day),
            parties=parties_of(programme(), bank),
            current=day,
            now=pipeline.now + timedelta(hours=5),
            root=root,
        )
        assert isinstance(settled, Settled)


def _verify(books: Database, limit: int = 20) -> list[Checked]:
    with snapshot(books.owner) as connection:
        return list(verify(connection, revision_of=revision_of, limit=limit))


def _differences(books: Database) -> list[Difference]:
    return [difference for checked in _verify(books) for difference in checked.differences]


def _corrupt(books: Database, statement: str) -> list[str]:
    """Run a statement as the owner, and return what its first row says."""
    with books.owner.begin() as connection:
        row = connection.execute(text(statement)).first()
        assert row is not None
        return [value.hex() if isinstance(value, memoryview | bytes) else str(value) for value in row]


def test_sound_books_have_no_difference(books: Database) -> None:
    """Every story of the example traffic, adjustments, joined accounts and stragglers leave nothing to find.

    The example asks nothing of members, has no budgets, and its ledger is here; tests of those prove them.
    """
    checked = _verify(books)
    assert [] == [difference for result in checked for difference in result.differences]
    elsewhere = ("accrual-", "entitlement-uses", "purchase-kept")
    empty = [found.check for found in checked if not found.subjects and not found.check.startswith(elsewhere)]
    assert [MEMBER_FACTS.name, *(check.name for check in BUDGET_CHECKS), "household-used", "tallies", "tiers"] == empty


ELSEWHERE = {
    *ANSWER,
    *(entry for entry in Template if entry.name.startswith(("TILL_", "REWARD_", "FEE_", "MILES_KEPT"))),
}
"""Templates that tests of their own features post and prove."""


def test_the_example_books_hold_what_the_checks_are_about(books: Database) -> None:
    """A sound result means something: there are caps, parked messages, joined accounts, merges and stragglers."""
    with books.owner.connect() as connection:
        counts = {
            name: connection.execute(text(f"SELECT count(*) FROM {what}")).scalar_one()
            for name, what in {
                "templates": "(SELECT DISTINCT template FROM posting) t",
                "currencies": "(SELECT DISTINCT currency FROM cycle_obligation) c",
                "parked": "parked",
                "joined": "account WHERE superseded_by IS NOT NULL",
                "replayed": "decision WHERE attempt > 1",
                "stragglers": "posting p WHERE between_parties AND NOT EXISTS"
                " (SELECT FROM cycle_posting m WHERE m.posting_id = p.id)",
                "files": "settlement_file",
            }.items()
        }
    assert len(set(Template) - ELSEWHERE) == counts.pop("templates")
    assert {"files": 32, "currencies": 2} == {name: counts.pop(name) for name in ("files", "currencies")}
    assert all(counts.values()), counts


def test_verification_cannot_write(books: Database) -> None:
    """It runs in a read-only snapshot, whatever its role may do."""
    with snapshot(books.owner) as connection, pytest.raises(InternalError, match="read-only transaction"):
        connection.execute(text("UPDATE account SET pending = 0"))


def test_verification_sees_one_moment(books: Database) -> None:
    """What others commit meanwhile is not seen, so that figures of two moments are never compared."""
    with snapshot(books.owner) as connection:
        before = connection.execute(text("SELECT sum(available) FROM account")).scalar_one()
        _corrupt(books, "UPDATE account SET available = available + 1 RETURNING 1")
        assert before == connection.execute(text("SELECT sum(available) FROM account")).scalar_one()
        assert not any(checked.differences for checked in verify(connection, revision_of=revision_of))


def test_the_service_role_can_verify(books: Database) -> None:
    """No table is out of its sight."""
    with snapshot(books.service) as connection:
        assert not any(checked.differences for checked in verify(connection, revision_of=revision_of))


def test_only_the_first_differences_are_kept(books: Database) -> None:
    """A check of books that are wrong everywhere stays readable, and small in memory."""
    _corrupt(books, "UPDATE account SET pending = pending + 1 RETURNING 1")
    _corrupt(books, "UPDATE limit_counter SET used = used + 1 RETURNING 1")
    found = {checked.check: len(checked.differences) for checked in _verify(books, limit=3) if checked.differences}
    assert {"balances": 3, "limit-counters": 3} == found


@pytest.mark.parametrize("balance", ["pending", "available"])
def test_a_wrong_balance_is_found(books: Database, balance: str) -> None:
    """A cached balance that is not the sum of its postings is named with both values."""
    account, wrong = _corrupt(
        books,
        f"UPDATE account SET {balance} = {balance} + 7"
        f" WHERE id = (SELECT id FROM account ORDER BY id LIMIT 1) RETURNING id, {balance}",
    )
    expected = Difference(
        check="balances", subject=f"account {account}, {balance}", stated=wrong, calculated=str(int(wrong) - 7)
    )
    assert [expected] == _differences(books)


def test_an_account_that_vanished_is_found(books: Database) -> None:
    """Postings of an account that is not there state nothing, and its purchases, cards and references name it."""
    account, pending, available = _corrupt(
        books,
        "DELETE FROM account WHERE id = (SELECT max(account::text)::bytea FROM posting WHERE template = 3)"
        " RETURNING id, pending, available",
    )
    found = _differences(books)
    assert {
        Difference(check="balances", subject=f"account {account}, pending", stated="nothing", calculated=pending),
        Difference(check="balances", subject=f"account {account}, available", stated="nothing", calculated=available),
    } <= set(found)
    assert {"purchase-account", "card-account"} <= {difference.check for difference in found}


def test_a_posting_of_another_shape_is_found(books: Database) -> None:
    """A posting that its template does not describe is named, with what the template says."""
    (posting,) = _corrupt(
        books,
        "UPDATE posting SET between_parties = true"
        " WHERE id = (SELECT id FROM posting WHERE template = 1 ORDER BY id LIMIT 1) RETURNING id",
    )
    shape = "programme/promised to member/pending"
    expected = Difference(
        check="postings",
        subject=f"posting {posting}",
        stated=f"template 1: {shape}, between parties",
        calculated=f"miles_promised: {shape}",
    )
    assert [expected] == [difference for difference in _differences(books) if difference.check == "postings"]


def test_a_member_of_no_posting_is_found(books: Database) -> None:
    """A cycle cannot settle what was never posted."""
    (posting,) = _corrupt(
        books,
        "INSERT INTO cycle_posting SELECT bucket, posting_id || '\\x00', bank, programme, business_date"
        " FROM cycle_posting LIMIT 1 RETURNING posting_id",
    )
    (found,) = _differences(books)
    assert ("cycle-members", f"posting {posting}", "no such posting") == (found.check, found.subject, found.calculated)


def test_a_member_of_another_banks_cycle_is_found(books: Database) -> None:
    """A posting belongs to a cycle of its own bank; both cycles' sums and files then differ too."""
    (posting,) = _corrupt(
        books,
        "UPDATE cycle_posting SET bank = 'beta'"
        " WHERE posting_id = (SELECT min(posting_id::text)::bytea FROM cycle_posting WHERE bank = 'alpha')"
        " RETURNING posting_id",
    )
    found = {difference.check: difference for difference in _differences(books)}
    assert {"cycle-members", "obligations", "files"} == set(found)
    assert f"posting {posting}" == found["cycle-members"].subject
    assert found["cycle-members"].calculated.startswith("alpha, skyways, dated 2026-11-2")


def test_a_posting_that_was_left_out_is_found(books: Database) -> None:
    """A posting that a closing should have taken, and did not, is named with the cycle it belongs to."""
    (posting,) = _corrupt(
        books,
        "INSERT INTO posting SELECT bucket, id || '\\x00', message_id, account, purchase_id, bank, programme, template,"
        " debit, credit, unit, amount, rule, between_parties, booked_at - interval '3 days', '2026-11-19'"
        " FROM posting p WHERE between_parties AND bank = 'alpha'"
        " AND EXISTS (SELECT FROM cycle_posting m WHERE m.posting_id = p.id) LIMIT 1 RETURNING id",
    )
    found = [difference for difference in _differences(books) if difference.check != "purchase-charges"]
    expected = Difference(
        check="cycle-left-out",
        subject=f"posting {posting}",
        stated="no cycle",
        calculated="cycle alpha, skyways, 2026-11-20",
    )
    assert [expected] == found


def test_a_wrong_obligation_is_found(books: Database) -> None:
    """An obligation that is not the sum of its cycle's postings is named with both sums."""
    debtor, creditor, currency, amount, postings, day = _corrupt(
        books,
        "UPDATE cycle_obligation SET amount_minor = amount_minor + 1 WHERE (bank, debtor, business_date) ="
        " (SELECT bank, debtor, business_date FROM cycle_obligation WHERE bank = 'alpha' AND creditor = 'skyways'"
        "  LIMIT 1) AND creditor = 'skyways'"
        " RETURNING debtor, creditor, currency, amount_minor, postings, business_date",
    )
    expected = Difference(
        check="obligations",
        subject=f"cycle alpha, skyways, {day}: {debtor} to {creditor}",
        stated=f"{amount} {currency} in {postings} postings",
        calculated=f"{int(amount) - 1} {currency} in {postings} postings",
    )
    assert [expected] == _differences(books)


def test_an_obligation_without_postings_is_found(books: Database) -> None:
    """An obligation that nothing was posted for is named."""
    _corrupt(
        books,
        "INSERT INTO cycle_obligation VALUES ('alpha', 'skyways', '2026-11-20', 'moda-group', 'skyways', 'EUR', 5, 1)"
        " RETURNING 1",
    )
    expected = Difference(
        check="obligations",
        subject="cycle alpha, skyways, 2026-11-20: moda-group to skyways",
        stated="5 EUR in 1 postings",
        calculated="nothing",
    )
    assert [expected] == _differences(books)


@pytest.mark.parametrize(
    ("column", "wrong"),
    [
        ("sha256", "'\\x00'::bytea"),
        ("size_bytes", "size_bytes + 1"),
        ("record_count", "record_count + 1"),
        ("hash_total", "hash_total + 1"),
        ("name", "'other.csv'"),
    ],
)
def test_a_file_that_is_not_what_was_kept_is_found(books: Database, column: str, wrong: str) -> None:
    """A file rendered again is compared in every value that was kept of it."""
    name, stated = _corrupt(
        books,
        f"UPDATE settlement_file SET {column} = {wrong} WHERE party = 'alpha' AND business_date = '2026-11-20'"
        f" RETURNING name, {column}",
    )
    (found,) = _differences(books)
    assert ("files", name, f"{column} {stated}") == (found.check, found.subject, found.stated)
    assert found.calculated.startswith(f"{column} ")
    assert found.stated != found.calculated


def test_files_that_do_not_add_up_are_found(books: Database) -> None:
    """A party that receives what no other pays shows in the cycle's sum, and in its file."""
    _corrupt(
        books,
        "UPDATE settlement_file SET totals = '[[\"EUR\", 0, 5]]'"
        " WHERE party = 'volt-trade' AND bank = 'beta' AND business_date = '2026-11-20' RETURNING name",
    )
    found = _differences(books)
    assert {"file-nets", "files"} == {difference.check for difference in found}
    (nets,) = (difference for difference in found if difference.check == "file-nets")
    assert ("cycle beta, skyways, 2026-11-20, EUR", "0") == (nets.subject, nets.calculated)


def test_a_gap_in_sequence_numbers_is_found(books: Database) -> None:
    """A file's number is its place among the party's files."""
    (name,) = _corrupt(
        books,
        "UPDATE settlement_file SET sequence = 3 WHERE party = 'beta' AND business_date = '2026-11-23' RETURNING name",
    )
    found = {difference.check: difference for difference in _differences(books)}
    assert Difference(check="file-sequences", subject=name, stated="3", calculated="2") == found["file-sequences"]
    assert {"file-sequences", "files"} == set(found)


def test_an_adjustment_that_was_not_asked_for_is_found(books: Database) -> None:
    """Miles given without a request in the audit are named."""
    (posting,) = _corrupt(books, "DELETE FROM audit WHERE detail ->> 'miles' = '500' RETURNING detail ->> 'posting'")
    expected = Difference(check="adjustments", subject=f"posting {posting}", stated="nothing", calculated="500")
    assert [expected] == _differences(books)


def test_an_adjustment_of_other_miles_is_found(books: Database) -> None:
    """What was booked is what was asked for, its sign included."""
    (posting,) = _corrupt(
        books,
        "UPDATE audit SET detail = replace(detail::text, '-20', '-21')::json WHERE detail ->> 'miles' = '-20'"
        " RETURNING detail ->> 'posting'",
    )
    expected = Difference(check="adjustments", subject=f"posting {posting}", stated="-21", calculated="-20")
    assert [expected] == _differences(books)


def test_an_award_that_the_purchase_does_not_know_is_found(books: Database) -> None:
    """A purchase's state says what its awards add up to, and awards what was posted."""
    purchase, rule, unit, pending, available = _corrupt(
        books,
        "UPDATE award SET available_change = available_change + 3"
        " WHERE id = (SELECT min(id::text)::bytea FROM award a WHERE benefit = 'miles'"
        "  AND (SELECT count(*) FROM award b WHERE b.purchase_id = a.purchase_id AND b.rule = a.rule) = 1)"
        " RETURNING purchase_id, rule, unit, pending_change, available_change",
    )
    subject = f"purchase {purchase}, {rule}, (pending, available) {unit}"
    right, wrong = f"({pending}, {int(available) - 3})", f"({pending}, {available})"
    assert [
        Difference(check="purchase-awards", subject=subject, stated=right, calculated=wrong),
        Difference(check="award-postings", subject=subject, stated=wrong, calculated=right),
    ] == _differences(books)


def _restate(books: Database, part: str) -> tuple[str, list[Any]]:
    """Raise the first number of the first grant or charge that some purchase's state holds, and return what it was."""
    with books.owner.begin() as connection:
        row = connection.execute(
            text("SELECT id, state FROM purchase WHERE (state -> :part ->> 0) IS NOT NULL ORDER BY id LIMIT 1"),
            {"part": part},
        ).one()
        first, *others = row.state[part]
        changed = [*first[:-2], first[-2] + 1, first[-1]] if part == "grants" else [*first[:-1], first[-1] + 1]
        state = orjson.dumps({**row.state, part: [changed, *others]}).decode()
        connection.execute(
            text("UPDATE purchase SET state = CAST(:state AS json) WHERE id = :id"), {"id": row.id, "state": state}
        )
        return bytes(row.id).hex(), first


def test_a_purchase_that_states_another_grant_is_found(books: Database) -> None:
    """A grant in a purchase's state that no award gave is named; caps count it too."""
    purchase, (rule, unit, _, granted, available) = _restate(books, "grants")
    found = {difference.check: difference for difference in _differences(books)}
    assert {"purchase-awards", "limit-counters"} == set(found)
    expected = Difference(
        check="purchase-awards",
        subject=f"purchase {purchase}, {rule}, (pending, available) {unit}",
        stated=f"({granted + 1 - available}, {available})",
        calculated=f"({granted - available}, {available})",
    )
    assert expected == found["purchase-awards"]


def test_a_message_that_left_its_purchase_is_found(books: Database) -> None:
    """A purchase that lost one of its messages is named by the decision on that message, and by nothing else."""
    (message,) = _corrupt(
        books,
        "UPDATE purchase t SET state = CAST(state AS jsonb) #- '{events,0}'"
        " WHERE t.id = (SELECT min(id) FROM purchase WHERE json_array_length(state -> 'events') = 2)"
        " RETURNING (SELECT p.state -> 'events' -> 0 ->> 0 FROM purchase p WHERE p.id = t.id)",
    )
    (found,) = _differences(books)
    assert ("message-purchase", f"message {message}, family", "") == (found.check, found.subject, found.calculated)


def test_purchases_that_should_be_one_are_found(books: Database) -> None:
    """Two purchases of one family that nothing keeps apart are both named, and nothing else is."""
    first, second = _corrupt(
        books,
        "WITH whole AS (SELECT * FROM purchase WHERE json_array_length(state -> 'events') = 2 ORDER BY id LIMIT 1),"
        " torn AS (INSERT INTO purchase SELECT bucket, substring(id FROM 1 FOR 3) || CAST('tearing-apart' AS bytea),"
        "  account, json_build_object('head', encode(id, 'hex'), 'events', json_build_array(state -> 'events' -> 1)),"
        "  updated_at FROM whole RETURNING id)"
        " UPDATE purchase t SET state = CAST(t.state AS jsonb) #- '{events,1}' FROM whole, torn"
        " WHERE t.bucket = whole.bucket AND t.id = whole.id RETURNING t.id, torn.id",
    )
    assert {("purchase-links", f"purchase {first}"), ("purchase-links", f"purchase {second}")} == {
        (difference.check, difference.subject) for difference in _differences(books)
    }


def test_a_charge_that_was_not_posted_is_found(books: Database) -> None:
    """A purchase's charges equal its money postings, in amount and in who owes whom."""
    purchase, (template, debtor, creditor, currency, amount) = _restate(books, "charges")
    name = Template(template).name.lower()
    expected = Difference(
        check="purchase-charges",
        subject=f"purchase {purchase}, {name}, {debtor} to {creditor}, {currency}",
        stated=str(amount + 1),
        calculated=str(amount),
    )
    assert [expected] == _differences(books)


def test_a_wrong_counter_is_found(books: Database) -> None:
    """A cap's counter is what the purchases it counts were granted."""
    account, cap, period, used = _corrupt(
        books,
        "UPDATE limit_counter SET used = used + 9 WHERE (account, cap, period) ="
        " (SELECT account, cap, period FROM limit_counter WHERE used > 0 LIMIT 1)"
        " RETURNING account, cap, period, used",
    )
    expected = Difference(
        check="limit-counters",
        subject=f"account {account}, {cap}, {period}",
        stated=used,
        calculated=str(int(used) - 9),
    )
    assert [expected] == _differences(books)


def test_an_unknown_revision_is_found(books: Database) -> None:
    """Where a purchase's revision was never applied, its caps cannot be calculated, and the counters differ."""

    def none_applied(programme_id: str, revision: int) -> Programme:
        raise LookupError(programme_id, revision)

    with snapshot(books.owner) as connection:
        checks = {checked.check for checked in verify(connection, revision_of=none_applied) if checked.differences}
    assert {"limit-counters"} == checks


_ORPHANS = {
    "award-message": "INSERT INTO award SELECT bucket, id || '\\x00', '\\x0b4a64ffff', account, purchase_id, programme,"
    " revision, rule, benefit, partner, funder, unit, 0, 0, booked_at FROM award LIMIT 1 RETURNING id",
    "award-purchase": "INSERT INTO award SELECT bucket, id || '\\x00', message_id, account, '\\x0b4a64ffff', programme,"
    " revision, rule, benefit, partner, funder, unit, 0, 0, booked_at FROM award LIMIT 1 RETURNING id",
    "decision-message": "INSERT INTO decision SELECT bucket, '\\x0b4a64ffff', 1, account, NULL, 1, 1, '{}', decided_at"
    " FROM decision LIMIT 1 RETURNING message_id",
    "message-decision": "INSERT INTO message SELECT bucket, '\\x0b4a64ffff', account, bank, dialect, content, '{}',"
    " received_at FROM message LIMIT 1 RETURNING id",
    "parked-decision": "INSERT INTO parked SELECT bucket, message_id, account, 40, decided_at FROM decision"
    " WHERE outcome = 1 LIMIT 1 RETURNING message_id",
    "decision-parked": "DELETE FROM parked WHERE message_id = (SELECT message_id FROM parked LIMIT 1)"
    " RETURNING message_id",
    "purchase-account": "INSERT INTO purchase SELECT bucket, '\\x0b4a64ffff', '\\xff', '{\"events\": []}', updated_at"
    " FROM purchase LIMIT 1 RETURNING id",
    "trace-purchase": "INSERT INTO trace SELECT bucket, account, '\\xff', '\\xff', created_on FROM trace LIMIT 1"
    " RETURNING trace",
    "card-account": "INSERT INTO card SELECT '\\xff', key_id, bank, '\\xff', bucket, product, last_four, role, status,"
    " status_from, predecessor, name, updated_at FROM card LIMIT 1 RETURNING token",
    "reference-account": "INSERT INTO account_reference SELECT bank, 'nowhere', '\\xff', bucket FROM account_reference"
    " LIMIT 1 RETURNING bank",
}


@pytest.mark.parametrize("check", _ORPHANS)
def test_a_row_that_names_what_is_not_there_is_found(books: Database, check: str) -> None:
    """Tables without foreign keys are checked as if they had them, and nothing that arrived is without a decision."""
    (subject,) = _corrupt(books, _ORPHANS[check])
    (found,) = _differences(books)
    assert check == found.check
    assert subject in found.subject


@pytest.mark.parametrize(("check", "column"), [("posting-message", "message_id"), ("posting-purchase", "purchase_id")])
def test_a_posting_whose_cause_is_not_there_is_found(books: Database, check: str, column: str) -> None:
    """Every posting was caused by a message, or by the joining of accounts, and belongs to a purchase."""
    (posting,) = _corrupt(
        books,
        f"UPDATE posting SET {column} = '\\x0b4a64ffff'"
        " WHERE id = (SELECT min(id::text)::bytea FROM posting WHERE template = 1) RETURNING id",
    )
    found = [difference for difference in _differences(books) if difference.check == check]
    assert [f"posting {posting}"] == [difference.subject for difference in found]


def test_the_shapes_are_those_of_the_ledgers_document() -> None:
    """``docs/ledger.md`` and the check of postings say the same of every template."""
    document = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text()
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in document.splitlines() if line[:1] == "|"]
    documented = {
        row[0]: tuple(_pattern(account) for account in row[1:3])
        for row in rows
        if row[0].upper() in Template.__members__ and len(row) == 6
    }
    assert {template.name.lower(): shape for template, shape in SHAPES.items()} == documented


def _pattern(account: str) -> str:
    parts = account.split("/")
    return "/".join("%" if part.isupper() else part for part in parts)
