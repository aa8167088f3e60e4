"""Instants as the contract carries them."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp


def timestamp(instant: datetime) -> Timestamp:
    """Return an aware instant as a ``google.protobuf.Timestamp``, to the microsecond."""
    message = Timestamp()
    message.FromDatetime(instant)
    return message
