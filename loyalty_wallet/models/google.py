"""What Google told us: that a customer saved or removed a card, each message once."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from .passes import WalletPass

NONCE_LENGTH = 64


class GoogleCallback(models.Model):
    """A verified callback. It is kept for a while after it has expired, so that no repetition counts."""

    class Event(models.TextChoices):
        SAVE = "save", _("saved")
        DELETE = "del", _("removed")

    nonce = models.CharField(_("nonce"), max_length=NONCE_LENGTH, unique=True)
    event = models.CharField(_("event"), max_length=4, choices=Event.choices)
    wallet = models.CharField(_("wallet"), max_length=64)
    wallet_pass = models.ForeignKey(
        WalletPass,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="google_callbacks",
        verbose_name=_("wallet pass"),
        help_text=_("Empty: the card is none of ours."),
    )
    received_at = models.DateTimeField(_("received"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires"), db_index=True)

    class Meta:
        verbose_name = _("Google callback")
        verbose_name_plural = _("Google callbacks")

    def __str__(self) -> str:
        return f"{self.event} {self.nonce}"
