"""Which messages belong to one purchase: the traces a message carries, each shared with the others of its purchase.

Two messages of one account belong to the same purchase when they share any trace.
A trace's kind stands before its value, so that values of different kinds never meet.
"""

from collections.abc import Collection
from hashlib import blake2b

from processor.core.message import CardMessage, MessageKind


def traces_of(message: CardMessage, surviving: Collection[str]) -> tuple[str, ...]:
    """Return a message's traces, the strongest first.

    ``surviving`` names the references that the message's dialect says an authorization shares with its clearing
    record: ``lifecycle_id``, ``approval_code``, ``retrieval_reference``.
    An approval code counts only together with the card acceptor, and so does a retrieval reference, because issuers and
    acquirers use them again.
    """
    traces: list[str] = []
    if message.original_trace:
        traces.append(f"network/{message.original_trace}")
    if message.trace:
        traces.append(f"network/{message.trace}")
    if message.lifecycle_id and "lifecycle_id" in surviving:
        traces.append(f"lifecycle/{message.lifecycle_id}")
    if message.acquirer_reference and message.kind in {MessageKind.PRESENTMENT, MessageKind.PRESENTMENT_REVERSAL}:
        traces.append(f"acquirer/{message.acquirer_reference}")
    if message.approval_code and message.acceptor and "approval_code" in surviving:
        traces.append(f"approval/{message.approval_code}/{message.acceptor}")
    if message.retrieval_reference and message.acceptor and "retrieval_reference" in surviving:
        traces.append(f"retrieval/{message.retrieval_reference}/{message.acceptor}")
    return tuple(dict.fromkeys(traces))


def trace_hashes(message: CardMessage, surviving: Collection[str]) -> tuple[bytes, ...]:
    """Return the 16 bytes each of a message's traces is kept as; a message without any is its own only trace."""
    traces = traces_of(message, surviving) or (f"message/{message.message_id.hex()}",)
    return tuple([blake2b(trace.encode(), digest_size=16, person=b"cobrand-trace").digest() for trace in traces])
