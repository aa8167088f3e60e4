"""Reading a message: whatever a host puts wherever, nothing that leaves the wire layer holds it."""

import pytest

from processor.wire.card_message import to_card_message
from processor.wire.decode import DecodeFailure, decode, merge_response
from processor.wire.describe import describe
from processor.wire.dialect import Dialect
from processor.wire.encode import encode_message
from processor.wire.stored import message_to_json
from processor.wire.tokenise import Tokeniser
from tests.flow.conftest import DIALECTS, NOW, TOKEN_KEYS
from tests.leak.forms import leaks
from tests.leak.held import pickled, said_by
from tests.leak.known import CLASSIC, GOLD, SECRETS, parts_of
from tests.leak.messages import full_message, placed, plain_fields

TOKENISER = Tokeniser(TOKEN_KEYS, "k1", {})
SOUGHT = (*SECRETS, *parts_of(GOLD))
DECODED = [pytest.param(dialect, id=name) for name, dialect in DIALECTS.items()]
ONLINE = [pytest.param(dialect, id=name) for name, dialect in DIALECTS.items() if not dialect.clearing_identity]


def heard(dialect: Dialect, raw: bytes) -> bytes:
    """Return everything that reading and describing a message says, whether it succeeds or fails."""
    said: list[bytes] = []
    try:
        decoded = decode(dialect, raw)
        said += [repr(decoded).encode(), repr(decoded.fields).encode(), pickled(decoded), pickled(decoded.echo)]
        message = to_card_message(
            decoded,
            dialect=dialect,
            bank="alpha",
            received_at=NOW,
            tokeniser=TOKENISER,
            clearing_file="F",
            record_number=2,
        )
        said += [repr(message).encode(), message_to_json(message), pickled(message)]
    except DecodeFailure as failure:
        said += [said_by(failure), pickled(failure)]
    try:
        said.append(repr(describe(dialect, raw)).encode())
    except DecodeFailure as failure:
        said.append(said_by(failure))
    return b"\n".join(said)


@pytest.mark.parametrize("dialect", DECODED)
def test_what_is_dropped_is_nowhere(dialect: Dialect) -> None:
    """A message with every track, block, value and tag is read, and says none of them."""
    raw = full_message(dialect, 1, GOLD)

    decode(dialect, raw)
    assert GOLD in leaks(raw, SECRETS)
    assert set() == leaks(heard(dialect, raw), SOUGHT)


@pytest.mark.parametrize("dialect", DECODED)
def test_a_number_in_any_element_in_any_spelling_is_nowhere(dialect: Dialect) -> None:
    """The card number in each element, whole, grouped, packed, in another code or cut, comes out nowhere."""
    found = {one.place: leaks(heard(dialect, one.raw), SOUGHT) for one in placed(dialect, GOLD)}

    assert 100 < len(found)
    assert {} == {place: secrets for place, secrets in found.items() if secrets}


@pytest.mark.parametrize("dialect", ONLINE)
def test_what_a_response_repeats_is_nowhere(dialect: Dialect) -> None:
    """A response that does not name the card, but repeats its number in any element, says it in none once merged."""
    asks, answers = ("0100", "0110") if dialect.version == "0" else ("1100", "1110")
    request = decode(dialect, encode_message(dialect, asks, plain_fields(dialect, 1, GOLD)))
    found: dict[str, set[str]] = {}
    for one in placed(dialect, GOLD, mti=answers, named=False):
        try:
            merged = merge_response(dialect, request, decode(dialect, one.raw))
        except DecodeFailure:
            continue
        found[one.place] = leaks(repr(merged.fields).encode(), SOUGHT)

    assert 50 < len(found)
    assert {} == {place: secrets for place, secrets in found.items() if secrets}


@pytest.mark.parametrize("dialect", DECODED)
def test_a_broken_message_is_nowhere(dialect: Dialect) -> None:
    """A message cut at any byte, or with any byte of it spoilt, fails without a word of its content."""
    raw = full_message(dialect, 1, CLASSIC)

    cut = {f"cut at {at}": leaks(heard(dialect, raw[:at]), SOUGHT) for at in range(0, len(raw), 3)}
    spoilt = {
        f"spoilt at {at}": leaks(heard(dialect, raw[:at] + b"\xff" + raw[at + 1 :]), SOUGHT)
        for at in range(0, len(raw), 5)
    }
    assert {} == {how: secrets for how, secrets in {**cut, **spoilt}.items() if secrets}
