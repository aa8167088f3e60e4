"""Explaining decisions: the stored inputs give the stored result again, and the sentences say why."""

from io import BytesIO
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from examples.traffic.clearing import by_bank_and_day, clearing_file
from examples.traffic.generate import tell
from processor.core.outcome import Reason
from processor.flow.explain import Explanation, explain_decision
from processor.flow.explain_sentences import WHY
from processor.flow.replay import replay
from processor.flow.submission import Answer, IncomingMessage
from processor.store.directory import bucket_of
from tests.conftest import Database
from tests.flow.conftest import BUCKETS, NOW, SKYWAYS, Pipeline, apply_skyways, iso87, make_pipeline, take_clearing_file

BLUEFUEL = {"acquirer": "523456", "acceptor": "BLUEFUEL0001", "mcc": "5541"}
FRESHMART = {"acquirer": "412345", "acceptor": "FRESHMART000101"}
BETA = {"bank": "beta", "dialect": "iso87-bcd", "pan": "5413330000000003", "currency": "840"}


def approve(pipeline: Pipeline, **fields: str) -> Answer:
    """Send one approved authorization."""
    (answer,) = pipeline.send(iso87("0110", **{"response_code": "00", "retrieval_reference": "", **fields}))
    return answer


def explain(pipeline: Pipeline, answer: Answer, *, attempt: int | None = None) -> Explanation:
    """Explain the decision an answer names, or another attempt of it."""
    _, account, _, decision = answer.explanation.split("/")
    message, named = decision.split("-")
    key = (bucket_of(bytes.fromhex(account), BUCKETS), bytes.fromhex(message))
    found = explain_decision(
        pipeline.database.service, pipeline.snapshots, key, bytes.fromhex(account), attempt or int(named)
    )
    assert found is not None
    return found


def tamper(pipeline: Pipeline, answer: Answer, path: list[str | int], value: object) -> None:
    """Change a stored decision's detail, as only the schema's owner can."""
    message = bytes.fromhex(answer.explanation.split("/")[3].split("-")[0])
    with pipeline.database.owner.begin() as connection:
        where = {"id": message}
        stored = connection.execute(
            text("SELECT detail::text FROM decision WHERE message_id = :id"), where
        ).scalar_one()
        detail: Any = orjson.loads(stored)
        place = detail
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        connection.execute(
            text("UPDATE decision SET detail = CAST(:detail AS json) WHERE message_id = :id"),
            {"detail": orjson.dumps(detail).decode(), **where},
        )


def test_an_award_says_what_matched_and_what_each_rule_gave(pipeline: Pipeline) -> None:
    """The sentences name the partner, each rule's rate, amount, entitlement and grant, and the rules that lost."""
    explanation = explain(pipeline, approve(pipeline, **FRESHMART))
    assert explanation.reproduced
    assert Reason.EARNED == explanation.reason
    day = "as a purchase of 2026-11-20"
    amount, none = "billed, rounded down: 100.00 EUR entitle to", "0 SKY of them available"
    rules = ("base", "grocery-bonus", "premium")
    assert (
        "What the purchase is granted rose, or what was promised became available.",
        f"It was decided under revision 1 of programme skyways, with card product alpha-gold, {day}.",
        "Its card acceptor belongs to partner FreshMart (freshmart) of retailer fresh-foods.",
        "The purchase amounts to 100.00 EUR authorized, 0.00 EUR cleared.",
        f"Rule base gives 1 SKY for each 2.00 EUR {amount} 50 SKY; granted are 50 SKY, {none}.",
        f"Rule grocery-bonus gives 1 SKY for each 1.00 EUR {amount} 100 SKY; granted are 100 SKY, {none}.",
        f"Rule premium gives 1 SKY for each 4.00 EUR {amount} 25 SKY; granted are 25 SKY, {none}.",
        "The message changed rule base by +50 SKY pending and +0 SKY available.",
        "The message changed rule grocery-bonus by +100 SKY pending and +0 SKY available.",
        "The message changed rule premium by +25 SKY pending and +0 SKY available.",
        *[f"What rule {rule} has pending is expected to be posted on 2026-11-23." for rule in rules],
        "Rule fuel-bonus does not apply: it is for partners bluefuel.",
        "Rule travel-bonus does not apply: it is for partners harbor-grill, harbor-hotel, trattoria-uno.",
        "Rule volt-bonus does not apply: it is for partners volt.",
        "Rule moda-five does not apply: it is for partners moda-milano.",
    ) == explanation.sentences


