"""``cobrand members``: say what is known of members, one at a time or by file, and show it."""

import getpass
import re
import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Final

import grpc
import typer
from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # It ships none.
from grpc_status import rpc_status

from processor.cli.client import ANSWER_SECONDS, DEFAULT_SERVER, ServerOption, connect, list_pages
from processor.cli.failure import CommandError, ExitCode, UnavailableError, failure_of, sentence
from processor.cli.ledger_verbs import AccountArgument
from processor.cli.member_file import KINDS, MemberFileError, MemberRequest, fact_of, is_time, read_facts, requests_of
from processor.cli.options import BankOption, JsonOption, LimitOption, read_text
from processor.cli.output import document_of, instant, more_exist, progress_bar, say, show_json, show_table
from processor.v1.member_pb2 import (
    MEMBER_FACT_KIND_REACHED_TIER,
    GetMemberTierRequest,
    ListMemberFactsRequest,
    MemberFact,
    MemberTier,
    RecordMemberFactsRequest,
    TierProgress,
)
from processor.v1.member_pb2_grpc import MemberServiceStub

_NAMED_ERRORS: Final = 20
_PLACE: Final = re.compile(r"facts\[([0-9]+)\]\.(\w+)")
_COLUMN_OF: Final = {"start_time": "from", "end_time": "until", "value": "value", "kind": "kind"}
_KIND_OF: Final = {number: name for name, number in KINDS.items()} | {MEMBER_FACT_KIND_REACHED_TIER: "reached-tier"}


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this file to the command."""
    members = typer.Typer(help="Say what is known of members, and show it.", no_args_is_help=True)
    members.command(
        "set",
        epilog="Example: cobrand members set banks/harbour/accountReferences/A-1 --tier gold --reason 'Ticket 4711'",
    )(set_facts)
    members.command("show", epilog="Example: cobrand members show banks/harbour/accountReferences/A-1")(show)
    members.command("tier", epilog="Example: cobrand members tier banks/harbour/accountReferences/A-1")(show_tier)
    members.command("import", epilog="Example: cobrand members import members.csv --bank harbour")(import_facts)
    app.add_typer(members, name="members")


def set_facts(
    account: AccountArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the auditor; 3 to 500 characters.")],
    tier: Annotated[str, typer.Option("--tier", help="The member's tier.")] = "",
    segment: Annotated[list[str] | None, typer.Option("--segment", help="A segment the member is in.")] = None,
    opted_in: Annotated[list[str] | None, typer.Option("--opted-in", help="A rule the member has accepted.")] = None,
    listed: Annotated[list[str] | None, typer.Option("--listed", help="A rule that is offered to the member.")] = None,
    member_since: Annotated[str, typer.Option("--member-since", help="When the membership began; a date.")] = "",
    birthday: Annotated[str, typer.Option("--birthday", help="Month and day, such as 02-29; never the year.")] = "",
    statement_day: Annotated[
        int, typer.Option("--statement-day", min=0, max=31, help="The account's own statement day.")
    ] = 0,
    household: Annotated[str, typer.Option("--household", help="The household's key; nobody's name.")] = "",
    ends: Annotated[
        list[str] | None,
        typer.Option("--ends", metavar="KIND[:VALUE]", help="What is so no more: tier, or segment:students."),
    ] = None,
    start: Annotated[str, typer.Option("--from", help="From when; now unless you say otherwise.")] = "",
    until: Annotated[str, typer.Option("--until", help="Until when, that moment excluded.")] = "",
    actor: Annotated[str, typer.Option("--actor", help="Who asks for it; you, unless you say otherwise.")] = "",
    request_id: Annotated[str, typer.Option("--request-id", help="A UUID; the same one again changes nothing.")] = "",
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Record what is known of a member, from now on or later, with a reason."""
    for hint, moment in (("--from", start), ("--until", until)):
        if moment and not is_time(moment):
            problem = "is no time with its zone; write one such as 2027-01-01T00:00:00+01:00"
            raise typer.BadParameter(problem, param_hint=hint)
    stated = {
        "tier": [tier] if tier else [],
        "segment": segment or [],
        "opted-in": opted_in or [],
        "listed": listed or [],
        "member-since": [member_since] if member_since else [],
        "birthday": [birthday] if birthday else [],
        "statement-day": [str(statement_day)] if statement_day else [],
        "household": [household] if household else [],
    }
    facts = [fact_of(kind, value, start=start, end=until) for kind, values in stated.items() for value in values]
    facts += [_ending(entry, start, until) for entry in ends or []]
    if not facts:
        raise typer.BadParameter("name something that is known, such as --tier gold", param_hint="--tier")
    request = RecordMemberFactsRequest(
        name=account,
        facts=facts,
        reason=reason,
        actor=actor or getpass.getuser(),
        request_id=request_id or str(uuid.uuid4()),
    )
    try:
        with connect(server) as channel:
            response = MemberServiceStub(channel).RecordMemberFacts(request, timeout=ANSWER_SECONDS)
    except UnavailableError:
        say(f"It may or may not be recorded: repeat the command with --request-id {request.request_id}")
        raise
    if as_json:
        show_json({**document_of(response), "request_id": request.request_id})
        return
    done = "was carried out before" if response.duplicate else "is carried out"
    say(f"The request {done} under request id {request.request_id}.")
    row = (account, response.recorded, response.unchanged)
    show_table("Facts", ("account", "recorded", "unchanged"), [row], numbers=("recorded", "unchanged"))


