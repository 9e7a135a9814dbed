from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class LoyaltyWalletConfig(AppConfig):
    name = "loyalty_wallet"
    verbose_name = _("Loyalty wallet")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks, queueing, sync

        checks.register()
        sync.connect()
        queueing.connect()
