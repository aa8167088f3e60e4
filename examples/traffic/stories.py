"""The stories that example traffic tells, each a few messages and clearing records of one account.

The table at the end says how often each is told, about which accounts, and how long it takes.
``docs/example-traffic.md`` lists them with what the processor makes of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Final

from examples.traffic.host import CASH_WITHDRAWAL, PREAUTHORIZED, REFUND, SWIPE, Sale, replacement_amounts
from examples.traffic.outlets import CASH_MACHINES, DINING, FUEL
from examples.traffic.portfolio import ORDINARY, Holding
from examples.traffic.scene import Scene
from examples.traffic.skyways import asks_first, posts_at_once
from processor.core.money import Rounding, divide
from processor.wire.decode import decode

_DECLINES: Final = ("05", "14", "51", "51", "54", "61")
_VERIFIED: Final = "85"
_FUEL_PREAUTHORIZED_MINOR: Final = (100_00, 125_00)
_SECOND: Final = timedelta(seconds=1)
_MINUTE: Final = timedelta(minutes=1)
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


def _soon(scene: Scene) -> int:
    """Return how many days an ordinary purchase takes to clear."""
    return scene.random.choice((1, 1, 2, 2, 3))


def _part(scene: Scene, amount_minor: int, least: int, most: int) -> int:
    """Return some percentage of an amount, from ``least`` to ``most``."""
    return divide(amount_minor * scene.random.randint(least, most), 100, Rounding.HALF_UP)


def _noon(scene: Scene, days: int) -> datetime:
    """Return noon, UTC, so many days after the story's first day."""
    return datetime.combine(scene.start.date() + timedelta(days), time(12), tzinfo=UTC)


def purchase(scene: Scene) -> None:
    """Tell an approved authorization that clears a few days later."""
    sale = scene.sale()
    scene.decide(sale)
    scene.present(sale, days=_soon(scene))


def foreign_purchase(scene: Scene) -> None:
    """Tell a purchase in the other currency, billed at one rate and cleared at that of the clearing day."""
    sale = scene.sale(lambda outlet: outlet.place.currency != scene.host.currency)
    scene.decide(sale)
    scene.present(sale, days=_soon(scene))


def request_and_response(scene: Scene) -> None:
    """Tell a purchase whose request and response the host sends together."""
    sale = scene.sale()
    request = scene.host.elements(sale) | scene.host.secrets(sale)
    # A response repeats little: what it leaves out stands in the request.
    repeated = ("pan", "transmission_date_time", "trace_number", "retrieval_reference", "lifecycle_id")
    response = {name: request[name] for name in repeated} | {"response_code": "00", "approval_code": sale.approval_code}
    answered_at = sale.at + _SECOND
    scene.put(scene.host.encode("0100", request), answered_at, response=scene.host.encode("0110", response))
    scene.present(sale, days=_soon(scene))


def decline(scene: Scene) -> None:
    """Tell an authorization that the host declines."""
    scene.decide(scene.sale(), scene.random.choice(_DECLINES))


def duplicate(scene: Scene) -> None:
    """Tell a purchase whose outcome arrives twice, byte for byte."""
    sale = scene.sale()
    outcome = scene.decide(sale)
    scene.again(outcome, _minutes(scene))
    scene.present(sale, days=_soon(scene))


def repeat(scene: Scene) -> None:
    """Tell a purchase whose advice is repeated under the repeat's message type, with another authentication code."""
    sale = scene.sale()
    scene.decide(sale, mti="0120")
    scene.tell(sale, "0121", delay=scene.random.randint(30, 300) * _SECOND)
    scene.present(sale, days=_soon(scene))


def _minutes(scene: Scene) -> timedelta:
    return scene.random.randint(2, 50) * _MINUTE


def reversal(scene: Scene) -> None:
    """Tell a purchase that is reversed in whole."""
    sale = scene.sale()
    scene.decide(sale)
    mti = scene.random.choice(("0400", "0420"))
    scene.reverse(sale, mti, after=_minutes(scene), trace_number=scene.host.trace_number())


