"""The figures that the benchmark reports."""

from pkgutil import resolve_name

import pytest

from benchmarks.load import Paced
from benchmarks.report import Spread, TableRows, spread
from benchmarks.stages import STAGES


@pytest.mark.parametrize(("percent", "expected"), [(50, 2.0), (75, 3.0), (76, 4.0), (99, 4.0), (100, 4.0)])
def test_percentile_is_a_latency_that_was_measured(percent: float, expected: float) -> None:
    """A percentile is the least latency that so many percent of the messages do not exceed."""
    paced = Paced(sent=4, per_second=1.0, latencies_s=(0.001, 0.002, 0.003, 0.004))

    assert expected == paced.percentile_ms(percent)


def test_spread_is_the_median_between_the_extremes() -> None:
    """A figure over the rounds is their median, with the least and the greatest beside it."""
    assert Spread(median=3.0, least=1.0, greatest=9.0) == spread([9.0, 1.0, 3.0])


@pytest.mark.parametrize(
    ("theirs", "standard_error", "expected"),
    [(2.0, 0.0, True), (2.019, 0.0, True), (2.03, 0.0, False), (1.97, 0.0, False), (2.03, 0.01, True)],
)
def test_rows_agree_within_one_in_a_hundred(theirs: float, standard_error: float, expected: bool) -> None:
    """The yardstick's rows may differ by one in a hundred, or by what chance does in a short run."""
    rows = TableRows(
        table="award", ours=2.0, theirs=theirs, our_bytes=0.0, their_bytes=0.0, standard_error=standard_error
    )

    assert expected == rows.agrees


@pytest.mark.parametrize("name", [name for names in STAGES.values() for name in names])
def test_stage_names_a_function(name: str) -> None:
    """Every function that a stage is measured by is there under its name."""
    assert callable(resolve_name(name))
