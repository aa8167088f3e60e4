"""Reading the file of raw TCP links: YAML text becomes links, or every error in it at its line and column.

``cobrand serve`` and ``cobrand tcp check`` go through here alone.
A link's terms between bank and processor (copy or inline, answers) stand in the programme document; bank and dialect
name them.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson

import schemas
from processor.core.document_schema import schema_errors
from processor.core.located_document import DocumentError, LocatedDocument, choice, did_you_mean
from processor.core.located_document import Path as Place
from processor.core.located_yaml import locate_yaml
from processor.rpc.tcp.links import LinkLimits, LinkTls, TcpLink, tls_context
from processor.wire.decode import MAXIMUM_MESSAGE_BYTES
from processor.wire.dialect import Dialect
from processor.wire.framing import TPDU_BYTES, Framing, HeaderAnswer, LengthEncoding
from processor.wire.network_management import sends_echo

DEFAULT_ADDRESS: Final = "127.0.0.1"
_OWN_TPDU: Final = bytes.fromhex("6000000000")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFile:
    """The links of a file without errors."""

    links: tuple[TcpLink, ...]


@cache
def links_schema() -> Mapping[str, Any]:
    """Return the JSON Schema of the file, which ships with the code and never changes while it runs."""
    schema: Mapping[str, Any] = orjson.loads(schemas.read("tcp_links", "tcp_links.schema.json"))
    return schema


def read_links(text: str, *, source: str, dialects: Mapping[str, Dialect]) -> LinkFile | tuple[DocumentError, ...]:
    """Return the links of a text, or every error in it, in reading order.

    ``source`` is the file's path; certificates are looked for beside it, and read.
    """
    located = locate_yaml(text, source=source, content="list of links")
    if not isinstance(located, LocatedDocument):
        return located
    found = schema_errors(located, links_schema())
    document = replace(located, broken=located.broken.union(path for path, _ in found))
    errors = [*located.errors, *(error for _, error in found)]
    for place in document.entries("links"):
        errors.extend(_link_errors(document, place, dialects))
    errors.extend(_twice(document))
    if errors:
        return tuple(sorted(errors, key=lambda error: (error.line, error.column)))
    folder = Path(source).parent
    links = tuple(_link(value, folder) for value in document.value["links"])
    unusable = [
        error
        for place, link in zip(document.entries("links"), links, strict=True)
        for error in _tls_errors(document, place, link)
    ]
    return tuple(unusable) or LinkFile(links=links)


def _link_errors(document: LocatedDocument, place: Place, dialects: Mapping[str, Dialect]) -> list[DocumentError]:
    """Return what the schema cannot see in one link."""
    errors = [*_address_errors(document, place), *_header_errors(document, place)]
    dialect = document.get(*place, "dialect")
    if dialect is not None and dialect not in dialects:
        expected = f"{did_you_mean(dialect, dialects)}write one of {choice(sorted(dialects))}"
        errors.append(document.error((*place, "dialect"), f"is {dialect!r}", expected))
    elif dialect is not None and document.get(*place, "limits", "echo_s") and not sends_echo(dialects[dialect]):
        problem = f"asks for echoes, which dialect {dialect} cannot write"
        errors.append(document.error((*place, "limits", "echo_s"), problem, "remove it", at_key=True))
    return errors


def _address_errors(document: LocatedDocument, place: Place) -> list[DocumentError]:
    """Return an error for an address that others can reach without certificates on both sides."""
    address = document.get(*place, "address")
    if address is None:
        return []
    path = (*place, "address")
    try:
        loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        return [document.error(path, f"is {address!r}", "write an IP address, such as 127.0.0.1")]
    if loopback or "tls" in document.get(*place):
        return []
    problem = f"{address} is not a loopback address"
    return [document.error(path, problem, "write tls as well, with client certificates, or listen on 127.0.0.1")]


def _header_errors(document: LocatedDocument, place: Place) -> list[DocumentError]:
    header = document.get(*place, "header")
    if not isinstance(header, dict) or document.get(*place, "header", "kind") is None:
        return []
    path = (*place, "header")
    fixed = header["kind"] == "fixed"
    errors = []
    if fixed and "bytes" not in header:
        errors.append(document.error(path, "lacks the key 'bytes'", "write how long the header is"))
    if not fixed and header.get("bytes", TPDU_BYTES) != TPDU_BYTES:
        errors.append(document.error((*path, "bytes"), "is not 5", "remove it; a TPDU has five bytes"))
    if fixed and header.get("answer") == "swap":
        errors.append(document.error((*path, "answer"), "swaps a header that is no TPDU", "write echo"))
    length = header.get("bytes") if fixed else TPDU_BYTES
    own = document.get(*path, "own")
    if own is not None and length is not None and len(own) != 2 * length:
        errors.append(document.error((*path, "own"), f"is not {length} bytes", f"write {2 * length} digits"))
    return errors


def _twice(document: LocatedDocument) -> list[DocumentError]:
    """Return an error for each name, and each address and port, that an earlier link has."""
    errors: list[DocumentError] = []
    names: set[str] = set()
    addresses: set[tuple[str, int]] = set()
    for place in document.entries("links"):
        name, port = document.get(*place, "name"), document.get(*place, "port")
        address = (document.get(*place, "address") or DEFAULT_ADDRESS, port)
        if name is not None and name in names:
            errors.append(document.error((*place, "name"), f"{name!r} is another link's", "write a name of its own"))
        if port is not None and address in addresses:
            problem = f"another link listens on {address[0]}:{port}"
            errors.append(document.error((*place, "port"), problem, "write a port of its own"))
        names.add(name)
        addresses.add(address)
    return errors


def _tls_errors(document: LocatedDocument, place: Place, link: TcpLink) -> list[DocumentError]:
    """Read the certificates of a link, so that a wrong one is found before anything listens."""
    if link.tls is None:
        return []
    for key, file in (("certificate", link.tls.certificate), ("key", link.tls.key), ("client_ca", link.tls.client_ca)):
        try:
            file.read_bytes()
        except OSError as error:
            path = (*place, "tls", key)
            return [document.error(path, f"{file} cannot be read ({error.strerror})", "name a PEM file")]
    try:
        tls_context(link.tls)
    except OSError as error:
        problem = f"has files that TLS cannot use ({getattr(error, 'reason', None) or 'no certificate in them'})"
        expected = "write PEM files: a certificate, its own key without a password, and the clients' authorities"
        return [document.error((*place, "tls"), problem, expected)]
    return []


def _link(value: Mapping[str, Any], folder: Path) -> TcpLink:
    """Build one link of a document without errors; from here on nothing is refused."""
    limits = dict(value.get("limits", {}))
    largest = limits.pop("message_bytes", MAXIMUM_MESSAGE_BYTES)
    return TcpLink(
        name=value["name"],
        bank=value["bank"],
        dialect=value["dialect"],
        address=value.get("address", DEFAULT_ADDRESS),
        port=value["port"],
        framing=_framing(value, largest),
        tls=_tls(value["tls"], folder) if "tls" in value else None,
        sign_on_required=value.get("sign_on") == "required",
        limits=LinkLimits(**limits),
    )


def _framing(value: Mapping[str, Any], largest: int) -> Framing:
    length, header = value["length"], value.get("header")
    tpdu = header is not None and header["kind"] == "tpdu"
    header_bytes = 0 if header is None else TPDU_BYTES if tpdu else header["bytes"]
    own = bytes.fromhex(header["own"]) if header and "own" in header else _OWN_TPDU if tpdu else bytes(header_bytes)
    swap = header is not None and header.get("answer", "swap" if tpdu else "echo") == "swap"
    return Framing(
        length=LengthEncoding(length["encoding"]),
        counts_itself=length.get("counts_itself", False),
        header_bytes=header_bytes,
        counts_header=length.get("counts_header", True),
        header_answer=HeaderAnswer.SWAP if swap else HeaderAnswer.ECHO,
        own_header=own,
        keep_alive=value.get("keep_alive", False),
        largest_message_bytes=largest,
    )


def _tls(value: Mapping[str, Any], folder: Path) -> LinkTls:
    return LinkTls(
        certificate=folder / value["certificate"],
        key=folder / value["key"],
        client_ca=folder / value["client_ca"],
        client_names=frozenset(value["client_names"]),
    )
