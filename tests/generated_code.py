"""Makes ``processor/v1`` from ``proto/``, or checks that what is committed is what the contract gives."""

import os
import sys
import tempfile
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = sorted((ROOT / "proto" / "processor" / "v1").glob("*.proto"))
COMMITTED = ROOT / "processor" / "v1"


def generate(into: Path) -> None:
    """Write the generated modules and their stubs below ``into``."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    well_known = resources.files("grpc_tools") / "_proto"
    arguments = [
        "protoc",
        f"-I{ROOT / 'proto'}",
        f"-I{well_known}",
        f"--python_out={into}",
        f"--grpc_python_out={into}",
        f"--mypy_out={into}",
        f"--mypy_grpc_out={into}",
        *(str(proto) for proto in PROTOS),
    ]
    if protoc.main(arguments):
        raise SystemExit("protoc failed; its message stands above")


def main() -> None:
    """Compare, or with ``--write`` replace, the committed files."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        made = {path.name: path.read_text() for path in (Path(folder) / "processor" / "v1").iterdir()}
    if "--write" in sys.argv:
        for name, text in made.items():
            (COMMITTED / name).write_text(text)
        return
    committed = {path.name: path.read_text() for path in COMMITTED.glob("*_pb2*")}
    differing = sorted(name for name in {*made, *committed} if made.get(name) != committed.get(name))
    if differing:
        raise SystemExit(f"generated code differs from proto/: {', '.join(differing)}; run make generate")
    sys.stdout.write(f"processor/v1 is what proto/ gives: {len(made)} files\n")


if __name__ == "__main__":
    main()
