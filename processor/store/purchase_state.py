"""How a purchase is kept in its row: one JSON document of short lists, read and written on every message.

``encode_purchase`` and ``decode_purchase`` are inverse; a list's places are named by the functions below.
"""

from datetime import date
from typing import Any, Final

import orjson

from processor.core.budget import Taken
from processor.core.event import Event
from processor.core.grant import Grant
from processor.core.held import Seen
from processor.core.kept_purchase import Purchase
from processor.core.lifecycle import Effect
from processor.core.message import MessageKind
from processor.core.money import Money
from processor.core.posting import ChargeKey, Template
from processor.core.purchase import Placed
from processor.core.qualifying import Counts
from processor.core.spent import Kept
from processor.core.tally import Counted

_ALWAYS: Final = 19
"""How many values of an event are always written."""
_PLAIN_GRANT: Final = 5
"""How many values a grant has that counts in no tally and holds nothing of a budget."""
_NOTHING: Final[list[Any]] = ["", "", "", "", "", 0, [], "", "", [], "", [], "", []]
"""What the values behind them are where they are left out."""


def encode_purchase(purchase: Purchase) -> str:
    """Return a purchase's state as JSON; its id is the row's and is left out."""
    state: dict[str, Any] = {"events": [_event_to_list(event) for event in purchase.events]}
    if purchase.revision is not None:
        state["revision"] = purchase.revision
    if purchase.occurred_on is not None:
        state["occurred_on"] = purchase.occurred_on.isoformat()
    if purchase.partner is not None:
        state["partner"] = purchase.partner
    if purchase.grants:
        state["grants"] = [_grant_to_list(grant) for grant in purchase.grants]
    if purchase.kept:
        state["kept"] = [list(entry) for entry in purchase.kept]
    if purchase.qualifying:
        state["qualifying"] = [list(entry) for entry in purchase.qualifying]
    if purchase.charges:
        state["charges"] = [
            [int(key.template), key.debtor, key.creditor, key.currency, amount]
            for key, amount in purchase.charges.items()
        ]
    _add_account(state, purchase)
    _add_ties(state, purchase)
    return orjson.dumps(state).decode()


def _add_account(state: dict[str, Any], purchase: Purchase) -> None:
    """Add what a purchase was decided with of its card and its account, where something goes by that."""
    if purchase.card:
        state["card"] = purchase.card
    if purchase.statement_day is not None:
        state["statement_day"] = purchase.statement_day
    if purchase.seen is not None:
        state["seen"] = [purchase.seen.at, list(purchase.seen.units)]


def _add_ties(state: dict[str, Any], purchase: Purchase) -> None:
    """Add what ties a purchase to others, of which nearly all have nothing."""
    if purchase.merged_into is not None:
        state["merged_into"] = purchase.merged_into.hex()
    if purchase.head is not None:
        state["head"] = purchase.head.hex()
    if purchase.siblings:
        state["siblings"] = [sibling.hex() for sibling in purchase.siblings]
    if purchase.parted:
        state["parted"] = True
    if purchase.refunded:
        state["refunded"] = [_placed_to_list(placed) for placed in purchase.refunded]
    if purchase.placed:
        state["placed"] = [_placed_to_list(placed) for placed in purchase.placed]


def decode_purchase(purchase_id: bytes, state: str | bytes) -> Purchase:
    """Return the purchase whose state was encoded."""
    document: dict[str, Any] = orjson.loads(state)
    occurred_on = document.get("occurred_on")
    merged_into, head = document.get("merged_into"), document.get("head")
    return Purchase(
        id=purchase_id,
        events=tuple(map(_event_from_list, document["events"])),
        revision=document.get("revision"),
        occurred_on=date.fromisoformat(occurred_on) if occurred_on else None,
        card=document.get("card", ""),
        statement_day=document.get("statement_day"),
        seen=_seen(document["seen"]) if "seen" in document else None,
        partner=document.get("partner"),
        grants=tuple(map(_grant_from_list, document.get("grants", ()))),
        charges={
            ChargeKey(template=Template(template), debtor=debtor, creditor=creditor, currency=currency): amount
            for template, debtor, creditor, currency, amount in document.get("charges", ())
        },
        kept=tuple(Kept(rule, unit, funder, units) for rule, unit, funder, units in document.get("kept", ())),
        qualifying=tuple(Counts(*entry) for entry in document.get("qualifying", ())),
        merged_into=bytes.fromhex(merged_into) if merged_into else None,
        head=bytes.fromhex(head) if head else None,
        siblings=tuple(bytes.fromhex(sibling) for sibling in document.get("siblings", ())),
        parted=document.get("parted", False),
        refunded=tuple(map(_placed_from_list, document.get("refunded", ()))),
        placed=tuple(map(_placed_from_list, document.get("placed", ()))),
    )


