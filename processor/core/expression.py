"""A rule's condition in the Common Expression Language (CEL): compiled once, limited in what it may do, and evaluated.

It is the last condition of a rule, for what the others cannot say.
It takes work in proportion to its length: it repeats nothing, calls four functions of texts, and knows no clock.
It never fails a decision: what cannot be evaluated is not met.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple

from processor.core.circumstances import Circumstances
from processor.core.expressed_member import FIELDS, SAMPLE, fields_named, values_of

MOST_CHARACTERS: Final = 500
"""A longer expression is refused; work and memory grow with the length alone."""

FUNCTIONS: Final = ("contains", "endsWith", "size", "startsWith")
"""What an expression may call; the others convert, look for patterns, or know times."""

_OPERATORS: Final = frozenset(
    {"!_", "-_", "_&&_", "_||_", "_?_:_", "_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "_+_", "_-_", "_*_", "_/_"}
    | {"_%_", "@in", "_[_]"}
)
_LOOPS: Final = re.compile(r"\b(all|exists|exists_one|filter|map)\s*\(")
_TEXTS: Final = re.compile(r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"")
_TRIPLE: Final = re.compile(r"'''|\"\"\"|\b[bBrR]{1,2}['\"]")
_PLACE: Final = re.compile(r"<input>:([0-9]+):([0-9]+): (?:Syntax error: )?([^\n]*)")
_MOST_PROBLEM: Final = 80


class Amount(NamedTuple):
    """What a purchase comes to, in minor units and never negative: as paid, and as billed.

    ``billing_currency`` is empty where nothing or several amounts are billed, whose sum then is 0.
    """

    amount_minor: int
    billing_minor: int
    billing_currency: str


PRODUCT_CODES: Final = "product_codes"
"""The variable that makes a programme look at what was bought."""

VARIABLES: Final[Mapping[str, Callable[[Circumstances, Amount], str | int | list[str]]]] = {
    "partner": lambda at, _: at.partner or "",
    "sector": lambda at, _: at.sector,
    "product": lambda at, _: at.product,
    "mcc": lambda at, _: at.mcc,
    "acquirer": lambda at, _: at.acquirer,
    "acceptor": lambda at, _: at.acceptor,
    "channel": lambda at, _: at.channel,
    "country": lambda at, _: at.country,
    "currency": lambda at, _: at.currency,
    "local_date": lambda at, _: at.local_date.isoformat(),
    "month": lambda at, _: at.local_date.month,
    "day": lambda at, _: at.local_date.day,
    "weekday": lambda at, _: at.local_date.isoweekday(),
    "local_time": lambda at, _: f"{at.local_time[:2]}:{at.local_time[2:]}" if at.local_time else "",
    "amount_minor": lambda _, amount: amount.amount_minor,
    "billing_minor": lambda _, amount: amount.billing_minor,
    "billing_currency": lambda _, amount: amount.billing_currency,
    PRODUCT_CODES: lambda at, _: list(at.product_codes),
}
"""The variables of an expression, each from a purchase; a text that the message does not state is empty.

The member is one more, with fields of its own (``core/expressed_member.py``).
"""

_MEMBER: Final = "member"


class Refused(NamedTuple):
    """Why a text is no condition: the problem, what to write instead, and where in the text, both from 1."""

    problem: str
    expected: str
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A compiled condition; ``variables`` are those that it reads, ``member`` what it reads of the member."""

    source: str
    variables: tuple[str, ...]
    member: tuple[str, ...]
    _program: Any = field(repr=False, compare=False)

    def holds(self, at: Circumstances, amount: Amount, rule: str = "") -> bool | None:
        """Tell whether the condition of a rule holds for a purchase, None where it cannot be evaluated."""
        values: dict[str, Any] = {name: VARIABLES[name](at, amount) for name in self.variables}
        if self.member:
            values[_MEMBER] = values_of(self.member, at.member, rule, at.local_date)
        try:
            found = self._program.execute(values)
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError):
            return None
        return found if isinstance(found, bool) else None


_SAMPLE: Final[Mapping[str, str | int | list[str]]] = {
    "partner": "partner",
    "sector": "sector",
    "product": "product",
    "mcc": "5411",
    "acquirer": "412345",
    "acceptor": "ACCEPTOR",
    "channel": "contactless",
    "country": "UA",
    "currency": "EUR",
    "local_date": "2026-01-01",
    "month": 1,
    "day": 1,
    "weekday": 4,
    "local_time": "12:00",
    "amount_minor": 10_000,
    "billing_minor": 10_000,
    "billing_currency": "EUR",
    PRODUCT_CODES: ["019"],
}
"""A purchase on which an expression is tried, so that one of the wrong types is refused before it runs."""


