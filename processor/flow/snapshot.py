"""Reference data in memory: every programme revision, compiled, immutable, under one version number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock

from sqlalchemy import Connection

from processor.core.person import FactKind
from processor.core.programme import BankCalendar, CardProduct, Enrolment, Link, Programme
from processor.core.programme_document import parse_programme
from processor.store.reference import StoredRevision, load_revisions, load_version


class SnapshotError(RuntimeError):
    """An applied revision does not compile under this version of the processor; the text says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactsAsked:
    """What the rules of a programme's revisions ask of members: kinds of facts, and segments and rules by name.

    ``held`` are the soft rewards that they ask for.
    """

    kinds: frozenset[FactKind]
    values: frozenset[str]
    held: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Every programme's revisions in order, and, from the latest of each, what intake needs.

    ``products`` maps a card product to its programme and terms; ``links`` is keyed by bank and dialect.
    ``asked`` has the programmes with rules that ask something of members, and what, over all of their revisions;
    ``budgeted`` are those of which some revision has budgets, ``watched`` those with velocity limits,
    ``carded`` those with caps that count cards, ``shared`` those with caps that count households, ``tiered`` those that
    compute tiers.
    """

    version: int
    programmes: Mapping[str, tuple[Programme, ...]]
    links: Mapping[tuple[str, str], Link]
    products: Mapping[str, tuple[str, CardProduct]]
    calendars: Mapping[str, BankCalendar]
    card_ranges: Mapping[str, str]
    asked: Mapping[str, FactsAsked]
    budgeted: frozenset[str] = frozenset()
    watched: frozenset[str] = frozenset()
    carded: frozenset[str] = frozenset()
    tiered: frozenset[str] = frozenset()
    shared: frozenset[str] = frozenset()

    def latest(self, programme: str) -> Programme:
        """Return a programme's latest revision; raises ``KeyError`` where there is none."""
        return self.programmes[programme][-1]

    def revision(self, programme: str, revision: int) -> Programme:
        """Return one revision; revisions count from 1 without gaps."""
        return self.programmes[programme][revision - 1]

    def longest_refund_days(self, programme: str | None) -> int:
        """Return how many days back a refund without a reference reaches at most, 0 where it reaches nothing."""
        return max((revision.refund_days or 0 for revision in self.programmes.get(programme or "", ())), default=0)

    def keeps_spent(self, programme: str | None) -> bool:
        """Tell whether a rule of any revision leaves with holders what refunds take back."""
        return any(revision.keeps_spent for revision in self.programmes.get(programme or "", ()))

    def bank_of(self, product: str | None) -> str | None:
        """Return the bank whose product this is, None where no programme has such a product."""
        _, terms = self.products.get(product or "", (None, None))
        return terms.bank if terms else None

    def enrols_in(self, bank: str, product: str | None) -> str | None:
        """Return the programme that a bank's card of this product enrols in by itself, None where it waits."""
        programme, terms = self.products.get(product or "", (None, None))
        automatic = terms is not None and terms.bank == bank and terms.enrolment is Enrolment.AUTOMATIC
        return programme if automatic else None

    def programme_at(self, programme: str, at: int) -> Programme | None:
        """Return the revision in force at an instant in seconds since 1970, or None before the first."""
        for revision in reversed(self.programmes[programme]):
            if revision.effective_from.timestamp() <= at:
                return revision
        return None


EMPTY = Snapshot(version=-1, programmes={}, links={}, products={}, calendars={}, card_ranges={}, asked={})


def compile_snapshot(version: int, revisions: Sequence[StoredRevision]) -> Snapshot:
    """Compile stored revisions; raises :class:`SnapshotError` for one that does not compile."""
    programmes: dict[str, tuple[Programme, ...]] = {}
    for stored in revisions:
        source = f"{stored.programme}, revision {stored.revision}"
        parsed = parse_programme(stored.document, merchants=stored.files, source=source, revision=stored.revision)
        if not isinstance(parsed, Programme):
            raise SnapshotError(f"an applied programme does not compile: {parsed[0]}")
        in_force = replace(parsed, effective_from=stored.effective_from)
        programmes[stored.programme] = (*programmes.get(stored.programme, ()), in_force)
    latest = [revisions[-1] for revisions in programmes.values()]
    products = {product.id: (programme.id, product) for programme in latest for product in programme.products.values()}
    return Snapshot(
        version=version,
        programmes=programmes,
        links={(link.bank, link.dialect): link for programme in latest for link in programme.links},
        products=products,
        calendars={bank: calendar for programme in latest for bank, calendar in programme.calendars.items()},
        card_ranges={prefix: product.id for _, product in products.values() for prefix in product.card_ranges},
        watched=frozenset(name for name, known in programmes.items() if any(revision.velocity for revision in known)),
        carded=frozenset(name for name, known in programmes.items() if any(each.counts_cards for each in known)),
        tiered=frozenset(name for name, known in programmes.items() if any(each.qualifications for each in known)),
        shared=frozenset(name for name, known in programmes.items() if any(each.counts_households for each in known)),
        budgeted=frozenset(name for name, known in programmes.items() if any(revision.budgets for revision in known)),
        asked={name: asked for name, revisions in programmes.items() if (asked := _asked(revisions)) is not None},
    )


def _asked(revisions: Sequence[Programme]) -> FactsAsked | None:
    """Return what a programme's revisions ask of members, None where nothing; what computes tiers asks for those."""
    asking = [revision.asked for revision in revisions if revision.asked is not None]
    computed = {FactKind.REACHED} if any(revision.qualifications for revision in revisions) else set[FactKind]()
    if not asking and not computed:
        return None
    return FactsAsked(
        kinds=frozenset(kind for asked in asking for kind in asked.kinds()) | computed,
        values=frozenset(value for asked in asking for value in asked.values()),
        held=frozenset(reward for asked in asking for reward in asked.held),
    )


class Snapshots:
    """Holds the current snapshot; any thread may read it, and one at a time replaces it."""

    def __init__(self) -> None:
        self._current = EMPTY
        self._lock = Lock()

    @property
    def current(self) -> Snapshot:
        """The newest snapshot loaded so far."""
        return self._current

    def refresh(self, connection: Connection) -> Snapshot:
        """Load the reference data if the database has a newer version, and return the current snapshot."""
        with self._lock:
            version = load_version(connection)
            if version > self._current.version:
                self._current = compile_snapshot(version, load_revisions(connection))
            return self._current