def _seen(values: list[Any]) -> Seen:
    at, units = values
    return Seen(at, tuple(units))


def _grant_to_list(grant: Grant) -> list[Any]:
    """Return a grant's values in their places; what it has counted and holds of budgets where it has or does."""
    values: list[Any] = [grant.rule, grant.unit, grant.entitled, grant.granted, grant.available]
    if grant.budgets or grant.review or any(grant.counted):
        values += [[list(taken) for taken in grant.budgets], grant.review, list(grant.counted)]
    return values


def _grant_from_list(values: list[Any]) -> Grant:
    if len(values) == _PLAIN_GRANT:
        return Grant(*values)
    rule, unit, entitled, granted, available, budgets, review, counted = values
    taken = tuple(Taken(*entry) for entry in budgets)
    return Grant(rule, unit, entitled, granted, available, Counted(*counted), taken, review)


def _event_to_list(event: Event) -> list[Any]:
    """Return an event's values in their places; those at the end that say nothing are left out."""
    values = [
        event.message_id.hex(),
        event.at,
        int(event.kind),
        int(event.effect),
        event.trace,
        event.credit,
        _money_to_list(event.amount),
        True if event.billing is event.amount else _money_to_list(event.billing),
        _money_to_list(event.replacement),
        _money_to_list(event.replacement_billing),
        event.part,
        event.acquirer_reference,
        event.product,
        event.processing_code,
        event.acquirer,
        event.acceptor,
        event.terminal,
        event.mcc,
        event.local_date.isoformat(),
        event.original,
        event.lifecycle,
        event.approval,
        event.retrieval,
        event.trace_number,
        event.estimated + 2 * event.supersedes + 4 * event.asked,
        [message_id.hex() for message_id in event.refers_to],
        event.local_time,
        event.channel,
        event.rules,
        event.country,
        event.taken_off,
        event.card,
        event.product_codes,
    ]
    while not values[-1]:
        values.pop()
    return values


def _event_from_list(values: list[Any]) -> Event:
    values.extend(_NOTHING[len(values) - _ALWAYS :])
    amount = _money_from_list(values[6])
    return Event(
        message_id=bytes.fromhex(values[0]),
        at=values[1],
        kind=MessageKind(values[2]),
        effect=Effect(values[3]),
        trace=values[4],
        credit=values[5],
        amount=amount,
        billing=amount if values[7] is True else _money_from_list(values[7]),
        replacement=_money_from_list(values[8]),
        replacement_billing=_money_from_list(values[9]),
        part=tuple(values[10]) if values[10] else None,
        acquirer_reference=values[11],
        product=values[12],
        processing_code=values[13],
        acquirer=values[14],
        acceptor=values[15],
        terminal=values[16],
        mcc=values[17],
        local_date=date.fromisoformat(values[18]),
        original=values[19],
        lifecycle=values[20],
        approval=values[21],
        retrieval=values[22],
        trace_number=values[23],
        estimated=bool(values[24] & 1),
        supersedes=bool(values[24] & 2),
        refers_to=tuple(bytes.fromhex(message_id) for message_id in values[25]),
        local_time=values[26],
        channel=values[27],
        asked=bool(values[24] & 4),
        rules=tuple(values[28]),
        country=values[29],
        taken_off=tuple((part, minor) for part, minor in values[30]),
        card=values[31],
        product_codes=tuple(values[32]),
    )


def _placed_to_list(placed: Placed) -> list[Any]:
    return [placed.purchase.hex(), _money_to_list(placed.amount), _money_to_list(placed.billing)]


def _placed_from_list(values: list[Any]) -> Placed:
    amount, billing = _money_from_list(values[1]), _money_from_list(values[2])
    assert amount is not None  # noqa: S101 - written above.
    assert billing is not None  # noqa: S101
    return Placed(purchase=bytes.fromhex(values[0]), amount=amount, billing=billing)


def _money_to_list(money: Money | None) -> list[Any] | None:
    return None if money is None else [money.amount_minor, money.currency]


def _money_from_list(values: list[Any] | None) -> Money | None:
    return None if values is None else Money(amount_minor=values[0], currency=values[1])
