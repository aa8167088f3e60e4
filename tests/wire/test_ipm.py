"""Clearing files: framing, blocks, controls; a file is whole or it is refused."""

import io
from typing import Any

import cardutil.mciipm
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.wire.clearing_file import ClearingFileError, ClearingSummary
from processor.wire.decode import decode
from processor.wire.dialect import Dialect
from processor.wire.encode import encode_message
from processor.wire.ipm import (
    BLOCK_BYTES,
    PROBE_BYTES,
    FramingError,
    looks_blocked,
    read_records,
    write_records,
)
from processor.wire.ipm_file import RecordRole, check_clearing_file, record_role
from tests.wire.conftest import DIALECTS, GOLDEN, presentment

IPM = DIALECTS["ipm93-ebcdic"]
FILE_ID = "0022611220000000000100001"


def _header(**changes: str) -> bytes:
    fields = {"function_code": "697", "file_id": FILE_ID, "message_number": "1", **changes}
    return encode_message(IPM, "1644", {name: value for name, value in fields.items() if value})


def _trailer(records: int, amount: int, **changes: str) -> bytes:
    controls = {"file_messages": f"{records:08d}", "file_amount": f"{amount:016d}", "file_id": FILE_ID}
    fields = {"function_code": "695", "message_number": str(records), **controls, **changes}
    return encode_message(IPM, "1644", {name: value for name, value in fields.items() if value})


def _presentments(count: int) -> list[bytes]:
    return [
        encode_message(
            IPM,
            "1240",
            presentment(acquirer_reference=f"{number:023d}", amount=str(100 * number), message_number=str(number + 1)),
        )
        for number in range(1, count + 1)
    ]


def _records(count: int = 3) -> list[bytes]:
    return [_header(), *_presentments(count), _trailer(count + 2, 50 * count * (count + 1))]


def _check(data: bytes, *, blocked: bool) -> ClearingSummary:
    return check_clearing_file(io.BytesIO(data), IPM, blocked=blocked)


def _read(data: bytes, *, blocked: bool) -> list[tuple[int, int, bytes]]:
    return list(read_records(io.BytesIO(data), blocked=blocked))


def _placed(refusal: ClearingFileError) -> tuple[int, int]:
    """Return the record's number and the byte's offset that a refusal names."""
    _, number, _, _, offset = refusal.place.split()
    return int(number), int(offset)


def _refusal(data: bytes, *, blocked: bool = False) -> ClearingFileError:
    with pytest.raises(ClearingFileError) as caught:
        _check(data, blocked=blocked)
    return caught.value


@pytest.mark.parametrize("blocked", [False, True])
def test_a_file_equals_its_golden_bytes(blocked: bool) -> None:
    """A file of header, three presentments and trailer has the bytes that were once read by hand."""
    name = "ipm-blocked.hex" if blocked else "ipm-unblocked.hex"

    assert bytes.fromhex((GOLDEN / name).read_text()).hex() == write_records(_records(), blocked=blocked).hex()


@pytest.mark.parametrize("blocked", [False, True])
def test_an_independent_reader_reads_the_same(blocked: bool) -> None:
    """Another implementation of the format finds the same records and values."""
    data = write_records(_records(40), blocked=blocked)

    theirs: list[dict[str, Any]] = list(cardutil.mciipm.IpmReader(io.BytesIO(data), encoding="cp500", blocked=blocked))

    ours = [decode(IPM, record) for _, _, record in _read(data, blocked=blocked)]
    assert [row["MTI"] for row in theirs] == [row.mti for row in ours]
    assert [row["DE4"] for row in theirs if "DE4" in row] == [
        int(row.fields["amount"]) for row in ours if "amount" in row.fields
    ]
    assert theirs[-1]["PDS0306"] == ours[-1].fields["file_messages"]
    assert theirs[0]["PDS0105"] == ours[0].fields["file_id"]


