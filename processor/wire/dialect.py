"""Dialects: what one network or host means by an ISO 8583 message, read from YAML data and compiled once.

It decides which elements exist, how each is written, which survive the parse and which tell one message from another.
Element numbers live here and in ``schemas/iso8583/``; all other code knows an element by its name.
It never reads a file: its callers hand in the text.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import yaml

from processor.core.message import MessageKind

TEXT_CODECS: Final = ("latin-1", "cp037", "cp500", "cp1140")
"""Codecs of one byte a character that decode every byte; ``ascii`` would refuse one accented letter in a name."""

MAXIMUM_PARENTS: Final = 4
"""How many dialects may extend one another in a row."""

_FORMAT: Final = re.compile(r"(n|a|an|ans|z|b)(\.{0,3})([1-9][0-9]{0,2})")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_MESSAGE: Final = re.compile(r"[01][1-8][0-4][0-5]")
_TAG: Final = re.compile(r"[0-9]{4}")
_LENGTH_DIGITS: Final = {"": 0, ".": 1, "..": 2, "...": 3}
_ENCODING_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "text": TEXT_CODECS,
    "numeric": ("text", "bcd"),
    "length": ("text", "bcd"),
    "bitmap": ("binary", "hex"),
    "binary": ("raw", "hex"),
}
_KEYS: Final = frozenset(
    {
        "award_field",
        "clearing_identity",
        "description",
        "echo",
        "elements",
        "encoding",
        "extends",
        "identity",
        "kept",
        "kinds",
        "links",
        "messages",
        "sensitive",
        "subelements",
        "version",
        "volatile",
    }
)
_KIND: Final = re.compile(r"([01][1-8][0-4][0-5])(?:/([0-9x]{3})(?:/([0-9x]{4}))?)?")
KINDS: Final = tuple(
    kind.name.lower() for kind in MessageKind if kind < MessageKind.EXPIRY and not kind.name.endswith("_REVERSAL")
)
"""The kinds that a dialect's table may give a message; a reversal mark in the message makes the reversal of each."""

_LINKS: Final = ("lifecycle_id", "approval_code", "retrieval_reference")

DECISION_FIELDS: Final = frozenset(
    {
        "acquirer",
        "acquirer_reference",
        "amount",
        "billing_amount",
        "billing_currency",
        "clearing_part",
        "currency",
        "file_amount",
        "file_messages",
        "forwarder",
        "function_code",
        "local_date",
        "local_date_time",
        "mcc",
        "original_data",
        "presentment_reversal",
        "processing_code",
        "trace_number",
        "transmission_date_time",
    }
)
"""Fields whose content must be what their format says, because a decision reads them; others are noted as odd."""


class DialectError(ValueError):
    """A dialect's text is wrong; the message names the file, the place in it and what was expected."""

    def __init__(self, name: str, place: str, problem: str) -> None:
        super().__init__(f"dialect {name}.yaml, {place}: {problem}")
        self.name = name
        self.place = place
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One data element: ``content`` is n, a, an, ans, z or b, ``length_digits`` is 0 where the length is fixed.

    ``length`` is the (maximum) length in characters, for ``b`` in bytes.
    """

    number: int
    name: str
    content: str
    length_digits: int
    length: int
    description: str

    @property
    def holds_variable_text(self) -> bool:
        """Whether the element is text with its length in front."""
        return self.length_digits > 0 and self.content in {"a", "an", "ans"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subelement:
    """One private data sub-element: a tag of four digits inside one of the carrier elements."""

    tag: str
    name: str
    description: str


class KindRule(NamedTuple):
    """What a message of one type means, where its function code and reason are these; x stands for any digit."""

    message_type: str
    function_code: str
    message_reason: str
    kind: str

    @property
    def stated(self) -> int:
        """How many digits the rule states; of several that match, the one that states most wins."""
        return sum(character != "x" for character in self.function_code + self.message_reason)


class Rule(NamedTuple):
    """What decoding does with one element, looked up once a message and element."""

    name: str
    kept: bool
    echoed: bool
    numeric: bool
    strict: bool
    carrier: bool
    length_characters: bytes | None
    """The ten digits as bytes of a length in characters; None where a length is packed or fixed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dialect:
    """A compiled dialect.

    ``spec`` is what pyiso8583 reads; ``rules`` is keyed by element number in text, as that library names elements.
    ``known_bits`` has the bit of every element the dialect knows, element 1 the highest of 128.
    ``message_types`` maps the bytes of every accepted message type, repeats included, to its four digits.
    """

    name: str
    description: str
    version: str
    text_codec: str
    elements: Mapping[int, Element]
    numbers: Mapping[str, int]
    subelements: Mapping[str, Subelement]
    carriers: tuple[str, ...]
    identity: tuple[str, ...]
    clearing_identity: tuple[str, ...]
    kept: frozenset[str]
    volatile: frozenset[str]
    sensitive: frozenset[str]
    echo: tuple[str, ...]
    links: tuple[str, ...]
    kinds: tuple[KindRule, ...]
    award_field: int | None
    spec: Mapping[str, Mapping[str, Any]]
    rules: Mapping[str, Rule]
    subelement_rules: Mapping[str, Rule]
    known_bits: int
    hexadecimal_bitmap: bool
    message_type_length: int
    message_types: Mapping[bytes, str]
    message_type_bytes: Mapping[str, bytes]


