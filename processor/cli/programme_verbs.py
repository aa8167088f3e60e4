"""``cobrand programme``: check a programme document, put it into force, see what is in force, try it out.

``init``, ``validate`` and ``simulate`` need no server.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

import schemas
from processor.cli.client import ANSWER_SECONDS, DEFAULT_SERVER, ServerOption, connect, list_pages
from processor.cli.failure import CommandError
from processor.cli.options import JsonOption, LimitOption, read_text
from processor.cli.output import (
    amount_of_unit,
    document_of,
    instant,
    money,
    more_exist,
    say,
    show_json,
    show_table,
    show_text,
)
from processor.core.awarding import Award
from processor.core.closing_limits import ClosingBudget, ClosingHousehold
from processor.core.converted import Converted
from processor.core.located_document import DocumentError
from processor.core.programme import Programme
from processor.core.programme_document import files_beside, parse_programme
from processor.core.simulation import Simulation, simulate, simulation_as_data
from processor.core.tier_change import TierChange
from processor.v1 import programme_pb2
from processor.v1.operations_pb2 import GetStatusRequest
from processor.v1.operations_pb2_grpc import OperationsServiceStub
from processor.v1.programme_pb2 import (
    ApplyProgrammeRequest,
    ApplyProgrammeResponse,
    GetProgrammeRequest,
    ListProgrammesRequest,
)
from processor.v1.programme_pb2_grpc import ProgrammeServiceStub

DocumentArgument = Annotated[str, typer.Argument(metavar="PROGRAMME.yaml", help="The programme document.")]

_EXAMPLE: Final = "examples/skyways/programme.yaml"
_STARTER: Final = ("programme.yaml", "merchants.csv", "transactions.jsonl")
_LOAD_SECONDS: Final = 15
"""Three times as long as a worker takes to notice a new revision by itself."""

_LOOK_SECONDS: Final = 0.2

_EXAMPLE_TRANSACTIONS: Final = "examples/skyways/transactions.jsonl"


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this file to the command."""
    programme = typer.Typer(help="Check programmes and put them into force.", no_args_is_help=True)
    programme.command("init", epilog="Example: cobrand programme init var/mine")(init)
    programme.command("validate", epilog=f"Example: cobrand programme validate {_EXAMPLE}")(validate)
    programme.command("apply", epilog=f"Example: cobrand programme apply {_EXAMPLE}")(apply)
    programme.command("simulate", epilog=f"Example: cobrand programme simulate {_EXAMPLE} {_EXAMPLE_TRANSACTIONS}")(
        simulate_transactions
    )
    programme.command("show", epilog="Example: cobrand programme show skyways --document")(show)
    programme.command("list", epilog="Example: cobrand programme list")(list_programmes)
    app.add_typer(programme, name="programme")


def read_document(file: str) -> tuple[str, dict[str, str]]:
    """Return a document's text and the text of every file beside it that it names and that can be read."""
    text = read_text(file)
    beside = {}
    for name in files_beside(text, source=file):
        path = Path(file).parent / name
        try:
            beside[name] = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError):
            continue  # The document's check says which file cannot be read, and where it is named.
    return text, beside


def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the files go.")], as_json: JsonOption = False
) -> None:
    """Write a commented programme to begin with, its merchant file and transactions to try it with."""
    folder.mkdir(parents=True, exist_ok=True)
    there = [name for name in _STARTER if (folder / name).exists()]
    if there:
        raise CommandError(f"{folder / there[0]} exists already and is left as it is. Name another folder.")
    for name in _STARTER:
        (folder / name).write_text(schemas.read("programme/starter", name), encoding="utf-8")
    if as_json:
        show_json({"files": [str(folder / name) for name in _STARTER]})
        return
    document, _, transactions = (folder / name for name in _STARTER)
    say(f"Wrote {', '.join(str(folder / name) for name in _STARTER)}.")
    say(f"Try it: cobrand programme validate {document}")
    say(f"Then:   cobrand programme simulate {document} {transactions}")


def validate(file: DocumentArgument, as_json: JsonOption = False) -> None:
    """Check a programme document and its merchant file; every mistake is named by file, line and column."""
    compiled = _compiled(file)
    if not isinstance(compiled, Programme):
        raise _mistakes(file, compiled, as_json=as_json)
    if as_json:
        show_json({"valid": True, "errors": []})
    else:
        _show_compiled(compiled)


def compile_document(file: str) -> Programme:
    """Compile a document that must be sound."""
    compiled = _compiled(file)
    if isinstance(compiled, Programme):
        return compiled
    raise _mistakes(file, compiled, as_json=False)


