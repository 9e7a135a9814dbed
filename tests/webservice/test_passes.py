"""What a phone is told and given when it asks for passes, over a real socket, and what that costs."""

from __future__ import annotations

import subprocess
import zipfile
from collections.abc import Callable
from datetime import timedelta
from email.utils import parsedate_to_datetime
from io import BytesIO
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client as DjangoClient
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from loyalty_wallet.emulator.apple import Authority
from loyalty_wallet.models import ApplePassType, AppleRegistration, LoyaltyCard, WalletPass
from loyalty_wallet.sync.phones.publishing import draw_change_tag
from tests.phonefront import PASS_TYPE, iphone_pass

from .conftest import Client
from .till import change

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db(transaction=True)


class TestList:
    def test_nothing_new(self, client: Client, card: LoyaltyCard) -> None:
        """204 without a body."""
        client.register()
        answer = client.list(str(iphone_pass(card).change_tag))
        assert (answer.status_code, answer.content) == (204, b"")

    @pytest.mark.parametrize("tag", [None, "", "x", "2026-11-23T12:00:00 00:00", "9" * 40, "-1"])
    def test_any_tag_that_is_not_ours_means_all(
        self, client: Client, card: LoyaltyCard, tag: str | None
    ) -> None:
        """None, empty, another format, too long."""
        client.register()
        answer = client.list(tag)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "application/json"
        version = iphone_pass(card)
        assert answer.json() == {
            "serialNumbers": [version.remote_id],
            "lastUpdated": str(version.change_tag),
        }

    def test_everything_newer_not_only_the_newest(
        self, client: Client, card: LoyaltyCard, right_cards: MakeCards
    ) -> None:
        """Two passes changed one after the other: both are listed, under the higher tag."""
        client.register()
        (other,) = right_cards(1)
        second = Client(client.root.removesuffix("/v1"), iphone_pass(other))
        second.register()
        second.http.close()
        tag = str(iphone_pass(other).change_tag)
        change(card)
        change(other)

        listed = client.list(tag).json()

        expected = {iphone_pass(card).remote_id, iphone_pass(other).remote_id}
        assert set(listed["serialNumbers"]) == expected
        assert int(listed["lastUpdated"]) == iphone_pass(other).change_tag

    def test_only_its_own(self, client: Client, right_cards: MakeCards) -> None:
        """A serial number that the device has not registered would confuse it."""
        right_cards(2)
        client.register()
        assert len(client.list().json()["serialNumbers"]) == 1

    def test_the_tag_acknowledges(self, client: Client, card: LoyaltyCard) -> None:
        """What the device asks with says how far it has come; it is not reminded of that."""
        client.register()
        change(card)
        assert AppleRegistration.objects.get().news_since is not None
        tag = client.list("0").json()["lastUpdated"]
        assert AppleRegistration.objects.get().news_since is not None

        assert client.list(tag).status_code == 204

        row = AppleRegistration.objects.get()
        assert row.news_since is None
        assert row.fetched_tag == int(tag)

    def test_a_tag_of_a_pass_that_has_left_is_no_riddle(
        self, client: Client, card: LoyaltyCard, right_cards: MakeCards
    ) -> None:
        """The device has come further than what it still holds: nothing is new for it."""
        (other,) = right_cards(1)
        client.register()
        second = Client(client.root.removesuffix("/v1"), iphone_pass(other))
        second.register()
        change(card)
        change(other)
        tag = client.list("0").json()["lastUpdated"]
        second.unregister()
        second.http.close()
        assert client.list(tag).status_code == 204

    def test_a_tag_acknowledges_for_its_own_device_alone(
        self, client: Client, card: LoyaltyCard
    ) -> None:
        """The customer's watch, which has not asked, is reminded still."""
        client.device = "watch"
        client.register()
        client.device = "phone"
        client.register()
        change(card)

        client.list(client.list("0").json()["lastUpdated"])

        phone, watch = (
            AppleRegistration.objects.get(device__device_library_identifier=device)
            for device in ("phone", "watch")
        )
        assert phone.news_since is None
        assert watch.news_since is not None
        assert watch.fetched_tag < phone.fetched_tag

    @pytest.mark.parametrize(
        ("device", "status"),
        [
            ("unknown", 204),
            ("%00", 204),
            ("a%2Fb", 404),
            ("%F0%9F%98%80", 204),
            ("x" * 300, 204),
        ],
    )
    def test_unknown_devices(self, client: Client, device: str, status: int) -> None:
        """Nothing is new for a device that nobody knows, or whose name cannot be one."""
        client.device = device
        assert client.list().status_code == status

    def test_a_tag_is_seen_in_the_order_of_the_commits(self, client: Client) -> None:
        """Each draw is higher than all before it."""
        tags = [draw_change_tag(PASS_TYPE, "default") for _ in range(3)]
        assert tags == sorted(set(tags))
        assert ApplePassType.objects.get(identifier=PASS_TYPE).change_tag == tags[-1]


