"""The iPhones: which devices hold which passes, and how far each has followed them.

APNs only rings the bell. A phone then asks which of its passes are newer than its tag and fetches
them, so what it shows is known from its own questions alone.
"""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from .passes import WalletPass


class ApplePassType(models.Model):
    """The counter from which the versions of one pass type draw their change tags.

    A draw is an UPDATE that keeps the row locked until the commit: versions become visible in the
    order of their tags, so that no phone is told of the later one and misses the earlier.
    """

    identifier = models.CharField(_("pass type identifier"), max_length=155, unique=True)
    change_tag = models.PositiveBigIntegerField(_("change tag"), default=0)

    class Meta:
        verbose_name = _("Apple pass type")
        verbose_name_plural = _("Apple pass types")

    def __str__(self) -> str:
        return self.identifier


class AppleDevice(models.Model):
    """One phone as the passes of one type know it.

    The push token belongs to the device, not to a pass. `throttle_score` estimates the phone's own
    count of pushes that came too close together; beyond a limit it delays them, then ends them.
    """

    device_library_identifier = models.CharField(_("device library identifier"), max_length=100)
    pass_type_identifier = models.CharField(_("pass type identifier"), max_length=155)
    push_token = models.CharField(max_length=200, db_index=True, editable=False)
    token_refreshed_at = models.DateTimeField(_("push token received"))
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    last_pushed_at = models.DateTimeField(_("last pushed"), null=True, blank=True)
    last_apns_id = models.CharField(
        _("last push's id"),
        max_length=64,
        blank=True,
        help_text=_("By which Apple knows the last push that it accepted for the device."),
    )
    throttle_score = models.FloatField(_("throttle score"), default=0)

    class Meta:
        verbose_name = _("Apple device")
        verbose_name_plural = _("Apple devices")
        constraints = (
            models.UniqueConstraint(
                fields=("device_library_identifier", "pass_type_identifier"),
                name="apple_device_unique",
            ),
        )

    def __str__(self) -> str:
        return f"{self.device_library_identifier[:8]}…"


class AppleRegistration(models.Model):
    """One pass on one device: what the device was told of, asked for and fetched.

    The three tags are change tags of the pass: 0 for never. `news_since` says since when the pass
    has had a version that the device has not fetched; a fetch clears it.
    """

    device = models.ForeignKey(
        AppleDevice,
        on_delete=models.CASCADE,
        related_name="registrations",
        verbose_name=_("device"),
    )
    wallet_pass = models.ForeignKey(
        WalletPass, on_delete=models.CASCADE, related_name="registrations", verbose_name=_("pass")
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    pushed_tag = models.PositiveBigIntegerField(default=0, editable=False)
    listed_tag = models.PositiveBigIntegerField(default=0, editable=False)
    fetched_tag = models.PositiveBigIntegerField(default=0, editable=False)
    last_pushed_at = models.DateTimeField(_("last pushed"), null=True, blank=True)
    last_listed_at = models.DateTimeField(_("last listed"), null=True, blank=True)
    last_fetched_at = models.DateTimeField(_("last fetched"), null=True, blank=True)
    news_since = models.DateTimeField(_("behind since"), null=True, blank=True, db_index=True)
    reminders = models.PositiveSmallIntegerField(
        _("reminders"),
        default=0,
        help_text=_("How often it was told again of a version that it has not fetched."),
    )

    class Meta:
        verbose_name = _("Apple registration")
        verbose_name_plural = _("Apple registrations")
        constraints = (
            models.UniqueConstraint(
                fields=("device", "wallet_pass"), name="apple_registration_unique"
            ),
        )

    def __str__(self) -> str:
        return f"{self.wallet_pass} · {self.device}"


class AppleDeviceComplaint(models.Model):
    """What phones have reported of one kind about one pass, or about none that is known.

    One row a kind and pass, however often it is reported: anybody may send reports.
    """

    class Kind(models.TextChoices):
        AUTHENTICATION = "authentication", _("refused by our web service")
        UNEXPECTED_STATUS = "unexpected_status", _("unexpected status code")
        CONNECTION = "connection", _("connection failed")
        MALFORMED = "malformed", _("malformed answer")
        INVALID_PASS = "invalid_pass", _("pass does not verify")
        UNCHANGED_PASS = "unchanged_pass", _("told of a change, but the pass was the same")
        SPURIOUS_PUSH = "spurious_push", _("pushed without news")
        UNREGISTERED = "unregistered", _("listed a pass that is not registered")
        MISSING_TAG = "missing_tag", _("listed passes without a tag")
        SAME_TAG = "same_tag", _("listed passes under an old tag")
        MISSING_LAST_MODIFIED = "missing_last_modified", _("no Last-Modified")
        IGNORED_CONDITION = "ignored_condition", _("If-Modified-Since was ignored")
        WRONG_PASS = "wrong_pass", _("got another pass than it asked for")
        OTHER = "other", _("other")

    kind = models.CharField(_("kind"), max_length=24, choices=Kind.choices)
    pass_type_identifier = models.CharField(_("pass type identifier"), max_length=155, blank=True)
    wallet_pass = models.ForeignKey(
        WalletPass,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="complaints",
        verbose_name=_("pass"),
    )
    count = models.PositiveIntegerField(_("count"), default=0)
    message = models.TextField(_("last message"), blank=True)
    first_at = models.DateTimeField(_("first"))
    last_at = models.DateTimeField(_("last"), db_index=True)

    class Meta:
        verbose_name = _("device complaint")
        verbose_name_plural = _("device complaints")
        indexes = (models.Index(fields=("wallet_pass", "kind"), name="apple_complaint_of_pass"),)

    def __str__(self) -> str:
        return f"{self.get_kind_display()} ({self.count})"
