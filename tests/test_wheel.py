"""The wheel carries all that the installed command needs: code, generated contract, schemas and migrations."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_wheel_is_complete(tmp_path: Path) -> None:
    """Every data file of the checkout that the code reads is in the wheel, and nothing of the tests is."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("cobrand_processor-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    data = [path.relative_to(ROOT) for pattern in ("*.yaml", "*.json") for path in (ROOT / "schemas").rglob(pattern)]
    migrations = [
        path.relative_to(ROOT)
        for path in (ROOT / "processor" / "store" / "migrations").rglob("*")
        if path.suffix in {".py", ".mako"}
    ]
    assert data
    assert migrations
    missing = {str(path) for path in (*data, *migrations)} - names
    assert set() == missing
    assert {"processor/v1/card_network_pb2.py", "processor/py.typed", "settlement/py.typed"} <= names
    assert not any(name.startswith(("tests/", "examples/", "benchmarks/")) for name in names)
