"""Where the parts meet: one worker process, and the supervisor that keeps several on one port.

Nothing here decides anything; it builds what the other modules ask for and hands it over.
"""

import asyncio
import gc
import os
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

import schemas
from processor.config import ConfigurationError, Settings
from processor.core.programme import Programme
from processor.flow.address_book import AddressBook
from processor.flow.batch import BatchDecider
from processor.flow.clearing_run import ClearingDesk, ClearingRun
from processor.flow.intake import Intake
from processor.flow.pace import Pace
from processor.flow.snapshot import Snapshots
from processor.flow.worker import Worker
from processor.log import configure_logging
from processor.rpc.accrual_service import AccrualService
from processor.rpc.card_file_service import CardFileService
from processor.rpc.card_network_service import CardNetworkService
from processor.rpc.clearing_service import ClearingService
from processor.rpc.entitlement_service import EntitlementService
from processor.rpc.ledger_service import LedgerService
from processor.rpc.member_service import MemberService
from processor.rpc.operations_service import OperationsService
from processor.rpc.programme_service import ProgrammeService
from processor.rpc.purchase_service import PurchaseService
from processor.rpc.server import Service, serve
from processor.rpc.settlement_service import SettlementService
from processor.rpc.tcp.link_file import LinkFile, read_links
from processor.rpc.tcp.links import TcpLink
from processor.rpc.tcp.server import TcpServer
from processor.store.engine import connect
from processor.store.operations import remove_worker_status, write_worker_status
from processor.store.reference import load_bucket_count
from processor.store.schema import check_service_role
from processor.v1 import (
    accrual_pb2_grpc,
    card_file_pb2_grpc,
    card_network_pb2_grpc,
    clearing_pb2_grpc,
    entitlement_pb2_grpc,
    ledger_pb2_grpc,
    member_pb2_grpc,
    operations_pb2_grpc,
    programme_pb2_grpc,
    purchase_pb2_grpc,
    settlement_pb2_grpc,
)
from processor.wire.clearing_layout import ClearingLayout
from processor.wire.clearing_layout_text import parse_clearing_layout
from processor.wire.dialect import Dialect, DialectError, parse_dialect

STATUS_EVERY_S: Final = 5.0
GARBAGE_THRESHOLD: Final = 50_000
"""Objects between collections: a batch makes tens of thousands, nearly all of them free of cycles."""
RESTARTS: Final = 10
"""How often in an hour the supervisor starts workers again that ended by themselves."""
RESTARTS_COUNTED_S: Final = 3600.0

Clock = Callable[[], datetime]

_LOG = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """How to serve: ``clock`` is the instant the clock starts from, None for the machine's own.

    ``supervisor`` is the process that a worker must not outlive, None for one that a person started.
    """

    host: str
    port: int
    workers: int
    clock: datetime | None
    number: int = 1
    supervisor: int | None = None


def clock_from(start: datetime | None) -> Clock:
    """Return the clock: the machine's own, or one that starts at ``start`` and runs on, for demos and tests."""
    if start is None:
        return lambda: datetime.now(UTC)
    shift = start - datetime.now(UTC)
    return lambda: datetime.now(UTC) + shift


def compile_dialects(texts: Mapping[str, str]) -> dict[str, Dialect]:
    """Compile dialects, each of which may extend another of them.

    Raises :class:`ConfigurationError` with everything that is wrong with one.
    """
    try:
        return {name: parse_dialect(name, text, texts) for name, text in texts.items()}
    except DialectError as error:
        raise ConfigurationError(f"{error}\n{schemas.DIALECTS_FOLDER} holds a dialect that is not sound") from None


def known_dialects() -> dict[str, Dialect]:
    """Compile the dialects that ship and the installation's own; raises :class:`ConfigurationError`."""
    try:
        texts = schemas.iso8583_dialects()
    except schemas.DialectsFolderError as error:
        raise ConfigurationError(str(error)) from None
    return compile_dialects(texts)


