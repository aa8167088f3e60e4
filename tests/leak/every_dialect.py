"""The example programme with a link of its first bank for every dialect of hosts."""

from processor.wire.dialect import Dialect
from tests.flow.conftest import DIALECTS, SKYWAYS

_FIRST_LINKS = "    links:\n"


def host_dialects() -> list[Dialect]:
    """Return the shipped dialects that are no clearing files'."""
    return [dialect for dialect in DIALECTS.values() if not dialect.clearing_identity]


def document_with_every_dialect() -> str:
    """Return the example programme's document, its first bank's links extended."""
    text = (SKYWAYS / "programme.yaml").read_text()
    before, links, after = text.partition(_FIRST_LINKS)
    others = "".join(
        f"      - {{dialect: {dialect.name}, mode: copy, financial: awaits-clearing, answers: true}}\n"
        for dialect in host_dialects()
        if dialect.name != "iso87-ascii"
    )
    return f"{before}{links}{others}{after}"
