"""How elements are written: each encoding to the byte, and that nothing unreadable is taken for content."""

import pytest

from processor.wire.decode import DecodeFailure, decode
from processor.wire.dialect import Dialect, parse_dialect
from processor.wire.encode import encode_answer, encode_message
from tests.wire.conftest import PAN, TEXTS

FIFTEEN = PAN[:15]


def _own(text: str, parent: str = "iso87-bcd") -> Dialect:
    return parse_dialect("own", f"extends: {parent}\n{text}", TEXTS)


def _element(entry: str, parent: str = "iso87-bcd") -> Dialect:
    return _own(f"elements: {{2: [pan, n..19, Number, {entry}]}}", parent)


@pytest.mark.parametrize(
    ("entry", "written"),
    [
        ("{}", "15" + "0" + FIFTEEN),
        ("{pad: right}", "15" + FIFTEEN + "0"),
        ("{pad_digit: F}", "15" + "F" + FIFTEEN),
        ("{pad: right, pad_digit: F}", "15" + FIFTEEN + "F"),
        ("{length: binary}", "0F" + "0" + FIFTEEN),
        ("{length: cp037}", "F1F5" + "0" + FIFTEEN),
        ("{length: latin-1}", "3135" + "0" + FIFTEEN),
        ("{length: binary, length_bytes: 2}", "000F" + "0" + FIFTEEN),
        ("{pad_digit: F, pad: right, counts: bytes}", "08" + FIFTEEN + "F"),
        ("{pad_digit: F, counts: bytes, length: binary}", "08" + "F" + FIFTEEN),
        ("{numeric: latin-1}", "15" + FIFTEEN.encode().hex()),
        ("{numeric: cp500, length: cp500}", "F1F5" + FIFTEEN.encode("cp500").hex().upper()),
        ("{numeric: text, text: cp037}", "15" + FIFTEEN.encode("cp037").hex().upper()),
    ],
)
def test_an_odd_number_is_written_to_the_byte(entry: str, written: str) -> None:
    """Each way of writing fifteen digits gives these bytes, and they read as fifteen digits again."""
    dialect = _element(entry)

    raw = encode_message(dialect, "0100", {"pan": FIFTEEN})

    assert "0100" + "4" + "0" * 15 + written.upper() == raw.hex().upper()
    decoded = decode(dialect, raw)
    assert decoded.pan is not None
    assert FIFTEEN == decoded.pan.clear()


@pytest.mark.parametrize(
    ("entry", "written"),
    [
        ("{}", "15" + "1" + FIFTEEN),
        ("{}", "15" + "F" + FIFTEEN),
        ("{pad: right, pad_digit: F}", "15" + FIFTEEN + "0"),
        ("{}", "1A" + "0" + FIFTEEN),
        ("{length: latin-1}", "2B35" + "0" + FIFTEEN),
        ("{length: cp037}", "40F5" + "0" + FIFTEEN),
        ("{length: binary}", "FF" + "0" + FIFTEEN),
        ("{}", "15" + "0" + FIFTEEN[:-1] + "B"),
        ("{}", "20" + PAN + "0000"),
    ],
)
def test_padding_and_lengths_that_cannot_be_read_are_refused(entry: str, written: str) -> None:
    """Another pad digit, letters, signs, spaces and lengths beyond the element are broken structure."""
    raw = bytes.fromhex("0100" + "4" + "0" * 15 + written)

    with pytest.raises(DecodeFailure, match="2 pan") as caught:
        decode(_element(entry), raw)

    assert PAN[6:12] not in str(caught.value)


def test_one_field_in_ascii_among_packed_digits_and_ebcdic() -> None:
    """An element's own encoding holds for it alone."""
    dialect = _own(
        "encoding: {text: cp037}\nelements: {41: [terminal, ans8, Terminal, {text: latin-1}]}\n", "iso87-bcd"
    )

    raw = encode_message(dialect, "0100", {"trace_number": "1", "terminal": "T1", "acceptor": "A1"})

    assert raw.endswith(bytes.fromhex("000001") + b"T1      " + "A1".ljust(15).encode("cp037"))
    assert ("T1      ", "A1".ljust(15)) == tuple(decode(dialect, raw).fields[name] for name in ("terminal", "acceptor"))


def test_a_hexadecimal_bitmap_in_ebcdic() -> None:
    """The sixteen characters of a bitmap are the text's."""
    dialect = _own("encoding: {bitmap: hex}\n", "iso87-ebcdic")

    raw = encode_message(dialect, "0800", {"trace_number": "1", "network_code": "301"})

    assert "0800" + "8020000000000000" + "0400000000000000" + "000001" + "301" == raw.decode("cp500")
    assert "301" == decode(dialect, raw).fields["network_code"]


