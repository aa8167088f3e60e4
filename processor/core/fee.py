"""Membership fees: the bank bills the holder, and owes the owner a share of what it billed.

A fee reaches the processor as the card messages that bill it, at a card acceptor of the bank's own.
It is no purchase: where a fee rule applies nothing is earned and nothing is discounted.
A paid fee may give rewards, which are taken back with it.
"""

from processor.core.rule import Benefit, Rule

_OF_A_FEE = frozenset({Benefit.FEE, Benefit.REWARD})


def without_earning(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Return the rules that apply to a fee, or all of them where none of them says that it is one."""
    if not any(rule.benefit is Benefit.FEE for rule in rules):
        return rules
    return tuple([rule for rule in rules if rule.benefit in _OF_A_FEE])
