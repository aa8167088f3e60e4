"""Everything that a value or an error says of itself: texts, attributes, causes, the JSON and the pickle of it."""

import pickle
from typing import Any, Final

_MOST_CAUSES: Final = 20


def said_by(error: BaseException) -> bytes:
    """Return the text, arguments and attributes of an error and of every error it came of."""
    said: list[str] = []
    waiting: list[BaseException] = [error]
    for _ in range(_MOST_CAUSES):
        if not waiting:
            break
        one = waiting.pop()
        said += [str(one), repr(one), repr(one.args), repr(vars(one)), repr(getattr(one, "__notes__", ()))]
        waiting += [other for other in (one.__cause__, one.__context__) if other is not None]
    return "\n".join(said).encode()


def pickled(value: Any) -> bytes:
    """Return the pickle of a value, nothing where it refuses to be one."""
    try:
        return pickle.dumps(value)
    except TypeError:
        return b""
