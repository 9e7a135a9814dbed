"""Passes that another system has handed out go on on their phones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.emulator.apple import ApnsEmulator
from loyalty_wallet.models import AppleDevice, AppleRegistration, LoyaltyCard, WalletPass
from loyalty_wallet.sync import erase_card, sync_wallet_passes
from tests.phonefront import PASS_TYPE, iphone_pass, register
from tests.shopfront import balance_at, pass_of

from .importing import PUSH_TOKEN, TOKEN, Run, refused, run_command, state
from .walletpass import OldSystem, tables

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("configure_apple")]

MakeCards = Callable[[int], list[LoyaltyCard]]


@pytest.fixture
def old_system(transactional_db: None) -> Iterator[OldSystem]:
    with tables():
        yield OldSystem(PASS_TYPE)


class TestApple:
    def test_a_pass_goes_on_under_its_own_name(
        self, take_over: Run, make_cards: MakeCards, apns: ApnsEmulator
    ) -> None:
        """Serial number, token and device are kept; the next sync makes a version and rings."""
        (card,) = make_cards(1)
        before = iphone_pass(card)

        said = take_over((card.key, "apple", "old-serial.1", TOKEN, "device1", PUSH_TOKEN))

        assert said == (
            "Took over 1 passes, with 1 new registrations of phones. The next sync brings them "
            "up to date.\n"
        )
        row = iphone_pass(card)
        assert (row.pk, row.remote_id, row.authentication_token) == (
            before.pk,
            "old-serial.1",
            TOKEN,
        )
        assert row.is_due
        assert row.fingerprint == ""
        assert row.presence == WalletPass.Presence.IN_WALLET
        assert sync_wallet_passes().status == "succeeded"
        assert [push.push_token for push in apns.pushes] == [PUSH_TOKEN]
        row = iphone_pass(card)
        assert row.payload["pass"]["serialNumber"] == "old-serial.1"
        assert AppleRegistration.objects.get().pushed_tag == row.change_tag > before.change_tag

    def test_cards_without_a_pass_get_theirs(self, take_over: Run, make_cards: MakeCards) -> None:
        """On two devices, one of which has two; and one pass that is on no device."""
        first, second, third = make_cards(3)
        WalletPass.objects.all().delete()
        said = take_over(
            (first.key, "apple", "s1", TOKEN, "phone", PUSH_TOKEN),
            (first.key, "apple", "s1", TOKEN, "watch", "ab" * 32),
            (second.key, "apple", "s2", TOKEN, "phone", PUSH_TOKEN),
            (third.key, "apple", "s3", TOKEN, "", ""),
        )
        assert said.startswith("Took over 3 passes, with 3 new registrations of phones.")
        assert AppleDevice.objects.count() == 2
        assert AppleRegistration.objects.count() == 3
        assert iphone_pass(third).remote_id == "s3"
        assert iphone_pass(third).card_label == third.card_number
        assert WalletPass.objects.due().count() == 3

    def test_what_a_phone_has_sent_since_holds(
        self, take_over: Run, make_cards: MakeCards, apns: ApnsEmulator
    ) -> None:
        """A second time pushes nobody, keeps a newer push token, and revives no removed card."""
        kept, removed = make_cards(2)
        rows = [
            (kept.key, "apple", "s1", TOKEN, "phone", PUSH_TOKEN),
            (removed.key, "apple", "s2", TOKEN, "phone", PUSH_TOKEN),
        ]
        take_over(*rows)
        sync_wallet_passes()
        AppleDevice.objects.update(push_token="cd" * 32)
        AppleRegistration.objects.filter(wallet_pass=iphone_pass(removed)).delete()
        WalletPass.objects.filter(card_key=removed.key).update(presence="removed")
        before = state()
        said = take_over(*rows)
        assert said == "Nothing new; 2 passes had been taken over before.\n"
        assert state() == before
        sync_wallet_passes()
        assert len(apns.pushes) == 1

    def test_a_pass_on_a_phone_is_never_replaced(
        self, take_over: Run, file_of: Callable[..., str], right_cards: MakeCards
    ) -> None:
        """One that was made here and is on no phone gives way only to whoever says so."""
        held, unused = right_cards(2)
        register(held)
        row = (unused.key, "apple", "s2", TOKEN, "phone", PUSH_TOKEN)
        before = state()
        error = refused("--csv", file_of(row))
        assert "Line 2: the card has a pass already, with another id." in str(error)
        assert state() == before
        take_over(row, options=("--replace-unused",))
        assert iphone_pass(unused).remote_id == "s2"
        assert iphone_pass(unused).is_due
        path = file_of((held.key, "apple", "s1", TOKEN, "", ""))
        assert refused("--csv", path, "--replace-unused").returncode == 1
        assert iphone_pass(held).remote_id != "s1"

    def test_a_pass_that_a_worker_delivers_is_left_to_it(
        self, file_of: Callable[..., str], make_cards: MakeCards
    ) -> None:
        """What is under way may be handed out in the next second."""
        (card,) = make_cards(1)
        WalletPass.objects.update(
            lease_token="t", lease_until=timezone.now() + timedelta(minutes=1)
        )
        before = state()
        error = refused("--csv", file_of((card.key, "apple", "s1", TOKEN, "", "")))
        assert "Line 2: a worker is about to hand out another pass of the card" in str(error)
        assert state() == before

    @pytest.mark.parametrize("was_taken_over", [True, False])
    def test_an_erased_card_never_comes_back(
        self,
        take_over: Run,
        file_of: Callable[..., str],
        make_cards: MakeCards,
        was_taken_over: bool,
    ) -> None:
        """Neither its pass nor its phones, whether it was known here or not."""
        (card,) = make_cards(1)
        row = (card.key, "apple", "s1", TOKEN, "phone", PUSH_TOKEN)
        if was_taken_over:
            take_over(row)
        erase_card(card.key)
        before = state()
        error = refused("--csv", file_of(row))
        assert "Line 2: the card was erased from the wallets, for good." in str(error)
        assert state() == before


class TestGoogle:
    def test_an_object_goes_on_without_a_double(
        self, take_over: Run, right_cards: MakeCards, google: GoogleEmulator
    ) -> None:
        """The next sync updates the object that customers have, and makes no other."""
        (card,) = right_cards(1)
        google_id = card.google_object_id
        WalletPass.objects.all().delete()
        LoyaltyCard.objects.filter(pk=card.pk).update(points_balance=77)
        assert "Took over 1 passes" in take_over((card.key, "google", google_id, "", "", ""))
        row = pass_of(card)
        assert (row.remote_id, row.fingerprint, row.is_due) == (google_id, "", True)
        report = sync_wallet_passes()
        assert (report.wallets["google"]["created"], report.wallets["google"]["updated"]) == (0, 1)
        assert list(google.objects) == [google_id]
        assert balance_at(google, card) == 77

    def test_a_delivered_object_is_never_replaced(
        self, file_of: Callable[..., str], right_cards: MakeCards, google: GoogleEmulator
    ) -> None:
        """Not even when told to: nobody registers with us, so that anybody may have it."""
        (card,) = right_cards(1)
        path = file_of((card.key, "google", f"{google.issuer_id}.old", "", "", ""))
        before = state()
        error = refused("--csv", path, "--replace-unused")
        assert "Line 2: the card has a pass already, with another id." in str(error)
        assert state() == before

    def test_an_object_that_was_never_delivered_gives_way(
        self, take_over: Run, make_cards: MakeCards, google: GoogleEmulator
    ) -> None:
        """Saving a card makes a pass at once, which nobody has yet."""
        (card,) = make_cards(1)
        old = f"{google.issuer_id}.old"
        take_over((card.key, "google", old, "", "", ""))
        assert sync_wallet_passes().status == "succeeded"
        assert list(google.objects) == [old]


def card_of_ticket(serial_number: str) -> int | None:
    """Serial numbers of the old system were a card's number in lower case; tests had none."""
    number = serial_number.removeprefix("pass-").upper()
    return LoyaltyCard.objects.filter(card_number=number).values_list("pk", flat=True).first()