def known_layouts(dialects: Mapping[str, Dialect]) -> dict[str, ClearingLayout]:
    """Compile the layouts of clearing files that ship and the installation's own.

    Raises :class:`ConfigurationError` with everything that is wrong with one.
    """
    try:
        texts = schemas.clearing_layouts()
        return {name: parse_clearing_layout(name, text, texts, dialects) for name, text in texts.items()}
    except schemas.DialectsFolderError as error:
        raise ConfigurationError(str(error)) from None
    except DialectError as error:
        where = f"{schemas.DIALECTS_FOLDER} holds a layout of clearing files that is not sound"
        raise ConfigurationError(f"{error}\n{where}") from None


def load_links(settings: Settings, dialects: Mapping[str, Dialect]) -> tuple[TcpLink, ...]:
    """Return the raw TCP links of the installation, none where COBRAND_TCP_LINKS names no file.

    Raises :class:`ConfigurationError` with every error in the file.
    """
    if settings.tcp_links is None:
        return ()
    source = str(settings.tcp_links)
    try:
        text = settings.tcp_links.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        problem = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigurationError(f"COBRAND_TCP_LINKS names {source}, which cannot be read ({problem})") from None
    read = read_links(text, source=source, dialects=dialects)
    if isinstance(read, LinkFile):
        return read.links
    raise ConfigurationError("COBRAND_TCP_LINKS names a file with mistakes:\n" + "\n".join(map(str, read)))


@dataclass(slots=True, kw_only=True)
class Parts:
    """What one worker process is made of; ``desk`` decides for files and operations, beside the hosts' streams.

    ``clearing`` decides the clearing files that were accepted, at a ``pace`` that lets the streams go first.
    """

    engine: Engine
    snapshots: Snapshots
    intake: Intake
    desk: BatchDecider
    worker: Worker
    tcp: TcpServer
    clearing: ClearingDesk
    pace: Pace
    clock: Clock
    bucket_count: int


def build(settings: Settings, clock: Clock) -> Parts:
    """Connect, check what the database role may do, load the reference data, and build a worker.

    Raises :class:`ConfigurationError` and :class:`~processor.store.schema.SchemaError`, which say what to do.
    """
    if not settings.database_url:
        raise ConfigurationError("COBRAND_DATABASE_URL is not set; set it to postgresql://ROLE@HOST/DATABASE")
    if not settings.token_keys:
        raise ConfigurationError(
            "COBRAND_TOKEN_KEYS is not set; card numbers become tokens under a key of the installation: set id:hex "
            "with 64 hexadecimal digits"
        )
    engine = connect(settings.database_url, pool_size=8)
    keyed = connect(settings.database_url, pool_size=4, keyed=True)
    snapshots = Snapshots()
    with engine.connect() as connection:
        check_service_role(connection)
        bucket_count = load_bucket_count(connection)
        snapshots.refresh(connection)
    dialects = known_dialects()
    layouts = known_layouts(dialects)
    links = load_links(settings, dialects)

    def intake() -> Intake:
        return Intake(
            dialects=dialects, layouts=layouts, token_keys=settings.token_keys, active=settings.active_token_key
        )

    def decider() -> BatchDecider:
        return BatchDecider(
            engine=keyed, snapshots=snapshots, address_book=AddressBook(keyed, bucket_count), clock=clock
        )

    worker = Worker(intake=intake(), decider=decider(), snapshots=snapshots, clock=clock, dialects=dialects)
    pace = Pace(messages=lambda: worker.counts.messages)
    own_name = f"{socket.gethostname()}/{os.getpid()}"
    run = ClearingRun(decider=decider(), intake=intake(), worker=own_name, pace=pace.of_its_own())
    return Parts(
        engine=engine,
        snapshots=snapshots,
        intake=intake(),
        desk=decider(),
        worker=worker,
        tcp=TcpServer(links, worker=worker, dialects=dialects, clock=clock),
        clearing=ClearingDesk(run),
        pace=pace,
        clock=clock,
        bucket_count=bucket_count,
    )


