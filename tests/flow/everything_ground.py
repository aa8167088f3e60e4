"""A programme with every feature on a real database: its members, what happens to them, and what must hold afterwards.

What happens is the example traffic: requests, approvals, declines, reversals, completions, clearing records, disputes
and refunds of accounts whose cards are known, enrol by themselves, are replaced or are named later.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from random import Random
from typing import Final
from uuid import UUID

from examples.traffic.generate import Traffic, tell
from examples.traffic.portfolio import Account, Holding
from examples.traffic.scene import Presentment, TrafficMessage
from examples.traffic.skyways import CLEARING_DIALECT
from processor.core.account_terms import AccountTerms
from processor.core.budget import HOLDERS
from processor.core.decision import decide_again
from processor.core.kept_purchase import Purchase
from processor.core.outcome import Outcome
from processor.core.person import FactKind
from processor.core.programme import Programme
from processor.flow.card_file import CardFileIntake, CardFileRecord
from processor.flow.explain import explain_decision
from processor.flow.member_facts import Recorded, Recording, StatedFact, record_facts
from processor.flow.submission import IncomingMessage
from processor.store.card_side import Key
from processor.store.directory import find_cards
from processor.store.member_facts import list_facts
from processor.store.purchase_state import decode_purchase
from processor.wire.encode import encode_message
from tests.conftest import TODAY, Database
from tests.flow.audit import assert_books_agree, rows
from tests.flow.clearing_records import decided_as
from tests.flow.conftest import DIALECTS, Pipeline, apply_skyways, iso87, make_pipeline
from tests.flow.everything_programme import first_document, second_document

ACCOUNTS: Final = 30
FIRST_DAY: Final = TODAY - timedelta(days=31)
"""The day before the traffic begins."""
_NAMED_LATER: Final = frozenset(
    {Holding.NAMED_LATER, Holding.REISSUED_LATER, Holding.REISSUED_AND_ENROLS, Holding.ENROLS_ITSELF_AND_NAMED}
)
_NEVER_NAMED: Final = frozenset({Holding.NEVER_NAMED, Holding.ENROLS_ITSELF})

Said = IncomingMessage | tuple[int, Presentment]
"""A card message, or a clearing record and its number."""


@dataclass(slots=True, kw_only=True)
class Ground:
    """A database under the programme, one of its workers, and what is going to happen."""

    database: Database
    pipeline: Pipeline = field(repr=False)
    traffic: Traffic = field(repr=False)

    def said(self) -> list[Said]:
        """Return all messages and clearing records, in the order of their sending."""
        at: list[tuple[datetime, int, Said]] = [
            (sent.sent_at, number, incoming(sent)) for number, sent in enumerate(self.traffic.messages)
        ]
        for number, record in enumerate(self.traffic.presentments, start=2):
            at.append((datetime(*record.day.timetuple()[:3], tzinfo=UTC), -number, (number, record)))
        return [*(entry for *_, entry in sorted(at, key=lambda entry: entry[:2])), *at_the_till()]


def incoming(sent: TrafficMessage) -> IncomingMessage:
    """Return a message of the traffic as a worker gets it."""
    return IncomingMessage(
        caller_id=sent.caller_id,
        bank=sent.bank,
        dialect=sent.dialect,
        iso8583=sent.message,
        iso8583_response=sent.response or b"",
    )


def at_the_till() -> Iterator[IncomingMessage]:
    """Yield purchases of 100.00 EUR that a host asks about, and of which the till takes four percent off."""
    for number in range(1, 4):
        for mti, amount, code in (("0200", "000000010000", ""), ("0210", "000000009600", "00")):
            yield iso87(
                mti,
                bank="beta",
                dialect="iso87-bcd",
                pan="5413330000000019",
                amount=amount,
                response_code=code,
                trace_number=f"{700 + number:06d}",
                retrieval_reference=f"{700 + number:012d}",
                acquirer="856789",
                acceptor="VOLT 0001",
            )


def encoded(record: Presentment) -> bytes:
    """Return a clearing record of the traffic as its file has it."""
    return encode_message(DIALECTS[CLEARING_DIALECT], "1240", record.elements)


def tell_all(pipeline: Pipeline, said: Sequence[Said]) -> list[Outcome]:
    """Tell messages and clearing records, those in a row as one batch, and return what became of each."""
    outcomes: list[Outcome] = []
    for cleared, some in groupby(said, key=lambda entry: not isinstance(entry, IncomingMessage)):
        if cleared:
            records = [entry for entry in some if not isinstance(entry, IncomingMessage)]
            submissions = [
                decided_as(pipeline, encoded(record), number=number, file_id="FILE", bank=record.bank)
                for number, record in records
            ]
            outcomes += [verdict.outcome for verdict in pipeline.decider.decide(submissions)]
        else:
            messages = [entry for entry in some if isinstance(entry, IncomingMessage)]
            outcomes += [answer.outcome for answer in pipeline.send(*messages)]
    return outcomes


def open_ground(database: Database, *, ledger: str, messages: int, seed: int) -> Ground:
    """Apply the programme's two revisions, name the first cards, and record what is known of their members."""
    start = datetime(*FIRST_DAY.timetuple()[:3], tzinfo=UTC)
    for document in (first_document(ledger=ledger), second_document(ledger=ledger)):
        apply_skyways(database, document=document, now=start)
    pipeline = make_pipeline(database)
    midnight = datetime(*TODAY.timetuple()[:3], tzinfo=UTC)
    traffic = tell(seed=seed, accounts=ACCOUNTS, messages=messages, today=TODAY, now=midnight)
    ground = Ground(database=database, pipeline=pipeline, traffic=traffic)
    now, pipeline.now = pipeline.now, start
    named = [account for account in traffic.accounts if account.holding not in _NAMED_LATER | _NEVER_NAMED]
    name_cards(pipeline, named)
    random = Random(seed)
    for number, account in enumerate(named):
        know(pipeline, account, random, UUID(int=1000 + number))
    pipeline.now = now
    return ground