@pytest.mark.parametrize("blocked", [False, True])
def test_a_whole_file_is_summed_up(blocked: bool) -> None:
    """The summary counts and adds what the file holds."""
    expected = ClearingSummary(file_id=FILE_ID, records=40, broken=0, totals={"": 82000})

    assert expected == _check(write_records(_records(40), blocked=blocked), blocked=blocked)


def test_records_of_other_kinds_are_counted_and_added() -> None:
    """A chargeback is no presentment, but the trailer counts it and its amount."""
    chargeback = encode_message(IPM, "1442", presentment(function_code="450", amount="700"))
    records = [_header(), *_presentments(1), chargeback, _trailer(4, 800)]

    assert ClearingSummary(file_id=FILE_ID, records=2, broken=0, totals={"": 800}) == _check(
        write_records(records, blocked=False), blocked=False
    )


def test_the_role_of_a_record() -> None:
    """Header and trailer are told from all else."""
    records = [*_records(1), encode_message(IPM, "1740", presentment(function_code="700"))]

    assert [RecordRole.HEADER, RecordRole.RECORD, RecordRole.TRAILER, RecordRole.RECORD] == [
        record_role(decode(IPM, record)) for record in records
    ]


@given(records=st.lists(st.binary(min_size=1, max_size=3000), max_size=8), blocked=st.booleans())
def test_records_survive_their_framing(records: list[bytes], blocked: bool) -> None:
    """Any records come back in order, each with its number and the place of its length in the file."""
    data = write_records(records, blocked=blocked)

    read = _read(data, blocked=blocked)

    assert records == [record for _, _, record in read]
    assert list(range(1, len(records) + 1)) == [number for number, _, _ in read]
    for _, offset, record in read:
        assert len(record).to_bytes(4, "big")[:1] == data[offset : offset + 1]
    if blocked:
        assert 0 == len(data) % BLOCK_BYTES


