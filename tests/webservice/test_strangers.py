"""Strangers at the web service's door: they learn nothing, break nothing and fill nothing."""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from django.core.cache import cache
from django.test import Client as DjangoClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from loyalty_wallet.models import AppleDevice, AppleRegistration, LoyaltyCard
from loyalty_wallet.webservice import devices
from tests.phonefront import PASS_TYPE, iphone_pass

from .conftest import Client

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db(transaction=True)


def refusal(answer: Any) -> tuple[Any, ...]:
    headers = {name: value for name, value in answer.headers.items() if name != "Date"}
    return answer.status_code, answer.content, headers


class TestUnauthorized:
    """Case 57: the answer says nothing of what was wrong."""

    def test_all_refusals_are_the_same(self, client: Client, right_cards: MakeCards) -> None:
        """No header, no scheme, a wrong token, another pass's, an unknown pass, another type."""
        (other,) = right_cards(1)
        others = iphone_pass(other).authentication_token
        answers = [
            client.fetch(headers={"Authorization": header})
            for header in (
                "",
                client.token,
                f"Bearer {client.token}",
                "ApplePass ",
                "ApplePass wrong",
                f"ApplePass {others}",
                f"ApplePass {client.token[:-1]}",
            )
        ]
        for pass_type, serial_number in (
            (PASS_TYPE, "unknown"),
            (PASS_TYPE, "%00"),
            (PASS_TYPE, "%C3%A4"),
            ("pass.com.other", client.serial_number),
        ):
            answers.append(
                client.send("GET", f"passes/{pass_type}/{serial_number}", headers=client.headers)
            )
        assert {answer.status_code for answer in answers} == {401}
        assert all(refusal(answer) == refusal(answers[0]) for answer in answers)

    def test_registrations_need_the_token_too(self, client: Client) -> None:
        """To come and to go."""
        client.token = "wrong"
        assert client.register().status_code == client.unregister().status_code == 401
        assert AppleDevice.objects.count() == 0

    def test_the_token_is_asked_for_before_the_body_is_read(self, client: Client) -> None:
        """A stranger does not even get to know what a body should look like."""
        client.token = "wrong"
        assert client.register(json=None, data="{").status_code == 401

    def test_a_pass_without_a_token_opens_for_nobody(
        self, client: Client, card: LoyaltyCard
    ) -> None:
        """Not even for the empty token."""
        row = iphone_pass(card)
        row.authentication_token = ""
        row.save()
        assert client.fetch(headers={"Authorization": "ApplePass "}).status_code == 401

    def test_an_unknown_pass_is_compared_as_well(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One comparison in constant time, whether there is a pass or not."""
        compared = []

        def compare(one: str, other: str) -> bool:
            compared.append((one, other))
            return one == other

        monkeypatch.setattr(devices, "constant_time_compare", compare)
        client.fetch()
        client.serial_number = "unknown"
        client.fetch()
        assert len(compared) == 2
        assert all(other.startswith("ApplePass ") and len(other) > 40 for _, other in compared)


class TestMethods:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "devices/d/registrations/t/s"),
            ("PUT", "devices/d/registrations/t/s"),
            ("POST", "devices/d/registrations/t"),
            ("POST", "passes/t/s"),
            ("GET", "log"),
        ],
    )
    def test_others_are_refused(self, client: Client, method: str, path: str) -> None:
        """405, with what would be allowed."""
        answer = client.send(method, path)
        assert answer.status_code == 405
        assert answer.headers["Allow"]

    @pytest.mark.parametrize("path", ["passes/t/s/", "log/", "devices/d/registrations/t/s/"])
    def test_nobody_is_redirected(self, client: Client, path: str) -> None:
        """A phone does not follow; a token must not travel further."""
        assert client.send("GET", path).status_code == 404

    def test_no_cookies(self, client: Client) -> None:
        """Phones bring none and get none; CSRF is no matter here."""
        answers = [client.register(), client.list(), client.fetch(), client.unregister()]
        assert not any("Set-Cookie" in answer.headers for answer in answers)


class TestLimits:
    def test_lists_of_one_device(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        """A device that asks all the time is told to wait; another one is not."""
        monkeypatch.setattr("loyalty_wallet.webservice.limits.time.time", lambda: 60.0)
        statuses = [client.list().status_code for _ in range(125)]
        assert statuses == [204] * 120 + [429] * 5
        client.device = "another"
        assert client.list().status_code == 204

    def test_a_cache_out_of_order_turns_nobody_away(
        self, client: Client, settings: Settings
    ) -> None:
        """Phones matter more than counting them."""
        settings.CACHES = {
            "default": {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": "redis://127.0.0.1:1/0",
            }
        }
        assert client.register().status_code == 201


words = st.text(max_size=12) | st.sampled_from(
    [PASS_TYPE, "\x00", "\ud800", "..", "a/b", "%", "9" * 400, "ApplePass", "ApplePass \x00"]
)
jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def browser(client: Client) -> DjangoClient:
    """A client that raises what a view raises, rather than answering 500."""
    return DjangoClient(raise_request_exception=True)


class TestFuzz:
    """No input gives a 500."""

    check = settings(
        max_examples=50,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )

    def send(self, browser: DjangoClient, method: str, path: str, **options: Any) -> int:
        cache.clear()
        encoded = "/".join(
            quote(part.encode("utf-8", "replace"), safe="") for part in path.split("\n")
        )
        answer = browser.generic(method, f"/wallet/apple/v1/{encoded}", **options)
        assert answer.status_code < 500
        return int(answer.status_code)

    @check
    @given(
        st.sampled_from(["GET", "POST", "DELETE", "HEAD", "PATCH", "OPTIONS"]),
        words,
        words,
        words,
        words,
        st.binary(max_size=40),
    )
    def test_any_path_header_and_body(  # noqa: PLR0917
        self,
        browser: DjangoClient,
        method: str,
        device: str,
        pass_type: str,
        serial_number: str,
        header: str,
        body: bytes,
    ) -> None:
        headers = {"Authorization": header.encode("utf-8", "replace").decode("latin-1")}
        for path in (
            f"devices\n{device}\nregistrations\n{pass_type}\n{serial_number}",
            f"devices\n{device}\nregistrations\n{pass_type}",
            f"passes\n{pass_type}\n{serial_number}",
            "log",
        ):
            self.send(
                browser,
                method,
                path,
                data=body,
                content_type="application/json",
                headers=headers,
            )

    @check
    @given(jsons)
    def test_any_json(self, browser: DjangoClient, client: Client, content: object) -> None:
        for value in (content, {"pushToken": content}, {"logs": content}, {"logs": [content]}):
            body = json.dumps(value)
            path = f"devices\nd\nregistrations\n{PASS_TYPE}\n{client.serial_number}"
            options = {"data": body, "content_type": "application/json", "headers": client.headers}
            self.send(browser, "POST", path, **options)
            self.send(browser, "POST", "log", **options)
        assert AppleRegistration.objects.count() <= 1

    @check
    @given(st.text(alphabet=string.printable, max_size=30) | words)
    def test_any_tag(self, browser: DjangoClient, client: Client, tag: str) -> None:
        client.register()
        cache.clear()
        encoded = quote(tag.encode("utf-8", "replace"))
        path = f"/wallet/apple/v1/devices/{client.device}/registrations/{PASS_TYPE}"
        answer = browser.get(f"{path}?passesUpdatedSince={encoded}")
        assert answer.status_code in (200, 204)

    def test_deep_json(self, client: Client) -> None:
        """Nested deeper than Python reads."""
        body = "[" * 2000 + "]" * 2000
        assert client.register(json=None, data=body).status_code == 400
        assert client.send("POST", "log", data="[" * 30_000).status_code == 400
