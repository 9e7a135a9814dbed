"""Apple Wallet as a wallet: phones fetch signed archives from us, and APNs tells them when."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from ...cards import Card, Program
from ...exceptions import (
    MisconfiguredError,
    NetworkError,
)
from ..base import (
    Payload,
    ProbeResult,
    Wallet,
    canonical_json,
    is_safe_url,
)
from ..secrets import Source
from .apns import ApnsClient, host_and_port, refused_certificate
from .certificates import Certificates, Password
from .images import Images
from .payloads import LABELS, blank_card, store_card
from .push_tokens import PushToken
from .session import AppleSession

APNS_URL = "https://api.push.apple.com"
MOST_LOCATIONS = 10


class AppleWallet(Wallet):
    """Apple Wallet for one pass type.

    `certificate` is the Pass Type ID certificate, as PEM with its `private_key` or as PKCS#12;
    `wwdr_certificate` the intermediate that issued it. Each is a path, the content, or a callable
    that returns one of these. `web_service_url` is where phones find our web service, without the
    `/v1` that they append. `images` is a folder of images, one folder per program below it.
    With `change_messages` a phone says on its lock screen when the points, or stamps, have changed.

    Pushes are authenticated by the certificate, or by a key of the team's (`push_key`, a `.p8`
    file, with `push_key_id`). `apns_ca` trusts one authority in place of the system's: it is for
    the emulator.

    A phone that has been told of a version and has not fetched it is told again after
    `remind_after_seconds`, `reminders` times at most. Apple publishes no limit on pushes, but
    phones are reported to count those that come too soon after one another: a device whose count,
    as we estimate it, would rise above `throttle_score` waits for a later run. What is delivered in
    real time, or because a person asked, waits above `urgent_throttle_score` only. None: no limit.
    """

    provider = "apple"
    count_names = ("updated", "unchanged", "failed", "deferred", "attempts", "pushes")
    counted_as = {"pushes": "requests"}
    field_labels = {f"pass.{path}": label for path, label in LABELS.items()}
    is_published = True

    def __init__(  # noqa: PLR0913
        self,
        alias: str,
        *,
        pass_type_identifier: str,
        team_identifier: str,
        certificate: Source,
        web_service_url: str,
        private_key: Source | None = None,
        private_key_password: Password = None,
        wwdr_certificate: Source | None = None,
        images: str | None = None,
        locations: Sequence[Mapping[str, Any]] = (),
        change_messages: bool = True,
        apns_url: str = APNS_URL,
        apns_ca: str | None = None,
        push_key: Source | None = None,
        push_key_id: str = "",
        push_type: str = "",
        push_priority: int = 10,
        reminders: int = 3,
        remind_after_seconds: float = 7200,
        throttle_score: float | None = 2.0,
        urgent_throttle_score: float | None = None,
        requests_per_second: float | None = None,
        **limits: Any,
    ) -> None:
        super().__init__(alias, requests_per_second=requests_per_second, **limits)
        _check_web_service_url(web_service_url)
        host_and_port(apns_url)
        if len(locations) > MOST_LOCATIONS:
            raise ValueError(f"locations: Apple takes {MOST_LOCATIONS} at most.")
        if reminders < 0 or remind_after_seconds <= 0:
            raise ValueError("reminders must be 0 or more, remind_after_seconds positive.")
        if (push_key is None) != (not push_key_id):
            raise ValueError("push_key and push_key_id belong together.")
        if any(
            score is not None and score < 0 for score in (throttle_score, urgent_throttle_score)
        ):
            raise ValueError("throttle_score and urgent_throttle_score must be 0 or more, or None.")
        self.pass_type_identifier = pass_type_identifier
        self.team_identifier = team_identifier
        self.web_service_url = web_service_url.rstrip("/")
        self.reminders = reminders
        self.remind_after_seconds = remind_after_seconds
        self.throttle_score = throttle_score
        self.urgent_throttle_score = urgent_throttle_score
        self.certificates = Certificates(
            certificate=certificate,
            private_key=private_key,
            private_key_password=private_key_password,
            wwdr_certificate=wwdr_certificate,
            pass_type_identifier=pass_type_identifier,
            team_identifier=team_identifier,
        )
        self.images = Images(images)
        self.locations = tuple(locations)
        self.change_messages = change_messages
        self._apns_url = apns_url
        self._apns_ca = apns_ca
        self._push_type = push_type
        self._push_priority = push_priority
        self._push_token = (
            PushToken(push_key, key_id=push_key_id, team_identifier=team_identifier)
            if push_key is not None
            else None
        )

    def remote_id(self, suffix: str) -> str:
        return suffix

    def program_id(self, program_key: str) -> str:
        return self.pass_type_identifier

    def render(self, card: Card, *, remote_id: str, program_id: str) -> Payload:
        return {
            "pass": store_card(
                card,
                serial_number=remote_id,
                pass_type_identifier=program_id,
                team_identifier=self.team_identifier,
                web_service_url=self.web_service_url,
                locations=self.locations,
                change_message=self.change_messages,
            ),
            "template": self.images.template_for(card.program.key).digest,
        }

    def render_blank(self, delivered: Payload, *, remote_id: str, program_id: str) -> Payload:
        return {
            "pass": blank_card(
                delivered.get("pass", {}),
                serial_number=remote_id,
                pass_type_identifier=program_id,
                team_identifier=self.team_identifier,
                web_service_url=self.web_service_url,
            ),
            "template": delivered.get("template", ""),
        }

    def render_program(self, program: Program, *, program_id: str) -> Payload:
        return {
            "passTypeIdentifier": program_id,
            "template": self.images.template_for(program.key).digest,
        }

    def archive(self, payload: Payload, *, authentication_token: str, program_key: str) -> bytes:
        """Return the signed `.pkpass` of a payload that `render` has made.

        Raises MisconfiguredError when the certificate cannot sign.
        """
        identity = self.certificates.load()
        content = {**payload["pass"], "authenticationToken": authentication_token}
        template = self.images.template_for(program_key)
        return template.build(canonical_json(content), identity.sign)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AppleSession]:
        async with self._connect() as client:
            yield AppleSession(client, self.certificates)

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[ApnsClient]:
        client = ApnsClient(
            self._apns_url,
            topic=self.pass_type_identifier,
            context=lambda: self.certificates.load().client_context(self._apns_ca),
            timeout_seconds=self.timeout_seconds,
            token=self._push_token,
            push_type=self._push_type,
            priority=self._push_priority,
        )
        try:
            yield client
        finally:
            await client.aclose()

    def check(self) -> list[str]:
        return self.certificates.check()

    def expires_at(self) -> datetime | None:
        return self.certificates.expires_at()

    async def probe(self, program_ids: Collection[str]) -> ProbeResult:
        try:
            async with self._connect() as client:
                await client.ping()
        except NetworkError as error:
            if (reason := refused_certificate(error)) is None:
                raise
            return ProbeResult(
                is_reachable=True,
                is_authorised=False,
                publishing="not_needed",
                code=MisconfiguredError.code,
                message=f"APNs refuses the certificate: {reason}",
            )
        # A key of the team's is judged with each push, a certificate with the connection.
        is_authorised = True if self._push_token is None else None
        return ProbeResult(is_reachable=True, is_authorised=is_authorised, publishing="not_needed")


def _check_web_service_url(url: str) -> None:
    if not is_safe_url(url):
        raise ValueError("web_service_url must be https, or on this machine.")
    if url.rstrip("/").endswith("/v1"):
        raise ValueError("web_service_url must not end with /v1: phones append it.")
