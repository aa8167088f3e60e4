"""Response files are read strictly: whatever is not of the layout in every detail is refused, with its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.owner_accrual import Answer
from settlement.accrual_response import ReadResponse, read_response
from settlement.layout_reading import FileRefusedError
from tests.settlement.owner_ledger import PAIR, response_file

ONE, OTHER = "0007" + "0b" * 16, "0008" + "0b" * 16
SOUND = response_file([(ONE, "1", "A", ""), (OTHER, "2", "R", "NO-MEMBER")])


def test_a_sound_response_is_read() -> None:
    """Its answers come in order, with their attempts, codes and texts."""
    assert ReadResponse(
        reference="R-1",
        answers=(
            Answer(1, bytes.fromhex(ONE), 1, accepted=True, code="", text=""),
            Answer(2, bytes.fromhex(OTHER), 2, accepted=False, code="NO-MEMBER", text=""),
        ),
    ) == read_response(SOUND, PAIR)


@pytest.mark.parametrize(
    ("wrong", "right", "place"),
    [
        (b"skyways,beta,R-1", b"skyways,alpha,R-1", "line 1, column 4: bank of a response taken here is beta"),
        (b"accrual-response-csv-v1", b"accrual-response-csv-v2", "line 1, column 2: layout of a response"),
        (b"D,1,", b"D,2,", "line 2, column 2: the details are numbered from 1"),
        (b",1,A,", b",1,X,", "line 2, column 5: outcome is of the format choice.AR"),
        (b",1,A,", b",01,A,", "line 2, column 4: attempt is of the format integer..4"),
        (b",NO-MEMBER,", b",,", "line 3, column 6: a rejection has a code"),
        (b",NO-MEMBER,", b",4000000000000002,", "line 3, column 6: code is of the format text..32"),
        (b",NO-MEMBER,", b',"NO,', "line 3, column 1: this is no line of CSV"),
        (b",NO-MEMBER,", b",NO\tMEMBER,", "line 3, column 6: code is"),
        (b"T,2,1,1", b"T,3,1,1", "line 4, column 2: record_count states 3, and the details make 2"),
        (b"T,2,1,1", b"T,2,2,0", "line 4, column 3: accepted states 2, and the details make 1"),
        (b"\r\n", b"\n", "the line ends with LF alone; end every line with CR LF"),
        (b"T,2,1,1,,,\r\n", b"", "a response is one record H, its records D, and one record T"),
        (b"T,2,1,1,,,\r\n", b"T,2,1,1,,,", "line 4, column 1: the last line is not ended"),
        (b"T,2,1,1,,,", b"T,2,1,1,,,x", "line 4, column 7: a record T has 4 fields of 7"),
        (b"H,", b"\xff,", "line 1, column 1: these bytes are no utf-8"),
        (b"H,", b"Q,", "line 1, column 1: a record begins with one of H, D, T"),
        (b"0b0b", b"0B0B", "column 3: accrual is of the format hexadecimal.36"),
    ],
)
def test_what_is_not_sound_is_refused_with_its_place(wrong: bytes, right: bytes, place: str) -> None:
    """One mistake anywhere refuses the whole file, and the error names it without the value that was there."""
    assert wrong in SOUND
    with pytest.raises(FileRefusedError) as refused:
        read_response(SOUND.replace(wrong, right, 1 if wrong != b"\r\n" else -1), PAIR)
    assert place in str(refused.value)
    assert "4000000000000002" not in str(refused.value)


@given(st.data())
def test_a_damaged_response_is_refused_or_reads_the_same(data: st.DataObject) -> None:
    """A byte changed, lost or added never gives other accruals, attempts or outcomes than the file's own."""
    at = data.draw(st.integers(0, len(SOUND) - 1))
    damage = data.draw(st.sampled_from(["change", "lose", "add", "cut"]))
    byte = bytes([data.draw(st.integers(0, 255))])
    damaged = {
        "change": SOUND[:at] + byte + SOUND[at + 1 :],
        "lose": SOUND[:at] + SOUND[at + 1 :],
        "add": SOUND[:at] + byte + SOUND[at:],
        "cut": SOUND[:at],
    }[damage]
    try:
        read = read_response(damaged, PAIR)
    except FileRefusedError:
        return
    assert 2 == len(read.answers)


@given(st.binary(max_size=400))
def test_noise_is_refused(noise: bytes) -> None:
    """Bytes that are no response are refused and nothing else happens."""
    with pytest.raises(FileRefusedError):
        read_response(noise, PAIR)
