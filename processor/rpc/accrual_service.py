# ruff: noqa: N802 - the contract names the methods.
"""AccrualService: accruals to the ledger of a programme's owner, and what the owner answers.

The work is ``settlement``'s; here requests are read, and refusals become errors.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import grpc
from sqlalchemy import Engine

from processor.core.accrual_terms import AccrualTerms, AccrualWay
from processor.core.card import holds_card_number
from processor.core.located_document import CONTROL
from processor.core.owner_accrual import EXPLANATIONS, AccrualState, Answer, Verdict
from processor.core.programme import Programme
from processor.flow.retry import retried
from processor.rpc.errors import CallError, ErrorReason, ErrorsAnswered
from processor.rpc.paging import LARGEST_PAGE_SIZE, bucket_part, cut, page_size_of, page_token, position_of
from processor.rpc.request_fields import invalid_field, reason_and_actor, request_id_of
from processor.rpc.resource_names import parts_of
from processor.rpc.timestamps import timestamp
from processor.store.accrual import DispatchRow, SentRow, list_accruals
from processor.store.accrual_state import AccrualRow, Pair, load_accrual
from processor.v1 import accrual_pb2 as pb
from processor.v1.accrual_pb2_grpc import AccrualServiceServicer
from settlement.accrual_answers import Taken, take_answers
from settlement.accrual_file import key_of, reference_of
from settlement.accrual_mending import MendAction, MendRefused, MendRequest, mend_accrual
from settlement.accrual_response import read_response
from settlement.accruals import Fetched, fetch_accruals, make_accrual_files

PARENT: Final = "programmes/{programme}/banks/{bank}"
ACCRUAL: Final = f"{PARENT}/accruals/{{accrual}}"
_REFERENCE_DIGITS: Final = 36
_OWNER: Final = "the owner"

Context = grpc.aio.ServicerContext[Any, Any]


class AccrualService(AccrualServiceServicer):
    """Answers the contract's AccrualService.

    ``programme_of`` returns a programme's latest revision by its id and raises ``LookupError`` where there is none.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        clock: Callable[[], datetime],
        output_folder: Path,
        programme_of: Callable[[str], Programme],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._output_folder = output_folder
        self._programme_of = programme_of

    async def MakeAccrualFiles(
        self, request: pb.MakeAccrualFilesRequest, context: Context
    ) -> pb.MakeAccrualFilesResponse:
        """Make the files of everything that may leave."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._make, request.parent)

    async def FetchAccruals(self, request: pb.FetchAccrualsRequest, context: Context) -> pb.FetchAccrualsResponse:
        """Hand the owner's system the next accruals."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._fetch, request)

    async def AcknowledgeAccruals(self, request: pb.AcknowledgeAccrualsRequest, context: Context) -> pb.AccrualResponse:
        """Book answers given in a call."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._acknowledge, request)

    async def SubmitAccrualResponse(
        self, request: pb.SubmitAccrualResponseRequest, context: Context
    ) -> pb.AccrualResponse:
        """Book answers given in a file."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._submit, request)

    async def ListAccruals(self, request: pb.ListAccrualsRequest, context: Context) -> pb.ListAccrualsResponse:
        """List accruals."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._list, request)

    async def GetAccrual(self, request: pb.GetAccrualRequest, context: Context) -> pb.Accrual:
        """Return one accrual."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._get, request.name)

    async def MendAccrual(self, request: pb.MendAccrualRequest, context: Context) -> pb.Accrual:
        """Name the member of an accrual."""
        async with ErrorsAnswered(context):
            member = _member(request.member)
            return await asyncio.to_thread(self._change, request, MendAction.MEND, member)

    async def ResendAccrual(self, request: pb.ResendAccrualRequest, context: Context) -> pb.Accrual:
        """Let an accrual leave once more."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._change, request, MendAction.RESEND)

    async def WriteOffAccrual(self, request: pb.WriteOffAccrualRequest, context: Context) -> pb.Accrual:
        """Ask to write an accrual off, or approve it."""
        async with ErrorsAnswered(context):
            action = MendAction.APPROVE_WRITE_OFF if request.approve else MendAction.ASK_WRITE_OFF
            return await asyncio.to_thread(self._change, request, action)

    def _make(self, parent: str) -> pb.MakeAccrualFilesResponse:
        programme, terms, bank = self._owners(parent)
        _only(terms, AccrualWay.FILE)
        made = retried(
            "make_accrual_files",
            lambda: make_accrual_files(
                self._engine, programme, terms, bank, root=self._output_folder, now=self._clock().astimezone(UTC)
            ),
        )
        files = [_file(row, again=False) for row in made.made] + [_file(row, again=True) for row in made.again]
        return pb.MakeAccrualFilesResponse(
            files=files, waiting=made.waiting, nameless=made.nameless, folder=str(made.folder)
        )

    def _fetch(self, request: pb.FetchAccrualsRequest) -> pb.FetchAccrualsResponse:
        programme, terms, bank = self._owners(request.parent)
        _only(terms, AccrualWay.CALL)
        size, asked = page_size_of(request.page_size), request_id_of(request.request_id).bytes

        def run() -> Fetched:
            now = self._clock().astimezone(UTC)
            return fetch_accruals(self._engine, programme, terms, bank, request=asked, limit=size, now=now)

        fetched = retried("fetch_accruals", run)
        pair = Pair(programme=programme.id, bank=bank)
        return pb.FetchAccrualsResponse(
            sequence=fetched.dispatch.sequence if fetched.dispatch else 0,
            accruals=[_sent(pair, entry) for entry in fetched.accruals],
        )

    def _acknowledge(self, request: pb.AcknowledgeAccrualsRequest) -> pb.AccrualResponse:
        programme, _, bank = self._owners(request.parent)
        asked = request_id_of(request.request_id)
        if not 1 <= len(request.answers) <= LARGEST_PAGE_SIZE:
            raise invalid_field("answers", f"are not 1 to {LARGEST_PAGE_SIZE}; send them in several calls")
        answers = [_answer(number, answer) for number, answer in enumerate(request.answers, 1)]
        digest = hashlib.sha256(asked.bytes + b"".join(repr(tuple(answer)).encode() for answer in answers)).digest()
        return self._take(programme, bank, answers, digest, str(asked), _OWNER)

    def _submit(self, request: pb.SubmitAccrualResponseRequest) -> pb.AccrualResponse:
        programme, _, bank = self._owners(request.parent)
        _, actor = reason_and_actor("a response of the owner", request.actor)
        read = read_response(request.content, Pair(programme=programme.id, bank=bank))
        digest = hashlib.sha256(request.content).digest()
        return self._take(programme, bank, read.answers, digest, read.reference, actor)

    def _take(
        self, programme: Programme, bank: str, answers: Sequence[Answer], digest: bytes, name: str, actor: str
    ) -> pb.AccrualResponse:
        def run() -> Taken:
            return take_answers(
                self._engine, programme, bank, answers, response=digest, name=name, actor=actor, now=self._clock()
            )

        return _response(retried("take_accrual_answers", run))

    def _list(self, request: pb.ListAccrualsRequest) -> pb.ListAccrualsResponse:
        size = page_size_of(request.page_size)
        programme, bank = parts_of(request.parent, PARENT)
        if request.state and request.state not in set(AccrualState):
            raise invalid_field("state", f"is none of {', '.join(AccrualState)}")
        scope = f"accruals/{request.parent}/{request.state}"
        after = position_of(request.page_token, scope, [bucket_part, bytes.fromhex]) or (-1, b"")
        with self._engine.connect() as connection:
            pair = Pair(programme=programme, bank=bank)
            found = list_accruals(
                connection, pair, state=request.state or None, after=(after[0], after[1]), limit=size + 1
            )
        page, more = cut(found, size)
        token = page_token(scope, str(page[-1].bucket), page[-1].id.hex()) if more else ""
        return pb.ListAccrualsResponse(accruals=map(_accrual, page), next_page_token=token)

    def _get(self, name: str) -> pb.Accrual:
        programme, bank, accrual = parts_of(name, ACCRUAL)
        with self._engine.connect() as connection:
            found = load_accrual(connection, key_of(_reference(accrual)))
        if found is None or (found.programme, found.bank) != (programme, bank):
            problem = "this bank and programme have no such accrual; see cobrand accruals list"
            raise CallError(ErrorReason.ACCRUAL_NOT_FOUND, problem)
        return _accrual(found)

    def _change(self, request: Any, action: MendAction, member: str | None = None) -> pb.Accrual:
        name, bank, accrual = parts_of(request.name, ACCRUAL)
        programme, _, _ = self._owners(f"programmes/{name}/banks/{bank}")
        reason, actor = reason_and_actor(request.reason, request.actor)
        asked = MendRequest(
            action=action, member=member, reason=reason, actor=actor, request_id=request_id_of(request.request_id)
        )
        key = key_of(_reference(accrual))
        done = retried(
            "mend_accrual", lambda: mend_accrual(self._engine, programme, bank, key, asked, now=self._clock())
        )
        if isinstance(done, MendRefused):
            raise CallError(ErrorReason(done.refusal.value), done.explanation)
        return _accrual(done)

    def _owners(self, parent: str) -> tuple[Programme, AccrualTerms, str]:
        """Return the programme, its terms and the bank that a parent names."""
        name, bank = parts_of(parent, PARENT)
        try:
            programme = self._programme_of(name)
        except LookupError:
            problem = "no programme of this name is applied; see cobrand programme list"
            raise CallError(ErrorReason.PROGRAMME_NOT_FOUND, problem) from None
        if bank not in programme.calendars:
            known = ", ".join(sorted(programme.calendars))
            raise CallError(ErrorReason.BANK_NOT_FOUND, f"the programme has no such bank; its banks are {known}")
        if programme.accruals is None:
            problem = "the programme's miles ledger is here, so that nothing accrues elsewhere"
            raise CallError(ErrorReason.LEDGER_IS_HERE, problem)
        return programme, programme.accruals, bank


def _only(terms: AccrualTerms, way: AccrualWay) -> None:
    if terms.by is not way:
        problem = f"accruals of this programme leave by {terms.by}; its document says so in miles.accruals"
        raise CallError(ErrorReason.ACCRUALS_LEAVE_OTHERWISE, problem)


def _reference(part: str) -> bytes:
    """Return an accrual's reference; raises :class:`CallError` for what is none."""
    if len(part) != _REFERENCE_DIGITS or not set(part) <= set("0123456789abcdef") or part[0] > "7":
        problem = f"names no accrual: write its {_REFERENCE_DIGITS} lower-case hexadecimal digits"
        raise CallError(ErrorReason.INVALID_NAME, f"the name {problem}")
    return bytes.fromhex(part)


