"""docs/tcp.md beside what it describes: its host runs, its tables name every key."""

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from processor.rpc.tcp.link_file import links_schema
from tests.flow.conftest import Pipeline
from tests.rpc.tcp_host import LINK, listening

pytestmark = pytest.mark.xdist_group("tcp")

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tcp.md").read_text(encoding="utf-8")


def test_the_host_of_the_page_is_answered(live: Pipeline) -> None:
    """The program that the page shows runs as it stands there, and its purchase earns."""
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    live.now = datetime.now(UTC)
    with listening(live.worker, LINK, clock=live.clock) as found:
        own = program.replace("7471", str(found.ports[0]))
        assert own != program
        ran = subprocess.run(
            [sys.executable, "-c", own], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        )
    assert ran.stdout.startswith("0130")
    assert "OC008ACCEPTED" in ran.stdout


def test_the_page_names_every_key_of_the_file() -> None:
    """Each key of a link, its length, its header, its certificates and its limits is explained."""
    parts = links_schema()["$defs"]
    keys = {key for part in ("link", "length", "header", "tls", "limits") for key in parts[part]["properties"]}
    assert set() == keys - set(re.findall(r"[a-z_]+", PAGE))


def test_the_defaults_of_the_limits_are_those_of_the_link() -> None:
    """The table of limits says what holds where a limit is absent."""
    rows = re.findall(r"^\| `(\w+)` \| .* \| (\d+|none|no echo) \|$", PAGE, re.MULTILINE)
    written = {name: None if value.startswith("no") else int(value) for name, value in rows}
    actual = {name: getattr(LINK.limits, name) for name in LINK.limits.__dataclass_fields__}
    assert {**actual, "message_bytes": 8192} == written