def test_a_cap_that_cut_is_named_with_what_it_took(pipeline: Pipeline) -> None:
    """Of 300 miles at the pump the daily cap leaves 150, and the explanation says so."""
    explanation = explain(pipeline, approve(pipeline, amount="000000020000", **BLUEFUEL))
    assert explanation.reproduced
    assert "Cap fuel-daily, 150 SKY a day, cut rule fuel-bonus by 150 SKY." in explanation.sentences


def test_a_cap_that_leaves_nothing_is_explained(pipeline: Pipeline) -> None:
    """The second tank of the day earns no bonus: the cap's headroom was used before."""
    approve(pipeline, amount="000000010000", **BLUEFUEL)
    explanation = explain(pipeline, approve(pipeline, trace_number="000002", amount="000000010000", **BLUEFUEL))
    assert explanation.reproduced
    assert "Cap fuel-daily, 150 SKY a day, cut rule fuel-bonus by 150 SKY." in explanation.sentences


def test_what_a_cap_took_stays_taken(pipeline: Pipeline) -> None:
    """The cleared purchase is still cut by the cap its authorization met; the acknowledgement explains that."""
    approve(pipeline, amount="000000020000", **BLUEFUEL)
    (repeat,) = pipeline.send(
        iso87(
            "0130", response_code="00", trace_number="000001", amount="000000020000", retrieval_reference="", **BLUEFUEL
        )
    )
    explanation = explain(pipeline, repeat)
    assert (Reason.ACKNOWLEDGED, True) == (explanation.reason, explanation.reproduced)
    assert "What a limit took from rule fuel-bonus before is not given later." in explanation.sentences


def test_a_rule_without_a_rate_for_the_currency_is_named(pipeline: Pipeline) -> None:
    """A rule that would apply but does not rate the currency is listed as such, not as losing."""
    explanation = explain(pipeline, approve(pipeline, currency="756", **BLUEFUEL))
    assert (Reason.CURRENCY_NOT_RATED, True) == (explanation.reason, explanation.reproduced)
    assert "Rule fuel-bonus applies but gives nothing: it has no rate for CHF." in explanation.sentences


def test_a_rule_for_other_products_says_which(pipeline: Pipeline) -> None:
    """A rule that matches the partner but not the card product names its products."""
    acquirer, acceptor = merchant_of("volt")
    (answer,) = pipeline.send(iso87("0100", **BETA, acquirer=acquirer, acceptor=acceptor))
    explanation = explain(pipeline, answer)
    assert explanation.reproduced
    assert "Rule volt-bonus does not apply: it is for card products alpha-classic, alpha-gold." in explanation.sentences


def test_a_discount_is_explained_in_its_currency(pipeline: Pipeline) -> None:
    """A discount's percentage and amounts are money of the purchase's currency."""
    acquirer, acceptor = merchant_of("moda-milano")
    explanation = explain(pipeline, approve(pipeline, acquirer=acquirer, acceptor=acceptor))
    assert explanation.reproduced
    assert (
        "Rule moda-five gives 5 % of what is paid, rounded half-up: 100.00 EUR entitle to 5.00 EUR; granted are "
        "5.00 EUR, 0.00 EUR of them available."
    ) in explanation.sentences


def merchant_of(partner: str) -> tuple[str, str]:
    """Return the acquirer and card acceptor of the first merchant line of a partner."""
    lines = (SKYWAYS / "merchants.csv").read_text().splitlines()
    acquirer, acceptor = next(line.split(",")[:2] for line in lines if line.endswith(f",{partner}"))
    return acquirer, acceptor