def _member(member: str) -> str:
    if not 1 <= len(member) <= 64 or CONTROL.search(member):
        raise invalid_field("member", "is not 1 to 64 characters in one line; write it as the owner knows it")
    if holds_card_number(member):
        raise invalid_field("member", "seems to hold a card number; write the member as the owner knows it")
    return member


def _answer(number: int, answer: pb.AccrualAnswer) -> Answer:
    for field, value, longest in (("code", answer.code, 32), ("text", answer.text, 99)):
        if len(value) > longest or CONTROL.search(value) or holds_card_number(value):
            raise invalid_field(f"answers.{field}", f"is not a line of {longest} characters without a card number")
    if not answer.accepted and not answer.code:
        raise invalid_field("answers.code", "is empty; say why the accrual is rejected")
    if not 0 <= answer.attempt < 2**15:
        raise invalid_field("answers.attempt", "is no attempt; repeat the one that was handed out")
    reference = _reference(answer.accrual.rpartition("/")[2])
    return Answer(number, reference, answer.attempt, answer.accepted, answer.code, answer.text)


def _name(pair: Pair, bucket: int, id_: bytes) -> str:
    return f"programmes/{pair.programme}/banks/{pair.bank}/accruals/{reference_of(bucket, id_).hex()}"


def _accrual(row: AccrualRow) -> pb.Accrual:
    return pb.Accrual(
        name=_name(Pair(programme=row.programme, bank=row.bank), row.bucket, row.id),
        state=row.state,
        miles=row.miles,
        unit=row.unit,
        attempt=row.attempt,
        member=row.member or "",
        account=f"accounts/{row.account.hex()}",
        purchase=row.purchase_id.hex(),
        rule=row.rule,
        partner=row.partner,
        book_time=timestamp(row.booked_at),
        business_date=row.business_date.isoformat(),
        code=row.code,
        text=row.text,
        write_off_asked_by=row.asked_by or "",
    )