@pytest.mark.parametrize("bitmap", ["binary", "hex"])
@pytest.mark.parametrize(("second", "first_bit"), [("always", 0x80), ("unannounced", 0x00)])
def test_a_bitmap_of_sixteen_bytes_needs_no_bit_1(bitmap: str, second: str, first_bit: int) -> None:
    """The second bitmap is always written, with or without bit 1, and read in either case."""
    dialect = _own(f"encoding: {{second_bitmap: {second}, bitmap: {bitmap}}}\n")

    def written(first: int) -> bytes:
        packed = bytes([first, 0x20]) + bytes(14)
        shown = packed if bitmap == "binary" else packed.hex().upper().encode()
        return bytes.fromhex("0800") + shown + bytes.fromhex("000001")

    assert written(first_bit) == encode_message(dialect, "0800", {"trace_number": "1"})
    for first in (0x80, 0x00):
        assert "000001" == decode(dialect, written(first)).fields["trace_number"]
    answer = encode_answer(dialect, written(0x00), award="")
    assert first_bit == (answer[2] if bitmap == "binary" else int(answer[2:4], 16)) & 0x80


def test_elements_above_128_stand_in_a_third_bitmap() -> None:
    """Bit 65 announces the third bitmap, which follows the second; an answer repeats such an element."""
    dialect = _own("elements: {129: [above, n4, Above], 192: [last, ans..9, Last]}\nkept: [above, last, inherited]\n")
    echoing = _own("elements: {129: [above, n4, Above]}\nkept: [above, inherited]\necho: [above]\n")

    raw = encode_message(dialect, "0100", {"above": "12", "last": "END"})

    bitmaps = "8" + "0" * 15 + "8" + "0" * 15 + "8" + "0" * 14 + "1"
    assert "0100" + bitmaps + "0012" + "03" + b"END".hex() == raw.hex()
    assert {"above": "0012", "last": "END"} == decode(dialect, raw).fields
    answer = encode_answer(echoing, encode_message(echoing, "0120", {"above": "12"}), award="")
    assert "0012" == decode(echoing, answer).fields["above"]


@pytest.mark.parametrize("cut", range(2, 27))
def test_a_message_cut_in_its_third_bitmap_is_refused(cut: int) -> None:
    """Wherever the bitmaps end too early, the failure says so."""
    dialect = _own("elements: {129: [above, n4, Above]}\nkept: [above, inherited]\n")

    with pytest.raises(DecodeFailure):
        decode(dialect, encode_message(dialect, "0100", {"above": "12"})[:cut])


def test_a_bit_of_the_third_bitmap_without_an_element_is_refused() -> None:
    """The failure names the element that the dialect lacks."""
    dialect = _own("elements: {129: [above, n4, Above]}\nkept: [above, inherited]\n")
    raw = bytearray(encode_message(dialect, "0100", {"above": "12"}))
    raw[18] |= 0x40

    with pytest.raises(DecodeFailure) as caught:
        decode(dialect, bytes(raw))

    assert "130" == caught.value.field


def test_bytes_in_hexadecimal_that_are_none_are_noted() -> None:
    """Letters beyond F in a binary element are odd, and the message is decoded all the same."""
    dialect = _own("", "iso87-ascii")
    raw = encode_message(dialect, "0100", {"trace_number": "1", "mac": "0123456789ABCDEF"})

    decoded = decode(dialect, raw.replace(b"0123456789ABCDEF", b"0123456789ABCDEX"))

    assert ("mac is not whole bytes in hexadecimal",) == decoded.oddities


def test_odd_digits_in_an_element_that_is_not_kept_are_noted() -> None:
    """Nothing that the library lets pass goes unseen, also where it is forgotten."""
    dialect = _own("", "iso87-ascii")
    raw = encode_message(dialect, "0100", {"trace_number": "1", "expiry_date": "2912"})

    assert ("expiry_date is not digits",) == decode(dialect, raw.replace(b"2912", b"2A12")).oddities


def test_an_empty_card_number_beside_a_track_is_noted() -> None:
    """The track names the card; that its own element is empty is said."""
    dialect = _own("", "iso87-ascii")
    raw = encode_message(dialect, "0100", {"pan": PAN, "track_2": f"{PAN}=2912"})

    decoded = decode(dialect, raw.replace(b"16" + PAN.encode() + b"21", b"0021"))
    assert decoded.pan is not None
    assert PAN == decoded.pan.clear()
    assert ("pan is empty",) == decoded.oddities

    odd = decode(dialect, raw.replace(b"16" + PAN.encode() + b"21" + PAN.encode(), b"0021" + b"X" * 16))
    assert odd.pan is None
    assert ("pan is empty", "track_2 holds no card number") == odd.oddities
