"""Sign-on, sign-off and echo: what a network management message asks, and the echo that the processor sends itself.

ISO 8583:1987 says it in the network management information code (data element 70), ISO 8583:1993 in the function code
(data element 24); a dialect has the one or the other.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from processor.wire.decode import Decoded
from processor.wire.dialect import Dialect
from processor.wire.encode import encode_message

_CLASS: Final = "8"
"""The message class of network management, the second digit of the message type (ISO 8583:1987 4.1, :1993 4.1)."""
_REQUEST: Final = "0"
_ORIGINATORS: Final = frozenset("04")
"""The acquirer (1987) and other (1993)."""
_RESPONSES: Final = frozenset("13")


class NetworkEvent(StrEnum):
    """What a network management message asks of a link."""

    SIGN_ON = "sign_on"
    SIGN_OFF = "sign_off"
    ECHO = "echo"
    OTHER = "other"
    """Key changes, cut-over and the rest, which are answered and change nothing."""


_CODES: Final[Mapping[str, Mapping[str, NetworkEvent]]] = {
    "network_code": {"001": NetworkEvent.SIGN_ON, "002": NetworkEvent.SIGN_OFF, "301": NetworkEvent.ECHO},
    "function_code": {"801": NetworkEvent.SIGN_ON, "802": NetworkEvent.SIGN_OFF, "831": NetworkEvent.ECHO},
}
"""By the element that says it, in the order in which a dialect's elements are looked at."""


def is_network_management(dialect: Dialect, raw: bytes) -> bool:
    """Return whether bytes begin with a message type of network management; what follows may still be wrong."""
    start = dialect.message_start
    mti = dialect.message_types.get(raw[start : start + dialect.message_type_length])
    return mti is not None and mti[1] == _CLASS


def is_response(decoded: Decoded) -> bool:
    """Return whether a message answers another one."""
    return decoded.mti[2] in _RESPONSES


def event_of(decoded: Decoded) -> NetworkEvent:
    """Return what a network management message asks."""
    for element, codes in _CODES.items():
        if element in decoded.fields:
            return codes.get(decoded.fields[element], NetworkEvent.OTHER)
    return NetworkEvent.OTHER


def sends_echo(dialect: Dialect) -> bool:
    """Return whether an echo can be written in a dialect."""
    return _echo_type(dialect) is not None and _code_element(dialect) is not None


def echo_message(dialect: Dialect, *, trace_number: str, at: datetime) -> bytes:
    """Return an echo of our own with a trace number of six digits; ask :func:`sends_echo` first."""
    mti, element = _echo_type(dialect), _code_element(dialect)
    if mti is None or element is None:
        raise ValueError(f"dialect {dialect.name} has no network management message")
    utc = at.astimezone(UTC)
    code = next(code for code, event in _CODES[element].items() if event is NetworkEvent.ECHO)
    fields = {"transmission_date_time": f"{utc:%m%d%H%M%S}", "trace_number": trace_number, element: code}
    if element == "function_code" and "local_date_time" in dialect.numbers:
        fields["local_date_time"] = f"{utc:%y%m%d%H%M%S}"  # Mandatory in ISO 8583:1993, data element 12.
    return encode_message(dialect, mti, fields)


def _code_element(dialect: Dialect) -> str | None:
    return next((element for element in _CODES if element in dialect.numbers), None)


def _echo_type(dialect: Dialect) -> str | None:
    """Return 0800 or 1804: the request of the highest originator that is no repeat."""
    types = [mti for mti in dialect.message_types.values() if mti[1:3] == _CLASS + _REQUEST and mti[3] in _ORIGINATORS]
    return max(types, default=None)
