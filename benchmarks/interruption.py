"""A request to end the benchmark: heard once, wherever the benchmark is.

Outside of event loops it is a ``KeyboardInterrupt``.
Inside of one it cancels what is measured: an exception out of nowhere could fall into a callback that swallows it.
"""

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

_T = TypeVar("_T")
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_measured: list[asyncio.Task[Any]] = []
"""What the running event loop measures, if one runs."""


@contextmanager
def interrupted_once() -> Iterator[None]:
    """Hear the first request to end for the length of a block, and no further ones while everything is ended."""

    def interrupt(*_: object) -> None:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        if not _measured:
            raise KeyboardInterrupt
        task = _measured[-1]
        task.get_loop().call_soon_threadsafe(task.cancel)

    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_measurement(measuring: Coroutine[Any, Any, _T]) -> _T:
    """Run a measurement on an event loop of its own; raises ``KeyboardInterrupt`` where a request to end cancels it."""
    try:
        return asyncio.run(_noted(measuring))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _noted(measuring: Coroutine[Any, Any, _T]) -> _T:
    task = asyncio.create_task(measuring)
    _measured.append(task)
    try:
        return await task
    finally:
        _measured.pop()