def test_reading_is_bounded() -> None:
    """The reader asks for pieces of bounded size, never for the whole file."""
    sizes: list[int] = []

    class Source(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            sizes.append(size)
            return super().read(size)

    data = write_records([b"x" * 5000] * 200, blocked=True)

    assert 200 == sum(1 for _ in read_records(Source(data), blocked=True))
    assert {PROBE_BYTES} == set(sizes)


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("cut", [1, 3, 5, 100, 500, 1013, 1014, 2000])
def test_a_cut_file_is_refused(blocked: bool, cut: int) -> None:
    """Wherever the end is missing, the file is refused with a place in it, never half taken."""
    data = write_records(_records(40), blocked=blocked)

    refusal = _refusal(data[:-cut] if blocked else data[: -cut - 4], blocked=blocked)

    number, offset = _placed(refusal)
    assert 0 < number <= 42
    assert 0 < offset < len(data)


def test_a_length_that_leads_nowhere_is_refused() -> None:
    """A length beyond any message's size names the record and its place."""
    records = _records()
    data = bytearray(write_records(records, blocked=False))
    second = 4 + len(records[0])
    data[second] = 0x7F

    refusal = _refusal(bytes(data))

    assert isinstance(refusal, FramingError)
    assert (2, second) == _placed(refusal)
    assert str(refusal).startswith(f"record 2 at byte {second}: ")


@pytest.mark.parametrize("shift", [-1, 1])
def test_a_wrong_length_is_refused(shift: int) -> None:
    """A length off by one breaks the record or the next one."""
    records = _records()
    data = bytearray(write_records(records, blocked=False))
    data[3] += shift

    assert _placed(_refusal(bytes(data)))[0] in {1, 2}


def test_a_broken_block_is_refused_with_its_place() -> None:
    """A block without its fill bytes says where; the records before it were counted."""
    data = bytearray(write_records(_records(40), blocked=True))
    data[2 * BLOCK_BYTES - 1] = 0

    refusal = _refusal(bytes(data), blocked=True)

    assert isinstance(refusal, FramingError)
    assert 2 * BLOCK_BYTES - 2 == _placed(refusal)[1]
    assert _placed(refusal)[0] > 1


def test_bytes_after_the_end_mark_are_refused() -> None:
    """Two files in one are not one file."""
    data = write_records(_records(), blocked=False)

    assert "end mark" in str(_refusal(data + data))


@pytest.mark.parametrize(
    ("controls", "stated", "calculated"),
    [
        ({"file_messages": "00000006"}, 6, 5),
        ({"file_amount": "0000000000000601"}, 601, 600),
        ({"file_id": "9" * 25}, "9" * 25, FILE_ID),
    ],
)
def test_a_false_control_states_both_values(controls: dict[str, str], stated: int | str, calculated: int | str) -> None:
    """The refusal carries what the trailer states and what the file holds."""
    records = [_header(), *_presentments(3), _trailer(5, 600, **controls)]

    refusal = _refusal(write_records(records, blocked=False))

    assert (stated, calculated) == (refusal.stated, refusal.calculated)
    assert f"(stated {stated}, calculated {calculated})" in str(refusal)
    assert 5 == _placed(refusal)[0]


@pytest.mark.parametrize(
    ("records", "number", "problem"),
    [
        ([], 0, "no trailer"),
        (_presentments(1), 1, "not the header"),
        ([_header(file_id="")], 1, "no file id"),
        ([_header(), *_presentments(2)], 3, "no trailer"),
        ([_header(), _header()], 2, "second header"),
        ([*_records(1), *_presentments(1)], 4, "follows the trailer"),
        ([_header(), _trailer(2, 0, file_amount="")], 2, "not a number"),
    ],
)
def test_a_file_in_disorder_is_refused(records: list[bytes], number: int, problem: str) -> None:
    """Header first, trailer last, one of each."""
    refusal = _refusal(write_records(records, blocked=False))

    assert number == _placed(refusal)[0]
    assert problem in refusal.problem


def test_a_broken_record_leaves_the_file_sound() -> None:
    """A record that does not decode is counted; where its amount cannot be read the total must leave room for it."""
    cut = _presentments(1)[0][:-1]
    spoilt = _presentments(1)[0].replace("978".encode("cp500"), "ABC".encode("cp500"))
    records = [_header(), cut, _presentments(1)[0], spoilt]

    summary = _check(write_records([*records, _trailer(5, 100_000)], blocked=False), blocked=False)

    assert (3, 2) == (summary.records, summary.broken)
    refusal = _refusal(write_records([*records, _trailer(5, 1)], blocked=False))
    assert "the trailer's total is not the sum of the amounts" == refusal.problem


def test_a_header_that_does_not_decode_refuses_the_file() -> None:
    """The refusal names the record and does not show its content."""
    refusal = _refusal(write_records([_header()[:-1], _trailer(2, 0)], blocked=False))

    assert 1 == _placed(refusal)[0]
    assert "it does not decode" in str(refusal)


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("count", [0, 1, 3, 7, 40, 400])
def test_blocking_is_recognised(blocked: bool, count: int) -> None:
    """A file's beginning tells whether it is in blocks."""
    data = write_records(_records(count), blocked=blocked)

    assert blocked is looks_blocked(data[:PROBE_BYTES])


def test_spaces_in_the_places_of_the_fill_do_not_deceive() -> None:
    """EBCDIC spaces are the fill byte; a file of spaces whose lengths fit without fill is not in blocks."""
    data = write_records([b"\x40" * 3000, b"\x40" * 2000], blocked=False)

    assert data[1012:1014] == b"\x40\x40"
    assert not looks_blocked(data)
    assert looks_blocked(write_records([b"\x40" * 3000, b"\x40" * 2000], blocked=True))


def test_a_latin_dialect_reads_the_same_file(ipm: Dialect) -> None:
    """The framing is the same whatever the text's codec."""
    assert _read(write_records([_header()], blocked=False), blocked=False) == [(1, 0, _header())]
    assert "file_id" in decode(ipm, _header()).fields
