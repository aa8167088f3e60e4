"""Raw TCP links on real sockets: the answers, the state of a link, and what keeps neighbours from each other."""

import time
from collections.abc import Callable, Iterator

import iso8583
import pytest
from sqlalchemy import text

from tests.conftest import Database
from tests.flow.conftest import DIALECTS, Pipeline, apply_skyways, iso87, make_pipeline
from tests.rpc.tcp_host import LINK, Host, listening, told


@pytest.fixture
def live(database: Database) -> Iterator[Pipeline]:
    """Give a running worker with the example programme in force."""
    apply_skyways(database)
    pipeline = make_pipeline(database)
    pipeline.worker.start()
    yield pipeline
    pipeline.worker.stop()


def purchase(number: int, mti: str = "0120", **fields: str) -> bytes:
    """Return one approved purchase of its own."""
    values = {"response_code": "00", "trace_number": f"{number:06d}", "retrieval_reference": f"{number:012d}"}
    return iso87(mti, **{**values, **fields}).iso8583


def network(code: str, number: int = 1, mti: str = "0800") -> bytes:
    """Return a network management message of the 1987 dialect."""
    return iso87(mti, pan="", amount="", network_code=code, trace_number=f"{number:06d}").iso8583


def fields_of(message: bytes, dialect: str = "iso87-ascii") -> dict[str, str]:
    """Return the elements of a message by number."""
    return iso8583.decode(message, DIALECTS[dialect].spec)[0]


def until(reached: Callable[[], bool], timeout_s: float = 10) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.02)


def test_an_answer_says_what_a_message_earned(live: Pipeline) -> None:
    """A purchase over TCP is booked and answered in ISO 8583."""
    with listening(live.worker, LINK, clock=live.clock) as found, Host(found.ports[0]) as host:
        (answer,) = host.ask(purchase(1))

        assert "0130" == fields_of(answer)["t"]
        assert ["ACCEPTED"] == told([answer])
        assert ["DUPLICATE"] == told(host.ask(purchase(1, "0121")))
    with live.database.service.connect() as connection:
        assert 1 == connection.execute(text("SELECT count(*) FROM message")).scalar_one()