def services_of(parts: Parts, settings: Settings, card_network: CardNetworkService) -> list[Service]:
    """Return every service of the contract, each with the function that adds it to a server."""

    def programme_of(name: str) -> Programme:
        with parts.engine.connect() as connection:
            return parts.snapshots.refresh(connection).latest(name)

    clearing = ClearingService(decider=parts.desk, intake=parts.intake, desk=parts.clearing, pace=parts.pace)
    card_file = CardFileService(decider=parts.desk, intake=parts.intake)
    programmes = ProgrammeService(engine=parts.engine, clock=parts.clock, snapshots=parts.snapshots)
    ledger = LedgerService(engine=parts.engine, bucket_count=parts.bucket_count, snapshots=parts.snapshots)
    entitlements = EntitlementService(
        engine=parts.engine, bucket_count=parts.bucket_count, snapshots=parts.snapshots, clock=parts.clock
    )
    operations = OperationsService(
        engine=parts.engine,
        clock=parts.clock,
        bucket_count=parts.bucket_count,
        snapshots=parts.snapshots,
        decider=parts.desk,
        intake=parts.intake,
    )
    purchases = PurchaseService(
        engine=parts.engine, clock=parts.clock, bucket_count=parts.bucket_count, decider=parts.desk
    )
    members = MemberService(
        engine=parts.engine, clock=parts.clock, bucket_count=parts.bucket_count, snapshots=parts.snapshots
    )
    accruals = AccrualService(
        engine=parts.engine, clock=parts.clock, output_folder=settings.output_folder, programme_of=programme_of
    )
    settlement = SettlementService(
        engine=parts.engine, clock=parts.clock, output_folder=settings.output_folder, programme_of=programme_of
    )
    return [
        Service(
            name="processor.v1.CardNetworkService",
            add=lambda server: card_network_pb2_grpc.add_CardNetworkServiceServicer_to_server(card_network, server),
        ),
        Service(
            name="processor.v1.ClearingService",
            add=lambda server: clearing_pb2_grpc.add_ClearingServiceServicer_to_server(clearing, server),
        ),
        Service(
            name="processor.v1.CardFileService",
            add=lambda server: card_file_pb2_grpc.add_CardFileServiceServicer_to_server(card_file, server),
        ),
        Service(
            name="processor.v1.ProgrammeService",
            add=lambda server: programme_pb2_grpc.add_ProgrammeServiceServicer_to_server(programmes, server),
        ),
        Service(
            name="processor.v1.LedgerService",
            add=lambda server: ledger_pb2_grpc.add_LedgerServiceServicer_to_server(ledger, server),
        ),
        Service(
            name="processor.v1.EntitlementService",
            add=lambda server: entitlement_pb2_grpc.add_EntitlementServiceServicer_to_server(entitlements, server),
        ),
        Service(
            name="processor.v1.OperationsService",
            add=lambda server: operations_pb2_grpc.add_OperationsServiceServicer_to_server(operations, server),
        ),
        Service(
            name="processor.v1.PurchaseService",
            add=lambda server: purchase_pb2_grpc.add_PurchaseServiceServicer_to_server(purchases, server),
        ),
        Service(
            name="processor.v1.MemberService",
            add=lambda server: member_pb2_grpc.add_MemberServiceServicer_to_server(members, server),
        ),
        Service(
            name="processor.v1.AccrualService",
            add=lambda server: accrual_pb2_grpc.add_AccrualServiceServicer_to_server(accruals, server),
        ),
        Service(
            name="processor.v1.SettlementService",
            add=lambda server: settlement_pb2_grpc.add_SettlementServiceServicer_to_server(settlement, server),
        ),
    ]


