"""Letting the hosts' streams go first: work that can wait stands back while messages are being decided.

A worker process has one interpreter and few cores, so that a large file would otherwise slow every answer.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

REST: Final = 3.0
"""Beside busy streams, a piece of work is followed by a rest this many times as long: a quarter of the time is its."""
LONGEST_REST_S: Final = 2.0


def never_busy() -> int:
    """Stand for streams that carry nothing."""
    return 0


@dataclass(slots=True, kw_only=True)
class Pace:
    """Rests after each piece of work during which messages came; ``messages`` counts those that ever came."""

    messages: Callable[[], int] = never_busy
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _seen: int = 0
    _since: float = field(default=0.0)

    def of_its_own(self) -> "Pace":
        """Return a pace by the same streams for another piece of work beside this one."""
        return replace(self)

    def begin(self) -> None:
        """Begin a piece of work."""
        self._seen, self._since = self.messages(), self.clock()

    def rest(self) -> None:
        """End the piece of work, rest if streams were busy meanwhile, and begin the next one."""
        if self.messages() != self._seen:
            self.sleep(min(REST * (self.clock() - self._since), LONGEST_REST_S))
        self.begin()
