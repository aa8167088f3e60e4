"""Every call of the contract with card data in every text it takes: nothing of it is answered, written or logged.

The calls and their fields are read from the contract itself, so that a new one is searched without a word here.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass

from processor.config import Settings
from processor.rpc.card_network_service import CardNetworkService
from processor.v1 import (
    accrual_pb2,
    card_file_pb2,
    card_network_pb2,
    clearing_pb2,
    entitlement_pb2,
    ledger_pb2,
    member_pb2,
    operations_pb2,
    programme_pb2,
    purchase_pb2,
    settlement_pb2,
)
from processor.wiring import build, services_of
from tests.conftest import Database
from tests.flow.clearing_records import clear, presentment
from tests.flow.conftest import DIALECTS, NOW, TOKEN_KEYS, Pipeline, apply_skyways, make_pipeline
from tests.leak.forms import leaks
from tests.leak.known import GOLD, SECRETS, TRACK_2
from tests.leak.messages import full_message
from tests.leak.written import dump, server_log
from tests.rpc.serving import serving

CONTRACT: Final = (
    accrual_pb2,
    card_file_pb2,
    card_network_pb2,
    clearing_pb2,
    entitlement_pb2,
    ledger_pb2,
    member_pb2,
    operations_pb2,
    programme_pb2,
    purchase_pb2,
    settlement_pb2,
)
SPELLINGS: Final = (
    GOLD,
    "4000 0012 3456 7899",
    "4000-0012-3456-7899",
    f"card {GOLD} of Ms Doe",
    TRACK_2.format(pan=GOLD),
    f"accounts/{GOLD}",
    f"accounts/{GOLD}/purchases/{GOLD}",
    f"banks/alpha/accountReferences/{GOLD}",
    f"banks/{GOLD}/accountReferences/A-1",
    f"programmes/{GOLD}",
    f"programmes/{GOLD}/banks/{GOLD}/cycles/2026-11-20/files/{GOLD}",
)
DOCUMENTS: Final = {"ApplyProgramme.document", "ApplyProgramme.source"}
"""A programme document is the operator's own text, and its errors quote it by line and column."""


@pytest.fixture
def cleared(database: Database) -> tuple[Pipeline, dict[str, Any]]:
    """Give a pipeline in which a purchase is cleared, and sound values for the fields of every call."""
    apply_skyways(database)
    pipeline = make_pipeline(database)
    (verdict,) = clear(pipeline, presentment())
    _, account, _, decision = verdict.explanation.split("/")
    message = f"accounts/{account}/messages/{decision.partition('-')[0]}"
    return pipeline, {
        "name": f"accounts/{account}",
        "parent": f"accounts/{account}",
        "presentment": message,
        "amount_minor": 100,
        "miles": 10,
        "stage": 1,
        "currency": "EUR",
        "reason": "Ticket 4711",
        "actor": "maria",
        "request_id": "7d1f3f7e-53a4-4d2c-9a52-0a4f3a3c8a11",
        "bank": "alpha",
        "programme": "skyways",
        "business_date": "2026-11-20",
    }


@pytest.fixture
def channel(cleared: tuple[Pipeline, dict[str, Any]], tmp_path: Path) -> Iterator[grpc.Channel]:
    """Serve every service as a worker does."""
    pipeline = cleared[0]
    settings = Settings(
        database_url=pipeline.database.urls.service_url,
        owner_database_url=None,
        token_keys=TOKEN_KEYS,
        active_token_key="k1",
        output_folder=tmp_path,
        data_folder=tmp_path,
    )
    parts = build(settings, lambda: NOW)
    parts.worker.start()
    services = services_of(parts, settings, CardNetworkService(parts.worker))

    def add(server: grpc.aio.Server) -> None:
        for service in services:
            service.add(server)

    with serving(add) as opened:
        yield opened
    parts.worker.stop()
    parts.engine.dispose()


def said_by_call(channel: Any, method: Any, requests: list[Any]) -> bytes:
    """Return everything that the caller hears: answers, or the status with its details."""
    response = GetMessageClass(method.output_type)
    path = f"/{method.containing_service.full_name}/{method.name}"
    coders = {"request_serializer": type(requests[0]).SerializeToString, "response_deserializer": response.FromString}
    try:
        if method.client_streaming:
            opened = channel.stream_stream if method.server_streaming else channel.stream_unary
            answer = opened(path, **coders)(iter(requests))
        else:
            opened = channel.unary_stream if method.server_streaming else channel.unary_unary
            answer = opened(path, **coders)(requests[0])
        answers = list(answer) if method.server_streaming else [answer]
    except grpc.RpcError as error:
        failed: Any = error
        return repr((failed.code(), failed.details(), failed.debug_error_string(), failed.trailing_metadata())).encode()
    return b"\n".join(repr(one).encode() + one.SerializeToString() for one in answers)


