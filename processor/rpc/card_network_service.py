"""The hosts' stream: frames of messages in, frames of answers out.

A stream reads on while its earlier frames are decided, up to a bound; beyond it the host is made to wait by gRPC's flow
control.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc

from processor.core.outcome import Outcome, Reason
from processor.flow.submission import Answer, IncomingMessage
from processor.flow.worker import DrainingError, QueueFullError, Worker
from processor.v1 import card_network_pb2 as pb
from processor.v1 import card_network_pb2_grpc as pb_grpc

LARGEST_FRAME: Final = 1024
"""Messages in one frame."""
LARGEST_FRAME_BYTES: Final = 4 * 1024 * 1024
FRAMES_IN_FLIGHT: Final = 32
"""Frames of one stream whose answers the host has not read yet."""
PATIENCE_S: Final = 5.0
"""How long a frame waits for room in the queue before its messages are answered as unavailable."""
_PAUSE_S: Final = 0.01
_LONGEST_CALLER_ID: Final = 64


class CardNetworkService(pb_grpc.CardNetworkServiceServicer):
    """Serves hosts from one worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.streams = 0

    async def Exchange(  # noqa: N802 - the contract's name.
        self,
        request_iterator: AsyncIterator[pb.ExchangeRequest],
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002 - gRPC hands it over.
    ) -> AsyncIterator[pb.ExchangeResponse]:
        """Answer every frame; the stream ends when the host has ended its side and all its frames are answered."""
        answers: asyncio.Queue[pb.ExchangeResponse | None] = asyncio.Queue()
        window = asyncio.Semaphore(FRAMES_IN_FLIGHT)
        reader = asyncio.create_task(self._read(request_iterator, answers, window))
        self.streams += 1
        try:
            while (response := await answers.get()) is not None:
                yield response
                window.release()  # Only now: a host that sends and does not read must not fill our memory.
            await reader
        finally:
            self.streams -= 1
            reader.cancel()

    async def _read(
        self,
        frames: AsyncIterator[pb.ExchangeRequest],
        answers: asyncio.Queue[pb.ExchangeResponse | None],
        window: asyncio.Semaphore,
    ) -> None:
        """Queue frame after frame, as the window has room; put None behind the last answer."""
        loop = asyncio.get_running_loop()

        def done(given: list[Answer]) -> None:
            response = pb.ExchangeResponse(answers=[_to_proto(answer) for answer in given])
            loop.call_soon_threadsafe(answers.put_nowait, response)

        try:
            async for frame in frames:
                await window.acquire()
                refusal = _refused(frame)
                if refusal is None:
                    refusal = await self._submit(frame, done)
                if refusal is not None:
                    answers.put_nowait(refusal)
            for _ in range(FRAMES_IN_FLIGHT):
                await window.acquire()
        finally:
            answers.put_nowait(None)

    async def _submit(self, frame: pb.ExchangeRequest, done: Any) -> pb.ExchangeResponse | None:
        """Queue a frame, waiting for room; return its answers where there is none in time."""
        messages = [
            IncomingMessage(
                caller_id=message.caller_id,
                bank=message.bank,
                dialect=message.dialect,
                iso8583=message.iso8583,
                iso8583_response=message.iso8583_response,
            )
            for message in frame.messages
        ]
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            try:
                self._worker.submit(messages, done)
            except QueueFullError:
                if asyncio.get_running_loop().time() > deadline:
                    return _all_alike(frame, Outcome.UNAVAILABLE, Reason.OVERLOADED, _OVERLOADED)
                await asyncio.sleep(_PAUSE_S)
            except DrainingError:
                return _all_alike(frame, Outcome.UNAVAILABLE, Reason.OVERLOADED, _DRAINING)
            else:
                return None


_OVERLOADED: Final = "the queue is full; send the message again after a pause"
_DRAINING: Final = "this worker is shutting down; send the message again on a new stream"


def _refused(frame: pb.ExchangeRequest) -> pb.ExchangeResponse | None:
    """Return the answers to a frame that breaks the contract's bounds, or None."""
    if len(frame.messages) > LARGEST_FRAME:
        problem = f"the frame holds {len(frame.messages)} messages; send at most {LARGEST_FRAME} in one"
        return _all_alike(frame, Outcome.REJECTED, Reason.TOO_LARGE, problem)
    if any(len(message.caller_id.encode()) > _LONGEST_CALLER_ID for message in frame.messages):
        problem = f"a caller_id in the frame is longer than {_LONGEST_CALLER_ID} bytes; shorten it"
        return _all_alike(frame, Outcome.REJECTED, Reason.TOO_LARGE, problem)
    return None


def _all_alike(frame: pb.ExchangeRequest, outcome: Outcome, reason: Reason, problem: str) -> pb.ExchangeResponse:
    return pb.ExchangeResponse(
        answers=[
            pb.MessageAnswer(
                caller_id=message.caller_id[:_LONGEST_CALLER_ID],
                outcome=_OUTCOMES[outcome],
                reason=reason.name,
                problem=problem,
            )
            for message in frame.messages
        ]
    )


_OUTCOMES: Final = {outcome: pb.Outcome.Value(f"OUTCOME_{outcome.name}") for outcome in Outcome}


def _till_offer(answer: Answer) -> pb.TillOffer | None:
    offer = answer.till_offer
    if offer is None:
        return None
    return pb.TillOffer(
        currency=offer.left.currency,
        discount_minor=offer.discount.amount_minor,
        left_minor=offer.left.amount_minor,
    )


def _to_proto(answer: Answer) -> pb.MessageAnswer:
    decision = None
    if answer.explanation:
        decision = pb.Decision(
            explanation=answer.explanation,
            partner=answer.partner,
            quote=answer.quote,
            awards=[
                pb.Award(
                    rule=line.rule,
                    unit=line.unit,
                    pending_change=line.pending_change,
                    posted_change=line.posted_change,
                    expected_date=line.expected_date,
                    granted=line.granted,
                    discount=line.discount,
                )
                for line in answer.awards
            ],
            till_offer=_till_offer(answer),
        )
    return pb.MessageAnswer(
        caller_id=answer.caller_id,
        outcome=_OUTCOMES[answer.outcome],
        reason=answer.reason.name,
        problem=answer.problem,
        iso8583=answer.iso8583,
        decision=decision,
    )
