"""Explanations in a member's words: complete, without identifiers, and the same amounts as for operations."""

import re

import pytest

from processor.core.accrual import Entitled
from processor.core.cap import CapPeriod
from processor.core.outcome import Reason
from processor.core.purchase import Folded
from processor.core.rule import Best
from processor.flow.booking import NUMBERS_OF_AN_ATTEMPT, numbered
from processor.flow.explain import Explanation
from processor.flow.explain_member import LIMITED, WHY_TO_MEMBER, YIELDS, member_sentences
from processor.flow.explain_sentences import WHY
from processor.flow.recomputed import Considered, Recomputed
from processor.rpc.operations_service import decision_named
from tests.conftest import Database
from tests.flow.conftest import Pipeline, apply_skyways, iso87, make_pipeline
from tests.flow.test_explain import explain
from tests.flow.test_explain_offers import BLACK, CAMPAIGNS, bought
from tests.settlement.owner_ledger import owner_document


def test_every_reason_limit_and_choice_has_its_words() -> None:
    """A reason, period or way of choosing that is new fails here until a member can be told of it."""
    assert set(WHY) == set(WHY_TO_MEMBER)
    assert set(CapPeriod) == set(LIMITED)
    assert set(Best) == set(YIELDS)


def assert_plain(pipeline: Pipeline, programme: str, found: Explanation) -> None:
    """No identifier, no unit's or currency's code, and no word of ours stands in a member's sentences."""
    terms = pipeline.snapshots.current.latest(programme)
    named = {
        *(rule.id for rule in terms.rules),
        *(cap.id for cap in terms.caps),
        *(budget.id for budget in terms.budgets),
        *terms.groups,
        *terms.partners,
        *terms.products,
        *terms.parties,
        terms.unit,
        *("EUR", "USD", "JPY"),
        *("revision", "cap", "entitled", "granted", "posting", "message", "clearing", "rule", "budget"),
    }
    words = set(re.findall(r"[\w-]+", " ".join(found.for_member)))
    assert set() == named & words, found.for_member
    assert not re.search(r"[0-9a-f]{16}", " ".join(found.for_member))


def test_a_purchase_that_earns(pipeline: Pipeline) -> None:
    """What was paid, what it gives and when it comes."""
    (answer,) = pipeline.send(iso87("0110", response_code="00", retrieval_reference=""))
    found = explain(pipeline, answer)
    assert found.for_member == (
        "On 20 November 2026 you paid 100.00 Euro.",
        "This purchase counts.",
        "It gives you 75 x Skyways mile in all.",
        "75 x Skyways mile of it are still to come, expected on 23 November 2026.",
    )
    assert_plain(pipeline, "skyways", found)


def test_a_declined_purchase(pipeline: Pipeline) -> None:
    """Why there is nothing."""
    (answer,) = pipeline.send(iso87("0110", response_code="05", retrieval_reference=""))
    found = explain(pipeline, answer)
    assert "The payment was declined, so there is nothing to earn." in found.for_member
    assert_plain(pipeline, "skyways", found)


def test_miles_at_the_owner_wait_for_it(database: Database) -> None:
    """Where the owner keeps the ledger, the member is told whose confirmation the miles wait for."""
    apply_skyways(database, document=owner_document())
    pipeline = make_pipeline(database)
    (answer,) = pipeline.send(
        iso87("0220", bank="beta", dialect="iso87-bcd", pan="5413330000000019", response_code="00")
    )
    found = explain(pipeline, answer)
    assert "75 x Skyways mile of it go to Skyways Airlines, and are yours once it confirms them." in found.for_member
    assert_plain(pipeline, "skyways", found)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"acquirer": "523456", "acceptor": "UNIFUEL1", "mcc": "5541"},
            "only the one that gives you most counts.",
        ),
        (
            {"pan": BLACK, "local_date": "1121", "transmission_date_time": "1121203000"},
            "only the highest multiplier counts.",
        ),
        ({"acquirer": "412345", "acceptor": "CORNER000000001", "amount": "000000009999"}, "only one of them counts."),
    ],
)
def test_what_lost_is_told_without_its_name(database: Database, fields: dict[str, str], said: str) -> None:
    """An offer that gave way is told with what it would have given."""
    apply_skyways(database, folder=CAMPAIGNS)
    pipeline = make_pipeline(database)
    found = explain(pipeline, bought(pipeline, **fields))
    assert any(
        sentence.startswith("Another offer would have given ") and sentence.endswith(said)
        for sentence in found.for_member
    ), found.for_member
    assert_plain(pipeline, "northwind", found)


def test_a_limit_says_what_it_took(pipeline: Pipeline) -> None:
    """The most that can be given, over which time, and how much less it came to."""
    (answer,) = pipeline.send(iso87("0110", amount="000009000000", response_code="00", retrieval_reference=""))
    found = explain(pipeline, answer)
    cut = [sentence for sentence in found.for_member if sentence.startswith("At most ")]
    assert cut, found.for_member
    assert all(
        re.fullmatch(r"At most [\d,]+ x .+ can be given .+, so that [\d,]+ x .+ less were given\.", each)
        for each in cut
    )
    assert_plain(pipeline, "skyways", found)


def test_what_is_looked_at_is_told(pipeline: Pipeline) -> None:
    """What is held for review is told with its amount, and a refusal without its rule."""
    programme = pipeline.snapshots.current.latest("skyways")
    entry = Considered(
        rule="base",
        unit="SKY",
        entitled=75,
        granted=75,
        available=0,
        asked_entitled=0,
        asked_granted=0,
        cut_by=None,
    )
    folded = Folded(anchor=None, transaction=(), billing=())
    nothing = Entitled(partner=None, entitlements=(), unrated=(), reason=None)
    recomputed = Recomputed(folded=folded, considered=(entry,), entitled=nothing, at=None, lost=())
    detail = {"inputs": {}, "held": [["base", "SKY", "fast"]], "refused": ["bonus"]}
    said = list(member_sentences(programme, Reason.EARNED, detail, recomputed))
    assert "You earned much in a short time, so that somebody looks at 75 x Skyways mile before they are yours." in said
    assert "Somebody looked at this purchase and decided that part of what it would give is not given." in said


@pytest.mark.parametrize(("number", "attempt"), [(1, 1), (NUMBERS_OF_AN_ATTEMPT, 1), (NUMBERS_OF_AN_ATTEMPT + 1, 2)])
def test_an_award_leads_to_its_decision(number: int, attempt: int) -> None:
    """The number in an award's id says which decision on the message made it."""
    message_id = bytes(range(16))
    name = f"accounts/{'ab' * 16}/awards/{numbered(message_id, number).hex()}"
    assert (bytes.fromhex("ab" * 16), message_id, attempt) == decision_named(name)
