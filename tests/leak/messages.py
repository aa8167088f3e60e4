"""Messages of every dialect with card data in every place where a host may put it, and where it should not."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from processor.wire.dialect import Dialect
from processor.wire.element import Element
from processor.wire.encode import EncodeFailure, encode_message
from tests.leak.known import (
    DISCRETIONARY,
    HOLDER,
    LETTERED_VALUE,
    PIN_BLOCK,
    TRACK_1,
    TRACK_2,
    TRACK_3,
    VERIFICATION_VALUE,
)

_PLAIN: Final = {
    "processing_code": "000000",
    "amount": "000000010000",
    "transmission_date_time": "1120113000",
    "local_time": "113000",
    "local_date": "1120",
    "local_date_time": "261120113000",
    "mcc": "5411",
    "condition_code": "00",
    "acquirer": "412345",
    "terminal": "TERM0001",
    "acceptor": "FRESHMART000101",
    "currency": "978",
}
_PLAIN_87: Final = {"entry_mode": "051", "response_code": "00"}
_PLAIN_93: Final = {"entry_mode": "051051051051", "response_code": "000", "function_code": "200"}

DROPPED: Final = {
    "expiry_date": "3012",
    "track_1": TRACK_1,
    "track_2": TRACK_2,
    "track_3": TRACK_3,
    "pan_extended": "59{pan}",
    "pin_block": PIN_BLOCK,
    "security_control": VERIFICATION_VALUE + "15284716",
    "account_1": "{pan}",
    "account_2": "{pan}",
}
"""What every dialect drops, where it has the element."""

VERIFICATION_FIELDS: Final = ("cvc2", "cvv2", "pan_mapping", "cardholder_verification")
"""Sub-fields of the dialects of networks and terminals that carry card data."""


def mti_of(dialect: Dialect) -> str:
    """Return an advice of the dialect, a presentment where it is one of clearing files."""
    types = set(dialect.message_types.values())
    return next(mti for mti in ("1240", "0120", "1120") if mti in types)


def plain_fields(dialect: Dialect, number: int, pan: str) -> dict[str, str]:
    """Return the fields of a sound message without anything to drop but its card number."""
    stated = {**_PLAIN, **(_PLAIN_87 if dialect.version == "0" else _PLAIN_93), "pan": pan}
    stated |= {"trace_number": f"{number:06d}", "retrieval_reference": f"{number:012d}"}
    if dialect.clearing_identity:
        stated["acquirer_reference"] = f"7123456632300000{number:07d}"
    return {name: value for name, value in stated.items() if name in dialect.numbers}


def full_fields(dialect: Dialect, number: int, pan: str) -> dict[str, str]:
    """Return the fields of a sound message with something in every element that is dropped."""
    dropped = {name: value.format(pan=pan) for name, value in DROPPED.items() if name in dialect.numbers}
    for name in ("track_2", "track_3"):
        if name in dropped and dialect.elements[dialect.numbers[name]].is_packed:
            dropped[name] = dropped[name].replace("=", "D")
    for name in VERIFICATION_FIELDS:
        if name in dialect.subfields:
            dropped[name] = {"cvc2": VERIFICATION_VALUE, "cvv2": LETTERED_VALUE, "pan_mapping": pan}.get(
                name, f"{pan}{VERIFICATION_VALUE}".ljust(40, "0")
            )
    if "chip_data" in dialect.numbers:
        dropped["chip_data"] = chip_data(pan, prefix="010000" if "chip_data_set" in dialect.subfields else "")
    return plain_fields(dialect, number, pan) | dropped


def full_message(dialect: Dialect, number: int, pan: str, **fields: str) -> bytes:
    """Encode a sound message with something in every element that is dropped."""
    return encode_message(dialect, mti_of(dialect), {**full_fields(dialect, number, pan), **fields})


def tlv(tag: str, value: str) -> str:
    """Return a BER-TLV object of less than 256 bytes in hexadecimal."""
    length = len(value) // 2
    return f"{tag}{length:02X}{value}" if length < 0x80 else f"{tag}81{length:02X}{value}"


def chip_data(pan: str, prefix: str = "") -> str:
    """Return chip data with every tag that holds card data, some in templates, and harmless ones around them."""
    track = f"{pan}D3012201{DISCRETIONARY}F"
    discretionary = DISCRETIONARY.encode().hex().upper()
    card_data = [
        tlv("5A", pan),
        tlv("57", track[: len(track) // 2 * 2]),
        tlv("5F20", HOLDER.encode().hex().upper()),
        tlv("56", TRACK_1.format(pan=pan).encode().hex().upper()),
        tlv("9F1F", discretionary),
        tlv("9F20", discretionary),
        tlv("9F6B", track[: len(track) // 2 * 2]),
        tlv("99", PIN_BLOCK),
    ]
    inside = tlv("70", "".join(card_data[:3])) + tlv("E1", tlv("70", "".join(card_data[3:6])))
    return prefix + tlv("9F36", "0001") + inside + "".join(card_data[6:]) + tlv("95", "0000008000")


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A message with one spelling of a number in one element."""

    place: str
    raw: bytes


def placed(dialect: Dialect, pan: str, *, mti: str = "", named: bool = True) -> Iterator[Placed]:
    """Yield messages with a number in each element in turn, in every spelling that fits it.

    ``named`` says whether the number stands in its own element too.
    """
    base = plain_fields(dialect, 1, pan)
    if not named:
        del base["pan"]
    for element in dialect.elements.values():
        if element.name == "pan":
            continue
        for spelling, value in _spellings(element, pan):
            try:
                raw = encode_message(dialect, mti or mti_of(dialect), {**base, element.name: value})
            except EncodeFailure:
                continue
            yield Placed(place=f"{dialect.name} {element.number} {element.name}: {spelling}", raw=raw)


def _spellings(element: Element, pan: str) -> Iterator[tuple[str, str]]:
    if element.content == "b":
        whole = {"packed": pan, "packed oddly": f"F{pan}F", "ascii": pan.encode().hex()}
        whole |= {"ebcdic": pan.encode("cp500").hex(), "track": f"{pan}D3012201{DISCRETIONARY}F0"}
        for spelling, value in whole.items():
            if len(value) <= 2 * element.length:
                yield spelling, value if element.length_digits else value.ljust(2 * element.length, "0")
        return
    texts = {"digits": pan}
    if element.content == "z":
        texts["track"] = TRACK_2.format(pan=pan).replace("=", "D")
    elif element.content != "n":
        texts |= {
            "spaces": " ".join(pan[at : at + 4] for at in range(0, 16, 4)),
            "dashes": "-".join(pan[at : at + 4] for at in range(0, 16, 4)),
            "other groups": f"{pan[:4]} {pan[4:10]}  {pan[10:]}",
            "name": f"CARD {pan} WIEN",
            "city": f"SHOP                   {pan}",
            "track": TRACK_2.format(pan=pan),
            "hexadecimal": pan.encode().hex(),
            "ebcdic": pan.encode("cp500").hex().upper(),
        }
    for spelling, value in texts.items():
        if len(value) <= element.length:
            yield spelling, value
    if 10 <= element.length < len(pan) and not element.name.endswith(("amount", "amounts")):
        yield "cut on the right", pan[: element.length]
        yield "cut on the left", pan[-element.length :]
