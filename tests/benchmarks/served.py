"""The web service as phones reach it: the reference project behind gunicorn, in processes.

Two views of the benchmark's own are served beside it, so that the floor is measured through the
same server: one that does nothing, and one that sends as many bytes as it is asked for.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.benchmarks.command import ROOT, set_up
from tests.benchmarks.measure import BenchmarkError

if TYPE_CHECKING:
    from django.core.handlers.wsgi import WSGIHandler

PROCESSES, THREADS = 2, 4
BACKLOG = 2048
START_SECONDS = 30
EMPTY_PATH = "floor/empty"
BYTES_PATH = "floor/bytes"


@contextmanager
def listening() -> Iterator[socket.socket]:
    """Take a port before anything is served: its number has to be in the passes."""
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as taken:
        yield taken


def url_of(taken: socket.socket) -> str:
    return f"http://127.0.0.1:{taken.getsockname()[1]}"


@contextmanager
def served(taken: socket.socket, environment: Mapping[str, str]) -> Iterator[None]:
    """Serve on a port that was taken. Raises BenchmarkError when the server does not start."""
    command = [sys.executable, "-m", "gunicorn", "--bind", f"fd://{taken.fileno()}"]
    command += ["--workers", str(PROCESSES), "--threads", str(THREADS), "--log-level", "warning"]
    process = subprocess.Popen(
        [*command, "tests.benchmarks.served:application()"],
        cwd=ROOT,
        env={**os.environ, **environment},
        pass_fds=[taken.fileno()],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _wait_for(process, taken)
        yield
    finally:
        process.terminate()
        process.communicate()


def application() -> WSGIHandler:
    """Return what gunicorn serves, with the wallets that the parent has left in the environment."""
    set_up()
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpRequest, HttpResponse
    from django.urls import include, path

    def empty(request: HttpRequest) -> HttpResponse:
        return HttpResponse(status=204)

    def some_bytes(request: HttpRequest) -> HttpResponse:
        return HttpResponse(bytes(int(request.GET["count"])))

    settings.DATABASES["default"]["CONN_MAX_AGE"] = 60
    settings.ROOT_URLCONF = (
        path(EMPTY_PATH, empty),
        path(BYTES_PATH, some_bytes),
        path("", include("project.urls")),
    )
    return get_wsgi_application()


def _wait_for(process: subprocess.Popen[str], taken: socket.socket) -> None:
    """Return when the first answer is there; until then requests wait in the backlog."""
    give_up_at = time.monotonic() + START_SECONDS
    request = f"GET /{EMPTY_PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    with socket.create_connection(taken.getsockname()) as connection:
        connection.settimeout(0.1)
        connection.sendall(request)
        while time.monotonic() < give_up_at:
            if process.poll() is not None:
                break
            try:
                if connection.recv(65_536).startswith(b"HTTP/1.1 204"):
                    return
            except TimeoutError:
                continue
            break
    process.kill()
    raise BenchmarkError(f"The web service was not served: {process.communicate()[1][-2000:]}")
