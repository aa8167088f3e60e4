"""What the wire layer costs: microseconds of processor time to decode and to encode a message of each shipped dialect.

Run ``python -m benchmarks.wire``.
pyiso8583 alone stands beside it, on the same bytes, so that what this code adds to the library can be seen.
The rounds go through all measurements in turn, and the least of each is shown: what other work on the machine adds to a
round is not the code's.
"""

import argparse
import gc
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import iso8583

import schemas
from processor.wire.card_message import to_card_message
from processor.wire.decode import Decoded, decode
from processor.wire.dialect import Dialect, parse_dialect
from processor.wire.encode import encode_answer, encode_message
from processor.wire.tokenise import KEY_BYTES, Tokeniser

GOLDEN: Final = Path(__file__).parent.parent / "tests" / "wire" / "golden"
"""The messages that are measured: the golden ones, one of each dialect."""

COLUMNS: Final = ("decode", "pyiso8583 decodes", "card message", "encode", "pyiso8583 encodes", "answer")

_TYPES: Final = ("0110", "1110", "1240")
_RECEIVED_AT: Final = datetime(2026, 11, 22, 10, 15, 31, tzinfo=UTC)
_CALLS_IN_A_ROUND: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One message of one dialect, with what is measured on it by the column's name."""

    dialect: str
    message_type: str
    size: int
    measured: Mapping[str, Callable[[], object]]


def samples() -> list[Sample]:
    """Return one sample of each shipped dialect, a response or a presentment."""
    texts = schemas.iso8583_dialects()
    found = []
    for name, text in texts.items():
        for message_type in _TYPES:
            file = GOLDEN / f"{name}-{message_type}.hex"
            if file.exists():
                raw = bytes.fromhex(file.read_text(encoding="ascii"))
                found.append(_sample(parse_dialect(name, text, texts), message_type, raw))
    return found


def _sample(dialect: Dialect, message_type: str, raw: bytes) -> Sample:
    tokeniser = Tokeniser({"key": bytes(KEY_BYTES)}, "key", {})
    decoded = decode(dialect, raw)
    fields = _fields(dialect, decoded)
    written = encode_message(dialect, message_type, fields)
    document, _ = iso8583.decode(written[dialect.message_start :], dialect.encoding_spec)
    measured: dict[str, Callable[[], object]] = {
        "decode": lambda: decode(dialect, raw),
        "pyiso8583 decodes": lambda: iso8583.decode(raw, dialect.spec),
        "card message": lambda: to_card_message(
            decoded,
            dialect=dialect,
            bank="bank",
            received_at=_RECEIVED_AT,
            tokeniser=tokeniser,
            clearing_file="file",
            record_number=1,
        ),
        "encode": lambda: encode_message(dialect, message_type, fields),
        "pyiso8583 encodes": lambda: iso8583.encode(dict(document), dialect.encoding_spec),
    }
    if message_type[2] != "4":
        measured["answer"] = lambda: encode_answer(dialect, raw, award="OC006earned", decoded=decoded)
    return Sample(dialect=dialect.name, message_type=message_type, size=len(raw), measured=measured)


def _fields(dialect: Dialect, decoded: Decoded) -> dict[str, str]:
    """Return what a message kept, its card number included, in a form that can be written again."""
    fields = {name: value for name, value in decoded.fields.items() if name in dialect.numbers}
    for name, (layout, _) in dialect.subfields.items():
        if name in decoded.fields and not any(carrier in fields for carrier in layout.carriers):
            fields[name] = decoded.fields[name]
    return fields if decoded.pan is None else {"pan": decoded.pan.clear(), **fields}


def measure(found: list[Sample], *, rounds: int, calls: int = _CALLS_IN_A_ROUND) -> dict[tuple[str, str], float]:
    """Return the least microseconds of processor time of each measurement, by dialect and column."""
    least: dict[tuple[str, str], float] = {}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for sample in found:
                for column, run in sample.measured.items():
                    took = _timed(run, calls)
                    least[sample.dialect, column] = min(took, least.get((sample.dialect, column), took))
    finally:
        gc.enable()
    return least


def _timed(run: Callable[[], object], calls: int) -> float:
    began = time.process_time_ns()
    for _ in range(calls):
        run()
    return (time.process_time_ns() - began) / calls / 1000


def table(found: list[Sample], least: Mapping[tuple[str, str], float]) -> str:
    """Return the figures as a table of Markdown."""
    lines = [
        f"| microseconds of one message | type | bytes | {' | '.join(COLUMNS)} |",
        f"|---|---|---:|{'---:|' * len(COLUMNS)}",
    ]
    for sample in found:
        cells = [
            f"{least[sample.dialect, column]:.0f}" if (sample.dialect, column) in least else "" for column in COLUMNS
        ]
        lines.append(f"| `{sample.dialect}` | {sample.message_type} | {sample.size} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wire", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="how often each measurement is repeated")
    options = parser.parse_args()
    found = samples()
    sys.stdout.write(table(found, measure(found, rounds=options.rounds)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