def _sent(pair: Pair, sent: SentRow) -> pb.Accrual:
    return pb.Accrual(
        name=_name(pair, sent.bucket, sent.id),
        state=AccrualState.SENT,
        miles=sent.miles,
        unit=sent.unit,
        attempt=sent.attempt,
        member=sent.member,
        purchase=sent.purchase_id.hex(),
        rule=sent.rule,
        partner=sent.partner,
        book_time=timestamp(sent.booked_at),
        business_date=sent.business_date.isoformat(),
    )


def _file(row: DispatchRow, *, again: bool) -> pb.AccrualFile:
    return pb.AccrualFile(
        sequence=row.sequence,
        file_name=row.name,
        record_count=row.record_count,
        accrued=row.accrued,
        taken_back=row.taken_back,
        sha256=row.sha256.hex(),
        made_again=again,
    )


def _response(taken: Taken) -> pb.AccrualResponse:
    return pb.AccrualResponse(
        accepted=taken.response.accepted,
        rejected=taken.response.rejected,
        repeated=taken.response.repeated,
        duplicate=taken.duplicate,
        exceptions=[
            pb.AccrualException(
                number=number,
                accrual=accrual,
                attempt=attempt,
                verdict=verdict,
                explanation=EXPLANATIONS[Verdict(verdict)],
            )
            for number, accrual, attempt, verdict in taken.response.exceptions
        ],
    )