def run_worker(settings: Settings, options: ServeOptions, announce: Callable[[int], None]) -> None:
    """Serve in this process until it is told to stop; ``announce`` gets the port once calls are served."""
    configure_logging()
    clock = clock_from(options.clock)
    parts = build(settings, clock)
    card_network = CardNetworkService(parts.worker)
    name = f"{socket.gethostname()}/{os.getpid()}/{options.number}"
    started_at = clock()

    async def report() -> None:
        while True:
            if options.supervisor not in {None, os.getppid()}:
                _LOG.error("supervisor_gone")
                os.kill(os.getpid(), signal.SIGTERM)
            try:
                tcp = parts.tcp.status()  # On the loop that changes it.
                await asyncio.to_thread(_write_status, parts, card_network, tcp, name, started_at)
            except SQLAlchemyError as error:
                _LOG.warning("status_not_written", error=type(error).__name__)
            await asyncio.sleep(STATUS_EVERY_S)

    def drained() -> None:
        parts.clearing.stop()
        parts.worker.stop()
        with suppress(SQLAlchemyError), parts.engine.begin() as connection:
            remove_worker_status(connection, name)

    parts.worker.start()
    parts.clearing.start()
    gc.collect()
    gc.freeze()  # The snapshot and the modules live as long as the process: no collection need look at them.
    gc.set_threshold(GARBAGE_THRESHOLD, 20, 50)
    try:
        asyncio.run(
            serve(
                services_of(parts, settings, card_network),
                parts.tcp,
                host=options.host,
                port=options.port,
                announce=announce,
                background=report,
                drained=drained,
            )
        )
    finally:
        parts.engine.dispose()


def _write_status(
    parts: Parts, card_network: CardNetworkService, tcp: list[dict[str, Any]], name: str, started_at: datetime
) -> None:
    """Write what this worker has done, and follow the reference data while no message brings its version along."""
    counts = parts.worker.counts
    with parts.engine.begin() as connection:
        parts.snapshots.refresh(connection)
        write_worker_status(
            connection,
            worker=name,
            started_at=started_at,
            seen_at=parts.clock(),
            detail={
                "messages": counts.messages,
                "queued": parts.worker.queued,
                "snapshot_version": parts.snapshots.current.version,
                "streams": card_network.streams,
                "links": [
                    [bank, dialect, link.messages, link.undecodable, link.last_at.isoformat() if link.last_at else None]
                    for (bank, dialect), link in list(counts.links.items())
                ],
                "tcp_links": tcp,
            },
        )


@contextmanager
def reserved_port(host: str, port: int) -> Iterator[int]:
    """Hold a port that several workers share, so that 0 means one free port for all of them."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((host, port))
        yield int(holder.getsockname()[1])


def supervise(
    command: Callable[[int, int], list[str]],
    options: ServeOptions,
    announce: Callable[[int], None],
    links: Sequence[TcpLink] = (),
) -> int:
    """Run the workers as processes on one port until told to stop; return the exit code.

    The ports of raw ``links`` are held as the one of gRPC is, so that no other program takes them meanwhile.
    ``command`` gives the command line of worker n on a port.
    ``announce`` is called once a worker takes calls.
    A worker that ends by itself is started again a bounded number of times an hour; then all are stopped.
    """
    configure_logging()
    with ExitStack() as held:
        port = held.enter_context(reserved_port(options.host, options.port))
        for link in links:
            held.enter_context(reserved_port(link.address, link.port))
        signalled: list[int] = []
        for asked in (signal.SIGTERM, signal.SIGINT):
            signal.signal(asked, lambda received, _frame: signalled.append(received))
        workers = {number: _start(command(number, port)) for number in range(1, options.workers + 1)}
        restarts: deque[float] = deque()
        announced = False
        while not signalled and len(restarts) <= RESTARTS:
            if not announced and _is_served(options.host, port):
                announce(port)
                announced = True
            time.sleep(0.1)
            while restarts and restarts[0] < time.monotonic() - RESTARTS_COUNTED_S:
                restarts.popleft()
            for number, worker in workers.items():
                if worker.poll() is not None and not signalled:
                    _LOG.error("worker_ended", number=number, exit_code=worker.returncode)
                    restarts.append(time.monotonic())
                    workers[number] = _start(command(number, port))
        for worker in workers.values():
            worker.terminate()
        codes = [worker.wait() for worker in workers.values()]
    return 0 if signalled else max(1, *codes)


def _is_served(host: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((host, port), timeout=1.0):
        return True
    return False


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command)  # noqa: S603 - our own command, built from our own options.
