"""The event loop in which lanes deliver, in a thread of its own.

The database stays in the caller's thread: its transactions, its connection and its signals are
the caller's, and the loop never waits for a query.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, wait
from contextlib import AsyncExitStack
from typing import Protocol

from ...wallets.base import Session, Wallet

ABORT_SECONDS = 5
"""How long an abort waits for the loop; what is in flight then is found by its expired lease."""


class Lane(Protocol):
    """What works in the loop with a session of a wallet's."""

    async def run(self, connect: Callable[[Wallet], Awaitable[Session]]) -> None:
        """Work until there is nothing left to do."""


class DeliveryThread:
    """An event loop in a thread of its own, and the sessions with the providers in it.

    Sessions live as long as the thread, so that several runs can share one connection.
    """

    def __init__(self) -> None:
        self._sessions: dict[Wallet, Session] = {}
        self._stack = AsyncExitStack()
        self._connecting = asyncio.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="wallet-delivery", daemon=True)
        self._thread.start()

    def serve(self, lane: Lane) -> Future[None]:
        """Let a lane work; the future ends when the lane is closed and empty."""
        return asyncio.run_coroutine_threadsafe(lane.run(self._connect), self._loop)

    def call(self, function: Callable[..., object], *args: object) -> None:
        """Run a function of a lane's in the loop's thread, soon."""
        self._loop.call_soon_threadsafe(function, *args)

    def close(self) -> None:
        """End the sessions and the loop; what still runs in it is cancelled."""
        closing = asyncio.run_coroutine_threadsafe(self._stack.aclose(), self._loop)
        wait([closing], timeout=ABORT_SECONDS)
        self.call(self._loop.stop)
        self._thread.join(timeout=ABORT_SECONDS)

    async def _connect(self, wallet: Wallet) -> Session:
        async with self._connecting:
            if wallet not in self._sessions:
                self._sessions[wallet] = await self._stack.enter_async_context(wallet.connect())
            return self._sessions[wallet]

    def _serve(self) -> None:
        # The runner cancels and awaits whatever is left when the loop stops.
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.get_loop().run_forever()


_shared: dict[int, DeliveryThread] = {}
_sharing = threading.Lock()


def shared_thread() -> DeliveryThread:
    """Return this process's own thread, whose connections live as long as the process.

    For real-time deliveries, which would otherwise pay for a handshake each. A forked child gets
    a thread of its own: its parent's does not run in it.
    """
    with _sharing:
        thread = _shared.get(os.getpid())
        if thread is None:
            thread = _shared[os.getpid()] = DeliveryThread()
            atexit.register(thread.close)
        return thread
