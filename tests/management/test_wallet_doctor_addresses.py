"""`wallet_doctor --online`: who answers where phones and Google look for us."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from pytest_django.live_server_helper import LiveServer

from loyalty_wallet.models import LoyaltyCard
from tests.shopfront import Configure

from .examining import examine, good

pytestmark = pytest.mark.django_db(transaction=True)

MakeCards = Callable[[int], list[LoyaltyCard]]
ConfigureApple = Callable[..., None]


@contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """Serve this answer to every GET; yield the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def answering(
    status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in (headers or {}).items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


_KEPT = ("WWW-Authenticate",)


def proxy_to(root: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """Pass requests on, but for the Authorization header, as a careless proxy does."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        with requests.Session() as session:
            session.trust_env = False
            found = session.get(f"{root}{request.path}", timeout=10)
        kept = {name: found.headers[name] for name in _KEPT if name in found.headers}
        answering(found.status_code, found.content, kept)(request)

    return answer


def test_authorization_that_a_proxy_takes_away(
    make_cards: MakeCards, configure_apple: ConfigureApple, live_server: LiveServer
) -> None:
    """Every phone would be refused, and the log would only say 401."""
    with serving(proxy_to(live_server.url)) as url:
        configure_apple(web_service_url=f"{url}/wallet/apple")
        _, bad = examine("--online")
    assert "does not arrive" in bad["web_service"]["text"]
    assert "proxy_set_header Authorization" in bad["web_service"]["fix"]


@pytest.mark.parametrize(
    ("status", "headers", "named"),
    [
        (301, {"Location": "https://www.example.com/"}, "leads elsewhere"),
        (400, {}, "does not know this host"),
        (404, {}, "Nothing of ours"),
        (401, {"WWW-Authenticate": "Basic"}, "Somebody else answers"),
        (200, {}, "Somebody else answers"),
    ],
)
def test_somebody_else_at_our_url(
    make_cards: MakeCards,
    configure_apple: ConfigureApple,
    status: int,
    headers: dict[str, str],
    named: str,
) -> None:
    """What answers in place of our web service is told apart, each with its remedy."""
    with serving(answering(status, headers=headers)) as url:
        configure_apple(web_service_url=f"{url}/wallet/apple")
        _, bad = examine("--online")
    assert named in bad["web_service"]["text"]
    assert bad["web_service"]["fix"]


def test_nobody_at_our_url(make_cards: MakeCards, configure_apple: ConfigureApple) -> None:
    """A host that phones cannot reach either."""
    configure_apple(web_service_url="http://127.0.0.1:9/wallet/apple")
    _, bad = examine("--online")
    assert "cannot be reached" in bad["web_service"]["text"]


@pytest.mark.parametrize(
    ("robots", "code"),
    [
        (b"User-agent: *\nDisallow: /wallet/\n", "robots"),
        (b"User-agent: Googlebot\nDisallow: /\n", "robots"),
        (b"User-agent: *\nDisallow: /admin/\n", None),
        (None, None),
    ],
)
def test_robots_that_keep_google_out(
    configure: Configure, live_server: LiveServer, robots: bytes | None, code: str | None
) -> None:
    """Google obeys robots.txt for its callbacks: a removal would never be known."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.path != "/robots.txt":
            proxy_to(live_server.url)(request)
        elif robots is None:
            answering(404, b"User-agent: *\nDisallow: /\n")(request)
        else:
            answering(200, robots)(request)

    with serving(answer) as url:
        configure(callback_url=f"{url}/wallet/google/callback/")
        _, bad = examine("--online")
        assert {"robots", "callback"} & set(bad) == ({code} if code else set())
        assert ("callback" in good("--online")) is (code is None)