def _ending(entry: str, start: str, until: str) -> MemberFact:
    kind, _, value = entry.partition(":")
    if kind not in KINDS:
        raise typer.BadParameter(f"names no kind of fact; write one of {', '.join(KINDS)}", param_hint="--ends")
    return fact_of(kind, value, start=start, end=until, ended=True)


def show(
    account: AccountArgument,
    limit: LimitOption = 200,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """List what was recorded of a member, in the order of recording, and the tier that follows from it now."""
    with connect(server) as channel:
        stub = MemberServiceStub(channel)
        facts, more = list_pages(stub.ListMemberFacts, ListMemberFactsRequest(parent=account), "facts", limit)
        tier = stub.GetMemberTier(GetMemberTierRequest(name=account), timeout=ANSWER_SECONDS)
    if as_json:
        show_json([document_of(fact) for fact in facts])
    else:
        columns = ("number", "kind", "value", "from", "until", "ends", "recorded", "by")
        show_table(f"What is known of {account}", columns, list(map(_shown, facts)), numbers=("number",))
        _show_tier(account, tier)
    more_exist(more)


def show_tier(account: AccountArgument, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False) -> None:
    """Show a member's tier, what gives it, and how far the member is towards those that are computed."""
    with connect(server) as channel:
        request = GetMemberTierRequest(name=account)
        tier = MemberServiceStub(channel).GetMemberTier(request, timeout=ANSWER_SECONDS)
    if as_json:
        show_json(document_of(tier))
    elif tier.tier:
        _show_tier(account, tier)
    else:
        say("The programme has no tiers.")


def _show_tier(account: str, tier: MemberTier) -> None:
    """Show a tier as a sentence, and the progress as a table; nothing where the programme has none."""
    if not tier.tier:
        return
    say(f"The tier of {account} is {tier.title} ({tier.tier}), {_source(tier)}.")
    rows = [(f"{entry.title} ({entry.tier})", *_progress(entry)) for entry in tier.progress]
    if rows:
        show_table("Towards the tiers", ("tier", "period", "counted", "asked for", "lacking"), rows, numbers=())


def _progress(entry: TierProgress) -> tuple[str, str, str, str]:
    return entry.period, entry.counted, entry.asked_for, entry.lacking


def _source(tier: MemberTier) -> str:
    """Return what gives a tier, and until when."""
    if not tier.HasField("fact"):
        return "the lowest, which everybody has"
    fact = tier.fact
    until = f"until {instant(fact.end_time)}" if fact.HasField("end_time") else "without end"
    if fact.kind != MEMBER_FACT_KIND_REACHED_TIER:
        return f"recorded by {fact.recorded_by} from {instant(fact.start_time)} {until}"
    _, period, revision, *_ = fact.value.split("/")
    period, _, after = period.partition("~")
    how = f"which follows {after}, reached" if after else "reached"
    what = f"in {period} under revision {revision} by message {fact.recorded_by}"
    return f"{how} {what}, from {instant(fact.start_time)} {until}"


def _shown(fact: MemberFact) -> tuple[Any, ...]:
    return (
        fact.number,
        _KIND_OF.get(fact.kind, ""),
        fact.value,
        instant(fact.start_time),
        instant(fact.end_time) if fact.HasField("end_time") else "",
        "yes" if fact.ended else "",
        instant(fact.record_time),
        fact.recorded_by,
    )


def import_facts(
    file: Annotated[str, typer.Argument(help="The file, CSV with a header row; - for standard input.")],
    bank: BankOption,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the auditor.")] = "Import of a file",
    actor: Annotated[str, typer.Option("--actor", help="Who asks for it; you, unless you say otherwise.")] = "",
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Record a file of facts; recording it again is harmless, and what was refused is named by line and column."""
    text = read_text(file)
    _check(file, text)
    totals = {"recorded": 0, "unchanged": 0, "recorded before": 0, "refused": 0}
    refused: list[tuple[int, int, str]] = []
    requests = requests_of(text, bank)
    with connect(server) as channel, progress_bar("Members", len(requests)) as bar:
        stub = MemberServiceStub(channel)
        for done, request in enumerate(requests, start=1):
            refused += _import(stub, request, bank, reason, actor or getpass.getuser(), totals, server)
            bar.reach(done)
    if as_json:
        errors = [{"line": line, "column": column, "problem": problem} for line, column, problem in refused]
        show_json({**{name.replace(" ", "_"): number for name, number in totals.items()}, "errors": errors})
    else:
        show_table("Facts", ("what", "how many"), list(totals.items()), numbers=("how many",))
        for line, column, problem in refused[:_NAMED_ERRORS]:
            say(f"{file}:{line}:{column}: {problem}")
        if len(refused) > _NAMED_ERRORS:
            say(f"{len(refused) - _NAMED_ERRORS} more lines were refused; --json lists them all.")
    if refused:
        raise typer.Exit(ExitCode.FAILED)


def _import(
    stub: MemberServiceStub,
    request: MemberRequest,
    bank: str,
    reason: str,
    actor: str,
    totals: dict[str, int],
    server: str,
) -> Sequence[tuple[int, int, str]]:
    """Record one member's facts; return the lines that were refused, which are all or none of the request."""
    asked = RecordMemberFactsRequest(
        name=f"banks/{bank}/accountReferences/{request.account_reference}",
        facts=[entry.fact for entry in request.facts],
        reason=reason,
        actor=actor,
        request_id=request.request_id,
    )
    try:
        response = stub.RecordMemberFacts(asked, timeout=ANSWER_SECONDS)
    except grpc.RpcError as error:
        failure = failure_of(error, server)
        if isinstance(failure, UnavailableError):
            say("What was not recorded yet is recorded when the same file is imported again.")
            raise failure from None
        totals["refused"] += len(request.facts)
        return _refused(request, error)
    if response.duplicate:
        totals["recorded before"] += len(request.facts)
    else:
        totals["recorded"] += response.recorded
        totals["unchanged"] += response.unchanged
    return ()


def _refused(request: MemberRequest, error: grpc.RpcError) -> list[tuple[int, int, str]]:
    """Return a line for each fact that was refused: the wrong one with its column, the others beside it."""
    details = str(error.details() or error.code().name)
    place = _PLACE.match(_field_of(error))
    if place is None or int(place[1]) >= len(request.facts):
        return [(entry.line, entry.columns["account_reference"], sentence(details)) for entry in request.facts]
    wrong = request.facts[int(place[1])]
    name = _COLUMN_OF.get(place[2], "value")
    problem = sentence(f"{name}{details.removeprefix(place[0])}")
    return [
        (entry.line, entry.columns.get(name, 1), problem)
        if entry is wrong
        else (entry.line, 1, f"Not recorded, because line {wrong.line} of the same member was refused.")
        for entry in request.facts
    ]


def _field_of(error: Any) -> str:
    status: Any = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status is not None else ():
        if detail.Unpack(info):
            return str(info.metadata.get("field", ""))
    return ""


def _check(file: str, text: str) -> None:
    """Refuse a file with mistakes before any of it is sent."""
    entries = list(read_facts(text))
    errors = [entry for entry in entries if isinstance(entry, MemberFileError)]
    if not entries:
        raise CommandError(f"{file} holds no facts; nothing was sent.")
    for error in errors[:_NAMED_ERRORS]:
        say(f"{file}:{error.line}:{error.column}: {' '.join(filter(None, (error.name, error.problem)))}")
    if errors:
        raise CommandError(f"{file} has {len(errors)} mistakes; nothing was sent. Mend it and import it again.")
