"""Which partner a card acceptor belongs to, step three of a decision; it never guesses: fields match exactly or not."""

from processor.core.programme import Merchant, Programme


def match_merchant(programme: Programme, *, acquirer: str, acceptor: str, terminal: str, mcc: str) -> Merchant | None:
    """Return the merchant line that names this acceptor most closely, or None.

    Acquirer id (DE32) and card acceptor id (DE42) must be equal; a line that states a terminal (DE41) or an MCC (DE18,
    DE26 in clearing) matches only that one.
    A line with a terminal is closer than one with an MCC, and both are closer than one with neither.
    """
    best: Merchant | None = None
    best_closeness = -1
    for merchant in programme.merchants.get((acquirer, acceptor), ()):
        own_terminal, own_mcc = merchant.terminal, merchant.mcc
        if (own_terminal is not None and own_terminal != terminal) or (own_mcc is not None and own_mcc != mcc):
            continue
        closeness = 2 * (own_terminal is not None) + (own_mcc is not None)
        if closeness > best_closeness:
            best, best_closeness = merchant, closeness
    return best
