"""The computed tiers of one locked batch in memory: what its decisions give and take, recorded with them.

A tier takes effect when it is recorded, so the clock is read under the accounts' locks; a purchase that was decided
sees nothing of what came later.
It never touches the database.
"""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field

from processor.core.account_terms import AccountTerms
from processor.core.cap import CounterKey
from processor.core.person import Fact
from processor.core.tier_change import TierChange, moved_counters, tier_changes, with_changes
from processor.store.card_side import AccountRow, Key


@dataclass(slots=True, kw_only=True)
class TierWork:
    """The facts about tiers of a batch's accounts, and those that its decisions add.

    ``at`` is the first whole second behind the moment at which the locks were held, in seconds since 1970 UTC.
    ``facts`` are known of the accounts' members and are brought up to date.
    ``added`` are the new facts in their order, each with the message that caused it.
    Where ``waits`` is set, counters are only remembered as they stood, and :meth:`look_again` looks at all of them.
    """

    at: int
    facts: MutableMapping[Key, tuple[Fact, ...]]
    added: list[tuple[Key, Fact, bytes]] = field(default_factory=list)
    waits: bool = False
    _stood: dict[Key, dict[CounterKey, int]] = field(default_factory=dict)

    def look(
        self, account: AccountRow, before: Mapping[CounterKey, int], terms: AccountTerms, *, after: int, cause: bytes
    ) -> list[TierChange]:
        """Return what a message's decision changes of the member's tiers, and add the facts that say so.

        ``before`` are the account's counters as they were; ``after`` is the time of its purchase, which sees no tier
        that it reached itself.
        """
        moved = moved_counters(before, terms.used)
        if not moved:
            return []
        if self.waits:
            stood = self._stood.setdefault((account.bucket, account.id), {})
            for key in moved:
                stood.setdefault(key, before.get(key, 0))
            return []
        return self._change(account, moved, terms, after=after, cause=cause)

    def look_again(self, account: AccountRow, terms: AccountTerms, cause: bytes) -> None:
        """Look at every counter of an account that moved since it was told to wait, as it stands now."""
        stood = self._stood.pop((account.bucket, account.id), {})
        moved = {key: terms.used.get(key, 0) for key in stood}
        if moved:
            self._change(account, moved, terms, after=0, cause=cause)

    def _change(
        self, account: AccountRow, moved: Mapping[CounterKey, int], terms: AccountTerms, *, after: int, cause: bytes
    ) -> list[TierChange]:
        key = account.bucket, account.id
        known = self.facts.get(key, ())
        changes = tier_changes(
            moved,
            known,
            bank=account.bank,
            at=max(self.at, after + 1),
            programme_at=terms.programme_at,
            revision_of=terms.revision_of,
        )
        if changes:
            self.facts[key] = with_changes(known, changes)
            self.added += [(key, fact, cause) for fact in self.facts[key][len(known) :]]
        return changes