def reversal_repeat(scene: Scene) -> None:
    """Tell a reversal that is sent again under the repeat's message type."""
    sale = scene.sale()
    scene.decide(sale)
    after, trace_number = _minutes(scene), scene.host.trace_number()
    mti, again = scene.random.choice((("0400", "0401"), ("0420", "0421")))
    scene.reverse(sale, mti, after=after, trace_number=trace_number)
    scene.reverse(sale, again, after=after, trace_number=trace_number, delay=_MINUTE)


def partial_reversal(scene: Scene) -> None:
    """Tell a purchase of which a part is reversed and the rest clears."""
    sale = scene.sale()
    scene.decide(sale)
    remains = _part(scene, sale.amount_minor, 20, 80)
    scene.reverse(
        sale,
        "0420",
        after=_minutes(scene),
        trace_number=scene.host.trace_number(),
        replacement_amounts=replacement_amounts(remains),
    )
    scene.present(sale, days=_soon(scene), amount_minor=remains)


def reversal_before_original(scene: Scene) -> None:
    """Tell a reversal that overtakes the authorization it reverses."""
    sale = scene.sale()
    after = scene.random.randint(5, 50) * _SECOND
    scene.reverse(sale, "0420", after=after, trace_number=scene.host.trace_number())
    scene.decide(sale, delay=after + _SECOND)


def _refund(scene: Scene, *, refers: bool) -> None:
    """Tell a purchase that clears, and a refund of it or of a part of it, online and cleared."""
    sale = scene.sale()
    scene.decide(sale)
    scene.present(sale, days=1)
    returned = scene.random.choice((sale.amount_minor, _part(scene, sale.amount_minor, 10, 90)))
    refund = scene.sale(
        outlet=sale.outlet,
        card=sale.card,
        entry=SWIPE,
        at=_noon(scene, scene.random.randint(2, 6)) + scene.random.randint(0, 600) * _SECOND,
        processing_code=REFUND,
        amount_minor=returned,
    )
    mti = "0220" if posts_at_once(scene.host.bank) else "0120"
    if refers:
        refund = replace(refund, lifecycle_id=sale.lifecycle_id)
        scene.tell(refund, mti, original_data=scene.host.original_data(sale))
    else:
        scene.tell(refund, mti)
    scene.present(refund, days=1)


def refund_with_reference(scene: Scene) -> None:
    """Tell a refund that names the purchase it gives back."""
    _refund(scene, refers=True)


def refund_without_reference(scene: Scene) -> None:
    """Tell a refund that names no purchase."""
    _refund(scene, refers=False)


def tip(scene: Scene) -> None:
    """Tell a restaurant bill that clears above what was authorized."""
    sale = scene.sale(lambda outlet: outlet.mcc == DINING.mcc)
    scene.decide(sale)
    scene.present(sale, days=_soon(scene), amount_minor=_part(scene, sale.amount_minor, 105, 125))


def fuel(scene: Scene) -> None:
    """Tell a fuel pre-authorization that clears for what was pumped."""
    authorized = scene.random.choice(_FUEL_PREAUTHORIZED_MINOR)
    sale = scene.sale(lambda outlet: outlet.mcc == FUEL.mcc, entry=PREAUTHORIZED, amount_minor=authorized)
    scene.decide(sale)
    scene.present(sale, days=1, amount_minor=sale.outlet.receipt(scene.random))


def verification(scene: Scene) -> None:
    """Tell the verification of a card over no amount."""
    sale = scene.sale(lambda outlet: outlet.remote, amount_minor=0)
    scene.decide(sale, _VERIFIED)


def single_message(scene: Scene) -> None:
    """Tell a purchase in one financial message, final at once and never cleared."""
    scene.decide(scene.sale(), mti=scene.random.choice(("0210", "0220")))


def partial_clearing(scene: Scene) -> None:
    """Tell an order that is sent in two parcels and clears in two presentments."""
    sale = scene.sale(lambda outlet: outlet.remote)
    scene.decide(sale)
    first = _part(scene, sale.amount_minor, 20, 80)
    written = scene.present(sale, days=1, amount_minor=first, elements={"clearing_part": "0102"})
    scene.present(
        sale,
        days=scene.random.randint(2, 5),
        amount_minor=sale.amount_minor - first,
        elements={"clearing_part": "0202", "acquirer_reference": written["acquirer_reference"]},
    )


