"""What a raw TCP link has done since its worker started, and how fast it may go."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class SignOn(StrEnum):
    """Where a connection stands; a sign-on holds for its own connection."""

    CONNECTED = "connected"
    SIGNED_ON = "signed_on"
    SIGNED_OFF = "signed_off"


@dataclass(slots=True, kw_only=True)
class LinkCounts:
    """Counts of one link in one worker.

    ``unanswered`` messages were not taken, for want of room or of the database: the host sends them again.
    ``refused`` messages came before a sign-on, or for a bank or dialect that no programme knows.
    ``closed`` connections were ended by us, ``refused_connections`` never carried a message.
    """

    messages: int = 0
    answered: int = 0
    undecodable: int = 0
    unanswered: int = 0
    refused: int = 0
    closed: int = 0
    refused_connections: int = 0
    last_message_at: datetime | None = None
    last_echo_at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Pace:
    """So many messages a second, and at most a second's worth at once; ``per_second`` None is no limit.

    Instants are in seconds of any clock that runs evenly.
    """

    per_second: int | None
    _left: float = 0.0
    _at: float | None = None

    def allowed(self, now: float, most: int) -> int:
        """Return how many messages may be taken now, ``most`` at most."""
        if self.per_second is None:
            return most
        left = self.per_second if self._at is None else self._left + (now - self._at) * self.per_second
        self._left, self._at = min(left, self.per_second), now
        return min(most, int(self._left))

    def spend(self, messages: int) -> None:
        """Note messages that were taken, no more than were allowed."""
        self._left -= messages

    def wait_s(self) -> float:
        """Return how long it takes until one more message is allowed, as of the last time that was asked."""
        return 0.0 if self.per_second is None else max(0.0, (1 - self._left) / self.per_second)