@pytest.mark.django_db(transaction=True)
class TestWalletpass:
    """From the tables of django-walletpass, wherever they are."""

    @pytest.mark.parametrize("match", ["card_number", "pk", f"{__name__}.card_of_ticket"])
    def test_passes_and_phones_go_on(
        self, old_system: OldSystem, make_cards: MakeCards, apns: ApnsEmulator, match: str
    ) -> None:
        """Three ways to say which card a serial number means."""
        first, second = make_cards(2)
        serials = {
            "card_number": [first.card_number, second.card_number],
            "pk": [first.key, second.key],
        }.get(match, [f"pass-{card.card_number.lower()}" for card in (first, second)])
        old_system.hand_out(serials[0], TOKEN, ("phone", "ab" * 32), ("phone", PUSH_TOKEN))
        old_system.hand_out(serials[1], TOKEN[::-1], ("phone", PUSH_TOKEN), ("pad", "cd" * 32))
        OldSystem("pass.com.example.tickets").hand_out("ticket", TOKEN)
        said = run_command("--from-walletpass", "--match", match)
        assert said.startswith("Took over 2 passes, with 3 new registrations of phones.")
        rows = [iphone_pass(card) for card in (first, second)]
        assert [row.remote_id for row in rows] == serials
        assert [row.authentication_token for row in rows] == [TOKEN, TOKEN[::-1]]
        assert sync_wallet_passes().status == "succeeded"
        assert sorted(push.push_token for push in apns.pushes) == [PUSH_TOKEN, "cd" * 32]
        before = state()
        assert "Nothing new" in run_command("--from-walletpass", "--match", match)
        assert state() == before

    def test_a_pass_of_no_card_keeps_everything_out(
        self, old_system: OldSystem, make_cards: MakeCards
    ) -> None:
        """It is named by its row in the old table."""
        (card,) = make_cards(1)
        old_system.hand_out(card.card_number, TOKEN)
        old_system.hand_out("test", TOKEN)
        before = state()
        error = refused("--from-walletpass", "--match", "card_number")
        assert error.returncode == 1
        assert str(error).endswith("(test): 'test' means no card.")
        assert state() == before

    def test_tables_that_look_otherwise(self, old_system: OldSystem) -> None:
        """What is lacking is named."""
        with connections["default"].cursor() as cursor:
            cursor.execute("DROP TABLE django_walletpass_registration")
            cursor.execute("CREATE TABLE django_walletpass_registration (id integer, pazz integer)")
        error = refused("--from-walletpass", "--match", "pk")
        assert "lacks the columns device_library_identifier, pazz_id, push_token" in str(error)
