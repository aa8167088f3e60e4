"""A JSON Schema's findings about a document, in words a person can act on, each at its line and column.

The schema's own descriptions and examples say what to write instead, so that an editor and an error tell the same.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from processor.core.located_document import DocumentError, LocatedDocument, Path, choice, did_you_mean, shown

Found = Iterator[tuple[Path, DocumentError]]

_TYPES: Final[Mapping[str, str]] = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "object": "keys with values",
    "string": "text, in quotes if it is all digits",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """What one keyword of the schema found: the ``keyword``, what it demands, and the value that departs from it."""

    path: Path
    keyword: str
    demand: Any
    value: Any
    schema: Mapping[str, Any]
    about_a_key: bool


def schema_errors(document: LocatedDocument, schema: Mapping[str, Any]) -> tuple[tuple[Path, DocumentError], ...]:
    """Return every way in which a document departs from a JSON Schema, each with the path that is broken by it.

    What reading the document found broken already is not reported again.
    """
    found: dict[DocumentError, Path] = {}
    for error in Draft202012Validator(schema).iter_errors(document.value):
        for path, described in _described(document, _finding(error)):
            if path not in document.broken:
                found.setdefault(described, path)
    return tuple((path, error) for error, path in found.items())


def _finding(error: ValidationError) -> _Finding:
    schema: Any = error.schema
    return _Finding(
        path=tuple(error.absolute_path),
        keyword=str(error.validator),
        demand=error.validator_value,
        value=error.instance,
        schema=schema,
        about_a_key="propertyNames" in error.schema_path,
    )


def _described(document: LocatedDocument, finding: _Finding) -> Found:
    """Put one finding into words; a finding about several keys is one error for each."""
    if finding.about_a_key:
        path = (*finding.path, str(finding.value))
        yield path, document.error(path, "cannot be a key here", _wanted(finding), at_key=True)
    elif finding.keyword in _ABOUT_KEYS:
        yield from _ABOUT_KEYS[finding.keyword](document, finding)
    else:
        yield finding.path, document.error(finding.path, _problem(finding), _wanted(finding))


def _unknown_keys(document: LocatedDocument, finding: _Finding) -> Found:
    known = finding.schema["properties"]
    for key in finding.value:
        if key not in known:
            hint = f"{did_you_mean(key, known)}write one of {choice(known)}, or remove it"
            path = (*finding.path, key)
            yield path, document.error(path, "is no known key", hint, at_key=True)


def _missing_keys(document: LocatedDocument, finding: _Finding) -> Found:
    for key in finding.demand:
        if key not in finding.value:
            described = finding.schema["properties"][key]["description"]
            expected = f"write {key}: {_lowered(described)}"
            yield (*finding.path, key), document.error(finding.path, f"lacks the key {key!r}", expected)


def _lone_keys(document: LocatedDocument, finding: _Finding) -> Found:
    for key, others in finding.demand.items():
        for other in others if key in finding.value else ():
            if other not in finding.value:
                problem = f"has {key!r} without {other!r}"
                path = (*finding.path, key)
                yield path, document.error(path, problem, f"write {other} as well, or remove {key}", at_key=True)


def _rival_keys(document: LocatedDocument, finding: _Finding) -> Found:
    rivals = [part["required"][0] for part in finding.demand]
    stated = [key for key in rivals if key in finding.value]
    problem = f"has both {' and '.join(stated)}" if stated else f"has neither {' nor '.join(rivals)}"
    yield (*finding.path, rivals[0]), document.error(finding.path, problem, f"write either {choice(rivals)}")


_ABOUT_KEYS: Final[Mapping[str, Callable[[LocatedDocument, _Finding], Found]]] = {
    "additionalProperties": _unknown_keys,
    "required": _missing_keys,
    "dependentRequired": _lone_keys,
    "oneOf": _rival_keys,
}
"""The schema's keywords that find fault with a mapping's keys rather than with a value."""


def _problem(finding: _Finding) -> str:
    value = finding.value
    if finding.keyword == "uniqueItems":
        return "names something twice"
    if finding.keyword in {"minItems", "minProperties", "minLength"}:
        return f"has fewer than {finding.demand}" if value else "is empty"
    if finding.keyword in {"maxItems", "maxLength"}:
        return f"is longer than {finding.demand}"
    if value is None:
        return "is empty"
    if isinstance(value, str):
        return f"is {shown(value)}"
    if isinstance(value, bool):
        return f"is the word {str(value).lower()}"
    if isinstance(value, int | Decimal):
        return f"is the number {shown(value)}"
    return "is a list" if isinstance(value, Sequence) else "is keys with values"


def _wanted(finding: _Finding) -> str:
    """Return what to write instead: the schema's own words and examples, beside what the keyword demands."""
    schema = finding.schema
    if finding.keyword == "uniqueItems":
        return "name it once"
    if "enum" in schema:
        words = [str(word) for word in schema["enum"]]
        return f"{did_you_mean(finding.value, words)}write {choice(words)}"
    kinds = schema["type"]
    kind = choice(_TYPES[name] for name in ([kinds] if isinstance(kinds, str) else kinds))
    examples = [str(example) for example in schema.get("examples", ())]
    meaning = _lowered(schema["description"])
    bounds = (schema.get("minimum"), schema.get("maximum"))
    span = f"{bounds[0]} to {bounds[1]}"
    if finding.keyword in {"minimum", "maximum"} and None not in bounds and span not in meaning:
        return f"write {span}: {meaning}"
    return f"write {meaning}, such as {choice(examples)}" if examples else f"write {kind}: {meaning}"


def _lowered(description: str) -> str:
    """Return a description as the rest of a sentence."""
    words = description.removesuffix(".")
    is_abbreviation = words[:2].isalpha() and words[:2].isupper()
    return words if is_abbreviation else words[:1].lower() + words[1:]