def never_authorized(scene: Scene) -> None:
    """Tell a purchase that was never authorized: only its clearing record arrives."""
    scene.present(scene.sale(), days=_soon(scene))


def presentment_reversed(scene: Scene) -> None:
    """Tell a purchase whose presentment the acquirer takes back two days later."""
    sale = scene.sale()
    scene.decide(sale)
    written = scene.present(sale, days=1)
    presented_on = sale.at.date() + _DAY
    same = {name: written[name] for name in ("acquirer_reference", "billing_amount", "billing_rate") if name in written}
    scene.present(sale, days=3, elements={**same, "presentment_reversal": f"R{presented_on:%y%m%d}"})


def late_presentment(scene: Scene) -> None:
    """Tell a purchase that clears after two or three weeks."""
    sale = scene.sale()
    scene.decide(sale)
    scene.present(sale, days=scene.random.randint(14, 23))


def cash_withdrawal(scene: Scene) -> None:
    """Tell a withdrawal at a cash machine, which the programme excludes."""
    notes = scene.random.randint(5, 40) * 10_00
    machine = scene.random.choice(CASH_MACHINES)
    sale = scene.sale(outlet=machine, processing_code=CASH_WITHDRAWAL, amount_minor=notes)
    scene.decide(sale)
    scene.present(sale, days=1)


def request_without_outcome(scene: Scene) -> None:
    """Tell a request of which no outcome ever arrives: the quote's headroom is given back in time."""
    scene.ask(scene.sale())


def reissued_card(scene: Scene) -> None:
    """Tell two purchases, before and after the card is replaced; the first clears under the new number."""
    old, new = scene.account.cards
    replaced_on = datetime.combine(new.first_day or scene.start.date(), time(), tzinfo=UTC)
    before = scene.sale(card=old, at=replaced_on - scene.random.randint(60, 86_000) * _SECOND)
    scene.decide(before)
    scene.present(before, days=2, card=new)
    after = scene.sale(card=new, at=replaced_on + scene.random.randint(60, 8 * 86_000) * _SECOND)
    scene.decide(after)
    scene.present(after, days=_soon(scene))


def network_management(scene: Scene) -> None:
    """Tell a sign-on or an echo test of the host's link."""
    elements = {
        "transmission_date_time": f"{scene.start:%m%d%H%M%S}",
        "trace_number": scene.host.trace_number(),
        "forwarder": scene.host.institution,
        "network_code": scene.random.choice(("001", "301", "301", "301")),
    }
    scene.put(scene.host.encode("0800", elements), scene.start)


def _faultless(scene: Scene) -> tuple[Sale, bytes]:
    """Return an advice that decodes, for a fault to spoil."""
    sale = scene.sale()
    return sale, scene.host.encode("0120", scene.host.elements(sale) | {"response_code": "00"})


def undecodable_truncated(scene: Scene) -> None:
    """Tell a message that lost its end on the way."""
    sale, raw = _faultless(scene)
    scene.put(raw[: -scene.random.randint(3, 30)], sale.at)


def undecodable_amount(scene: Scene) -> None:
    """Tell a message with a letter in its amount."""
    sale, raw = _faultless(scene)
    start = decode(scene.host.dialect, raw).positions["amount"]
    last = start + (5 if scene.host.packs_digits else 11)
    scene.put(raw[:last] + (b"\x0a" if scene.host.packs_digits else b"A") + raw[last + 1 :], sale.at)


def undecodable_bitmap(scene: Scene) -> None:
    """Tell a message whose bitmap announces an element that no dialect has: the third bitmap, element 65."""
    sale, raw = _faultless(scene)
    dialect = scene.host.dialect
    start = dialect.message_type_length
    width = 16 if dialect.hexadecimal_bitmap else 8
    first = raw[start : start + width]
    bits = int(first, 16) if dialect.hexadecimal_bitmap else int.from_bytes(first, "big")
    announced = ((bits | 1 << 63) << 64 | 1 << 63).to_bytes(16, "big")
    bitmaps = announced.hex().upper().encode() if dialect.hexadecimal_bitmap else announced
    scene.put(raw[:start] + bitmaps + raw[start + width :], sale.at)


