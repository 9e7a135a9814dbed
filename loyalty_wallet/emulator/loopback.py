"""A server on the loopback interface, in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import ipaddress
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from aiohttp import web

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Opener = Callable[[str, int], AbstractAsyncContextManager[int]]
"""Serves at a host and a port, 0 for any; yields the port."""

# Requests that hang to order must not hold up the end of a test.
SHUTDOWN_SECONDS = 0.05


def require_loopback(host: str) -> str:
    """Return the host; raises ValueError unless it is a loopback address."""
    with suppress(ValueError):
        if host == "localhost" or ipaddress.ip_address(host).is_loopback:
            return host
    raise ValueError(f"The emulator serves on loopback addresses only, not on {host!r}.")


def http_server(handler: Handler) -> Opener:
    """Return what serves a handler over plain HTTP."""

    @asynccontextmanager
    async def serve(host: str, port: int) -> AsyncIterator[int]:
        # Without handler_cancellation a hanging request would count as under way after its
        # client has gone.
        server = web.Server(handler, handler_cancellation=True, access_log=None)
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(server, host, port, reuse_address=True)
        try:
            yield listening.sockets[0].getsockname()[1]
        finally:
            await _stop_accepting(listening)
            listening.close()
            server.pre_shutdown()
            await server.shutdown(SHUTDOWN_SECONDS)

    return serve


async def _stop_accepting(listening: asyncio.Server) -> None:
    """Let in who has been accepted: a server that closes meanwhile would forget their sockets."""
    loop = asyncio.get_running_loop()
    for sock in listening.sockets:
        loop.remove_reader(sock.fileno())
    # The turns of the loop in which a connection gets its task, its transport and its protocol.
    for _ in range(3):
        await asyncio.sleep(0)


class LoopbackServer:
    """Serves from `start()` to `stop()`; can be started again on the same port."""

    def __init__(self, opener: Opener, *, host: str, port: int, scheme: str = "http") -> None:
        self._opener = opener
        self._scheme = scheme
        self._host = require_loopback(host)
        self._wanted_port = port
        self._port: int | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._error: BaseException | None = None

    @property
    def url(self) -> str:
        """The root URL without a path; known once the server has been started."""
        if self._port is None:
            raise RuntimeError("The emulator has not been started.")
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{self._scheme}://{host}:{self._port}"

    @property
    def is_running(self) -> bool:
        """Whether the server answers."""
        return self._thread is not None

    def start(self) -> None:
        """Serve; raises OSError if the port is taken."""
        if self._thread is not None:
            raise RuntimeError("The emulator is running already.")
        ready = threading.Event()
        self._error = None
        self._thread = threading.Thread(
            target=self._run, args=(ready,), name="wallet-emulator", daemon=True
        )
        self._thread.start()
        ready.wait()
        if self._error is not None:
            self._join()
            raise self._error

    def stop(self) -> None:
        """Close all connections and stop serving; does nothing if it is not running."""
        if self._thread is None:
            return
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._join()

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()
        self._thread = self._loop = self._stop = None

    def _run(self, ready: threading.Event) -> None:
        try:
            asyncio.run(self._serve(ready))
        except BaseException as error:  # handed to the thread that called start
            self._error = error
        finally:
            ready.set()

    async def _serve(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with self._opener(self._host, self._port or self._wanted_port) as port:
            self._port = port
            ready.set()
            await self._stop.wait()
