"""The admin: cards and their movements, passes, runs, failures, and what phones complain of.

Cards, programs and transactions are here only while they are the cards that are synced: with a
card source of your own they would be tables that nobody fills.
"""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from ..conf import SETTING, Conf
from ..models import (
    AppleDeviceComplaint,
    LoyaltyCard,
    LoyaltyProgram,
    LoyaltyTransaction,
    SyncFailure,
    SyncRun,
    WalletAudit,
    WalletPass,
)
from .actions import ResyncAdmin
from .audits import AuditAdmin
from .cards import CardAdmin, ProgramAdmin, TransactionAdmin
from .failures import FailureAdmin
from .passes import PassAdmin
from .phones import ComplaintAdmin
from .runs import RunAdmin

__all__ = [
    "AuditAdmin",
    "CardAdmin",
    "ComplaintAdmin",
    "FailureAdmin",
    "PassAdmin",
    "ProgramAdmin",
    "ResyncAdmin",
    "RunAdmin",
    "TransactionAdmin",
    "register",
]


def register(site: admin.AdminSite) -> None:
    """Register our pages on a site, by default done for Django's own."""
    site.register(WalletPass, PassAdmin)
    site.register(SyncRun, RunAdmin)
    site.register(SyncFailure, FailureAdmin)
    site.register(AppleDeviceComplaint, ComplaintAdmin)
    site.register(WalletAudit, AuditAdmin)
    if _has_own_cards():
        site.register(LoyaltyProgram, ProgramAdmin)
        site.register(LoyaltyCard, CardAdmin)
        site.register(LoyaltyTransaction, TransactionAdmin)


def _has_own_cards() -> bool:
    # Read anew: this runs while the process starts, and what is cached then would stay.
    try:
        conf = Conf.from_setting(getattr(settings, SETTING, {}))
        source = import_string(conf.card_source)
    except (ImproperlyConfigured, ImportError):
        # The system checks say what is wrong; failing here would keep them from saying it.
        return False
    return getattr(source, "model", None) is LoyaltyCard


register(admin.site)
