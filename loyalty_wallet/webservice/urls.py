"""Mount these where `web_service_url` and the provider's callbacks point to:

path("wallet/", include("loyalty_wallet.webservice.urls"))
"""

from __future__ import annotations

from django.urls import path

from . import apple, google
from .status import wallet_status

app_name = "loyalty_wallet"

_DEVICE = "apple/v1/devices/<str:device>/registrations/<str:pass_type>"

urlpatterns = [
    path(f"{_DEVICE}/<str:serial_number>", apple.registration, name="apple_registration"),
    path(_DEVICE, apple.changed_passes, name="apple_changed_passes"),
    path("apple/v1/passes/<str:pass_type>/<str:serial_number>", apple.download, name="apple_pass"),
    path("wallet-status/", wallet_status, name="wallet_status"),
    path("apple/v1/log", apple.log, name="apple_log"),
    path("google/callback/", google.callback, name="google_callback"),
]
