"""One HTTP request from its arrival to its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import web

from . import answers
from .control import ControlPanel
from .log import LoggedRequest
from .routes import Route
from .save_page import SAVE_ROOT, SavePage
from .service import GoogleService

Hook = Callable[[LoggedRequest], None]

THREADS = 16

R = TypeVar("R")


@dataclass(slots=True, kw_only=True)
class GoogleApp:
    """The request handler of the emulated Google."""

    service: GoogleService
    control: ControlPanel
    save_page: SavePage
    # Asked anew for each request, so that a test can set or change the hook at any time.
    on_request: Callable[[], Hook | None]
    _threads: ThreadPoolExecutor | None = field(default=None, init=False)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        target = request.raw_path
        raw = await request.read()
        if target.startswith("/control/"):
            # Aside: whoever gets a callback asks for the keys, which this loop has to serve.
            return await self._aside(self.control.handle, request.method, target, raw)
        if target.startswith(SAVE_ROOT):
            return await self._aside(self.save_page.handle, request.method, target, raw)
        entry, route = self.service.arrive(
            request.method, target, request.headers.get("Authorization"), raw
        )
        status = None
        try:
            response = await self._answered(request, entry, route, raw)
            if response is not None:
                status = response.status
        finally:
            self.service.leave(entry, status)
        # aiohttp wants a response even for a connection that is closed by now; it goes nowhere.
        return web.Response() if response is None else response

    def close(self) -> None:
        """Let go of the threads that hooks and orders ran in."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None

    async def _answered(
        self, request: web.BaseRequest, entry: LoggedRequest, route: Route, raw: bytes
    ) -> web.StreamResponse | None:
        hook = self.on_request()
        if hook is not None:
            await self._aside(hook, entry)
        fault, delay = self.service.draw_fault(entry)
        # Writes take effect on arrival, before the answer is held up: a client that gives up
        # waiting has still changed something, and can never be overtaken by itself later.
        answer = self.service.answer(entry, route, raw, fault)
        delay += self.service.latency_seconds
        if delay:
            # Counted from the arrival: what the emulator itself takes is part of it.
            await asyncio.sleep(entry.arrived_at + delay - time.monotonic())
        if fault is not None:
            return await answers.broken(request, entry, answer, fault)
        return None if answer is None else answers.whole(answer)

    async def _aside(self, work: Callable[..., R], *args: Any) -> R:
        # In a thread without an event loop, so that a hook may use the ORM or block.
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="emulator-aside")
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
