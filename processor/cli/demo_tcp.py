"""The demo's raw TCP link: the second bank's host signs on and sends its messages once more, over a socket of its own.

It has packed lengths and a TPDU, as many hosts do; what it sends again must change nothing.
"""

import re
import socket
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import schemas
from processor.cli.failure import CommandError
from processor.cli.message_file import MessageLine, UnreadableLine
from processor.wire.decode import MAXIMUM_MESSAGE_BYTES
from processor.wire.dialect import parse_dialect
from processor.wire.encode import encode_message
from processor.wire.framing import TPDU_BYTES, FrameReader, Framing, LengthEncoding, write_frame

BANK: Final = "beta"
DIALECT: Final = "iso87-bcd"

_TPDU: Final = bytes.fromhex("6000010002")
_SWAPPED: Final = bytes.fromhex("6000020001")
_FRAMING: Final = Framing(
    length=LengthEncoding.BCD_2, header_bytes=TPDU_BYTES, largest_message_bytes=MAXIMUM_MESSAGE_BYTES + 1024
)
_LINKS: Final = """\
links:
  - name: {bank}-switch
    bank: {bank}
    dialect: {dialect}
    port: {port}
    length: {{encoding: bcd-2}}
    header: {{kind: tpdu, answer: swap}}
    sign_on: required
"""
_TIMEOUT_S: Final = 60
_NETWORK_MANAGEMENT: Final = "(network management)"
_OUTCOME: Final = re.compile(rb"OC([0-9]{3})")
"""Where an answer's award element begins to tell the outcome, and how long that is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoLink:
    """The file of links that the server starts with, and the port of the one link in it."""

    file: Path
    port: int


def write_link(folder: Path, port: int) -> DemoLink:
    """Write the file of links."""
    file = folder / "tcp-links.yaml"
    file.write_text(_LINKS.format(bank=BANK, dialect=DIALECT, port=port), encoding="utf-8")
    return DemoLink(file=file, port=port)


def send_again(link: DemoLink, lines: Iterable[MessageLine | UnreadableLine]) -> Counter[str]:
    """Send the bank's messages over its link, and return the outcomes that the answers' award elements tell.

    A request that came with its own response is one message to gRPC and two over TCP, so it is left out.
    """
    messages = [
        line.message.iso8583
        for line in lines
        if isinstance(line, MessageLine) and line.message.bank == BANK and not line.message.iso8583_response
    ]
    with socket.create_connection(("127.0.0.1", link.port), timeout=_TIMEOUT_S) as host:
        writer = threading.Thread(target=_write, args=(host, [_sign_on(), *messages]), daemon=True)
        writer.start()
        answers = _answers(host)
        writer.join()
    if not answers or _outcome(answers[0]) != _NETWORK_MANAGEMENT:
        raise CommandError(f"The raw TCP link of {BANK} did not answer its sign-on; the server's log says why.")
    outcomes = Counter(map(_outcome, answers[1:]))
    outcomes["(not answered)"] = len(messages) - outcomes.total()
    return +outcomes


def _outcome(answer: bytes) -> str:
    found = _OUTCOME.search(answer)
    return answer[found.end() : found.end() + int(found[1])].decode() if found else _NETWORK_MANAGEMENT


def _sign_on() -> bytes:
    texts = schemas.iso8583_dialects()
    now = f"{datetime.now(UTC):%m%d%H%M%S}"
    fields = {"transmission_date_time": now, "trace_number": "000001", "network_code": "001"}
    return encode_message(parse_dialect(DIALECT, texts[DIALECT], texts), "0800", fields)


def _write(host: socket.socket, messages: Sequence[bytes]) -> None:
    """Send everything, then end our side: the server answers what it has taken and ends its own."""
    host.sendall(b"".join([write_frame(_FRAMING, _TPDU, message) for message in messages]))
    host.shutdown(socket.SHUT_WR)


def _answers(host: socket.socket) -> list[bytes]:
    reader = FrameReader(_FRAMING)
    answers: list[bytes] = []
    while data := host.recv(65536):
        reader.feed(data)
        frames = reader.take(len(data))
        if reader.failure is not None or any(frame.header != _SWAPPED for frame in frames):
            raise CommandError("The raw TCP link answered with something else than messages behind its TPDU.")
        answers += [frame.message for frame in frames]
    return answers