def parse_dialect(name: str, text: str, parents: Mapping[str, str] | None = None) -> Dialect:
    """Compile one dialect; ``parents`` holds the text of the dialects it may extend, by name.

    Raises :class:`DialectError`.
    """
    return _compile(name, _merged(name, text, parents or {}, MAXIMUM_PARENTS))


def _merged(name: str, text: str, parents: Mapping[str, str], depth: int) -> dict[str, Any]:
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the file"
        raise DialectError(name, place, "is not YAML; mend it there") from None
    if not isinstance(data, dict):
        raise DialectError(name, "the file", "must be a mapping of keys such as description, elements and kept")
    unknown = sorted(str(key) for key in data if key not in _KEYS)
    if unknown:
        raise DialectError(name, unknown[0], f"is not a known key; expected one of {', '.join(sorted(_KEYS))}")
    parent = data.pop("extends", None)
    if parent is None:
        return data
    if parent not in parents:
        raise DialectError(name, "extends", f"names {parent!r}; expected one of {', '.join(sorted(parents)) or 'none'}")
    if depth == 0:
        raise DialectError(name, "extends", f"goes over {MAXIMUM_PARENTS} parents or in a circle; shorten the chain")
    merged = _merged(str(parent), parents[parent], parents, depth - 1)
    for key, value in data.items():
        own_keys = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = {**merged[key], **value} if own_keys else value
    return merged


def _compile(name: str, data: Mapping[str, Any]) -> Dialect:
    encoding = _encoding(name, data.get("encoding"))
    elements = _elements(name, data.get("elements"))
    carriers, subelements = _subelements(name, data.get("subelements"))
    numbers = {element.name: number for number, element in elements.items()}
    names = [element.name for element in elements.values()] + [named.name for named in subelements.values()]
    for field in sorted({field for field in names if names.count(field) > 1}):
        raise DialectError(name, field, "is the name of two elements; expected each name once")
    if "pan" not in numbers:
        raise DialectError(name, "elements", "lacks pan; expected one element of that name")
    listed = {
        key: _names(name, key, data.get(key, []), names)
        for key in ("clearing_identity", "echo", "identity", "kept", "sensitive", "volatile")
    }
    _check_lists(name, listed, numbers)
    award_field = data.get("award_field")
    if award_field is not None and (award_field not in elements or not elements[award_field].holds_variable_text):
        raise DialectError(name, "award_field", "expected the number of a text element of variable length")
    links = tuple(data.get("links", ()))
    if not set(links) <= set(_LINKS):
        raise DialectError(name, "links", f"expected some of {', '.join(_LINKS)}")
    version = data.get("version")
    types = _message_types(name, data.get("messages"), version)
    as_bytes = {digits: _message_type_bytes(digits, encoding) for digits in types}
    for carrier in carriers:
        if carrier not in numbers or carrier in listed["kept"]:
            problem = f"carrier {carrier!r} is no element or is kept whole; expected an element that is not kept"
            raise DialectError(name, "subelements", problem)
    return Dialect(
        name=name,
        description=str(data.get("description", "")),
        version=str(version),
        text_codec=encoding["text"],
        elements=elements,
        numbers=numbers,
        subelements=subelements,
        carriers=carriers,
        identity=listed["identity"],
        clearing_identity=listed["clearing_identity"],
        kept=frozenset(listed["kept"]),
        volatile=frozenset(listed["volatile"]),
        sensitive=frozenset(listed["sensitive"]),
        echo=listed["echo"],
        links=links,
        kinds=_kinds(name, data.get("kinds", {})),
        award_field=award_field,
        spec=_spec(elements, encoding),
        rules={str(number): _rule(element, listed, carriers, encoding) for number, element in elements.items()},
        subelement_rules={tag: _subelement_rule(subelement, listed) for tag, subelement in subelements.items()},
        known_bits=sum(1 << (128 - number) for number in elements),
        hexadecimal_bitmap=encoding["bitmap"] == "hex",
        message_type_length=2 if encoding["numeric"] == "bcd" else 4,
        message_types={encoded: digits for digits, encoded in as_bytes.items()},
        message_type_bytes=as_bytes,
    )


