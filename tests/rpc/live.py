"""A real server as processes of its own, and a host's stream to it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import orjson

from examples.traffic import TrafficMessage
from processor.v1 import card_network_pb2 as pb
from processor.v1 import card_network_pb2_grpc as pb_grpc

TOKEN_KEYS = f"k1:{bytes(range(32)).hex()}"
WINDOW = 8
"""Frames a host sends before it reads an answer."""


@dataclass(slots=True, kw_only=True)
class Server:
    """A running server: its address and its processes, which share a process group."""

    address: str
    process: subprocess.Popen[bytes] = field(repr=False)

    def kill(self) -> None:
        """End every process of the server at once, as a power cut would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self._ended(10)

    def stop(self) -> int:
        """Ask the server to end, and return its exit code."""
        self.process.terminate()
        return self._ended(40)

    def _ended(self, timeout_s: float) -> int:
        code = self.process.wait(timeout_s)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


def start_server(service_url: str, folder: Path, *, workers: int, clock: str) -> Server:
    """Start a server on a free port and wait until it serves."""
    environment = {
        **os.environ,
        "COBRAND_DATABASE_URL": service_url,
        "COBRAND_TOKEN_KEYS": TOKEN_KEYS,
        "COBRAND_OUTPUT_FOLDER": str(folder / "settlement"),
    }
    command = [sys.executable, "-m", "processor.cli.main", "serve", "--port", "0", "--workers", str(workers)]
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--clock", clock, "--json"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    assert process.stdout is not None
    document = b""
    while not document.endswith(b"}\n"):
        line = process.stdout.readline()
        assert line, (folder / "server.log").read_text()
        document += line
    address = orjson.loads(document)["address"]
    with grpc.insecure_channel(address) as channel:
        grpc.channel_ready_future(channel).result(timeout=30)
    return Server(address=address, process=process)


@contextmanager
def running(service_url: str, folder: Path, *, workers: int, clock: str) -> Iterator[Server]:
    """Run a server for the length of a block."""
    server = start_server(service_url, folder, workers=workers, clock=clock)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


def to_proto(message: TrafficMessage) -> pb.CardMessage:
    """Return a message as the contract carries it."""
    return pb.CardMessage(
        caller_id=message.caller_id,
        bank=message.bank,
        dialect=message.dialect,
        iso8583=message.message,
        iso8583_response=message.response or b"",
    )


def exchange(
    address: str, messages: Sequence[TrafficMessage], *, frame: int, stop_after: Any = None
) -> list[pb.MessageAnswer]:
    """Send messages over one stream and return the answers; ``stop_after`` is called after each answered frame."""
    frames = [
        pb.ExchangeRequest(messages=[to_proto(message) for message in messages[start : start + frame]])
        for start in range(0, len(messages), frame)
    ]
    answers: list[pb.MessageAnswer] = []
    with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        for response in pb_grpc.CardNetworkServiceStub(channel).Exchange(iter(frames)):
            answers.extend(response.answers)
            if stop_after is not None:
                stop_after(len(answers))
    return answers
