"""Keeps Playwright in a thread of its own.

Its synchronous API leaves an event loop running in the thread that uses it. There, Django refuses
every query, and our own engine cannot run. So a test holds stand-ins: they have Playwright's types
and do everything in the browser's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")

_PLAIN = (str, bytes, int, float, bool, type(None), dict, Path)


class BrowserThread:
    """The one thread in which a session's browser lives."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="browser")

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` there, with what its stand-ins stand for, and wait for the result.

        A function given to Playwright as a handler is called there as well, with the real objects.
        """
        real_args = [real(value) for value in args]
        real_kwargs = {name: real(value) for name, value in kwargs.items()}
        return cast(
            T, self._shown(self._executor.submit(function, *real_args, **real_kwargs).result())
        )

    def close(self) -> None:
        self._executor.shutdown()

    def _shown(self, value: Any) -> Any:
        if isinstance(value, _PLAIN):
            return value
        if isinstance(value, list):
            return [self._shown(item) for item in value]
        return StandIn(self, value)


class StandIn:
    """Looks like an object of Playwright's, and acts in the browser's thread."""

    def __init__(self, thread: BrowserThread, real: Any) -> None:
        self._thread = thread
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return self._thread.run(getattr, self._real, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._thread.run(self._real, *args, **kwargs)

    def __enter__(self) -> Any:
        return self._thread.run(self._real.__enter__)

    def __exit__(self, *exc_info: Any) -> None:
        self._thread.run(self._real.__exit__, *exc_info)


def real(value: Any) -> Any:
    """Return what a stand-in stands for, to be used in the browser's thread only."""
    return value._real if isinstance(value, StandIn) else value
