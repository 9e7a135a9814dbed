"""Apple's web service alone, for an address that installed passes have in them:

path("api/passes/", include("loyalty_wallet.webservice.apple_urls"))

`web_service_url` is then `https://.../api/passes`. Part of `loyalty_wallet.webservice.urls`.
"""

from __future__ import annotations

from django.urls import path

from . import apple

_DEVICE = "v1/devices/<str:device>/registrations/<str:pass_type>"

urlpatterns = [
    path(f"{_DEVICE}/<str:serial_number>", apple.registration, name="apple_registration"),
    path(_DEVICE, apple.changed_passes, name="apple_changed_passes"),
    path("v1/passes/<str:pass_type>/<str:serial_number>", apple.download, name="apple_pass"),
    path("v1/log", apple.log, name="apple_log"),
]
