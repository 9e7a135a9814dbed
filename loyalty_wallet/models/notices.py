"""What customers were told: which of their notifications are spent, and which messages they have."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from .passes import WalletPass


class WalletNotification(models.Model):
    """A notification that a provider was asked for, kept while it counts against its cap."""

    class Kind(models.TextChoices):
        """Capped apart from each other."""

        UPDATE = "update", _("a change of the card")
        MESSAGE = "message", _("a message")

    wallet_pass = models.ForeignKey(
        WalletPass,
        on_delete=models.CASCADE,
        related_name="notifications",
        verbose_name=_("wallet pass"),
    )
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices)
    sent_at = models.DateTimeField(_("sent"))

    class Meta:
        verbose_name = _("wallet notification")
        verbose_name_plural = _("wallet notifications")

    def __str__(self) -> str:
        return f"{self.wallet_pass_id} {self.kind}"


class WalletMessage(models.Model):
    """A message that a pass has, or may have: its text is the provider's alone."""

    class State(models.TextChoices):
        TRYING = "trying", _("being sent, or it is not known whether it was")
        SENT = "sent", _("sent")

    wallet_pass = models.ForeignKey(
        WalletPass,
        on_delete=models.CASCADE,
        related_name="messages",
        verbose_name=_("wallet pass"),
    )
    message_id = models.CharField(_("message id"), max_length=64)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.TRYING)
    tried_at = models.DateTimeField(_("tried"))
    token = models.CharField(max_length=32, editable=False)
    """Of who is sending it, or was the last to."""

    class Meta:
        verbose_name = _("wallet message")
        verbose_name_plural = _("wallet messages")
        constraints = (
            models.UniqueConstraint(
                fields=("wallet_pass", "message_id"), name="wallet_message_unique"
            ),
        )

    def __str__(self) -> str:
        return f"{self.wallet_pass_id} {self.message_id}"
