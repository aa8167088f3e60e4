"""A live gRPC server for a test, and what a failed call says."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # It ships none.
from grpc_status import rpc_status


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How a call failed: its code, its reason, its text."""

    code: grpc.StatusCode
    reason: str
    text: str


@contextmanager
def serving(add: Callable[[grpc.aio.Server], None]) -> Iterator[grpc.Channel]:
    """Serve what ``add`` adds on a loopback port, on a thread of its own, and give a channel to it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> tuple[grpc.aio.Server, int]:
        server = grpc.aio.server()
        add(server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return server, port

    server, port = asyncio.run_coroutine_threadsafe(start(), loop).result(timeout=10)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(1), loop).result(timeout=10)
        asyncio.run_coroutine_threadsafe(loop.shutdown_default_executor(), loop).result(timeout=10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)
        loop.close()


def failure_of(call: Callable[[Any], Any], request: Any) -> Failure:
    """Return how a call fails; the details' domain is always ours."""
    with pytest.raises(grpc.RpcError) as failed:
        call(request)
    error: Any = failed.value
    status = rpc_status.from_call(error)
    assert status is not None, error.details()
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "cobrand"
    return Failure(code=error.code(), reason=info.reason, text=error.details())
