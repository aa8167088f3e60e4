"""What an explanation says of amounts that rules converted: the rate, its day and its source, and what lacks one."""

from collections.abc import Iterator, Sequence

from processor.core.circumstances import Circumstances
from processor.core.converted import conversions_of
from processor.core.programme import Programme
from processor.core.purchase import Folded
from processor.core.rule import Rule
from processor.flow.explain_amounts import money


def exchange_sentences(
    programme: Programme, folded: Folded, at: Circumstances | None, rules: Sequence[str]
) -> Iterator[str]:
    """Yield what each of some rules converted for a purchase, as a person can recompute it.

    Rules that ask for amounts are among them, also where the purchase's is not one of those.
    """
    if at is None or not programme.rate_sources:
        return
    ranged = [rule.id for rule in programme.rules if rule.convert and rule.when.amounts and not rule.when.unmet(at)]
    for entry in conversions_of(programme, folded, at.local_date, dict.fromkeys((*rules, *ranged))):
        source = entry.conversion.source
        amount = money(entry.amount_minor, entry.conversion.currency)
        worth = money(entry.worth_minor, entry.conversion.to)
        about = "" if entry.is_exact else ", which the rule counts unrounded,"
        by = f"{entry.figures()} by {source.name} ({source.id})"
        yield f"Rule {entry.rule} converts {amount} to {worth}{about} at {by}."


def without_rate(programme: Programme, rule: Rule, at: Circumstances | None, currencies: str) -> str:
    """Return why a rule that applies gives nothing for amounts in some currencies."""
    text = f"Rule {rule.id} applies but gives nothing: it has no rate for {currencies}"
    if rule.convert is None or at is None:
        return f"{text}."
    source = programme.rate_sources[rule.convert.by]
    return f"{text}, and {source.name} ({source.id}) has none of {at.local_date} or {source.days} days before."