def _compiled(file: str) -> Programme | tuple[DocumentError, ...]:
    """Compile a document, or return its mistakes, each with the path to the file it stands in."""
    text, beside = read_document(file)
    compiled = parse_programme(text, merchants=beside, source=file, revision=1)
    if isinstance(compiled, Programme):
        return compiled
    return tuple(replace(error, source=_path_of(error.source, file)) for error in compiled)


def _path_of(source: str, file: str) -> str:
    """Return the path to the file an error stands in: the document, or one beside it."""
    return source if source == file else str(Path(file).parent / source)


def _mistakes(file: str, errors: Sequence[DocumentError], *, as_json: bool) -> CommandError:
    """Print the mistakes of a file, which are the result, and return what ends the command."""
    if as_json:
        show_json({"valid": False, "errors": [asdict(error) for error in errors]})
    for error in () if as_json else errors:
        show_text(str(error))
    return CommandError(f"{file}: {len(errors)} to mend. Mend what is named and try again.")


def _show_compiled(programme: Programme) -> None:
    say(f"{programme.name} ({programme.id}) is sound; it takes effect from {programme.effective_from.isoformat()}.")
    rows = [
        ("parties", len(programme.parties)),
        ("links", len(programme.links)),
        ("card products", len(programme.products)),
        ("partners", len(programme.partners)),
        ("merchants", sum(len(merchants) for merchants in programme.merchants.values())),
        ("rules", len(programme.rules)),
        ("caps", len(programme.caps)),
    ]
    show_table("Programme", ("what", "how many"), rows, numbers=("how many",))


def apply(file: DocumentArgument, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False) -> None:
    """Make a document the next revision of its programme; the same document again changes nothing."""
    response = apply_document(server, file)
    if as_json:
        show_json(document_of(response))
    elif not response.errors:
        revision = response.programme
        done = "was in force already; nothing changed" if response.unchanged else "is applied"
        say(f"{revision.name} {done}; it takes effect from {instant(revision.effective_time)}.")
    else:
        for error in response.errors:
            show_text(f"{_path_of(error.source, file)}:{error.line}:{error.column} {error.path}: {error.problem}")
    if response.errors:
        raise CommandError(f"{file}: {len(response.errors)} to mend; nothing was applied.")


def apply_document(server: str, file: str) -> ApplyProgrammeResponse:
    """Send a document and the files it names, and wait until every worker has loaded the new revision."""
    text, beside = read_document(file)
    with connect(server) as channel:
        request = ApplyProgrammeRequest(document=text, files=beside, source=file)
        response = ProgrammeServiceStub(channel).ApplyProgramme(request, timeout=ANSWER_SECONDS)
        if not (response.errors or response.unchanged or _is_loaded(OperationsServiceStub(channel))):
            say("Not every worker has loaded it yet; see the snapshots in cobrand status.")
    return response


def _is_loaded(operations: OperationsServiceStub) -> bool:
    """Wait a bounded time for every worker to report the newest reference data; tell whether all did."""
    deadline = time.monotonic() + _LOAD_SECONDS
    while time.monotonic() < deadline:
        status = operations.GetStatus(GetStatusRequest(), timeout=ANSWER_SECONDS)
        if all(worker.snapshot_version >= status.reference_version for worker in status.workers):
            return True
        time.sleep(_LOOK_SECONDS)
    return False


