"""Links: which traces a message carries, and so which purchase it belongs to."""

from collections.abc import Collection
from dataclasses import replace

import pytest

from processor.core.links import trace_hashes, traces_of
from processor.core.message import CardMessage
from tests.core.strategies import (
    advised,
    authorized,
    eur,
    financial,
    given_back,
    presented,
    refunded,
    reversed_,
    taken_back,
)

PAID = eur(100_00)
ALL = ("lifecycle_id", "approval_code", "retrieval_reference")
NETWORK = "1128120000/000123/412345"
REFERENCES = {"lifecycle_id": "LIFE1", "approval_code": "A1B2C3", "retrieval_reference": "633200000123"}


def referring(message: CardMessage, **references: str) -> CardMessage:
    """Return a message with these references, or all of them where none is named."""
    wanted = references or REFERENCES
    return replace(
        message,
        lifecycle_id=wanted.get("lifecycle_id", ""),
        approval_code=wanted.get("approval_code", ""),
        retrieval_reference=wanted.get("retrieval_reference", ""),
    )


@pytest.mark.parametrize(
    ("message", "surviving", "traces"),
    [
        (authorized(NETWORK, PAID), ALL, (f"network/{NETWORK}",)),
        (advised("own", NETWORK, PAID), ALL, (f"network/{NETWORK}", "network/own")),
        (reversed_("own", NETWORK), ALL, (f"network/{NETWORK}", "network/own")),
        (reversed_(NETWORK, NETWORK), ALL, (f"network/{NETWORK}",)),
        (financial("own", PAID, NETWORK), (), (f"network/{NETWORK}", "network/own")),
        (given_back("own", PAID, NETWORK), (), (f"network/{NETWORK}", "network/own")),
        (presented("7400001", PAID), (), ("acquirer/7400001",)),
        (refunded("7400002", PAID), (), ("acquirer/7400002",)),
        (taken_back("7400001", PAID), (), ("acquirer/7400001",)),
        (presented("", PAID), ALL, ()),
        (replace(authorized(NETWORK, PAID), acquirer_reference="7400001"), ALL, (f"network/{NETWORK}",)),
        (
            referring(authorized(NETWORK, PAID)),
            ALL,
            ("lifecycle/LIFE1", f"network/{NETWORK}", "approval/A1B2C3/CORNER 1", "retrieval/633200000123/CORNER 1"),
        ),
        (
            referring(presented("7400001", PAID)),
            ALL,
            ("lifecycle/LIFE1", "acquirer/7400001", "approval/A1B2C3/CORNER 1", "retrieval/633200000123/CORNER 1"),
        ),
        (referring(authorized(NETWORK, PAID)), (), (f"network/{NETWORK}",)),
        (referring(authorized(NETWORK, PAID)), ("lifecycle_id",), ("lifecycle/LIFE1", f"network/{NETWORK}")),
        (
            referring(authorized(NETWORK, PAID)),
            ("approval_code",),
            (f"network/{NETWORK}", "approval/A1B2C3/CORNER 1"),
        ),
        (
            referring(authorized(NETWORK, PAID)),
            ("retrieval_reference",),
            (f"network/{NETWORK}", "retrieval/633200000123/CORNER 1"),
        ),
        (referring(replace(presented("", PAID), acceptor="")), ALL, ("lifecycle/LIFE1",)),
        (replace(authorized("", PAID), original_trace=""), ALL, ()),
    ],
)
def test_which_traces_a_message_carries(
    message: CardMessage, surviving: Collection[str], traces: tuple[str, ...]
) -> None:
    """The life cycle first, then the original's trace and its own, then what its dialect lets survive, each once."""
    found = traces_of(message, surviving)
    assert traces == tuple(value for _, value in found)
    assert [confidence for confidence, _ in found] == sorted(confidence for confidence, _ in found)


def test_traces_of_different_kinds_never_meet() -> None:
    """The same characters as an approval code and as a retrieval reference are two traces, at each acceptor two."""
    message = referring(presented("X", PAID), lifecycle_id="X", approval_code="X", retrieval_reference="X")
    elsewhere = replace(message, acceptor="CORNER 2")
    assert 4 == len(set(trace_hashes(message, ALL)))
    assert 2 == len(set(trace_hashes(message, ALL)) & set(trace_hashes(elsewhere, ALL)))


def test_a_message_without_a_trace_is_its_own() -> None:
    """Nothing ties it to another message, so its id alone does, and another message has another."""
    alone = presented("", PAID)
    assert trace_hashes(alone, ALL) == trace_hashes(alone, ())
    assert 1 == len(trace_hashes(alone, ALL))
    assert trace_hashes(alone, ALL) != trace_hashes(replace(alone, message_id=b"1" * 16), ALL)


def test_traces_are_kept_as_sixteen_bytes_each() -> None:
    """One hash a trace, in the traces' order, the same at every call."""
    message = advised("own", NETWORK, PAID)
    hashes = trace_hashes(message, ALL)
    assert [16, 16] == [len(value) for value in hashes]
    assert hashes[0] == trace_hashes(authorized(NETWORK, PAID), ALL)[0]
