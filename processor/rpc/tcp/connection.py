"""One connection of a host: frames in, answers out, in whatever order they are decided.

An answer means that its message is durable; a message without one is to be sent again, with the repeat message type.
What one read delivers is one submission to the worker; what one batch answers is one write.
It reads on only while the link's bounds allow, which the host feels as TCP's own flow control.
It never logs what a peer sent.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import structlog

from processor.core.outcome import Outcome, Reason
from processor.flow.submission import Answer, IncomingMessage
from processor.flow.worker import DrainingError, QueueFullError
from processor.log import described
from processor.rpc.tcp.ground import Ground
from processor.rpc.tcp.links import names_of
from processor.rpc.tcp.state import SignOn
from processor.wire.decode import DecodeFailure, decode
from processor.wire.encode import EncodeFailure, encode_answer
from processor.wire.framing import Frame, FrameReader, answer_header, write_frame
from processor.wire.network_management import (
    NetworkEvent,
    echo_message,
    event_of,
    is_network_management,
    is_response,
)

PATIENCE_S: Final = 5.0
"""How long messages wait for room in the queue before they are dropped, for the host to send them again."""
LINGER_S: Final = 2.0
"""How long a host may go on sending after our last answer; its bytes are thrown away."""
_PAUSE_S: Final = 0.01

_LOG = structlog.get_logger(__name__)

_EVENTS: Final = {NetworkEvent.SIGN_ON: SignOn.SIGNED_ON, NetworkEvent.SIGN_OFF: SignOn.SIGNED_OFF}


class LinkConnection(asyncio.Protocol):
    """One connection, on the event loop's thread throughout."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._link = ground.link
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader(ground.link.framing)
        self._transport: Any = None
        self._in_flight = 0
        self._queueing = False
        self._throttled = False
        self._unread_since: float | None = None
        self._half_since: float | None = None
        self._heard_at = self._loop.time()
        self._echo: tuple[str, str, float] | None = None
        self._ending: str | None = None
        self._ended = False
        self._host_ended = False
        self._told: set[str] = set()
        self.sign_on = SignOn.CONNECTED
        self.peer = ""
        self.closed: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: Any) -> None:
        """Take a connection that was accepted, unless its certificate names nobody we know."""
        self._transport = transport
        self.peer = str((transport.get_extra_info("peername") or ("unknown",))[0])
        tls = self._link.tls
        if tls is not None and not names_of(transport.get_extra_info("peercert")) & tls.client_names:
            self._ground.refuse_connection(self.peer, "its certificate names none of the link's client_names")
            self._ended = True
            transport.abort()
            return
        self._ground.connections.add(self)
        self._log("tcp_connected")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; answers that still come have nowhere to go, and their messages stay durable."""
        self._ended = True
        self.closed.set_result(None)
        if self in self._ground.connections:
            self._ground.connections.remove(self)
            error = type(exc).__name__ if exc is not None else None
            self._log("tcp_disconnected", reason=self._ending, error=error, in_flight=self._in_flight)

    def data_received(self, data: bytes) -> None:
        """Take what arrived."""
        self._heard_at = self._loop.time()
        if self._ending is None and not self._ended:
            self._reader.feed(data)
            self._pump()

    def eof_received(self) -> bool:
        """Answer what was read before closing our side too; TLS knows no such half of a connection."""
        self._host_ended = True
        if self._ended or self._link.tls is not None:
            return False
        self._loop.call_soon(self._pump)
        return True

    def pause_writing(self) -> None:
        """Note since when the host leaves answers unread."""
        self._unread_since = self._loop.time()

    def resume_writing(self) -> None:
        """Go on."""
        self._unread_since = None
        self._pump()

    def drain(self) -> None:
        """Read no more, answer what was read, then close."""
        if self._ending is None and not self._ended:
            self._ending = "draining"
            self._read_on(wanted=False)
            self._pump()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def check(self, now: float) -> None:
        """Close a connection that kept us waiting too long, and send an echo on a silent one."""
        limits = self._link.limits
        if self._ended or (self._ending is not None and self._unread_since is None):
            return
        if self._unread_since is not None:
            if now - self._unread_since > limits.write_s:
                self._close("the host leaves answers unread", at_once=True)
        elif self._half_since is not None and now - self._half_since > limits.half_message_s:
            self._close("a message was not finished in time")
        elif not self._transport.is_reading():
            self._heard_at = now  # What we do not read we cannot hear.
        elif self._echo is not None and self._heard_at < self._echo[2]:
            if now - self._echo[2] > limits.echo_answer_s:
                self._close("our echo was not answered", at_once=True)
        elif now - self._heard_at > limits.idle_s:
            self._close("nothing was heard")
        elif limits.echo_s is not None and now - self._heard_at >= limits.echo_s:
            self._send_echo(now)

    def _room(self) -> int:
        """Return how many more messages may be taken now."""
        if self._queueing or self._throttled or self._unread_since is not None or self._ended:
            return 0
        pace = self._ground.pace
        bound = self._link.limits.in_flight - self._in_flight
        room = pace.allowed(self._loop.time(), bound)
        if room < 1 <= bound:
            self._throttled = True
            self._loop.call_later(pace.wait_s(), self._unthrottle)
        return room

    def _pump(self) -> None:
        """Take what the bounds allow of what was read, then see whether to read on, or to end."""
        alive = self._reader.keep_alives
        taken = False
        while (room := self._room()) > 0 and (frames := self._reader.take(room)):
            taken = True
            self._take(frames)
        if self._ended:
            return
        failure = self._reader.failure
        if failure is not None and self._ending is None:
            self._close(str(failure))
            return
        self._watch_half_message(room, progress=taken or alive != self._reader.keep_alives)
        if room > 0 and (self._ending is not None or self._host_ended) and not self._in_flight:
            self._finish()
        elif self._ending is None and not self._host_ended:
            self._read_on(wanted=room > 0)

    def _watch_half_message(self, room: int, *, progress: bool) -> None:
        """Note since when a message is half here; one that we do not take ourselves is not late."""
        if room <= 0 or not self._reader.unread_bytes:
            self._half_since = None
        elif progress or self._half_since is None:
            self._half_since = self._loop.time()

    def _read_on(self, *, wanted: bool) -> None:
        if wanted and not self._transport.is_reading():
            self._transport.resume_reading()
        elif not wanted and self._transport.is_reading():
            self._transport.pause_reading()

    def _take(self, frames: Sequence[Frame]) -> None:
        """Answer network management at once, and hand the card messages to the worker together."""
        counts = self._ground.counts
        counts.messages += len(frames)
        counts.last_message_at = self._ground.clock()
        self._ground.pace.spend(len(frames))
        cards: list[Frame] = []
        answers: list[bytes] = []
        for frame in frames:
            if is_network_management(self._ground.dialect, frame.message):
                self._manage(frame, cards, answers)
            elif self._link.sign_on_required and self.sign_on is not SignOn.SIGNED_ON:
                counts.refused += 1
                self._tell_once("tcp_not_signed_on")
            else:
                cards.append(frame)
        if answers:
            self._write(answers)
        if cards:
            self._in_flight += len(cards)
            self._submit(cards, self._loop.time() + PATIENCE_S)

    def _unthrottle(self) -> None:
        self._throttled = False
        self._pump()

    def _manage(self, frame: Frame, cards: list[Frame], answers: list[bytes]) -> None:
        """Answer a sign-on, sign-off or echo; one that does not decode goes the way of all such messages."""
        dialect = self._ground.dialect
        try:
            decoded = decode(dialect, frame.message)
            if is_response(decoded):
                self._hear_response(decoded.fields)
                return
            answer = encode_answer(dialect, frame.message, award="", decoded=decoded)
        except EncodeFailure:
            return  # A notification has no answer.
        except DecodeFailure:
            cards.append(frame)
            return
        except Exception as error:  # noqa: BLE001 - the worker meets the same fault, and keeps the message.
            _LOG.error("tcp_message_not_read", link=self._link.name, **described(error))
            cards.append(frame)
            return
        event = event_of(decoded)
        if event in _EVENTS:
            self.sign_on = _EVENTS[event]
            self._log(f"tcp_{event}")
        elif event is NetworkEvent.ECHO:
            self._ground.counts.last_echo_at = self._ground.clock()
        answers.append(write_frame(self._link.framing, answer_header(self._link.framing, frame.header), answer))

    def _hear_response(self, fields: dict[str, str]) -> None:
        if self._echo is None:
            return
        transmitted, trace_number, _ = self._echo
        if (fields.get("transmission_date_time"), fields.get("trace_number")) == (transmitted, trace_number):
            self._echo = None
            self._ground.counts.last_echo_at = self._ground.clock()

    def _send_echo(self, now: float) -> None:
        at, trace_number = self._ground.clock(), self._ground.next_trace_number()
        raw = echo_message(self._ground.dialect, trace_number=trace_number, at=at)
        self._echo = (f"{at:%m%d%H%M%S}", trace_number, now)
        self._transport.write(write_frame(self._link.framing, self._link.framing.own_header, raw))

    def _submit(self, frames: list[Frame], deadline: float) -> None:
        """Queue messages, waiting for room; those that find none in time are dropped, unanswered."""
        headers = [frame.header for frame in frames]
        messages = [
            IncomingMessage(caller_id="", bank=self._link.bank, dialect=self._link.dialect, iso8583=frame.message)
            for frame in frames
        ]

        def done(answers: list[Answer]) -> None:
            self._loop.call_soon_threadsafe(self._answer, headers, answers)

        try:
            self._ground.worker.submit(messages, done)
        except QueueFullError:
            if not self._ended and self._loop.time() < deadline:
                self._queueing = True
                self._loop.call_later(_PAUSE_S, self._submit, frames, deadline)
                return
            self._drop(len(frames))
        except DrainingError:
            self._drop(len(frames))
        if self._queueing:
            self._queueing = False
            self._pump()

    def _drop(self, messages: int) -> None:
        self._in_flight -= messages
        self._ground.counts.unanswered += messages
        self._tell_once("tcp_overloaded")

    def _answer(self, headers: Sequence[bytes], answers: Sequence[Answer]) -> None:
        """Write the answers of one submission, and take the next messages."""
        self._in_flight -= len(answers)
        framing = self._link.framing
        frames = []
        for header, answer in zip(headers, answers, strict=True):
            if answer.iso8583:
                frames.append(write_frame(framing, answer_header(framing, header), answer.iso8583))
            elif answer.outcome is not Outcome.ACCEPTED or answer.problem:
                self._note_silence(answer)
        if self._ended:
            return
        if frames:
            self._write(frames)
        self._pump()

    def _note_silence(self, answer: Answer) -> None:
        """Count a message that gets no answer, and say once for each connection and reason why."""
        counts = self._ground.counts
        if answer.reason is Reason.UNDECODABLE:
            counts.undecodable += 1
        elif answer.outcome is Outcome.UNAVAILABLE:
            counts.unanswered += 1
        elif answer.reason in {Reason.UNKNOWN_BANK, Reason.UNKNOWN_DIALECT}:
            counts.refused += 1
        if answer.problem:
            self._tell_once("tcp_no_answer", answer=answer.reason.name, problem=answer.problem)

    def _write(self, frames: Sequence[bytes]) -> None:
        self._ground.counts.answered += len(frames)
        self._transport.write(b"".join(frames))

    def _close(self, reason: str, *, at_once: bool = False) -> None:
        """End the connection, when what was taken is answered unless at once."""
        self._ending = reason
        self._ground.counts.closed += 1
        _LOG.warning("tcp_closing", link=self._link.name, peer=self.peer, reason=reason)
        if at_once:
            self._transport.abort()
        else:
            self._read_on(wanted=False)
            self._pump()

    def _finish(self) -> None:
        """Say that no more answers come, and wait a little for the host to hear it before the connection is gone."""
        self._ended = True
        unread = self._transport.get_write_buffer_size() > 0
        self._loop.call_later(self._link.limits.write_s if unread else LINGER_S, self._transport.abort)
        if self._host_ended:
            self._transport.close()
            return
        self._read_on(wanted=True)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()  # TLS says so itself, and hears the answer to that.

    def _tell_once(self, event: str, **details: object) -> None:
        """Log what a host may do thousands of times once for each connection."""
        key = f"{event} {details.get('answer', '')}"
        if key not in self._told:
            self._told.add(key)
            _LOG.warning(event, link=self._link.name, peer=self.peer, **details)

    def _log(self, event: str, **details: object) -> None:
        _LOG.info(event, link=self._link.name, peer=self.peer, **details)
