"""Explaining product codes: stored where a rule asks for them, named, and computed again to the unit."""

from processor.flow.decision_detail import decision_detail
from processor.flow.explain import recompute
from processor.flow.explain_sentences import sentences_of
from tests.core.strategies import Books, authorized, eur, events, purchase_id
from tests.core.test_product_codes import ASKING


def test_a_decision_is_explained_by_what_it_stored() -> None:
    """A purchase of fuel earns, and its stored codes give the same entitlement again."""
    (event,) = events(authorized("1", eur(10_000)))
    decision = Books(revisions=ASKING).take(purchase_id(0), event._replace(product_codes=("019", "400")))
    detail = decision_detail(decision)
    assert ["019", "400"] == detail["inputs"]["product_codes"]
    recomputed = recompute(decision.programme, detail)
    assert {"base"} == {award.rule for award in decision.awards}
    assert [(entry.rule, entry.grant.entitled) for entry in decision.considered] == [
        (entry.rule.id, entry.total) for entry in recomputed.entitled.entitlements
    ]
    assert "It is of products 019, 400." in sentences_of(decision.programme, decision.reason, detail, recomputed)


def test_other_products_are_named_where_a_rule_is_not_for_them() -> None:
    """A rule that asks for other codes says which ones; the purchase's own are named all the same."""
    (event,) = events(authorized("1", eur(10_000)))
    decision = Books(revisions=ASKING).take(purchase_id(0), event._replace(product_codes=("400",)))
    detail = decision_detail(decision)
    said = list(sentences_of(decision.programme, decision.reason, detail, recompute(decision.programme, detail)))
    assert "It is of products 400." in said
    assert "Rule base does not apply: it is for product codes 019, 020." in said
