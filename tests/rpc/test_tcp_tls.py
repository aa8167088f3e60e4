"""Raw TCP links under TLS: who is let in, who is refused, and what the log says of it."""

import ssl
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from processor.rpc.tcp.links import LinkTls, TcpLink
from tests.flow.conftest import Pipeline
from tests.rpc.certificates import Authority, Issued, client_context
from tests.rpc.tcp_host import LINK, Host, Listening, listening, network, purchase, told

pytestmark = pytest.mark.xdist_group("tcp")

ECHO = network("301")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The certificates of a test."""

    authority: Authority
    server: Issued
    host: Issued
    colleague: Issued
    stranger: Issued

    def link(self) -> TcpLink:
        """Return a link that takes the host's certificate alone."""
        tls = LinkTls(
            certificate=self.server.certificate,
            key=self.server.key,
            client_ca=self.authority.file,
            client_names=frozenset({"switch.alpha.test"}),
        )
        return replace(LINK, tls=tls)

    def context(self, own: Issued | None, *, newest: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """Return what a host connects with."""
        return client_context(self.authority.file, own, newest=newest)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Make an authority that the link trusts, and another one that signs the same name."""
    folder: Path = tmp_path_factory.mktemp("certificates")
    authority = Authority(folder, "authority")
    (folder / "elsewhere").mkdir()
    return Keys(
        authority=authority,
        server=authority.issue("cobrand.test"),
        host=authority.issue("switch.alpha.test"),
        colleague=authority.issue("switch.beta.test"),
        stranger=Authority(folder / "elsewhere", "stranger").issue("switch.alpha.test"),
    )


@pytest.fixture
def found(live: Pipeline, keys: Keys) -> Iterator[Listening]:
    """Listen under TLS."""
    with listening(live.worker, keys.link(), clock=live.clock) as running:
        yield running


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_host_with_its_certificate_is_served(found: Listening, keys: Keys, newest: ssl.TLSVersion) -> None:
    """TLS 1.2 and 1.3 carry the same messages as a bare connection does, and draining closes it in order."""
    first = 3000 if newest is ssl.TLSVersion.TLSv1_2 else 4000
    with Host(found.ports[0], tls=keys.context(keys.host, newest=newest)) as host:
        answers = host.ask(ECHO, *[purchase(first + number) for number in range(300)])

        assert ["", *["ACCEPTED"] * 300] == told(answers)
        found.drain()
        assert [] == host.rest()


@pytest.mark.parametrize("own", ["none", "stranger", "colleague"])
@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_another_certificate_is_refused(
    found: Listening, keys: Keys, own: str, newest: ssl.TLSVersion, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a certificate, with one of another authority, or with another name, nothing is read; the log says why."""
    certificate = {"none": None, "stranger": keys.stranger, "colleague": keys.colleague}[own]

    with pytest.raises((OSError, AssertionError)):
        _ask(found.ports[0], keys.context(certificate, newest=newest))

    status = found.status()
    assert (0, 0, 1) == (status["messages"], status["connections"], status["refused_connections"])
    expected = {"none": "PEER_DID_NOT_RETURN_A_CERTIFICATE", "stranger": "VERIFY_FAILED", "colleague": "client_names"}
    logged = capsys.readouterr().err
    assert '"event": "tcp_refused"' in logged
    assert expected[own] in logged


def test_an_older_tls_is_refused(found: Listening, keys: Keys) -> None:
    """TLS 1.1 is not spoken."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context = keys.context(keys.host, newest=ssl.TLSVersion.TLSv1_1)

    with pytest.raises(OSError, match=r"(?i)version|protocol"):
        _ask(found.ports[0], context)
    assert 1 == found.status()["refused_connections"]


def test_a_host_without_tls_is_refused(found: Listening) -> None:
    """Bare messages on a link with TLS are no handshake, and the next host is served."""
    with Host(found.ports[0]) as host:
        host.send(ECHO)
        host.rest()
    assert (0, 1) == (found.status()["messages"], found.status()["refused_connections"])


def _ask(port: int, context: ssl.SSLContext) -> None:
    with Host(port, tls=context) as host:
        host.ask(ECHO)