def _encoding(name: str, stated: Any) -> dict[str, str]:
    if not isinstance(stated, dict) or set(stated) != set(_ENCODING_CHOICES):
        raise DialectError(name, "encoding", f"expected exactly the keys {', '.join(_ENCODING_CHOICES)}")
    for key, choices in _ENCODING_CHOICES.items():
        if stated[key] not in choices:
            raise DialectError(name, f"encoding.{key}", f"is {stated[key]!r}; expected one of {', '.join(choices)}")
    return dict(stated)


def _elements(name: str, stated: Any) -> dict[int, Element]:
    if not isinstance(stated, dict):
        raise DialectError(name, "elements", "expected a mapping of element number to [name, format, description]")
    elements = {}
    for number, entry in stated.items():
        place = f"element {number}"
        if not isinstance(number, int) or not 2 <= number <= 128 or number == 65:
            raise DialectError(name, place, "expected a number from 2 to 128; 1 and 65 are bitmaps")
        elements[number] = _element(name, place, number, entry)
    return dict(sorted(elements.items()))


def _element(name: str, place: str, number: int, entry: Any) -> Element:
    if not isinstance(entry, list) or len(entry) != 3 or not all(isinstance(part, str) for part in entry):
        raise DialectError(name, place, "expected [name, format, description], three texts")
    field, stated_format, description = entry
    if not _NAME.fullmatch(field):
        raise DialectError(name, place, f"is named {field!r}; expected lower case words joined by underscores")
    found = _FORMAT.fullmatch(stated_format)
    if found is None:
        raise DialectError(
            name, place, f"has the format {stated_format!r}; expected one such as n6, n..11 or ans...999"
        )
    content, dots, digits = found.groups()
    length_digits, length = _LENGTH_DIGITS[dots], int(digits)
    if length_digits and length >= 10**length_digits:
        raise DialectError(name, place, f"is longer than {dots} can say; expected at most {10**length_digits - 1}")
    return Element(
        number=number,
        name=field,
        content=content,
        length_digits=length_digits,
        length=length,
        description=description,
    )


def _subelements(name: str, stated: Any) -> tuple[tuple[str, ...], dict[str, Subelement]]:
    if stated is None:
        return (), {}
    if not isinstance(stated, dict) or set(stated) != {"carriers", "fields"} or not isinstance(stated["fields"], dict):
        raise DialectError(name, "subelements", "expected the keys carriers and fields")
    found = {}
    for tag, entry in stated["fields"].items():
        if not isinstance(tag, str) or not _TAG.fullmatch(tag):
            raise DialectError(name, f"subelement {tag!r}", 'expected a tag of four digits in quotes, such as "0025"')
        if not isinstance(entry, list) or len(entry) != 2 or not _NAME.fullmatch(str(entry[0])):
            raise DialectError(name, f"subelement {tag}", "expected [name, description]")
        found[tag] = Subelement(tag=tag, name=str(entry[0]), description=str(entry[1]))
    return tuple(stated["carriers"]), found


def _names(name: str, key: str, stated: Any, names: list[str]) -> tuple[str, ...]:
    if not isinstance(stated, list):
        raise DialectError(name, key, "expected a list of element names")
    for field in stated:
        if field not in names:
            raise DialectError(name, key, f"lists {field!r}, which no element is called; expected an element's name")
    return tuple(stated)


def _check_lists(name: str, listed: Mapping[str, tuple[str, ...]], numbers: Mapping[str, int]) -> None:
    if "pan" in listed["kept"] or set(listed["kept"]) & set(listed["sensitive"]):
        raise DialectError(name, "kept", "holds the account number or a sensitive element; expected neither")
    for key in ("identity", "clearing_identity", "volatile"):
        for field in listed[key]:
            if field not in listed["kept"]:
                raise DialectError(name, key, f"lists {field!r}, which is not kept; add it to kept")
    for field in listed["echo"]:
        if field not in numbers or field in listed["sensitive"]:
            raise DialectError(name, "echo", f"lists {field!r}; expected elements that are not sensitive")


