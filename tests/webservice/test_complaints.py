"""What phones complain of is sorted, counted and shown; nobody can fill the table."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from loyalty_wallet.emulator.apple import Authority, InvalidPassError, Phone
from loyalty_wallet.models import AppleDeviceComplaint, LoyaltyCard, WalletPass
from loyalty_wallet.sync import sync_wallet_passes
from loyalty_wallet.webservice.complaints import kind_of
from tests.phonefront import PASS_TYPE, iphone_pass

from .conftest import Client

Kind = AppleDeviceComplaint.Kind

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("Register task encountered error: Authentication failure", Kind.AUTHENTICATION),
        ("encountered error: Unexpected response code 500", Kind.UNEXPECTED_STATUS),
        ("encountered error: The network connection was lost.", Kind.CONNECTION),
        ("encountered error: Malformed response", Kind.MALFORMED),
        ("encountered error: Received invalid pass data (…)", Kind.INVALID_PASS),
        ("Server requested update of serial x, but the pass was unchanged", Kind.UNCHANGED_PASS),
        ("spurious push: no passes had changed", Kind.SPURIOUS_PUSH),
        ("Update requested for unregistered serial number x", Kind.UNREGISTERED),
        ("serial numbers were returned, but no tag", Kind.MISSING_TAG),
        ("but the tag remained the same", Kind.SAME_TAG),
        ("response has a missing last-modified header", Kind.MISSING_LAST_MODIFIED),
        ("the server ignored the if-modified-since header", Kind.IGNORED_CONDITION),
        ("requested serial number a, received b", Kind.WRONG_PASS),
        ("the cat sat on the mat", Kind.OTHER),
    ],
)
def test_every_kind_is_known(line: str, kind: Kind) -> None:
    """As reported of real phones; the wording is Wallet's own."""
    assert kind_of(line) == kind


