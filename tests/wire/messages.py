"""One message of each kind in the terms of any dialect, for goldens, round trips and measurements."""

from collections.abc import Mapping
from typing import Final

from processor.wire.dialect import Dialect
from tests.wire.conftest import AUTHORIZATION, presentment, track_2_of

_OF_1993: Final = {
    "local_time": "",
    "local_date": "",
    "condition_code": "",
    "local_date_time": "261122111530",
    "entry_mode": "510101511344",
    "function_code": "100",
    "response_code": "000",
}
_VISA: Final = {
    "lifecycle_id": "326326402215310",
    "authorization_characteristics": "Y",
    "network_identification": "2",
    "terminal_type": "4",
    "additional_authorization": "2",
    "chip_data_set": "010010",
    "application_cryptogram": "0102030405060708",
    "application_counter": "0011",
}
_MASTERCARD: Final = {
    "lifecycle_id": "MDSABCDEFGHI",
    "transaction_category": "R",
    "cvc2": "123",
    "electronic_commerce": "0103210",
    "terminal_attendance": "0",
    "transaction_status": "0",
    "acceptor_country_code": "620",
}
_POS: Final = {
    "transmission_date_time": "",
    "acquirer": "",
    "forwarder": "",
    "billing_amount": "",
    "billing_currency": "",
    "lifecycle_id": "",
    "network_international_id": "3",
    "batch_number": "000017",
    "invoice_number": "000231",
    "cvv2": "123",
}
_OWN: Final[Mapping[str, Mapping[str, str]]] = {
    "visa-like-bcd": _VISA,
    "mastercard-like-ebcdic": _MASTERCARD,
    "pos-bcd": _POS,
}
_NETWORK: Final = ("transmission_date_time", "trace_number", "local_time", "local_date", "local_date_time")


def message_types(dialect: Dialect) -> list[str]:
    """Return the message types that goldens and measurements show of a dialect."""
    if dialect.name.startswith("ipm"):
        return ["1240", "1442", "1644", "1740"]
    if dialect.version == "1":
        return ["1100", "1110", "1120", "1420", "1804"]
    return ["0100", "0110", "0120", "0420", "0800"]


def fields_of(dialect: Dialect, mti: str) -> dict[str, str]:
    """Return the fields of a message of one type, as the dialect names them."""
    if dialect.name.startswith("ipm"):
        return _record(mti)
    fields = {**AUTHORIZATION, "track_2": track_2_of(dialect)}
    if dialect.version == "1":
        fields |= _OF_1993
    fields |= _OWN.get(dialect.name, {})
    if mti[1:3] == "80":
        fields = {name: fields[name] for name in _NETWORK if fields.get(name)}
        fields |= {"function_code": "801"} if dialect.version == "1" else {"network_code": "301"}
    elif mti[2] == "0":
        fields |= {"response_code": "", "approval_code": ""}
    if mti[1] == "4":
        fields |= _reversal(dialect)
    return {name: value for name, value in fields.items() if value}


def _reversal(dialect: Dialect) -> dict[str, str]:
    """Return what a reversal of all but 50.00 says beside what an authorization does."""
    if dialect.name == "pos-bcd":
        return {}
    original = {"original_message_type": f"{dialect.version}100", "original_trace_number": "223456"}
    if dialect.version == "1":
        partial = {"function_code": "401", "amount": "5000", "original_amount": "000000012050"}
        return {**original, "original_date_time": "261122111530", "original_acquirer": "40000", **partial}
    partial = {"replacement_amounts": f"{5000:012d}".ljust(42, "0")}
    return {**original, "original_date_time": "1122101530", "original_acquirer": "40000", **partial}


def _record(mti: str) -> dict[str, str]:
    if mti == "1240":
        return presentment(presentment_reversal="R261120", clearing_part="0102")
    if mti == "1442":
        return presentment(function_code="453", message_reason="4853", amount="5000")
    if mti == "1740":
        return presentment(function_code="700", message_reason="7701", local_date_time="", action_date="261124")
    return {"function_code": "697", "file_id": "0022611220000000000100001", "message_number": "1"}
