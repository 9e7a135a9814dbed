"""What a look over the network last found of each wallet."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class WalletProbe(models.Model):
    """The last probe of one wallet; None and `unknown` stand for what it did not find out."""

    class Publishing(models.TextChoices):
        """Whether customers may add cards, as far as the provider says."""

        APPROVED = "approved", _("approved")
        UNDER_REVIEW = "under_review", _("under review")
        DRAFT = "draft", _("draft")
        REJECTED = "rejected", _("rejected")
        NOT_NEEDED = "not_needed", _("not needed")
        UNKNOWN = "unknown", _("unknown")

    wallet = models.CharField(_("wallet"), max_length=64, primary_key=True)
    checked_at = models.DateTimeField(_("checked"))
    is_reachable = models.BooleanField(_("reachable"), null=True)
    is_authorised = models.BooleanField(_("authorised"), null=True)
    publishing = models.CharField(
        _("publishing"), max_length=12, choices=Publishing.choices, default=Publishing.UNKNOWN
    )
    code = models.CharField(_("code"), max_length=32, blank=True)
    message = models.CharField(_("message"), max_length=500, blank=True)
    seconds = models.FloatField(_("seconds"), default=0)

    class Meta:
        verbose_name = _("wallet probe")
        verbose_name_plural = _("wallet probes")
        permissions = (("run_probes", _("Can check the wallets over the network")),)

    def __str__(self) -> str:
        return self.wallet