class TestLog:
    def complain(self, client: Client, *lines: str) -> int:
        return client.send("POST", "log", json={"logs": list(lines)}).status_code

    def test_is_linked_to_its_pass(self, client: Client, card: LoyaltyCard) -> None:
        """The line names it."""
        line = (
            f"[2026-11-23 13:00:05 +0100] Get pass task (pass type {PASS_TYPE}, serial number "
            f"{client.serial_number}, if-modified-since (null); with web service url "
            "https://shop.example) encountered error: Unexpected response code 500"
        )
        assert self.complain(client, line) == 200
        complaint = AppleDeviceComplaint.objects.get()
        assert complaint.wallet_pass == iphone_pass(card)
        assert complaint.kind == Kind.UNEXPECTED_STATUS
        assert complaint.message.startswith("[2026-11-23 13:00:05 +0100] Get pass task")

    def test_repetitions_are_counted(self, client: Client) -> None:
        """One row a kind and pass, however often it is said."""
        for _ in range(3):
            self.complain(client, "spurious push", "spurious push")
        complaint = AppleDeviceComplaint.objects.get()
        assert complaint.count == 6
        assert complaint.first_at < complaint.last_at

    def test_inventions_do_not_fill_the_table(self, client: Client) -> None:
        """Passes and pass types that are not ours, kinds that do not exist, lines without end."""
        lines = [f"pass type pass.{n}, serial number s{n}: nonsense {n}" for n in range(500)]
        assert self.complain(client, *lines) == 200
        complaint = AppleDeviceComplaint.objects.get()
        assert (complaint.kind, complaint.count) == (Kind.OTHER, 100)
        assert self.complain(client, "x" * 60_000) == 200
        assert len(AppleDeviceComplaint.objects.latest("pk").message) <= 500
        assert self.complain(client, "x" * 70_000) == 413

    def test_secrets_are_cut_out(self, client: Client) -> None:
        """Case 60: a phone may quote its request."""
        self.complain(client, f"error in Authorization: ApplePass {client.token}")
        assert client.token not in AppleDeviceComplaint.objects.get().message

    def test_devices_are_not_named(self, client: Client) -> None:
        """A device's own name opens its list; its push token and it are on record elsewhere."""
        line = f"GET https://shop.example/v1/devices/{client.device}/registrations/t with "
        self.complain(client, f"{line}push token {'ab' * 32} failed")
        messages = AppleDeviceComplaint.objects.get().message
        assert "/registrations/t with push token" in messages
        assert client.device not in messages
        assert "abab" not in messages

    @pytest.mark.parametrize("body", ["", "{}", '{"logs": "text"}', '{"logs": null}', "[]"])
    def test_nonsense(self, client: Client, body: str) -> None:
        """400, nothing kept."""
        assert client.send("POST", "log", data=body).status_code == 400
        assert not AppleDeviceComplaint.objects.exists()

    def test_what_is_no_text_is_left_out(self, client: Client) -> None:
        """The rest of the lines count."""
        body = {"logs": [1, None, ["x"], "spurious push", "\x00"]}
        assert client.send("POST", "log", json=body).status_code == 200
        assert AppleDeviceComplaint.objects.filter(kind=Kind.SPURIOUS_PUSH).exists()

    def test_a_minutes_worth(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        """One address at a loop is told to wait."""
        monkeypatch.setattr("loyalty_wallet.webservice.limits.time.time", lambda: 60.0)
        statuses = [self.complain(client, "spurious push") for _ in range(65)]
        assert statuses == [200] * 60 + [429] * 5


class TestPhoneComplains:
    """The emulated phone finds fault where a real one would, so that our tests can trust it."""

    def test_of_a_push_without_news(self, archive: bytes, phone: Phone) -> None:
        """Nobody should wake a phone for nothing."""
        phone.add(archive)
        phone.wake()
        assert AppleDeviceComplaint.objects.get().kind == Kind.SPURIOUS_PUSH

    def test_of_a_refusal(self, card: LoyaltyCard, archive: bytes, phone: Phone) -> None:
        """A token that does not open its pass any more."""
        phone.add(archive)
        card.record("earn", points=1)
        sync_wallet_passes()
        WalletPass.objects.filter(wallet="apple").update(authentication_token="changed" * 5)
        phone.wake()
        complaint = AppleDeviceComplaint.objects.get()
        assert complaint.kind == Kind.AUTHENTICATION
        assert complaint.wallet_pass == iphone_pass(card)

    def test_of_a_pass_that_does_not_verify(
        self, card: LoyaltyCard, archive: bytes, authority: Authority, phone: Phone
    ) -> None:
        """Signed by somebody whom it does not trust."""
        phone.add(archive)
        card.record("earn", points=1)
        sync_wallet_passes()
        stranger = Authority(
            pass_type_identifier=PASS_TYPE, team_identifier=authority.team_identifier
        )
        phone._root = stranger.root.certificate
        phone.wake()
        assert AppleDeviceComplaint.objects.get().kind == Kind.INVALID_PASS
        assert phone.passes[iphone_pass(card).remote_id].balance == 0

    def test_of_an_update_without_a_change(
        self, card: LoyaltyCard, archive: bytes, phone: Phone
    ) -> None:
        """Listed, fetched, and the same."""
        phone.add(archive)
        phone.tag = ""
        phone.wake()
        assert AppleDeviceComplaint.objects.get().kind == Kind.UNCHANGED_PASS
        assert iphone_pass(card).complaints.count() == 1


def test_tampered_archives_are_refused(
    card: LoyaltyCard, archive: bytes, phone: Phone, tamper: Callable[[bytes, str], bytes]
) -> None:
    """Any file changed, added or left out, and the phone does not take the pass."""
    for what in ("change", "add", "remove", "manifest", "signature"):
        with pytest.raises(InvalidPassError):
            phone.add(tamper(archive, what))
    assert phone.passes == {}
