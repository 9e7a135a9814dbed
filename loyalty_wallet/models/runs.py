"""The history: runs, what each of their batches did, and which cards failed."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .passes import WalletPass

FULL_RUN = "full"
"""The `active_key` of a run over everything that is due: the table takes only one at a time."""
STALLED_AFTER = timedelta(minutes=5)
"""Ten missed signs of life."""


class SyncRun(models.Model):
    """One sync on record. Its totals are the sum of its batches, also after a crash."""

    class Trigger(models.TextChoices):
        SCHEDULE = "schedule", _("schedule")
        COMMAND = "command", _("command")
        ADMIN = "admin", _("admin")
        API = "api", _("API")

    class Status(models.TextChoices):
        QUEUED = "queued", _("queued")
        RUNNING = "running", _("running")
        SUCCEEDED = "succeeded", _("succeeded")
        PARTIAL = "partial", _("partial")
        FAILED = "failed", _("failed")
        INTERRUPTED = "interrupted", _("interrupted")
        SKIPPED = "skipped", _("skipped")

    trigger = models.CharField(
        _("trigger"), max_length=10, choices=Trigger.choices, default=Trigger.API
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("requested by"),
    )
    selection = models.JSONField(_("selection"), default=dict, blank=True)
    options = models.JSONField(
        _("options"),
        default=dict,
        blank=True,
        help_text=_("Whether unchanged passes are sent too, and whether customers are notified."),
    )
    status = models.CharField(
        _("status"), max_length=12, choices=Status.choices, default=Status.QUEUED
    )
    active_key = models.CharField(max_length=32, null=True, blank=True, unique=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    started_at = models.DateTimeField(_("started"), null=True, blank=True, db_index=True)
    heartbeat_at = models.DateTimeField(_("last sign of life"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    resumes = models.PositiveSmallIntegerField(
        _("resumed"), default=0, help_text=_("How often another process went on with it.")
    )
    cancel_requested_at = models.DateTimeField(_("told to stop"), null=True, blank=True)
    error = models.TextField(_("error"), blank=True)
    card_counts = models.JSONField(
        _("cards"), default=dict, blank=True, help_text=_("Distinct cards by outcome, at the end.")
    )
    retry_of = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="retries",
        verbose_name=_("retry of"),
    )

    class Meta:
        verbose_name = _("sync run")
        verbose_name_plural = _("sync runs")
        ordering = ("-pk",)
        permissions = (
            ("run_sync", _("Can start a sync run")),
            ("cancel_syncrun", _("Can cancel a sync run")),
        )

    def __str__(self) -> str:
        return _("Run %(number)s") % {"number": self.pk}

    @property
    def is_forced(self) -> bool:
        """Whether passes were to be sent even where nothing had changed."""
        return self.options.get("force") is True

    @property
    def notifies(self) -> bool:
        """Whether the provider may tell customers of what the run delivers."""
        return self.options.get("notify") is True

    @property
    def duration_seconds(self) -> float | None:
        """Length of the finished run; None while it has not ended."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()

    @property
    def is_stalled(self) -> bool:
        """Whether it is on record as running, but has given no sign of life for too long."""
        if self.status != self.Status.RUNNING:
            return False
        seen_at = self.heartbeat_at or self.started_at
        return seen_at is not None and seen_at < timezone.now() - STALLED_AFTER


class SyncBatch(models.Model):
    """What one recorded batch of a run did in one wallet; written with the passes it is about."""

    run = models.ForeignKey(
        SyncRun, on_delete=models.CASCADE, related_name="batches", verbose_name=_("run")
    )
    worker = models.CharField(_("worker"), max_length=100)
    wallet = models.CharField(_("wallet"), max_length=64)
    counts = models.JSONField(_("counts"), default=dict)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("sync batch")
        verbose_name_plural = _("sync batches")

    def __str__(self) -> str:
        return f"{self.run_id} {self.wallet}"


class SyncFailureQuerySet(models.QuerySet["SyncFailure"]):
    def open(self) -> Self:
        """Failures that no later success has resolved."""
        return self.filter(resolved_at__isnull=True)


class SyncFailure(models.Model):
    """A pass that one run could not bring up to date. Append-only: a later success resolves it."""

    run = models.ForeignKey(
        SyncRun, on_delete=models.CASCADE, related_name="failures", verbose_name=_("run")
    )
    wallet_pass = models.ForeignKey(
        WalletPass,
        on_delete=models.CASCADE,
        related_name="failures",
        verbose_name=_("wallet pass"),
    )
    code = models.CharField(_("code"), max_length=32)
    message = models.CharField(_("message"), max_length=500, blank=True)
    http_status = models.PositiveSmallIntegerField(_("HTTP status"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=100, blank=True)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    is_retryable = models.BooleanField(_("retryable"), default=False)
    failed_at = models.DateTimeField(_("failed"))
    resolved_at = models.DateTimeField(_("resolved"), null=True, blank=True)
    resolved_by = models.ForeignKey(
        SyncRun,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="resolved_failures",
        verbose_name=_("resolved by"),
    )

    objects = SyncFailureQuerySet.as_manager()

    class Meta:
        verbose_name = _("sync failure")
        verbose_name_plural = _("sync failures")
        indexes = (models.Index(fields=("resolved_at", "-failed_at"), name="sync_failure_open"),)

    def __str__(self) -> str:
        return _("%(code)s, failure %(number)s") % {"code": self.code, "number": self.pk}


class SyncAlertQuerySet(models.QuerySet["SyncAlert"]):
    def open(self) -> Self:
        """Alerts whose state has not gone back to normal."""
        return self.filter(resolved_at__isnull=True)


class SyncAlert(models.Model):
    """A threshold that was passed, from the run that passed it to the one that did not."""

    code = models.CharField(_("code"), max_length=32)
    value = models.FloatField(_("value"))
    threshold = models.FloatField(_("threshold"))
    run = models.ForeignKey(
        SyncRun,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="alerts",
        verbose_name=_("run"),
    )
    raised_at = models.DateTimeField(_("raised"))
    resolved_at = models.DateTimeField(_("resolved"), null=True, blank=True)
    untold = models.JSONField(default=list, blank=True)
    """Who does not know of its present state yet."""
    tell_again_at = models.DateTimeField(null=True, blank=True, db_index=True)
    """When any process may tell those; empty when nobody is left to be told."""

    objects = SyncAlertQuerySet.as_manager()

    class Meta:
        verbose_name = _("sync alert")
        verbose_name_plural = _("sync alerts")
        ordering = ("-pk",)
        indexes = (models.Index(fields=("resolved_at", "code"), name="sync_alert_open"),)

    def __str__(self) -> str:
        return self.code


class SyncState(models.Model):
    """What outlives runs, one row a scope: a lease, or how far discovery or the audit has looked."""

    scope = models.CharField(max_length=64, primary_key=True)
    holder = models.CharField(max_length=100, blank=True)
    token = models.PositiveBigIntegerField(default=0)
    expires_at = models.DateTimeField(null=True, blank=True)
    scanned_until = models.DateTimeField(null=True, blank=True)
    cursor = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return self.scope


class WalletLimit(models.Model):
    """When the next request to a wallet may start, booked by all processes in turn."""

    wallet = models.CharField(max_length=64, primary_key=True)
    next_slot_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.wallet
