"""What a phone fetches is one version as a whole, also while the next one is being written."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from io import BytesIO
from typing import Any

import pytest

from loyalty_wallet.emulator.apple import Authority
from loyalty_wallet.emulator.apple.signatures import open_pass
from loyalty_wallet.models import AppleRegistration, LoyaltyCard, WalletPass
from loyalty_wallet.sync import sync_wallet_passes
from loyalty_wallet.webservice import archives
from tests.phonefront import iphone_pass

from .conftest import Client

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Let something happen between the look at a pass and the reading of its version."""

    def order(happen: Callable[[], Any]) -> None:
        read = archives.read_version

        def read_late(wallet_pass: WalletPass) -> WalletPass:
            happen()
            return read(wallet_pass)

        monkeypatch.setattr(archives, "read_version", read_late)

    return order


def test_a_version_that_comes_meanwhile_is_served_under_its_own_second(
    client: Client,
    card: LoyaltyCard,
    authority: Authority,
    meanwhile: Callable[[Callable[[], Any]], None],
) -> None:
    """Else the phone would take the next answer, with the same content, for another version."""
    client.register()

    def sell() -> None:
        card.record("earn", points=5)
        sync_wallet_passes()

    meanwhile(sell)
    answer = client.fetch()

    content = open_pass(answer.content, authority.root.certificate)
    newest = iphone_pass(card)
    assert content["storeCard"]["headerFields"][0]["value"] == 5
    assert parsedate_to_datetime(answer.headers["Last-Modified"]) == newest.modified_at
    assert AppleRegistration.objects.get().fetched_tag == newest.change_tag


def test_a_pass_that_goes_meanwhile_is_an_unknown_one(
    client: Client, meanwhile: Callable[[Callable[[], Any]], None]
) -> None:
    """401 as for any pass that does not exist, and no 500."""
    meanwhile(lambda: WalletPass.objects.filter(wallet="apple").delete())
    answer = client.fetch()
    unknown = client.fetch()
    assert (answer.status_code, answer.content) == (unknown.status_code, unknown.content)
    assert answer.status_code == 401


def test_several_passes_at_once(
    url: str, right_cards: Callable[[int], list[LoyaltyCard]], authority: Authority
) -> None:
    """One `.pkpasses` file with whole, signed passes, as Safari takes it."""
    passes = [iphone_pass(card) for card in right_cards(3)]
    with zipfile.ZipFile(BytesIO(archives.bundle_of(passes))) as opened:
        contents = [
            open_pass(opened.read(name), authority.root.certificate) for name in opened.namelist()
        ]
    assert [content["serialNumber"] for content in contents] == [row.remote_id for row in passes]
    with pytest.raises(ValueError, match="1 to 10"):
        archives.bundle_of([])


def test_what_could_not_be_signed_has_not_been_fetched(
    client: Client, card: LoyaltyCard, url: str, configure_apple: Callable[..., None]
) -> None:
    """The phone is still behind, and will be told again."""
    client.register()
    card.record("earn", points=5)
    sync_wallet_passes()
    configure_apple(web_service_url=url, certificate="/no/such/file.pem")

    assert client.fetch().status_code == 503

    row = AppleRegistration.objects.get()
    assert row.news_since is not None
    assert row.fetched_tag < iphone_pass(card).change_tag