def test_a_quote_says_that_nothing_is_booked(pipeline: Pipeline) -> None:
    """An inline request's estimate is recomputed as it was estimated."""
    (answer,) = pipeline.send(iso87("0100", **BETA))
    explanation = explain(pipeline, answer)
    assert (Reason.QUOTED, True) == (explanation.reason, explanation.reproduced)
    assert "The message would change rule base by +45 SKY pending and +0 SKY available." in explanation.sentences


def test_a_reversal_says_what_it_took_back(pipeline: Pipeline) -> None:
    """What a rule had granted before and gives no more is said, and recomputing gives nothing too."""
    approve(pipeline)
    (answer,) = pipeline.send(
        iso87(
            "0420",
            trace_number="000002",
            retrieval_reference="",
            original_data="010000000111201130000001234567800000000000",
        )
    )
    explanation = explain(pipeline, answer)
    assert (Reason.TAKEN_BACK, True) == (explanation.reason, explanation.reproduced)
    assert (
        "Rule base had granted 50 SKY and gives the purchase nothing now; granted are 0 SKY." in explanation.sentences
    )


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"response_code": "05"}, Reason.DECLINED),
        ({"processing_code": "010000"}, Reason.EXCLUDED),
        ({"mcc": "6011"}, Reason.EXCLUDED),
        ({"amount": "000000000000"}, Reason.ZERO_AMOUNT),
        ({"amount": "000000000001"}, Reason.BELOW_ONE_UNIT),
    ],
)
def test_a_non_award_says_why_and_is_reproduced(pipeline: Pipeline, fields: dict[str, str], reason: Reason) -> None:
    """A message that earned nothing is explained by its reason first, and recomputing gives nothing as well."""
    explanation = explain(pipeline, approve(pipeline, **fields))
    assert (reason, True) == (explanation.reason, explanation.reproduced)
    assert WHY[reason] == explanation.sentences[0]


def test_an_excluded_purchase_names_its_category(pipeline: Pipeline) -> None:
    """What the programme does not include is said by its category and by the code that tells it."""
    explanation = explain(pipeline, approve(pipeline, mcc="7995"))
    assert explanation.reproduced
    assert "By its merchant category code 7995 it is of category gambling" in " ".join(explanation.sentences)


def test_an_acknowledgement_of_an_excluded_purchase_is_reproduced(pipeline: Pipeline) -> None:
    """A later message of an excluded purchase has another reason, yet the purchase's events still exclude it."""
    approve(pipeline, mcc="6011")
    (answer,) = pipeline.send(iso87("0130", response_code="00", mcc="", retrieval_reference=""))
    explanation = explain(pipeline, answer)
    assert (Reason.ACKNOWLEDGED, True) == (explanation.reason, explanation.reproduced)


def test_a_parked_message_is_explained_and_leads_to_its_later_decision(pipeline: Pipeline) -> None:
    """An unknown card's message says what it waits for; once it is decided, the first attempt names the second."""
    answer = approve(pipeline, pan="4000010000000001")
    explanation = explain(pipeline, answer)
    assert (WHY[Reason.UNKNOWN_CARD],) == explanation.sentences
    assert explanation.reproduced
    with pipeline.database.service.begin() as connection:
        connection.execute(
            text("UPDATE account SET provisional = false, programme = 'skyways', product = 'alpha-classic'")
        )
    replayed(pipeline)
    first, second = explain(pipeline, answer), explain(pipeline, answer, attempt=2)
    assert f"what counts now is {answer.explanation[:-1]}2." in first.sentences[1]
    assert (Reason.EARNED, True) == (second.reason, second.reproduced)


def replayed(pipeline: Pipeline) -> None:
    """Decide everything that waits again."""
    assert 1 == replay(pipeline.decider, pipeline.intake, None, 100).decided


