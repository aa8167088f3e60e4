"""A programme whose owner keeps the miles ledger, its purchases, and an owner that answers: for tests of accruals."""

import csv
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid5

from sqlalchemy import text

from processor.core.accrual_terms import AccrualTerms
from processor.core.card import Pan
from processor.core.programme import Programme
from processor.flow.card_file import CardFileIntake, CardFileRecord
from processor.store.accrual import list_accruals
from processor.store.accrual_state import AccrualRow, Pair
from processor.store.verification import snapshot
from settlement.accrual_answers import Taken, take_answers
from settlement.accrual_file import key_of, reference_of
from settlement.accrual_mending import MendAction, MendRefused, MendRequest, mend_accrual
from settlement.accrual_response import read_response
from settlement.accruals import Made, make_accrual_files
from settlement.layout import load_layout
from settlement.verification import Difference, verify
from tests.conftest import Database
from tests.flow.conftest import SKYWAYS, Pipeline, apply_skyways, iso87, make_pipeline

BANK = "beta"
CARD = "5413330000000019"
OTHER_CARD = "5413330000000027"
PAIR = Pair(programme="skyways", bank=BANK)
REQUESTS = UUID("7d1f3f7e-53a4-4d2c-9a52-0a4f3a3c8a11")

Verdicts = Sequence[tuple[str, str, str, str]]
"""Answers as (accrual reference in hex, attempt, outcome letter, code)."""


def owner_document(terms: str = "by: file") -> str:
    """Return the example programme with the ledger at its owner."""
    document = (SKYWAYS / "programme.yaml").read_text()
    mended = document.replace("  decimals: 0 ", f"  ledger: owner\n  accruals: {{{terms}}}\n  decimals: 0 ", 1)
    assert mended != document
    return mended


