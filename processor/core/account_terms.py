"""What a decision needs to know of an account besides the purchase it decides."""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass

from processor.core.budget import Headroom
from processor.core.cap import CounterKey
from processor.core.person import Fact
from processor.core.programme import Programme
from processor.core.spent import Balance


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTerms:
    """What a decision needs to know of the account besides the purchase.

    ``programme_at`` returns the revision in force at an instant (seconds since 1970 UTC), None before the first;
    ``revision_of`` returns a revision by number.
    ``used`` holds the account's cap counters and is brought up to date by every decision; ``reserved`` is the headroom
    that unexpired quotes of other purchases hold.
    ``facts`` are known of the member, where rules ask for any.
    ``budgets`` is what the programme's budgets have left, None where it has none.
    ``balance`` is what the holder has available, brought up to date by every decision, None where no rule asks for it.
    """

    bank: str
    programme_at: Callable[[int], Programme | None]
    revision_of: Callable[[int], Programme]
    used: MutableMapping[CounterKey, int]
    reserved: Mapping[CounterKey, int]
    facts: Sequence[Fact] = ()
    budgets: Headroom | None = None
    balance: Balance | None = None
