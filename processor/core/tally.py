"""Tallies: rules that look at what an account's purchases come to together in a period, rather than at each alone.

A tally counts progress, what has cleared in an amount or in purchases, and says what all of it is worth.
A purchase earns the difference that it makes: what the progress is worth with it, less what it is worth without.
So what all purchases of a period earn is exactly what their progress is worth, in whatever order they clear, and a
purchase that is undone takes off exactly what the rest is worth less without it.
What is authorized and has not cleared is promised by the same difference, and is no progress yet.
"""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from hashlib import blake2b
from typing import NamedTuple

from processor.core.cap import CapPeriod, CounterKey, calendar_period
from processor.core.money import Rounding, divide


class Counting(StrEnum):
    """Whether all of a period's progress earns at the rate that it reaches, or each part at its own."""

    WHOLE = "whole"
    EXCESS = "excess"


class Bracket(NamedTuple):
    """Beyond ``above`` progress each unit of it earns ``numerator`` over the tally's denominator."""

    above: int
    numerator: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """Every ``every`` units of progress earn ``gives`` once more, at most ``times`` times in a period, if stated."""

    every: int
    gives: int
    times: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What a period's progress is worth: by rates that it reaches, or by how often it comes full circle.

    ``scale`` says how much progress a minor unit of each currency is; empty where each purchase counts one.
    ``brackets`` ascend; they are empty where there is a ``cycle``.
    ``most`` is what a period earns at most, None without limit.
    ``unit`` is what it earns where that is no miles: a soft reward, or the minor units of a currency.
    ``terms`` stands in the counter's name, so that other terms in a later revision count anew.
    """

    period: CapPeriod
    scale: Mapping[str, int] = field(default_factory=dict)
    brackets: tuple[Bracket, ...] = ()
    denominator: int = 1
    counting: Counting = Counting.WHOLE
    rounding: Rounding = Rounding.DOWN
    cycle: Cycle | None = None
    most: int | None = None
    unit: str = ""
    terms: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        stated = repr((sorted(self.scale.items()), self.brackets, self.denominator, self.counting, self.rounding))
        stated += repr((self.cycle, self.most, self.period, self.unit))
        object.__setattr__(self, "terms", blake2b(stated.encode(), digest_size=4).hexdigest())

    def worth(self, progress: int) -> int:
        """Return what a period's progress earns; progress below nothing takes back at the rate of its beginning."""
        earned = self._cycled(self.cycle, progress) if self.cycle else self._rated(progress)
        return earned if self.most is None else min(earned, self.most)

    def _cycled(self, cycle: Cycle, progress: int) -> int:
        rounds = max(0, progress) // cycle.every
        return cycle.gives * (rounds if cycle.times is None else min(rounds, cycle.times))

    def _rated(self, progress: int) -> int:
        if progress <= 0:
            first = self.brackets[0]
            return divide(progress * first.numerator, self.denominator, self.rounding) if first.above == 0 else 0
        reached = [bracket for bracket in self.brackets if progress > bracket.above]
        if not reached:
            return 0
        if self.counting is Counting.WHOLE:
            return divide(progress * reached[-1].numerator, self.denominator, self.rounding)
        ends = [*(bracket.above for bracket in reached[1:]), progress]
        exact = sum((end - above) * rate for (above, rate), end in zip(reached, ends, strict=True))
        return divide(exact, self.denominator, self.rounding)

    def counter(self, rule: str, day: date) -> CounterKey:
        """Return the counter that a purchase of one local day counts in."""
        return f"{rule}~{self.terms}", calendar_period(self.period, day)


class Counted(NamedTuple):
    """What one purchase has counted in a tally, and what that has earned: the sum of the differences it made.

    ``cut`` is what limits withheld of what it earned; below zero, what it need not take back because limits withheld
    it from other purchases.
    """

    progress: int = 0
    earned: int = 0
    cut: int = 0


NOTHING = Counted()


def count(
    tally: Tally,
    key: CounterKey,
    before: Counted,
    *,
    whole: int,
    cleared: int,
    used: MutableMapping[CounterKey, int],
) -> tuple[Counted, int]:
    """Count what has cleared of a purchase; return what it has counted now, and what the rest of it promises.

    ``whole`` and ``cleared`` are progress; ``used`` holds the counters and is brought up to date.
    """
    stood = used.get(key, 0)
    stands = stood + cleared - before.progress
    earned = before.earned
    if stands != stood:
        used[key] = stands
        earned += tally.worth(stands) - tally.worth(stood)
    promised = tally.worth(stands + whole - cleared) - tally.worth(stands) if whole != cleared else 0
    return Counted(cleared, earned, before.cut), promised


def spare(key: CounterKey, before: Counted, counted: Counted, used: Mapping[CounterKey, int]) -> int:
    """Return how much a purchase need not take back of what others earned, because limits withheld it from them.

    Below zero, it is what others were spared on account of what limits withheld from this one: it gets that no more.
    """
    withheld = used.get(cut_counter(key), 0) - before.cut
    if withheld < 0:
        return withheld
    if counted[:2] == before[:2]:
        return max(0, -before.cut)
    return min(max(0, -counted.earned), max(0, withheld))


def keep_cut(key: CounterKey, counted: Counted, cut: int, used: MutableMapping[CounterKey, int]) -> Counted:
    """Keep what limits withhold of a purchase's part, or what it is spared where it is below zero."""
    if cut == counted.cut:
        return counted
    counter = cut_counter(key)
    used[counter] = used.get(counter, 0) + cut - counted.cut
    return counted._replace(cut=cut)


def cut_counter(key: CounterKey) -> CounterKey:
    """Return the counter of what limits withheld of a tally's worth in a period, of the counter of its progress."""
    return f"{key[0]}/cut", key[1]


def uncount(tally: Tally, key: CounterKey, before: Counted, used: MutableMapping[CounterKey, int]) -> int:
    """Take a purchase out of its counter, and return what it has still earned without having counted anything.

    That is not nothing where another purchase came full circle because of it, or could have without it.
    """
    counted, _ = count(tally, key, before, whole=0, cleared=0, used=used)
    return keep_cut(key, counted, 0, used).earned
