"""`GoogleEmulator`: the emulated Google in a thread of this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypedDict

from loyalty_wallet.emulator.loopback import LoopbackServer, http_server, require_loopback

from .api import WalletApi
from .app import GoogleApp
from .control import ControlPanel
from .customers import Customers
from .faults import FaultBook
from .keys import ServiceAccount
from .log import LoggedRequest, RequestLog
from .operations import GoogleOperations
from .quota import Quota
from .routes import KEYS_PATH
from .save_page import SAVE_ROOT, SavePage
from .service import GoogleService
from .tokens import TokenDesk

DEFAULT_ISSUER_ID = "3388000000000000001"


class WalletOptions(TypedDict):
    """The options with which a Google wallet talks to an emulator."""

    issuer_id: str
    credentials: str
    api_url: str
    callback_keys_url: str


def wallet_options(url: str, issuer_id: str, account: ServiceAccount) -> WalletOptions:
    """Return the options with which a Google wallet talks to the emulator at `url`."""
    return WalletOptions(
        issuer_id=issuer_id,
        credentials=json.dumps(account),
        api_url=url,
        callback_keys_url=f"{url}{KEYS_PATH}",
    )


@dataclass(kw_only=True, eq=False)
class GoogleEmulator(GoogleOperations):
    """Google Wallet's REST API and Google's token endpoint on a loopback port.

    Use it as a context manager, or call `start()` and `stop()`. What it holds survives a stop, and
    it starts again on the same port, so a stop is an outage. `on_request` is called in a thread of
    its own before each request is handled.
    """

    issuer_id: str = DEFAULT_ISSUER_ID
    host: str = "127.0.0.1"
    port: int = 0
    requests_per_second: float | None = 20
    retry_after: float | str | None = None
    latency_seconds: float = 0.0
    token_lifetime_seconds: float = 3600
    approves_classes: bool = True
    log_bodies: bool = True
    seed: int | None = None
    on_request: Callable[[LoggedRequest], None] | None = None
    _service: GoogleService = field(init=False, repr=False)
    _customers: Customers = field(init=False, repr=False)
    _app: GoogleApp = field(init=False, repr=False)
    _server: LoopbackServer = field(init=False, repr=False)

    def __post_init__(self) -> None:
        require_loopback(self.host)
        self._service = GoogleService(
            issuer_id=self.issuer_id,
            api=WalletApi(allowed_issuers={self.issuer_id}, approves_classes=self.approves_classes),
            tokens=TokenDesk(lifetime_seconds=self.token_lifetime_seconds),
            faults=FaultBook(seed=self.seed),
            quota=Quota(self.requests_per_second, retry_after=self.retry_after),
            log=RequestLog(keeps_bodies=self.log_bodies),
            latency_seconds=self.latency_seconds,
        )
        self._customers = Customers(service=self._service)
        panel = ControlPanel(self, service_account=lambda: dict(self.service_account))
        self._app = GoogleApp(
            service=self._service,
            control=panel,
            save_page=SavePage(self),
            on_request=lambda: self.on_request,
        )
        self._server = LoopbackServer(http_server(self._app), host=self.host, port=self.port)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Serve; raises OSError if the port is taken."""
        self._server.start()

    def stop(self) -> None:
        """Stop serving, as if Google were unreachable. What is stored stays."""
        self._server.stop()
        self._app.close()

    @property
    def url(self) -> str:
        """The root URL without a path."""
        return self._server.url

    @property
    def save_url(self) -> str:
        """The option `save_url` whose links a person's browser can follow to this emulator."""
        return f"{self.url}{SAVE_ROOT}"

    @property
    def service_account(self) -> ServiceAccount:
        """A service-account JSON whose token endpoint is this emulator."""
        return self._service.service_account(self.url)

    @property
    def wallet_options(self) -> WalletOptions:
        """The options with which a Google wallet talks to this emulator."""
        return wallet_options(self.url, self.issuer_id, self.service_account)
