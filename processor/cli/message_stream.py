"""Streaming messages to a server: frames over one or several connections, bounded in flight, resent with back-off.

It keeps the order in which messages of one stream were offered, as far as the server takes them at the first try.
A message is sent again when its answer says unavailable, and when its connection broke before the answer came: sending
again is always safe.
"""

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final

import grpc

from processor.cli.client import open_channel
from processor.cli.failure import CommandError, failure_of
from processor.cli.message_file import MessageLine
from processor.v1.card_network_pb2 import OUTCOME_UNAVAILABLE, ExchangeRequest, MessageAnswer
from processor.v1.card_network_pb2_grpc import CardNetworkServiceStub

FRAME_MESSAGES: Final = 1024
FRAME_BYTES: Final = 3 * 1024 * 1024
"""The server takes frames of at most 1024 messages and 4 MiB."""

LINGER_SECONDS: Final = 0.02
"""How long a message may wait for others to fill its frame."""

_BROKEN: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED})
"""Statuses after which the same messages are worth another connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTerms:
    """How a connection sends: messages in a frame, messages without an answer at any moment, tries of each message.

    The n-th repeat waits ``pause_seconds`` times 2 to the power of n-1, and never over five seconds.
    """

    frame: int = 64
    in_flight: int = 2048
    tries: int = 7
    pause_seconds: float = 0.1

    def pause(self, tried: int) -> float:
        """Return how long to wait after so many tries."""
        return min(self.pause_seconds * 2.0 ** (tried - 1), 5.0)


@dataclass(slots=True, kw_only=True)
class _Sent:
    """A message on its way, and how often it was sent."""

    entry: MessageLine
    tries: int = 0

    @property
    def size(self) -> int:
        return len(self.entry.message.iso8583) + len(self.entry.message.iso8583_response)


class Connection:
    """One connection to a server, with a thread that reads the answers.

    ``answered`` is called from that thread, once for each message, with its final answer.
    """

    def __init__(self, server: str, terms: StreamTerms, answered: Callable[[MessageLine, MessageAnswer], None]) -> None:
        self._server = server
        self._terms = terms
        self._answered = answered
        self._changed = threading.Condition()
        self._waiting: deque[_Sent] = deque()
        self._waiting_since = 0.0
        self._repeats: list[tuple[float, int, _Sent]] = []
        self._ticket = count()
        self._in_flight: dict[str, _Sent] = {}
        self._answers = 0
        self._complete = False
        self._stopped = False
        self._generation = 0
        self._failure: CommandError | None = None
        self._call: grpc.Call | None = None
        self._thread = threading.Thread(target=self._run, name="cobrand-submit", daemon=True)
        self._thread.start()

    def offer(self, entry: MessageLine) -> None:
        """Take one more message, waiting while too many wait; raises what ended the connection."""
        with self._changed:
            while len(self._waiting) >= 2 * self._terms.in_flight and not self._stopped:
                self._changed.wait()
            self._check()
            if not self._waiting:
                self._waiting_since = time.monotonic()
            self._waiting.append(_Sent(entry=entry))
            if len(self._waiting) in {1, self._terms.frame}:
                self._changed.notify_all()

    def complete(self) -> None:
        """Say that no more messages come."""
        with self._changed:
            self._complete = True
            self._changed.notify_all()

    def join(self) -> None:
        """Wait until every message is answered; raises what ended the connection before that."""
        while self._thread.is_alive():
            self._thread.join(timeout=1)  # In steps, so that an interrupt is heard.
        self._check()

    def stop(self) -> None:
        """Give up whatever is left."""
        with self._changed:
            self._stopped = True
            call = self._call
            self._changed.notify_all()
        if call is not None:
            call.cancel()
        self._thread.join(timeout=5)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        """Exchange frames until all is answered, over a new connection where one breaks."""
        failures, answers = 0, 0
        while True:
            try:
                error = self._exchange()
            except OSError as problem:  # What takes the answers writes them to a file.
                with self._changed:
                    self._end(CommandError(f"The answers cannot be written ({problem.strerror}); make room for them."))
                return
            with self._changed:
                if self._stopped or (error is None and self._is_done()):
                    return
                failures = failures + 1 if self._answers == answers else 1
                answers = self._answers
                lasting = error is not None and error.code() not in _BROKEN
                if lasting or answers == 0 or failures >= self._terms.tries:
                    self._end(self._ended_by(error))
                    return
                self._generation += 1
                self._waiting.extendleft(reversed(self._in_flight.values()))
                self._in_flight.clear()
                self._changed.wait(timeout=self._terms.pause(failures))

    def _end(self, failure: CommandError) -> None:
        self._stopped = True
        self._failure = failure
        self._changed.notify_all()

    def _ended_by(self, error: grpc.RpcError | None) -> CommandError:
        if error is not None:
            return failure_of(error, self._server)
        return CommandError(
            f"The server at {self._server} ended the stream with messages unanswered; submit the file again."
        )

    def _exchange(self) -> grpc.RpcError | None:
        """Run one call until the server ends it; return its error."""
        with open_channel(self._server) as channel:
            call = CardNetworkServiceStub(channel).Exchange(self._frames(self._generation))
            with self._changed:
                self._call = call
            try:
                for response in call:
                    self._take_answers(response.answers)
            except grpc.RpcError as error:
                return error
        return None

    def _take_answers(self, answers: Iterable[MessageAnswer]) -> None:
        final: list[tuple[MessageLine, MessageAnswer]] = []
        with self._changed:
            for answer in answers:
                sent = self._in_flight.pop(answer.caller_id, None)
                if sent is None:
                    continue  # An answer to what was sent over the last connection, and is on its way again.
                if answer.outcome == OUTCOME_UNAVAILABLE and sent.tries < self._terms.tries:
                    due = time.monotonic() + self._terms.pause(sent.tries)
                    heapq.heappush(self._repeats, (due, next(self._ticket), sent))
                else:
                    final.append((sent.entry, answer))
            self._answers += len(final)
            self._changed.notify_all()
        for entry, answer in final:
            self._answered(entry, answer)

    def _frames(self, generation: int) -> Iterator[ExchangeRequest]:
        while frame := self._next_frame(generation):
            yield ExchangeRequest(messages=[sent.entry.message for sent in frame])

    def _next_frame(self, generation: int) -> list[_Sent]:
        """Wait for the next frame; empty when this call is to end."""
        with self._changed:
            while not self._stopped and generation == self._generation and not self._is_done():
                now = time.monotonic()
                if self._is_ready(now):
                    return self._taken(now)
                self._changed.wait(timeout=self._wait_seconds(now))
            return []

    def _is_done(self) -> bool:
        return self._complete and not (self._waiting or self._repeats or self._in_flight)

    def _is_ready(self, now: float) -> bool:
        """Tell whether there is a frame to send: a full one, the last one, or one that has waited long enough."""
        room = self._terms.in_flight - len(self._in_flight)
        if room < min(self._terms.frame, self._terms.in_flight) and self._in_flight:
            return False
        if self._repeats and self._repeats[0][0] <= now:
            return True
        return bool(self._waiting) and (
            self._complete or len(self._waiting) >= self._terms.frame or now - self._waiting_since >= LINGER_SECONDS
        )

    def _wait_seconds(self, now: float) -> float | None:
        """Return for how long nothing will be ready unless something changes, None for always."""
        if self._waiting:
            return LINGER_SECONDS
        return max(self._repeats[0][0] - now, 0.001) if self._repeats else None

    def _taken(self, now: float) -> list[_Sent]:
        """Take a frame off what is due again and what waits, in this order."""
        frame: list[_Sent] = []
        size = 0
        while len(frame) < min(self._terms.frame, self._terms.in_flight) and size < FRAME_BYTES:
            if self._repeats and self._repeats[0][0] <= now:
                sent = heapq.heappop(self._repeats)[2]
            elif self._waiting:
                sent = self._waiting.popleft()
            else:
                break
            sent.tries += 1
            size += sent.size
            self._in_flight[sent.entry.message.caller_id] = sent
            frame.append(sent)
        self._waiting_since = now
        self._changed.notify_all()
        return frame
