"""Work that goes through all buckets, a call after the other, up to a moment."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import typer

from processor.cli.client import WORK_SECONDS
from processor.cli.failure import CommandError
from processor.cli.output import (
    progress_bar,
)

_MOST_CALLS = 100_000
"""Calls that one sweep makes at most."""


def moment_of(text: str) -> datetime:
    """Return a moment in RFC 3339 as a message takes it; one without a zone is an error of usage."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise typer.BadParameter("write a moment with its zone, such as 2026-11-20T00:00:00Z", param_hint="--as-of")
    return moment.astimezone(UTC).replace(tzinfo=None)


def sweep(call: Any, request: Any, counted: Sequence[str]) -> dict[str, int]:
    """Call again until every bucket is done, and add up what was counted."""
    totals = dict.fromkeys(counted, 0)
    with progress_bar("Buckets", None) as bar:
        for _ in range(_MOST_CALLS):
            response = call(request, timeout=WORK_SECONDS)
            for name in counted:
                totals[name] += getattr(response, name)
            bar.reach(response.buckets_done)
            request.page_token = response.next_page_token
            if not request.page_token:
                return totals
    raise CommandError("The server never came to an end. Look at cobrand status, and try again.")