def later_named(ground: Ground) -> list[Account]:
    """Return the accounts whose cards a later card file names."""
    return [account for account in ground.traffic.accounts if account.holding in _NAMED_LATER]


def name_cards(pipeline: Pipeline, accounts: Sequence[Account]) -> None:
    """Hand in the card files that name these accounts' cards."""
    for bank in sorted({account.bank for account in accounts}):
        taking = CardFileIntake(bank=bank, full=False, decider=pipeline.decider, intake=pipeline.intake)
        taking.take(
            [
                CardFileRecord(
                    card_number=card.pan,
                    account_reference=account.reference,
                    product=card.product,
                    role=card.role,
                    predecessor_card_number=card.predecessor,
                    member_number=account.member_number,
                    opened_on=account.opened_on.isoformat(),
                )
                for account in accounts
                if account.bank == bank
                for card in account.cards
            ]
        )
        assert [] == taking.finish().errors


def know(pipeline: Pipeline, account: Account, random: Random, request: UUID) -> None:
    """Record what is known of an account's member, from now on and from the middle of the traffic on."""
    token = pipeline.intake.tokeniser(pipeline.snapshots.current).reference(account.cards[0].pan).token
    with pipeline.database.service.connect() as connection:
        address = find_cards(connection.connection.cursor(), [token])[token]
    middle = pipeline.now + timedelta(days=random.randint(5, 25))
    facts = [
        StatedFact(kind=FactKind.MEMBER_SINCE, value=account.opened_on.isoformat()),
        StatedFact(kind=FactKind.BIRTHDAY, value=f"{random.choice((10, 11))}-{random.randint(10, 28)}"),
        StatedFact(kind=FactKind.TIER, value=random.choice(("blue", "silver", "gold"))),
        StatedFact(kind=FactKind.TIER, value=random.choice(("silver", "gold")), since=middle),
        StatedFact(kind=FactKind.SEGMENT, value="students", until=middle),
        StatedFact(kind=FactKind.OPTED_IN, value="on-word"),
        StatedFact(kind=FactKind.LISTED, value="invited", since=middle),
    ]
    kept = tuple(fact for fact in facts if random.random() < 0.7)
    recording = Recording(facts=kept, reason="Nightly file", actor="maria", request_id=request)
    key = (address.bucket, address.account)
    found = record_facts(pipeline.database.service, pipeline.snapshots, key, recording, clock=pipeline.clock)
    assert isinstance(found, Recorded), found


def standing(database: Database) -> Iterator[tuple[Key, str, Purchase]]:
    """Yield every purchase that was not merged into another, with its account and that account's bank."""
    found = rows(
        database,
        "SELECT p.bucket, p.account, a.bank, p.id, p.state::text FROM purchase p"
        " JOIN account a ON (a.bucket, a.id) = (p.bucket, p.account) ORDER BY p.bucket, p.id",
    )
    for bucket, account, bank, id_, state in found:
        purchase = decode_purchase(bytes(id_), state)
        if purchase.merged_into is None:
            yield (bucket, bytes(account)), bank, purchase


def without_limits(revision: Programme) -> Programme:
    """Return a revision in which nothing cuts across purchases but tallies; words on what is held are still read."""
    return replace(revision, caps=(), budgets=())


def limited(revisions: Sequence[Programme]) -> set[str]:
    """Return the rules whose grants other purchases bear upon."""
    found: set[str] = set()
    for revision in revisions:
        found.update(*(cap.rules for cap in revision.caps))
        found.update(*(budget.rules for budget in revision.budgets))
        found.update(*(limit.rules for limit in revision.velocity))
    return found