def unary_calls() -> Iterator[tuple[Any, Any]]:
    """Yield every call that takes one request, with each of its fields of text."""
    for module in CONTRACT:
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                for field in () if method.client_streaming else method.input_type.fields:
                    if field.type == field.TYPE_STRING and not field.message_type:
                        yield method, field


def filled(method: Any, values: dict[str, Any]) -> Any:
    """Return a request with sound values in the fields that have one."""
    request = GetMessageClass(method.input_type)()
    for field in method.input_type.fields:
        if field.name in values:
            setattr(request, field.name, values[field.name])
    return request


def test_no_call_repeats_or_keeps_card_data_in_a_text(
    cleared: tuple[Pipeline, dict[str, Any]],
    channel: grpc.Channel,
    log: list[Any],
    caplog: pytest.LogCaptureFixture,
    administrator_url: str,
) -> None:
    """Each text of each call holds a number in every spelling; answers, error details, tables and logs hold none."""
    pipeline, values = cleared
    found: dict[str, bytes] = {}
    for method, field in unary_calls():
        if f"{method.name}.{field.name}" in DOCUMENTS:
            continue
        for spelling in SPELLINGS:
            request = filled(method, values)
            if field.is_repeated:
                getattr(request, field.name).append(spelling)
            else:
                setattr(request, field.name, spelling)
            found[f"{method.name}.{field.name}: {spelling}"] = said_by_call(channel, method, [request])
    found |= {
        "log": repr(log).encode(),
        "libraries": caplog.text.encode(),
        "server's log": server_log(administrator_url),
    }
    found |= dump(pipeline.database)

    assert 200 < len(found)
    assert {} == {place: leaks(said, SECRETS) for place, said in found.items() if leaks(said, SECRETS)}


def streams() -> Iterator[tuple[str, Any, list[Any]]]:
    """Yield calls that take a stream, with a number in each text and in the bytes."""
    raw = full_message(DIALECTS["iso87-ascii"], 1, GOLD)
    network = card_network_pb2.DESCRIPTOR.services_by_name["CardNetworkService"].methods_by_name["Exchange"]
    for bank, dialect in ((GOLD, "iso87-ascii"), ("alpha", GOLD), ("alpha", "iso87-bcd"), ("alpha", "iso87-ascii")):
        for content in (raw, raw[:60], GOLD.encode()):
            message = card_network_pb2.CardMessage(caller_id="1", bank=bank, dialect=dialect, iso8583=content)
            yield f"Exchange {bank} {dialect}", network, [card_network_pb2.ExchangeRequest(messages=[message])]
    clearing = clearing_pb2.DESCRIPTOR.services_by_name["ClearingService"].methods_by_name["SubmitClearingFile"]
    for bank, dialect in ((GOLD, ""), ("alpha", GOLD), ("alpha", ""), ("alpha", "posting-csv-v1")):
        header = clearing_pb2.ClearingFileHeader(bank=bank, dialect=dialect)
        pieces = [clearing_pb2.SubmitClearingFileRequest(header=header)]
        pieces.append(clearing_pb2.SubmitClearingFileRequest(content=f"POSTINGS;{GOLD}\n{GOLD};{GOLD}\n".encode()))
        yield f"SubmitClearingFile {bank} {dialect}", clearing, pieces
    cards = card_file_pb2.DESCRIPTOR.services_by_name["CardFileService"].methods_by_name["SubmitCards"]
    for field in card_file_pb2.CardRecord.DESCRIPTOR.fields:
        if field.type == field.TYPE_STRING:
            sound = {"card_number": GOLD, "account_reference": "A-1", "product": "alpha-gold"}
            typed: Any = {**sound, field.name: SPELLINGS[1]}
            record = card_file_pb2.CardRecord(**typed)
            for bank in ("alpha", GOLD):
                request = card_file_pb2.SubmitCardsRequest(bank=bank, records=[record])
                yield f"SubmitCards {bank} {field.name}", cards, [request]


def test_no_stream_repeats_or_keeps_card_data(
    cleared: tuple[Pipeline, dict[str, Any]],
    channel: grpc.Channel,
    log: list[Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Names and content of a stream hold a number; but for the answer in ISO 8583 nothing that comes back does."""
    found: dict[str, bytes] = {}
    for number, (name, method, requests) in enumerate(streams()):
        found[f"{number} {name}"] = said_by_call(channel, method, requests)
    found |= {"log": repr(log).encode(), "libraries": caplog.text.encode(), **dump(cleared[0].database)}
    answered = {place for place, said in found.items() if place.endswith("Exchange alpha iso87-ascii")}

    leaking = {place: leaks(said, SECRETS) for place, said in found.items() if leaks(said, SECRETS)}
    assert {GOLD} == set().union(*leaking.values()), "the answer repeats the number to the host that sent it"
    assert {} == {place: secrets for place, secrets in leaking.items() if place not in answered}
