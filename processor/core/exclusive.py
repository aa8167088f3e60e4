"""Which of two rules of an exclusive group counts."""

from processor.core.rule import Best, Rule


def beats(best: Best, gives: int, rule: Rule, other_gives: int, other: Rule) -> bool:
    """Tell whether a rule counts rather than another one of its group, by how much both give; none of it is nothing.

    Ties go to the first by identifier.
    """
    if best is Best.FIRST:
        return (rule.priority, rule.id) < (other.priority, other.id)
    if gives == other_gives:
        return rule.id < other.id
    return (gives > other_gives) is (best is Best.HOLDER)
