"""The servers of one worker process, gRPC and raw TCP: which services there are, how they start, report and end.

gRPC speaks without TLS and asks nobody who they are, so it binds to loopback addresses alone.
"""

import asyncio
import ipaddress
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from processor.rpc.card_network_service import LARGEST_FRAME_BYTES
from processor.rpc.tcp.server import TcpServer

DRAIN_S: Final = 20.0
"""How long streams may finish once shutdown was asked for."""

_OPTIONS: Final = (
    ("grpc.so_reuseport", 1),
    ("grpc.max_receive_message_length", LARGEST_FRAME_BYTES),
    ("grpc.max_concurrent_streams", 256),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)

_LOG = structlog.get_logger(__name__)


class NotLoopbackError(ValueError):
    """The address to bind to can be reached from elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service: its full name, and how it is added to a server."""

    name: str
    add: Callable[[grpc.aio.Server], None]


def require_loopback(host: str) -> None:
    """Raise :class:`NotLoopbackError` unless ``host`` is a loopback address."""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise NotLoopbackError(
            f"{host} is not a loopback address; this version has neither TLS nor roles, so it serves 127.0.0.1 or ::1 "
            "alone"
        )


async def serve(
    services: Sequence[Service],
    tcp: TcpServer,
    *,
    host: str,
    port: int,
    announce: Callable[[int], None],
    background: Callable[[], Any],
    drained: Callable[[], None],
) -> None:
    """Serve until SIGTERM or SIGINT, then drain: what was accepted is answered, nothing new is taken.

    ``announce`` is called with the port once calls are served; ``background`` is a coroutine function that runs beside;
    ``drained`` is called, off the loop, when the streams and connections have ended.
    """
    require_loopback(host)
    server = grpc.aio.server(options=_OPTIONS)
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    for service in services:
        service.add(server)
        await checks.set(service.name, health_pb2.HealthCheckResponse.SERVING)
    await checks.set("", health_pb2.HealthCheckResponse.SERVING)
    names = [service.name for service in services]
    reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    bound = server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    await tcp.start()
    await server.start()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    beside = asyncio.create_task(background())
    announce(bound)
    await stopping.wait()
    _LOG.info("draining")
    await checks.enter_graceful_shutdown()
    await asyncio.gather(server.stop(DRAIN_S), tcp.drain(DRAIN_S))
    beside.cancel()
    await asyncio.to_thread(drained)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)  # Asked twice, it must not end in the middle of its own ending.