def show(
    programme: Annotated[str, typer.Argument(metavar="PROGRAMME", help="The programme, as its document names it.")],
    revision: Annotated[int, typer.Option("--revision", min=0, help="The revision; 0 is the latest.")] = 0,
    document: Annotated[bool, typer.Option("--document", help="Print the document itself.")] = False,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Show one revision of a programme."""
    name = f"programmes/{programme}" + (f"/revisions/{revision}" if revision else "")
    with connect(server) as channel:
        found = ProgrammeServiceStub(channel).GetProgramme(GetProgrammeRequest(name=name), timeout=ANSWER_SECONDS)
    if as_json:
        show_json(document_of(found))
    elif document:
        show_text(found.document.rstrip("\n"))
    else:
        _show_revisions("Programme", [found])


def list_programmes(
    limit: LimitOption = 50, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False
) -> None:
    """List the programmes, each with its latest revision."""
    with connect(server) as channel:
        call = ProgrammeServiceStub(channel).ListProgrammes
        programmes, more = list_pages(call, ListProgrammesRequest(), "programmes", limit)
    if as_json:
        show_json([document_of(programme) for programme in programmes])
    else:
        _show_revisions("Programmes", programmes)
    more_exist(more)


def _show_revisions(title: str, revisions: Sequence[programme_pb2.Programme]) -> None:
    rows = [
        (entry.name, entry.title, instant(entry.effective_time), instant(entry.create_time), entry.digest[:12])
        for entry in revisions
    ]
    show_table(title, ("revision", "title", "takes effect", "applied", "digest"), rows)


def simulate_transactions(
    file: DocumentArgument,
    transactions: Annotated[
        str, typer.Argument(metavar="TRANSACTIONS.jsonl", help="What happens, one transaction a line; - for input.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Decide a file of transactions under a programme and show what each earns; nothing is stored."""
    compiled = _compiled(file)
    if not isinstance(compiled, Programme):
        raise _mistakes(file, compiled, as_json=as_json)
    result = simulate([compiled], read_text(transactions), source=transactions)
    if not isinstance(result, Simulation):
        raise _mistakes(transactions, result, as_json=as_json)
    if as_json:
        show_json(simulation_as_data(result))
    else:
        _show_simulation(result)


def _show_simulation(result: Simulation) -> None:
    rows: list[tuple[object, ...]] = [
        (
            str(entry.transaction.line),
            entry.transaction.id,
            entry.transaction.type.value,
            entry.transaction.account,
            entry.partner,
            f"{entry.reason.name} {entry.excluded_as}".rstrip(),
            "\n".join([*map(_changes, entry.awards), *map(_conversion, entry.converted), *map(_tier, entry.tiers)]),
        )
        for entry in result.transactions
    ]
    columns = ("line", "transaction", "type", "account", "partner", "reason", "awards")
    show_table(f"Transactions under {result.programme.name}", columns, rows, numbers=("line",))
    has_rewards = bool(result.programme.rewards)
    rows = [
        (
            balance.account,
            balance.pending,
            balance.available,
            ", ".join(f"{money(amount, currency)} {currency}" for currency, amount in balance.discounts.items()),
            *([", ".join(f"{count} {unit}" for unit, count in balance.rewards.items())] if has_rewards else []),
        )
        for balance in result.balances
    ]
    held = ("account", f"pending {result.programme.unit}", f"available {result.programme.unit}", "discounts")
    show_table("Closing balances", (*held, "rewards") if has_rewards else held, rows, numbers=held[1:3])
    owing = [
        (owed.debtor, owed.creditor, owed.currency, money(owed.amount_minor, owed.currency))
        for owed in result.obligations
    ]
    show_table("Who owes whom", ("debtor", "creditor", "currency", "amount"), owing, numbers=("amount",))
    if result.budgets:
        show_table(
            "Budgets", ("budget", "period", "used", "left"), [*map(_budget, result.budgets)], numbers=("used", "left")
        )
    if result.households:
        shared = ("household", "cap", "period", "used", "left")
        show_table("Households", shared, [*map(_household, result.households)], numbers=("used", "left"))


def _household(entry: ClosingHousehold) -> tuple[object, ...]:
    """Return a row of what a household took of a cap and what is left, in its unit."""
    used, left = (f"{amount_of_unit(units, entry.counts)} {entry.counts}" for units in (entry.used, entry.left))
    return entry.household, entry.cap, entry.period, used, left


def _budget(budget: ClosingBudget) -> tuple[object, ...]:
    """Return a budget's row: what was taken of it and what is left, in its unit."""
    if budget.counts == "holders":
        return budget.budget, budget.period, f"{budget.used} holders", f"{budget.left} holders"
    used, left = (f"{amount_of_unit(units, budget.counts)} {budget.counts}" for units in (budget.used, budget.left))
    return budget.budget, budget.period, used, left


def _conversion(entry: Converted) -> str:
    """Return what a rule converted: ``base: 120.00 USD = 110.75 EUR (ecb: 1 EUR = 1.0835 USD of 2026-11-10)``."""
    conversion = entry.conversion
    amount = f"{money(entry.amount_minor, conversion.currency)} {conversion.currency}"
    worth = f"{money(entry.worth_minor, conversion.to)} {conversion.to}"
    return f"{entry.rule}: {amount} = {worth} ({conversion.source.id}: {entry.figures()})"


def _tier(change: TierChange) -> str:
    """Return what became of a tier: ``tier silver reached until 2026-12-31 23:00:00Z``."""
    until = "" if change.until is None else f" until {datetime.fromtimestamp(change.until, UTC):%Y-%m-%d %H:%M:%S}Z"
    after = change.reached.after
    what = "given back" if not change.holds else f"follows {after}" if after else "reached"
    return f"tier {change.reached.tier} {what}{until}"


def _changes(award: Award) -> str:
    """Return what changed of one rule's grant: ``base: -30 pending, +30 available SKY``."""
    changes = [
        f"{'+' if change > 0 else '-'}{amount_of_unit(abs(change), award.grant.unit)} {state}"
        for change, state in ((award.pending_change, "pending"), (award.available_change, "available"))
        if change
    ]
    return f"{award.rule}: {', '.join(changes)} {award.grant.unit}"
