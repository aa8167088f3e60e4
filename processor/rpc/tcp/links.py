"""Which raw TCP links an installation listens for: values, and the TLS that guards one."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from processor.wire.framing import Framing


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTls:
    """PEM files of our side, the authorities of the other, and the names that its certificate may carry."""

    certificate: Path
    key: Path
    client_ca: Path
    client_names: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLimits:
    """What one link may use of one worker; times are in seconds, None where there is no limit or no echo."""

    connections: int = 64
    in_flight: int = 256
    messages_per_second: int | None = None
    half_message_s: float = 10
    write_s: float = 10
    idle_s: float = 900
    echo_s: float | None = None
    echo_answer_s: float = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpLink:
    """One link: where it listens, whose host connects, how it frames messages, and on which terms."""

    name: str
    bank: str
    dialect: str
    address: str
    port: int
    framing: Framing
    tls: LinkTls | None = None
    sign_on_required: bool = False
    limits: LinkLimits = LinkLimits()

    @property
    def place(self) -> str:
        """Where it listens, as people write it."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def tls_context(tls: LinkTls) -> ssl.SSLContext:
    """Return TLS 1.2 or newer that asks for a client certificate; raises ``OSError`` where a file is of no use."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(tls.certificate, tls.key, password="")  # A key with a password fails; it must not ask.
    context.load_verify_locations(tls.client_ca)
    return context


def names_of(certificate: dict[str, object] | None) -> frozenset[str]:
    """Return the common names and DNS names of a peer's certificate, as :meth:`ssl.SSLSocket.getpeercert` gives it."""
    found: set[str] = set()
    subject: object = (certificate or {}).get("subject", ())
    alternatives: object = (certificate or {}).get("subjectAltName", ())
    if isinstance(subject, tuple):
        found.update(value for part in subject for key, value in part if key == "commonName")
    if isinstance(alternatives, tuple):
        found.update(value for kind, value in alternatives if kind == "DNS")
    return frozenset(found)
