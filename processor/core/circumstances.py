"""Where, when, how and by whom a purchase was made: what the conditions of rules look at, its amount aside."""

from datetime import date, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from processor.core.person import NOBODY, Member


class Circumstances(NamedTuple):
    """Where, when and how a purchase was made, and what ``sector`` the brand is of that it matched.

    ``local_date`` and ``local_time`` (HHMM) are the card acceptor's.
    ``local_time`` and ``channel`` are empty where the message does not say; ``partner`` is None where no brand matched.
    ``currency`` is that of the transaction amount.
    ``member`` is who made it, as far as rules ask.
    ``country`` is the card acceptor's (ISO 3166-1, two letters), empty where the message does not say.
    ``instant`` is when it was sent, in seconds since 1970 UTC; None where only a clearing record tells, whose time is
    local.
    ``product_codes`` are those of what was bought, where rules ask for them.
    """

    partner: str | None
    sector: str
    product: str
    mcc: str
    acquirer: str
    acceptor: str
    channel: str
    currency: str
    local_date: date
    local_time: str
    member: Member = NOBODY
    country: str = ""
    instant: int | None = None
    product_codes: tuple[str, ...] = ()

    def clock_in(self, zone: ZoneInfo | None) -> tuple[date, str]:
        """Return the date and the time (HHMM) in a zone; the card acceptor's own without one."""
        if zone is None or self.instant is None:
            return self.local_date, self.local_time
        there = datetime.fromtimestamp(self.instant, zone)
        return there.date(), f"{there:%H%M}"
