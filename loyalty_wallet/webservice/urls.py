"""Mount these where `web_service_url`, the provider's callbacks and your customers point to:

path("wallet/", include("loyalty_wallet.webservice.urls"))
"""

from __future__ import annotations

from django.urls import path

from . import apple, cards, google
from .metrics import wallet_metrics
from .status import wallet_status

app_name = "loyalty_wallet"

_DEVICE = "apple/v1/devices/<str:device>/registrations/<str:pass_type>"

urlpatterns = [
    path(f"{_DEVICE}/<str:serial_number>", apple.registration, name="apple_registration"),
    path(_DEVICE, apple.changed_passes, name="apple_changed_passes"),
    path("apple/v1/passes/<str:pass_type>/<str:serial_number>", apple.download, name="apple_pass"),
    path("wallet-status/", wallet_status, name="wallet_status"),
    path("wallet-metrics/", wallet_metrics, name="wallet_metrics"),
    path("apple/v1/log", apple.log, name="apple_log"),
    path("google/callback/", google.callback, name="google_callback"),
    path("cards/<str:signed>/", cards.card_page, name="card_page"),
    path("cards/<str:signed>/google/", cards.add_to_google, name="card_google"),
    path("cards/<str:signed>/card.pkpass", cards.download, name="card_pass"),
]
