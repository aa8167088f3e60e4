"""Where a test process keeps the data of its PostgreSQL: in memory where there is room, for databases live a second.

Each database is copied from a template of some hundred files, which costs a disk's file system more than all else that
a test does.
No test ends the server itself, so nothing that is tested needs the disk.
"""

import os
import re
import secrets
import shutil
from pathlib import Path
from typing import Final

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - folders below it are made with a name of their own.
DISK: Final = Path("/var/tmp")  # noqa: S108 - see processor/store/embedded.py.
ROOM_BYTES: Final = 2 * 1024**3
"""What is asked to be free in memory for one server: it takes a quarter of that where tests do not."""
_OURS: Final = re.compile(r"test-(\d+)-[0-9a-f]{8}")


def data_folder() -> Path:
    """Return a new name for a server's data, and remove what processes that were killed have left behind."""
    roomy = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM_BYTES
    parent = (MEMORY if roomy else DISK) / "cobrand"
    for left in parent.glob("test-*"):
        named = _OURS.fullmatch(left.name)
        if named is not None and not _is_running(int(named[1])):
            shutil.rmtree(left, ignore_errors=True)
    return parent / f"test-{os.getpid()}-{secrets.token_hex(4)}"


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