def test_an_explanation_uses_the_revision_that_decided(pipeline: Pipeline, database: Database) -> None:
    """After a new revision halves a rate, an older decision is still recomputed with the rate it was made under."""
    answer = approve(pipeline)
    document = (SKYWAYS / "programme.yaml").read_text().replace('EUR: "2.00", USD', 'EUR: "4.00", USD')
    applied = apply_skyways(database, document=document)
    assert not applied.unchanged
    explanation = explain(make_pipeline(database), answer)
    assert explanation.reproduced
    assert any("1 SKY for each 2.00 EUR billed" in sentence for sentence in explanation.sentences)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["considered", 0, 2], 51),
        (["considered", 0, 3], 51),
        (["considered", 0, 4], 1),
        (["considered", 0, 7], "bank-monthly"),
        (["considered", 1, 7], "no-such-cap"),
        (["considered"], []),
        (["changes", 0, 4], 49),
        (["inputs", "billing", 0, 1], 9_000),
        (["inputs", "product"], "alpha-classic"),
        (["partner"], "freshmart"),
        (["unrated"], ["base"]),
    ],
)
def test_a_stored_result_that_does_not_follow_is_told(pipeline: Pipeline, path: list[str | int], value: object) -> None:
    """One unit, one candidate or one input that was changed is enough for the explanation to say so."""
    answer = approve(pipeline)
    assert explain(pipeline, answer).reproduced
    tamper(pipeline, answer, path, value)
    assert not explain(pipeline, answer).reproduced


def test_a_cut_beyond_its_cap_is_told(pipeline: Pipeline) -> None:
    """A grant that the cap's whole limit could not have given does not follow from it."""
    answer = approve(pipeline, amount="000000020000", **BLUEFUEL)
    place = next(
        index
        for index, entry in enumerate(orjson.loads(explain(pipeline, answer).detail)["considered"])
        if entry[0] == "fuel-bonus"
    )
    tamper(pipeline, answer, ["considered", place, 3], 151)
    assert not explain(pipeline, answer).reproduced


def test_an_unknown_decision_has_no_explanation(pipeline: Pipeline) -> None:
    """Neither an attempt that was never made nor another account's name leads to a decision."""
    answer = approve(pipeline)
    account, message = (bytes.fromhex(answer.explanation.split("/")[place].split("-")[0]) for place in (1, 3))
    engine, key = pipeline.database.service, (bucket_of(account, BUCKETS), message)
    assert explain_decision(engine, pipeline.snapshots, key, account, 2) is None
    assert explain_decision(engine, pipeline.snapshots, key, bytes(16), 1) is None


def test_every_reason_a_stored_decision_can_have_is_explained() -> None:
    """Accepted and parked messages are stored; each of their reasons has a sentence."""
    assert {reason for reason in Reason if reason < 60} == set(WHY)


def test_every_decision_of_a_month_of_traffic_is_reproduced(pipeline: Pipeline) -> None:
    """Purchases, quotes, reversals, refunds and clearing, cut by caps and not: every stored result follows again."""
    traffic = tell(seed=7, accounts=6, messages=1200, today=NOW.date(), now=NOW)
    messages = [
        IncomingMessage(
            caller_id=sent.caller_id,
            bank=sent.bank,
            dialect=sent.dialect,
            iso8583=sent.message,
            iso8583_response=sent.response or b"",
        )
        for sent in traffic.messages
    ]
    for start in range(0, len(messages), 100):
        pipeline.send(*messages[start : start + 100])
    for sequence, ((bank, day), records) in enumerate(by_bank_and_day(traffic.presentments).items(), start=1):
        data = clearing_file(records, day=day, institution=traffic.institutions[bank], sequence=sequence)
        take_clearing_file(
            BytesIO(data), bank=bank, dialect_name="ipm93-ebcdic", intake=pipeline.intake, decider=pipeline.decider
        )
    engine = pipeline.database.service
    with engine.connect() as connection:
        keys = connection.execute(text("SELECT bucket, message_id, account, attempt FROM decision")).all()
    explained = []
    for bucket, message, account, attempt in keys:
        found = explain_decision(engine, pipeline.snapshots, (bucket, bytes(message)), bytes(account), attempt)
        assert found is not None
        explained.append(found)
    assert [] == [explanation.detail for explanation in explained if not explanation.reproduced]
    assert any(sentence.startswith("Cap ") for explanation in explained for sentence in explanation.sentences)
    assert {Reason.EARNED, Reason.QUOTED, Reason.TAKEN_BACK} <= {explanation.reason for explanation in explained}