def _mixed() -> re.Pattern[str]:
    """Return what finds a text beside a number in a comparison, which the language says is merely unequal."""
    sample = {**_SAMPLE, **{rf"member\.{name}": value for name, value in SAMPLE.items()}}
    texts = "|".join(name for name, value in sample.items() if isinstance(value, str))
    numbers = "|".join(name for name, value in sample.items() if type(value) is int)
    others = "|".join(name for name, value in sample.items() if isinstance(value, bool | list))
    compares = r"\s*(?:==|!=|<=|>=|<|>)\s*"
    return re.compile(
        rf"\b(?:{texts})\b{compares}-?[0-9]|[0-9]{compares}(?:{texts})\b"
        rf"|\b(?:{numbers})\b{compares}['\"]|['\"]{compares}(?:{numbers})\b"
        rf"|\b(?:{others})\b{compares}['\"0-9-]|['\"0-9]{compares}(?:{others})\b"
    )


_MIXED: Final = _mixed()
_MIXES: Final = "mixes texts and numbers"
_COMPARE: Final = "compare texts in quotes with texts, whole numbers with numbers"


@lru_cache(maxsize=1024)
def compile_expression(source: str) -> Expression | Refused:
    """Return the condition that a text states, or why it is none."""
    if len(source) > MOST_CHARACTERS:
        return Refused(f"has {len(source)} characters", f"write at most {MOST_CHARACTERS}", 1, MOST_CHARACTERS + 1)
    outline = _TEXTS.sub(lambda text: f"'{' ' * (len(text[0]) - 2)}'", source)
    repeats, mixed = _LOOPS.search(outline), _MIXED.search(outline)
    if repeats or _TRIPLE.search(source):
        problem = f"repeats work with {repeats[1]}" if repeats else "holds a text of several lines or of bytes"
        return Refused(problem, "write out what is compared, each text in plain quotes", *_place(source, repeats))
    if mixed:
        return Refused(_MIXES, _COMPARE, *_place(source, mixed))
    # The library brings a command line of its own along, which only programmes with expressions pay for.
    from cel import compile as compile_cel  # noqa: PLC0415

    try:
        program = compile_cel(source)
    except (RuntimeError, TypeError, ValueError) as error:
        return _unparsed(str(error))
    strange = _strange(source, program)
    if strange is not None:
        return strange
    member = fields_named(outline)
    if not isinstance(member, tuple):
        problem = f"names {member[0]!r}, which is nothing that is known of the member"
        expected = f"write one of {', '.join(f'{_MEMBER}.{name}' for name in FIELDS)}"
        return Refused(problem, expected, *_place(source, member))
    variables = tuple([name for name in program.variables() if name != _MEMBER])
    return _tried(Expression(source=source, variables=variables, member=member, _program=program))


def _strange(source: str, program: Any) -> Refused | None:
    """Refuse a variable or a function that is not at hand."""
    unknown = sorted(set(program.variables()) - VARIABLES.keys() - {_MEMBER})
    if unknown:
        expected = f"write one of {', '.join((*VARIABLES, _MEMBER))}"
        return Refused(f"names {unknown[0]!r}, which is no variable", expected, *_word(source, unknown[0]))
    strange = sorted(set(program.functions()) - _OPERATORS - set(FUNCTIONS))
    if strange:
        expected = f"write operators, and of functions {', '.join(FUNCTIONS)}"
        return Refused(f"calls {strange[0]!r}, which is not at hand", expected, *_word(source, strange[0]))
    return None


def _tried(expression: Expression) -> Expression | Refused:
    """Refuse what compares a text with a number, or gives one of them rather than true or false."""
    values: dict[str, Any] = {name: _SAMPLE[name] for name in expression.variables}
    if expression.member:
        values[_MEMBER] = {name: SAMPLE[name] for name in expression.member}
    try:
        found = expression._program.execute(values)  # noqa: SLF001 - its own module's.
    except TypeError:
        return Refused(_MIXES, _COMPARE, 1, 1)
    except (ArithmeticError, LookupError, RuntimeError, ValueError):
        return expression
    if not isinstance(found, bool):
        return Refused("is neither true nor false", "compare what it gives with something", 1, 1)
    return expression


def _unparsed(message: str) -> Refused:
    found = _PLACE.search(message)
    if found is None:
        return Refused("is no CEL expression", "write a condition such as mcc == '5411'", 1, 1)
    problem = found[3].split(" expecting ")[0][:_MOST_PROBLEM]
    return Refused(f"is no CEL expression: {problem}", "write a condition such as mcc == '5411'", *_pair(found))


def _pair(found: re.Match[str]) -> tuple[int, int]:
    return int(found[1]), int(found[2])


def _word(source: str, word: str) -> tuple[int, int]:
    return _place(source, re.search(rf"\b{re.escape(word)}\b", source))


def _place(source: str, found: re.Match[str] | None) -> tuple[int, int]:
    before = source[: found.start()] if found else ""
    return before.count("\n") + 1, len(before) - before.rfind("\n")
