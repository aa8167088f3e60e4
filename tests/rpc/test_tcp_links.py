"""The file of raw TCP links: what it compiles to, and every mistake at its line and column."""

import textwrap
from pathlib import Path

import pytest

from processor.rpc.tcp.link_file import LinkFile, read_links
from processor.rpc.tcp.links import LinkLimits, LinkTls, TcpLink, names_of
from processor.rpc.tcp.state import Pace
from processor.wire.framing import Framing, HeaderAnswer, LengthEncoding
from tests.flow.conftest import DIALECTS, SKYWAYS
from tests.rpc.certificates import Authority

SOUND = """\
links:
  - name: alpha
    bank: alpha
    dialect: iso87-ascii
    port: 7471
    length: {encoding: binary-2}
"""


def mistakes(text: str, source: str = "links.yaml") -> list[str]:
    """Return the mistakes of a file."""
    read = read_links(text, source=source, dialects=DIALECTS)
    assert not isinstance(read, LinkFile)
    return [str(error) for error in read]


def with_line(line: str) -> str:
    """Return the sound file with one more line in its link, the seventh."""
    return SOUND + textwrap.indent(line, "    ") + "\n"


def test_the_example_is_sound() -> None:
    """Every key of the example arrives in the link it describes, and the rest has its default."""
    file = SKYWAYS / "tcp-links.yaml"

    read = read_links(file.read_text(), source=str(file), dialects=DIALECTS)

    assert isinstance(read, LinkFile)
    assert read.links == (
        TcpLink(
            name="alpha-switch",
            bank="alpha",
            dialect="iso87-ascii",
            address="127.0.0.1",
            port=7471,
            framing=Framing(length=LengthEncoding.BINARY_2, keep_alive=True, largest_message_bytes=8192),
            limits=LinkLimits(connections=32, in_flight=256, echo_s=60),
        ),
        TcpLink(
            name="beta-switch",
            bank="beta",
            dialect="iso87-bcd",
            address="127.0.0.1",
            port=7472,
            framing=Framing(
                length=LengthEncoding.BCD_2,
                header_bytes=5,
                header_answer=HeaderAnswer.SWAP,
                own_header=bytes.fromhex("6000020001"),
                largest_message_bytes=8192,
            ),
            sign_on_required=True,
            limits=LinkLimits(connections=8, messages_per_second=2000, half_message_s=5),
        ),
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("address: 10.0.0.1", "links.yaml:7:14 links[0].address: 10.0.0.1 is not a loopback address; write tls"),
        ("address: 1.2.3", "links.yaml:7:14 links[0].address: is '1.2.3'; write an IP address"),
        ("header: {kind: fixed}", "links.yaml:7:13 links[0].header: lacks the key 'bytes'; write how long"),
        ("header: {kind: tpdu, bytes: 6}", "links.yaml:7:33 links[0].header.bytes: is not 5; remove it"),
        (
            "header: {kind: fixed, bytes: 9, answer: swap}",
            "links.yaml:7:45 links[0].header.answer: swaps a header that is no TPDU; write echo",
        ),
        ('header: {kind: tpdu, own: "6000"}', "links.yaml:7:31 links[0].header.own: is not 5 bytes; write 10 digits"),
        ("limits: {connections: 0}", "links.yaml:7:27 links[0].limits.connections: is the number 0; write open"),
        ("limits: {colour: 1}", "links.yaml:7:14 links[0].limits.colour: is no known key; write one of connections"),
        ("sign_on: maybe", "links.yaml:7:14 links[0].sign_on: is 'maybe'; write required or optional"),
        (
            "tls: {certificate: no.pem, key: no.key, client_ca: ca.pem, client_names: [a]}",
            "links.yaml:7:24 links[0].tls.certificate: no.pem cannot be read (No such file or directory); name a PEM",
        ),
        (
            "tls: {certificate: a, key: b, client_ca: c}",
            "links.yaml:7:10 links[0].tls: lacks the key 'client_names'; write client_names: the common names",
        ),
    ],
)
def test_a_mistake_is_named_at_its_place(line: str, expected: str) -> None:
    """Each error says where, what, and what to write instead."""
    (mistake,) = mistakes(with_line(line))
    assert mistake.startswith(expected), mistake


def test_mistakes_between_links_and_dialects_are_found() -> None:
    """An unknown dialect, an echo it cannot write, a name and a port that are taken."""
    other = SOUND.replace("links:\n", "").replace("iso87-ascii", "ipm93-ebcdic") + "    limits: {echo_s: 60}\n"

    assert [
        "links.yaml:4:14 links[0].dialect: is 'iso87-asci'; did you mean 'iso87-ascii'? write one of",
        "links.yaml:7:11 links[1].name: 'alpha' is another link's; write a name of its own",
        "links.yaml:10:11 links[1].port: another link listens on 127.0.0.1:7471; write a port of its own",
        "links.yaml:12:14 links[1].limits.echo_s: asks for echoes, which dialect ipm93-ebcdic cannot write; remove it",
    ] == [
        mistake[:length]
        for mistake, length in zip(
            mistakes(SOUND.replace("iso87-ascii", "iso87-asci") + other), (91, 200, 200, 200), strict=True
        )
    ]


def test_a_file_of_nothing_is_no_file_of_links() -> None:
    """An empty file, and an empty list, say what to write."""
    assert ["links.yaml:1:1 document: is empty; write a list of links"] == mistakes("")
    assert mistakes("links: []")[0].startswith("links.yaml:1:8 links: is empty")


def test_certificates_stand_beside_the_file(tmp_path: Path) -> None:
    """Paths begin at the file's folder; files that TLS cannot use are a mistake of the link."""
    authority = Authority(tmp_path, "authority")
    server = authority.issue("server")
    text = with_line(
        "tls: {certificate: server.pem, key: server.key, client_ca: authority.pem, client_names: [switch]}\n"
        "address: 0.0.0.0"
    )

    read = read_links(text, source=str(tmp_path / "links.yaml"), dialects=DIALECTS)

    assert isinstance(read, LinkFile)
    expected = LinkTls(
        certificate=server.certificate,
        key=server.key,
        client_ca=authority.file,
        client_names=frozenset({"switch"}),
    )
    assert expected == read.links[0].tls

    server.key.write_text("no key")
    (mistake,) = mistakes(text, str(tmp_path / "links.yaml"))
    assert "links[0].tls: has files that TLS cannot use" in mistake


def test_names_of_a_certificate() -> None:
    """Common names and DNS names count; other names and no certificate give nothing."""
    certificate: dict[str, object] = {
        "subject": ((("countryName", "AT"),), (("commonName", "switch"),)),
        "subjectAltName": (("DNS", "switch.alpha.test"), ("IP Address", "127.0.0.1")),
    }

    assert frozenset({"switch", "switch.alpha.test"}) == names_of(certificate)
    assert frozenset() == names_of(None)


def test_a_pace_gives_a_seconds_worth_then_one_by_one() -> None:
    """What is not used is kept for a second, no longer."""
    pace = Pace(per_second=10)

    assert 4 == pace.allowed(100.0, 4)
    assert 10 == pace.allowed(100.0, 50)
    pace.spend(10)
    assert 0 == pace.allowed(100.0, 50)
    assert pytest.approx(0.1) == pace.wait_s()
    assert 1 == pace.allowed(100.11, 50)
    assert 10 == pace.allowed(200.0, 50)
    assert 50 == Pace(per_second=None).allowed(0.0, 50)