class TestFetch:
    def test_a_pass(
        self, client: Client, card: LoyaltyCard, authority: Authority, tmp_path: Path
    ) -> None:
        """A signed archive, which openssl verifies as well, and its version's second."""
        answer = client.fetch()
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "application/vnd.apple.pkpass"
        assert answer.headers["Cache-Control"] == "no-store"
        modified_at = iphone_pass(card).modified_at
        assert parsedate_to_datetime(answer.headers["Last-Modified"]) == modified_at
        with zipfile.ZipFile(BytesIO(answer.content)) as opened:
            opened.extractall(tmp_path)
        (tmp_path / "root.pem").write_bytes(authority.root_pem)
        command = "openssl smime -verify -binary -inform DER -in signature -content manifest.json"
        done = subprocess.run(
            [*command.split(), "-CAfile", "root.pem", "-purpose", "any"],
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def test_the_version_that_it_has(self, client: Client, card: LoyaltyCard) -> None:
        """304 for the very text of Last-Modified; another version is sent."""
        stamp = client.fetch().headers["Last-Modified"]
        answer = client.fetch(since=stamp)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["Last-Modified"] == stamp
        change(card)
        newer = client.fetch(since=stamp)
        assert newer.status_code == 200
        assert newer.headers["Last-Modified"] != stamp

    @pytest.mark.parametrize(
        "since", ["yesterday", "Mon, 01 Jan 2001 00:00:00 GMT", "0", "x" * 500]
    )
    def test_a_version_that_we_do_not_know(self, client: Client, since: str) -> None:
        """A phone with something else gets what is right."""
        assert client.fetch(since=since).status_code == 200

    def test_head(self, client: Client) -> None:
        """Some phones look at the headers first."""
        answer = client.fetch(method="HEAD")
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["Last-Modified"] == client.fetch().headers["Last-Modified"]
        assert answer.headers["Content-Type"] == "application/vnd.apple.pkpass"

    def test_is_taken_for_the_device_that_waited_longest(
        self, client: Client, card: LoyaltyCard
    ) -> None:
        """A fetch does not say whose it is: of two that were told, the first one comes first."""
        for device in ("first", "second"):
            client.device = device
            client.register()
        change(card)
        for device in ("first", "second"):
            client.device = device
            client.list("0")
        first, second = AppleRegistration.objects.order_by("pk")
        AppleRegistration.objects.filter(pk=second.pk).update(
            last_listed_at=timezone.now() - timedelta(minutes=1)
        )

        client.fetch()
        first.refresh_from_db()
        second.refresh_from_db()
        assert (first.news_since is None, second.news_since is None) == (False, True)
        client.fetch()
        first.refresh_from_db()
        assert first.news_since is None

    def test_before_the_first_version(self, client: Client, card: LoyaltyCard) -> None:
        """There is nothing to sign yet: later."""
        WalletPass.objects.filter(pk=iphone_pass(card).pk).update(modified_at=None, payload={})
        answer = client.fetch()
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0

    def test_a_certificate_that_cannot_sign(
        self, client: Client, url: str, configure_apple: Callable[..., None]
    ) -> None:
        """The phone is asked to come again; those who have the version are served all the same."""
        stamp = client.fetch().headers["Last-Modified"]
        configure_apple(web_service_url=url, certificate="/no/such/file.pem")
        assert client.fetch().status_code == 503
        assert client.fetch(since=stamp).status_code == 304


class TestCost:
    """Statements a call, in the thread of the test."""

    def statements(self, path: str, **headers: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            answer = DjangoClient(headers=headers).get(f"/wallet/apple/v1/{path}")
        assert answer.status_code in (200, 204, 304)
        return len(captured)

    def test_not_modified_is_cheap(self, client: Client) -> None:
        """Phones ask about once a day each, all of them: no archive, two statements."""
        stamp = client.fetch().headers["Last-Modified"]
        client.register()
        client.fetch(since=stamp)
        path = f"passes/{PASS_TYPE}/{client.serial_number}"
        headers = {"Authorization": f"ApplePass {client.token}", "If-Modified-Since": stamp}
        assert self.statements(path, **headers) == 2

    def test_a_list_does_not_grow_with_its_length(
        self, client: Client, right_cards: MakeCards
    ) -> None:
        """One statement to read it and one to note that it was given."""
        for one in right_cards(10):
            another = Client(client.root.removesuffix("/v1"), iphone_pass(one))
            another.register()
            another.http.close()
        path = f"devices/{client.device}/registrations/{PASS_TYPE}"
        newest = ApplePassType.objects.get().change_tag
        assert self.statements(path) == 2
        assert self.statements(f"{path}?passesUpdatedSince={newest}") == 1
