"""Drift audits on record: what a provider really has, compared with what we delivered."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class WalletAudit(models.Model):
    """One audit of one wallet. Its counts are whole, its findings are the first few hundred."""

    class Status(models.TextChoices):
        RUNNING = "running", _("running")
        SUCCEEDED = "succeeded", _("succeeded")
        FAILED = "failed", _("failed")
        INTERRUPTED = "interrupted", _("interrupted")

    wallet = models.CharField(_("wallet"), max_length=64)
    program_key = models.CharField(
        _("program"), max_length=191, blank=True, help_text=_("Empty: all of them.")
    )
    is_fixing = models.BooleanField(
        _("fixes"), default=False, help_text=_("What is missing or different became due.")
    )
    status = models.CharField(
        _("status"), max_length=12, choices=Status.choices, default=Status.RUNNING
    )
    started_at = models.DateTimeField(_("started"), db_index=True)
    heartbeat_at = models.DateTimeField(_("last sign of life"))
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    counts = models.JSONField(_("counts"), default=dict, blank=True)
    findings = models.JSONField(
        _("findings"),
        default=list,
        blank=True,
        help_text=_("Kind, card, id at the provider, and the fields that differ."),
    )
    error = models.TextField(_("error"), blank=True)

    class Meta:
        verbose_name = _("wallet audit")
        verbose_name_plural = _("wallet audits")
        ordering = ("-pk",)

    def __str__(self) -> str:
        return _("Audit %(number)s") % {"number": self.pk}

    @property
    def duration_seconds(self) -> float | None:
        """Length of the finished audit; None while it has not ended."""
        if self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()
