"""One HTTP request from its arrival to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from aiohttp import web

from . import answers
from .control import ControlPanel
from .log import LoggedRequest
from .routes import Route
from .service import GoogleService

Hook = Callable[[LoggedRequest], None]

HOOK_THREADS = 16


@dataclass(slots=True, kw_only=True)
class GoogleApp:
    """The request handler of the emulated Google."""

    service: GoogleService
    control: ControlPanel
    # Asked anew for each request, so that a test can set or change the hook at any time.
    on_request: Callable[[], Hook | None]
    _hooks: ThreadPoolExecutor | None = field(default=None, init=False)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        target = request.raw_path
        raw = await request.read()
        if target.startswith("/control/"):
            return self.control.handle(request.method, target, raw)
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
        """Let go of the threads that hooks ran in."""
        if self._hooks is not None:
            self._hooks.shutdown(wait=False, cancel_futures=True)
            self._hooks = None

    async def _answered(
        self, request: web.BaseRequest, entry: LoggedRequest, route: Route, raw: bytes
    ) -> web.StreamResponse | None:
        hook = self.on_request()
        if hook is not None:
            await self._run_hook(hook, entry)
        fault, delay = self.service.draw_fault(entry)
        # Writes take effect on arrival, before the answer is held up: a client that gives up
        # waiting has still changed something, and can never be overtaken by itself later.
        answer = self.service.answer(entry, route, raw, fault)
        delay += self.service.latency_seconds
        if delay:
            await asyncio.sleep(delay)
        if fault is not None:
            return await answers.broken(request, entry, answer, fault)
        return None if answer is None else answers.whole(answer)

    async def _run_hook(self, hook: Hook, entry: LoggedRequest) -> None:
        # In a thread without an event loop, so that a hook may use the ORM or block.
        if self._hooks is None:
            self._hooks = ThreadPoolExecutor(HOOK_THREADS, thread_name_prefix="emulator-hook")
        await asyncio.get_running_loop().run_in_executor(self._hooks, hook, entry)
