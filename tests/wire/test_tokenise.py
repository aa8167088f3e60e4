"""Tokens: keyed, stable, tried under every live key, and printed by nobody."""

import hashlib
import hmac

import pytest

from processor.core.card import Pan
from processor.wire.tokenise import Tokeniser
from tests.wire.conftest import PAN

OLD, NEW = bytes(range(32)), bytes(reversed(range(32)))


def _token(key: bytes) -> bytes:
    return hmac.new(key, PAN.encode(), hashlib.sha256).digest()


def test_a_token_is_the_keyed_digest_of_the_digits() -> None:
    """The token is HMAC-SHA-256 under the active key, the alternates under the other live keys."""
    reference = Tokeniser({"old": OLD, "new": NEW}, "new", {}).reference(Pan(PAN))

    assert _token(NEW) == reference.token
    assert "new" == reference.key_id
    assert (_token(OLD),) == reference.alternates
    assert PAN[-4:] == reference.last_four


def test_the_longest_card_range_wins() -> None:
    """A narrower range is a product of its own; a card of no range has none."""
    tokeniser = Tokeniser({"k": OLD}, "k", {"4": "classic", "40000098": "gold", "5": "other"})

    assert "gold" == tokeniser.reference(Pan(PAN)).product
    assert "classic" == tokeniser.reference(Pan("4111111111111111")).product
    assert tokeniser.reference(Pan("6011000990139424")).product is None


def test_other_card_ranges_keep_the_keys() -> None:
    """New ranges take effect without the keys being handed in again."""
    tokeniser = Tokeniser({"old": OLD, "new": NEW}, "new", {})

    other = tokeniser.with_card_ranges({"4": "classic"})

    assert tokeniser.reference(Pan(PAN)).token == other.reference(Pan(PAN)).token
    assert tokeniser.reference(Pan(PAN)).alternates == other.reference(Pan(PAN)).alternates
    assert "classic" == other.reference(Pan(PAN)).product


@pytest.mark.parametrize(
    ("keys", "active", "ranges", "message"),
    [
        ({"k": b"short"}, "k", {}, "5 bytes"),
        ({"k": OLD}, "other", {}, "active"),
        ({"k": OLD}, "k", {"4x": "gold"}, "not digits"),
    ],
)
def test_wrong_settings_are_refused(keys: dict[str, bytes], active: str, ranges: dict[str, str], message: str) -> None:
    """A short key, an unknown active key or a range of letters is refused when the service starts."""
    with pytest.raises(ValueError, match=message):
        Tokeniser(keys, active, ranges)


def test_a_tokeniser_prints_no_key() -> None:
    """Only names and counts are shown."""
    assert "Tokeniser(active='k', keys=1, ranges=1)" == repr(Tokeniser({"k": OLD}, "k", {"4": "classic"}))


def test_undecoded_bytes_have_a_keyed_digest_of_their_own() -> None:
    """The digest tells bytes apart, depends on the key and is never a card's token."""
    tokeniser = Tokeniser({"k": OLD}, "k", {})

    assert tokeniser.digest(b"x") == tokeniser.digest(b"x")
    other_key = Tokeniser({"k": NEW}, "k", {}).digest(b"x")
    assert 4 == len({tokeniser.digest(b"x"), tokeniser.digest(b"y"), other_key, _token(OLD)})
    assert _token(OLD) != tokeniser.digest(PAN.encode())