@dataclass(slots=True, kw_only=True)
class OwnerDesk:
    """A pipeline, the folder that accrual files go to, and what the tests do with them."""

    pipeline: Pipeline = field(repr=False)
    root: Path
    requests: int = 0

    @property
    def database(self) -> Database:
        """The database of the pipeline."""
        return self.pipeline.database

    @property
    def programme(self) -> Programme:
        """The programme as it is in force."""
        return self.pipeline.snapshots.current.latest("skyways")

    def name_members(self, *cards: str, member: Callable[[str], str] = lambda card: f"SK{card[-4:]}") -> None:
        """Hand in a card file that names the members of cards."""
        taking = CardFileIntake(bank=BANK, full=False, decider=self.pipeline.decider, intake=self.pipeline.intake)
        taking.take(
            [
                CardFileRecord(
                    card_number=Pan(card),
                    account_reference=f"ACC-{card[-4:]}",
                    product="beta-platinum",
                    member_number=member(card),
                )
                for card in cards
            ]
        )
        assert 0 == taking.finish().rejected

    def buy(self, number: int, *, card: str = CARD, amount: int = 100_00) -> None:
        """Pay once; the miles are earned at once."""
        self.tell(number, card, amount, "000000", "")

    def refund(self, number: int, of: int, *, card: str = CARD, amount: int = 100_00) -> None:
        """Give back an earlier purchase, in whole or in part."""
        self.tell(number, card, amount, "200000", f"0220{of:06d}1120113000{'12345678':0>11}{'0' * 11}")

    def tell(self, number: int, card: str, amount: int, processing_code: str, original: str) -> None:
        """Send one final message, a second after the one before it."""
        self.pipeline.now += timedelta(seconds=1)
        (answer,) = self.pipeline.send(
            iso87(
                "0220",
                bank=BANK,
                dialect="iso87-bcd",
                pan=card,
                amount=f"{amount:012d}",
                processing_code=processing_code,
                trace_number=f"{number:06d}",
                retrieval_reference=f"{number:012d}",
                original_data=original,
                response_code="00",
            )
        )
        assert "ACCEPTED" == answer.outcome.name, answer

    def make(self) -> Made:
        """Make accrual files."""
        return make_accrual_files(
            self.database.service,
            self.programme,
            self.terms,
            BANK,
            root=self.root,
            now=self.pipeline.now,
        )

    @property
    def terms(self) -> AccrualTerms:
        """The programme's terms."""
        terms = self.programme.accruals
        assert terms is not None
        return terms

    def details(self, sequence: int) -> list[dict[str, str]]:
        """Return the details of an accrual file by the layout's columns."""
        columns = [column.name for column in load_layout("accrual-csv-v1").records["D"]]
        path = self.root / "skyways" / BANK / "accruals" / f"accruals-skyways-{BANK}-{sequence:06d}.csv"
        with path.open(encoding="utf-8", newline="") as file:
            return [dict(zip(columns, row, strict=True)) for row in csv.reader(file) if row[0] == "D"]

    def answer(self, verdicts: Verdicts, *, reference: str = "R-1") -> Taken:
        """Take a response file with these answers."""
        return self.take(response_file(verdicts, reference=reference))

    def take(self, content: bytes) -> Taken:
        """Take a response file."""
        read = read_response(content, PAIR)
        return take_answers(
            self.database.service,
            self.programme,
            BANK,
            read.answers,
            response=hashlib.sha256(content).digest(),
            name=read.reference,
            actor="test",
            now=self.pipeline.now,
        )

    def do(
        self, action: MendAction, reference: str, *, actor: str = "maria", member: str | None = None
    ) -> AccrualRow | MendRefused:
        """Do something to one accrual, under a request id of its own."""
        self.requests += 1
        request = MendRequest(
            action=action,
            member=member,
            reason="Ticket 4711",
            actor=actor,
            request_id=uuid5(REQUESTS, str(self.requests)),
        )
        return mend_accrual(
            self.database.service,
            self.programme,
            BANK,
            key_of(bytes.fromhex(reference)),
            request,
            now=self.pipeline.now,
        )

    def accruals(self, state: str | None = None) -> list[AccrualRow]:
        """Return the accruals of a state, or all."""
        with self.database.service.connect() as connection:
            return list_accruals(connection, PAIR, state=state, after=(-1, b""), limit=10_000)

    def states(self) -> dict[str, int]:
        """Return the miles of all accruals by state."""
        sums: dict[str, int] = {}
        for row in self.accruals():
            sums[row.state] = sums.get(row.state, 0) + row.miles
        return sums

    def places(self) -> dict[str, int]:
        """Return what every member's ledger accounts hold, and what was written off; nothing where that is zero."""
        statement = (
            "SELECT place, sum(miles) FROM (SELECT debit AS place, -amount AS miles FROM posting"
            " UNION ALL SELECT credit, amount FROM posting) moved"
            " WHERE place LIKE 'member/%' OR place = 'programme/written-off' GROUP BY place"
        )
        with self.database.service.connect() as connection:
            return {row[0]: int(row[1]) for row in connection.execute(text(statement)) if row[1]}

    def differences(self) -> list[Difference]:
        """Return what is wrong with the books."""
        with snapshot(self.database.service) as connection:
            revision_of = self.pipeline.snapshots.current.revision
            return [found for check in verify(connection, revision_of=revision_of) for found in check.differences]


def open_desk(database: Database, root: Path, terms: str = "by: file") -> OwnerDesk:
    """Apply the programme with the ledger at its owner, and return a desk for it."""
    apply_skyways(database, document=owner_document(terms))
    return OwnerDesk(pipeline=make_pipeline(database), root=root)


def response_file(verdicts: Verdicts, *, reference: str = "R-1") -> bytes:
    """Write a response file."""
    lines = [f"H,accrual-response-csv-v1,skyways,{BANK},{reference},,"]
    lines += [
        f"D,{number},{accrual},{attempt},{outcome},{code},"
        for number, (accrual, attempt, outcome, code) in enumerate(verdicts, 1)
    ]
    accepted = sum(outcome == "A" for _, _, outcome, _ in verdicts)
    lines.append(f"T,{len(verdicts)},{accepted},{len(verdicts) - accepted},,,")
    return "".join(f"{line}\r\n" for line in lines).encode()


def all_accepted(details: Iterable[dict[str, str]]) -> Verdicts:
    """Return answers that accept every detail of a file."""
    return [(detail["accrual"], detail["attempt"], "A", "") for detail in details]


def name_of(row: AccrualRow) -> str:
    """Return an accrual's reference."""
    return reference_of(row.bucket, row.id).hex()


NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
