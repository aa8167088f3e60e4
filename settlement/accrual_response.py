"""Reading an owner's response file: the answers it holds, or why none of it is taken.

The layout's reader checks each line; here is checked what the lines say of each other and whom the file is for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from processor.core.owner_accrual import Answer
from processor.store.accrual_state import Pair
from settlement.layout import load_layout
from settlement.layout_reading import FileRefusedError, ReadRecord, read_records, refused

LAYOUT: Final = "accrual-response-csv-v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadResponse:
    """What a response file holds: the owner's name for it, and its answers in order."""

    reference: str
    answers: tuple[Answer, ...]


def read_response(content: bytes, pair: Pair) -> ReadResponse:
    """Return what a response file holds; raises :class:`FileRefusedError` unless all of it is sound."""
    records = read_records(load_layout(LAYOUT), content)
    kinds = [record.kind for record in records]
    if len(records) < 2 or kinds != ["H", *["D"] * (len(records) - 2), "T"]:
        raise FileRefusedError("a response is one record H, its records D, and one record T; nothing was taken")
    header, *details, trailer = records
    _check_header(header, pair)
    answers = tuple(map(_answer, details, range(1, len(details) + 1)))
    _check_totals(trailer, answers)
    return ReadResponse(reference=header.values["reference"], answers=answers)


def _check_header(header: ReadRecord, pair: Pair) -> None:
    expected = (("layout", LAYOUT), ("programme", pair.programme), ("bank", pair.bank))
    for column, (name, value) in enumerate(expected, 2):
        if header.values[name] != value:
            raise refused(header.line, column, f"{name} of a response taken here is {value}")


def _answer(detail: ReadRecord, number: int) -> Answer:
    values = detail.values
    if values["number"] != number:
        raise refused(detail.line, 2, f"the details are numbered from 1, and this is number {number}")
    accepted = values["outcome"] == "A"
    if not accepted and not values["code"]:
        raise refused(detail.line, 6, "a rejection has a code")
    return Answer(number, values["accrual"], values["attempt"], accepted, values["code"], values["text"])


def _check_totals(trailer: ReadRecord, answers: Sequence[Answer]) -> None:
    accepted = sum(answer.accepted for answer in answers)
    calculated = {"record_count": len(answers), "accepted": accepted, "rejected": len(answers) - accepted}
    for column, (name, value) in enumerate(calculated.items(), 2):
        if trailer.values[name] != value:
            problem = f"{name} states {trailer.values[name]}, and the details make {value}"
            raise refused(trailer.line, column, problem)
