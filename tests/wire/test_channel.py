"""How a card was used, by the point of service fields of both versions."""

import pytest

from processor.core.conditions import Channel
from processor.wire.channel import channel_of
from processor.wire.decode import decode
from processor.wire.encode import encode_message
from processor.wire.message_dates import local_time_of
from tests.wire.conftest import DIALECTS, authorization


@pytest.mark.parametrize(
    ("entry_mode", "condition_code", "channel"),
    [
        ("", "", None),
        ("000", "00", None),
        ("011", "00", None),
        ("021", "00", Channel.CARD_PRESENT),
        ("051", "00", Channel.CARD_PRESENT),
        ("071", "00", Channel.CONTACTLESS),
        ("901", "", Channel.CARD_PRESENT),
        ("911", "", Channel.CONTACTLESS),
        ("812", "00", Channel.E_COMMERCE),
        ("010", "08", Channel.MAIL_PHONE),
        ("010", "59", Channel.E_COMMERCE),
        ("000000000000", "", None),
        ("500101500000", "", Channel.CARD_PRESENT),
        ("500101M00000", "", Channel.CONTACTLESS),
        ("500120600000", "", Channel.MAIL_PHONE),
        ("500130600000", "", Channel.MAIL_PHONE),
        ("500140600000", "", Channel.RECURRING),
        ("500150600000", "", Channel.E_COMMERCE),
        ("500110600000", "", None),
    ],
)
def test_the_channel(entry_mode: str, condition_code: str, channel: Channel | None) -> None:
    """Every value that means one, in three digits and in twelve characters; others mean none."""
    assert channel is channel_of(entry_mode, condition_code)


@pytest.mark.parametrize(
    ("stated", "local_time"),
    [("000000", "0000"), ("235959", "2359"), ("240000", ""), ("126000", ""), ("", "")],
)
def test_the_local_time(stated: str, local_time: str) -> None:
    """Hours and minutes of DE12, of both versions; what is no time is none."""
    for dialect, mti, values in (
        (DIALECTS["iso87-ascii"], "0120", {"local_time": stated}),
        (DIALECTS["iso93-ascii"], "1120", {"local_date_time": f"261122{stated}" if stated else ""}),
    ):
        fields = {
            name: value for name, value in authorization(dialect, **values).items() if value and name in dialect.numbers
        }
        decoded = decode(dialect, encode_message(dialect, mti, fields))
        assert local_time == local_time_of(decoded)


@pytest.mark.parametrize(
    ("entry_mode", "condition_code", "mcc", "wallet", "channel"),
    [
        ("071", "00", "5411", "327", Channel.WALLET),
        ("071", "00", "5411", "   ", Channel.CONTACTLESS),
        ("071", "00", "5542", "327", Channel.PAY_AT_PUMP),
        ("", "", "5542", "", Channel.PAY_AT_PUMP),
        ("051", "00", "5541", "", Channel.CARD_PRESENT),
        ("010", "59", "5542", "", Channel.E_COMMERCE),
    ],
)
def test_the_most_telling_counts(entry_mode: str, condition_code: str, mcc: str, wallet: str, channel: Channel) -> None:
    """A pump outranks a wallet, and a wallet outranks how the number was entered; a pump sells nothing far away."""
    assert channel is channel_of(entry_mode, condition_code, mcc, wallet)