def undecodable_message_type(scene: Scene) -> None:
    """Tell a message of a type that no dialect lists."""
    sale, raw = _faultless(scene)
    unlisted = b"\x07\x00" if scene.host.packs_digits else b"0700"
    scene.put(unlisted + raw[len(unlisted) :], sale.at)


def _every_bank(_bank: str) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A story and its place in the traffic.

    ``weight`` is how often it is told, in relation to the others; ``span`` is the longest it takes, so that a story
    which must have ended begins early enough.
    ``holdings`` are the accounts it is told about; ``banks`` tells whether a bank's link knows it.
    """

    name: str
    tell: Callable[[Scene], None]
    weight: int = 0
    span: timedelta = 2 * _MINUTE
    holdings: tuple[Holding, ...] = ORDINARY
    banks: Callable[[str], bool] = _every_bank


STORIES: Final = (
    Story(name="purchase", tell=purchase, weight=400),
    Story(name="foreign_purchase", tell=foreign_purchase, weight=60),
    Story(name="request_and_response", tell=request_and_response, weight=60),
    Story(name="decline", tell=decline, weight=50),
    Story(name="duplicate", tell=duplicate, weight=25, span=_HOUR),
    Story(name="repeat", tell=repeat, weight=25, span=_HOUR),
    Story(name="reversal", tell=reversal, weight=25, span=_HOUR),
    Story(name="reversal_repeat", tell=reversal_repeat, weight=12, span=_HOUR),
    Story(name="partial_reversal", tell=partial_reversal, weight=15, span=_HOUR),
    Story(name="reversal_before_original", tell=reversal_before_original, weight=10, span=_HOUR),
    Story(name="refund_with_reference", tell=refund_with_reference, weight=20, span=8 * _DAY),
    Story(name="refund_without_reference", tell=refund_without_reference, weight=10, span=8 * _DAY),
    Story(name="tip", tell=tip, weight=40, span=4 * _DAY),
    Story(name="fuel", tell=fuel, weight=40, span=2 * _DAY),
    Story(name="verification", tell=verification, weight=15),
    Story(name="single_message", tell=single_message, weight=50, banks=posts_at_once),
    Story(name="partial_clearing", tell=partial_clearing, weight=25, span=6 * _DAY),
    Story(name="never_authorized", tell=never_authorized, weight=20, span=4 * _DAY),
    Story(name="presentment_reversed", tell=presentment_reversed, weight=12, span=4 * _DAY),
    Story(name="late_presentment", tell=late_presentment, weight=20, span=24 * _DAY),
    Story(name="cash_withdrawal", tell=cash_withdrawal, weight=20, span=2 * _DAY),
    Story(name="request_without_outcome", tell=request_without_outcome, weight=10, banks=asks_first),
    Story(name="network_management", tell=network_management, weight=25),
    Story(name="supplementary_card", tell=purchase, weight=20, holdings=(Holding.SUPPLEMENTED,)),
    Story(name="reissued_card", tell=reissued_card, weight=15, holdings=(Holding.REISSUED,)),
    Story(name="reissued_card_named_later", tell=reissued_card, weight=8, holdings=(Holding.REISSUED_LATER,)),
    Story(name="reissued_card_enrols_itself", tell=reissued_card, weight=8, holdings=(Holding.REISSUED_AND_ENROLS,)),
    Story(name="card_named_later", tell=purchase, weight=15, holdings=(Holding.NAMED_LATER,)),
    Story(name="card_never_named", tell=purchase, weight=6, holdings=(Holding.NEVER_NAMED,)),
    Story(name="card_enrols_itself", tell=purchase, weight=15, holdings=(Holding.ENROLS_ITSELF,)),
    Story(
        name="card_enrols_itself_and_is_named", tell=purchase, weight=10, holdings=(Holding.ENROLS_ITSELF_AND_NAMED,)
    ),
)
"""Every story of messages that decode."""

FAULTS: Final = (
    Story(name="undecodable_truncated", tell=undecodable_truncated),
    Story(name="undecodable_amount", tell=undecodable_amount),
    Story(name="undecodable_bitmap", tell=undecodable_bitmap),
    Story(name="undecodable_message_type", tell=undecodable_message_type),
)
"""What spoils one message in a thousand, in turn."""
