"""The benchmark of the wire layer measures every shipped dialect, on what the dialect itself wrote."""

import schemas
from benchmarks.wire import COLUMNS, measure, samples, table


def test_every_dialect_is_measured_and_shown() -> None:
    """Each shipped dialect has one row, with a figure in every column but that of answers a record does not have."""
    found = samples()

    least = measure(found, rounds=1, calls=1)
    rows = table(found, least).splitlines()

    assert list(schemas.iso8583_dialects()) == [sample.dialect for sample in found]
    assert len(found) + 2 == len(rows)
    for sample in found:
        columns = COLUMNS if not sample.dialect.startswith("ipm93-") else COLUMNS[:-1]
        assert [(sample.dialect, column) in least for column in columns] == [True] * len(columns)
        assert f"| `{sample.dialect}` | {sample.message_type} | {sample.size} |" in "\n".join(rows)