def _kinds(name: str, stated: Any) -> tuple[KindRule, ...]:
    if not isinstance(stated, dict):
        raise DialectError(name, "kinds", "expected a mapping of message type, function code and reason to a kind")
    rules = []
    for meant, kind in stated.items():
        found = _KIND.fullmatch(str(meant))
        if found is None or int(found[1][3]) % 2:
            problem = "expected a message type, or 1240/200, or 1740/7xx/1234, x for any digit, in quotes"
            raise DialectError(name, f"kinds {meant}", problem)
        if kind not in KINDS:
            raise DialectError(name, f"kinds {meant}", f"is {kind!r}; expected one of {', '.join(KINDS)}")
        rules.append(
            KindRule(message_type=found[1], function_code=found[2] or "", message_reason=found[3] or "", kind=kind)
        )
    return tuple(sorted(rules, key=lambda rule: -rule.stated))


def _message_types(name: str, stated: Any, version: Any) -> tuple[str, ...]:
    if version not in {"0", "1"}:
        raise DialectError(name, "version", 'expected "0" for 1987 or "1" for 1993, in quotes')
    if not isinstance(stated, list) or not stated:
        raise DialectError(name, "messages", "expected a list of message types")
    found = []
    for digits in stated:
        if not isinstance(digits, str) or not _MESSAGE.fullmatch(digits) or digits[0] != version:
            raise DialectError(
                name, "messages", f"lists {digits!r}; expected four digits in quotes, {version} the first"
            )
        if int(digits[3]) % 2:
            raise DialectError(name, "messages", f"lists {digits!r}; repeats come by themselves, list the original")
        found += [digits, digits[:3] + str(int(digits[3]) + 1)]
    return tuple(found)


def _message_type_bytes(digits: str, encoding: Mapping[str, str]) -> bytes:
    return bytes.fromhex(digits) if encoding["numeric"] == "bcd" else digits.encode(encoding["text"])


def _subelement_rule(subelement: Subelement, listed: Mapping[str, tuple[str, ...]]) -> Rule:
    return Rule(
        name=subelement.name,
        kept=subelement.name in listed["kept"],
        echoed=False,
        numeric=False,
        strict=_is_strict(subelement.name, listed),
        carrier=False,
        length_characters=None,
    )


def _is_strict(name: str, listed: Mapping[str, tuple[str, ...]]) -> bool:
    return name in DECISION_FIELDS or name in listed["identity"] or name in listed["clearing_identity"]


def _rule(
    element: Element, listed: Mapping[str, tuple[str, ...]], carriers: tuple[str, ...], encoding: Mapping[str, str]
) -> Rule:
    name = element.name
    characters = element.length_digits and encoding["length"] == "text"
    return Rule(
        name=name,
        kept=name in listed["kept"],
        echoed=name in listed["echo"],
        numeric=element.content == "n",
        strict=_is_strict(name, listed),
        carrier=name in carriers,
        length_characters="0123456789".encode(encoding["text"]) if characters else None,
    )


def _spec(elements: Mapping[int, Element], encoding: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    text = encoding["text"]
    packed_bitmap = {"data_enc": "b" if encoding["bitmap"] == "binary" else text, "len_enc": text, "len_type": 0}
    bitmap = {**packed_bitmap, "max_len": 8 if encoding["bitmap"] == "binary" else 16, "desc": "Bitmap"}
    kind = "b" if encoding["numeric"] == "bcd" else text
    spec: dict[str, dict[str, Any]] = {
        "h": {"data_enc": text, "len_enc": text, "len_type": 0, "max_len": 0, "desc": "No header"},
        "t": {"data_enc": kind, "len_enc": text, "len_type": 0, "max_len": 2 if kind == "b" else 4, "desc": "Type"},
        "p": bitmap,
        "1": bitmap,
    }
    for number, element in elements.items():
        spec[str(number)] = _element_spec(element, encoding)
    return spec


def _element_spec(element: Element, encoding: Mapping[str, str]) -> dict[str, Any]:
    packed_length = encoding["length"] == "bcd"
    spec: dict[str, Any] = {
        "data_enc": encoding["text"],
        "len_enc": "bcd" if packed_length else encoding["text"],
        "len_type": (element.length_digits + 1) // 2 if packed_length else element.length_digits,
        "max_len": element.length,
        "desc": element.description,
    }
    if element.content == "b" and encoding["binary"] == "raw":
        spec["data_enc"] = "b"
    elif element.content == "b":
        spec["max_len"] = 2 * element.length
    elif element.content in {"n", "z"} and encoding["numeric"] == "bcd":
        spec |= {"data_enc": "b", "len_count": "nibbles", "left_pad": "0"}
    return spec
