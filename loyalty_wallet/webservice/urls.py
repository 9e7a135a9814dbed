"""Mount these where `web_service_url`, the provider's callbacks and your customers point to:

path("wallet/", include("loyalty_wallet.webservice.urls"))
"""

from __future__ import annotations

from django.urls import include, path

from . import cards, google
from .metrics import wallet_metrics
from .status import wallet_status

app_name = "loyalty_wallet"

urlpatterns = [
    path("apple/", include("loyalty_wallet.webservice.apple_urls")),
    path("wallet-status/", wallet_status, name="wallet_status"),
    path("wallet-metrics/", wallet_metrics, name="wallet_metrics"),
    path("google/callback/", google.callback, name="google_callback"),
    path("cards/<str:signed>/", cards.card_page, name="card_page"),
    path("cards/<str:signed>/google/", cards.add_to_google, name="card_google"),
    path("cards/<str:signed>/card.pkpass", cards.download, name="card_pass"),
]