def in_memory(purchase: Purchase, terms: AccountTerms) -> Purchase:
    """Return a purchase as one decision in memory gives it, from its events alone."""
    bare = replace(purchase, revision=None, occurred_on=None, grants=(), charges={}, kept=())
    decision = decide_again(bare, terms)
    assert decision is not None
    return decision.purchase


def assert_as_in_memory(ground: Ground) -> Counter[str]:
    """Prove each purchase against the decision in memory without limits; return what each rule is entitled to in all.

    Entitled is the same whatever limits there are, but for tallies, whose purchases share what they come to; what is
    granted and available is the same where no limit that spans purchases bears on a rule.
    """
    revisions = [without_limits(entry) for entry in ground.pipeline.snapshots.current.programmes["skyways"]]
    spanning = limited(ground.pipeline.snapshots.current.programmes["skyways"])
    tallies = {rule.id for revision in revisions for rule in revision.rules if rule.tally is not None}
    seen: Counter[str] = Counter()
    facts = {}
    for key, bank, purchase in standing(ground.database):
        if key not in facts:
            with ground.database.service.connect() as connection:
                facts[key] = tuple(row.fact for row in list_facts(connection.connection.cursor(), key))
        terms = AccountTerms(
            bank=bank,
            programme_at=lambda at: next(
                (entry for entry in reversed(revisions) if entry.effective_from.timestamp() <= at), None
            ),
            revision_of=lambda number: next(entry for entry in revisions if entry.revision == number),
            used={},
            reserved={},
            facts=facts[key],
        )
        model = in_memory(purchase, terms)
        stored, said = _grants(purchase, spanning, tallies), _grants(model, spanning, tallies)
        assert said == stored, (purchase.id.hex(), said ^ stored)
        seen.update({grant.rule: grant.entitled for grant in purchase.grants})
    return seen


def _grants(purchase: Purchase, spanning: set[str], tallies: set[str]) -> set[tuple[object, ...]]:
    return {
        (grant.rule, grant.unit, grant.entitled)
        if grant.rule in spanning
        else (grant.rule, grant.unit, grant.entitled, grant.granted, grant.available)
        for grant in purchase.grants
        if grant.rule not in tallies and (grant.entitled or grant.available)
    }


def assert_every_decision_is_explained(ground: Ground) -> int:
    """Prove that every stored decision is reproduced from its stored inputs; return how many there are."""
    found = rows(ground.database, "SELECT bucket, account, message_id, attempt FROM decision ORDER BY decided_at")
    for bucket, account, message_id, attempt in found:
        explained = explain_decision(
            ground.database.service,
            ground.pipeline.snapshots,
            (bucket, bytes(message_id)),
            bytes(account),
            attempt,
        )
        assert explained is not None
        assert explained.reproduced, (bytes(message_id).hex(), explained.sentences, explained.detail)
        assert explained.sentences
    return len(found)


def assert_limits_hold(ground: Ground) -> dict[str, int]:
    """Prove that no counter is beyond its cap, nor a pool beyond its budget; return what is used of each budget."""
    revisions = ground.pipeline.snapshots.current.programmes["skyways"]
    most: dict[str, int] = {}
    for cap in (cap for revision in revisions for cap in revision.caps):
        most[cap.id] = max(cap.limit, most.get(cap.id, 0))
    for counter, used in rows(ground.database, "SELECT cap, max(used) FROM limit_counter GROUP BY cap"):
        cap = counter.split("#")[0]
        if cap in most:
            assert 0 <= used <= most[cap], (counter, used)
    sizes: dict[str, int] = {}
    for budget in revisions[-1].budgets:
        if budget.limit is not None:
            sizes[budget.id] = budget.limit
        if budget.holders is not None:
            sizes[budget.id + HOLDERS] = budget.holders
    pools = rows(ground.database, "SELECT budget, period, sum(used) FROM budget_share GROUP BY budget, period")
    assert {pool for pool, _, _ in pools} == set(sizes)
    for pool, period, used in pools:
        assert 0 <= used <= sizes[pool], (pool, period, used)
    return {str(pool): int(used) for pool, _, used in pools}


def assert_everything_holds(ground: Ground) -> None:
    """Prove the books, the limits, every award against the decision in memory, and every explanation.

    Every rule gives something to somebody, so that none is proved by its absence.
    """
    assert_books_agree(ground.pipeline)
    assert_limits_hold(ground)
    seen = assert_as_in_memory(ground)
    missing = {rule for rule in known_rules(ground) if not seen[rule]}
    assert set() == missing, missing
    assert_every_decision_is_explained(ground)


def known_rules(ground: Ground) -> set[str]:
    """Return the rules of all revisions."""
    revisions = ground.pipeline.snapshots.current.programmes["skyways"]
    return {rule.id for revision in revisions for rule in revision.rules}
