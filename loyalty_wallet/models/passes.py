"""The phones' side: a card in a wallet, and a program in a wallet.

The pass table is the outbox and the queue: `due_at` says since when a phone is wrong, the lease
says who is about to put it right. Nothing else has to survive a crash.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterable
from typing import Any, Self

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Coalesce
from django.db.models.functions.datetime import Now
from django.utils.translation import gettext_lazy as _

KEY_LENGTH = 191


class DatabaseNow(Now):
    """The database's clock in UTC: leases of all workers are judged by one clock."""

    def as_mysql(
        self, compiler: Any, connection: BaseDatabaseWrapper, **extra_context: Any
    ) -> tuple[str, tuple[str | int, ...]]:
        # CURRENT_TIMESTAMP would answer in the session's time zone, which Django leaves alone.
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **extra_context)


class WalletPassQuerySet(models.QuerySet["WalletPass"]):
    def for_cards(self, card_keys: Iterable[str]) -> Self:
        return self.filter(card_key__in=list(card_keys))

    def due(self) -> Self:
        """Passes whose phone is wrong, the ones that were set aside left out."""
        return self.filter(due_at__isnull=False).exclude(state=WalletPass.State.SET_ASIDE)

    def unleased(self) -> Self:
        return self.filter(Q(lease_until__isnull=True) | Q(lease_until__lt=DatabaseNow()))

    def failing(self) -> Self:
        """Due passes whose last delivery failed."""
        return self.due().exclude(last_code="")

    def set_aside(self) -> Self:
        return self.filter(state=WalletPass.State.SET_ASIDE)

    def touch(self, *, priority: int | None = None) -> int:
        """Mark these passes as due, in the caller's transaction; return how many there are.

        The oldest `due_at` is kept, so that it says since when the phone is wrong. A pass that
        was set aside is taken up again; one that was erased is never due again.
        """
        changes: dict[str, Any] = {
            "desired_revision": F("desired_revision") + 1,
            "due_at": Coalesce(F("due_at"), DatabaseNow()),
            "changed_at": DatabaseNow(),
            "failing_runs": Case(
                When(state=WalletPass.State.SET_ASIDE, then=Value(0)),
                default=F("failing_runs"),
                output_field=models.PositiveSmallIntegerField(),
            ),
            "state": Case(
                When(state=WalletPass.State.SET_ASIDE, then=Value(WalletPass.State.ACTIVE)),
                default=F("state"),
            ),
        }
        if priority is not None:
            changes["priority"] = priority
        return self.exclude(state=WalletPass.State.ERASED).update(**changes)


class WalletPass(models.Model):
    """One card in one wallet."""

    class Presence(models.TextChoices):
        IN_WALLET = "in_wallet", _("in a wallet")
        REMOVED = "removed", _("removed")
        UNKNOWN = "unknown", _("unknown")

    class PresenceSource(models.TextChoices):
        """How we know. A callback or a registration says more than what an answer mentions."""

        CALLBACK = "callback", _("the provider's callback")
        REGISTRATION = "registration", _("a phone's registration")
        ANSWER = "answer", _("the provider's answer")
        AUDIT = "audit", _("an audit")

    class State(models.TextChoices):
        """What becomes of the pass, but for whether it is due.

        A voided pass is blank and inactive, for its card is gone from the card source; should the
        card come back, so does the pass. What was erased never comes back.
        """

        ACTIVE = "active", _("active")
        VOIDED = "voided", _("void: its card is gone")
        SET_ASIDE = "set_aside", _("set aside")
        ERASING = "erasing", _("being erased")
        ERASED = "erased", _("erased")

    class Priority(models.IntegerChoices):
        """The order of claiming: higher first, then the longest due."""

        NORMAL = 0, _("normal")
        FAILED = 1, _("failed last time")
        ASKED = 2, _("asked for")

    card_key = models.CharField(_("card key"), max_length=KEY_LENGTH)
    wallet = models.CharField(_("wallet"), max_length=64)
    remote_id = models.CharField(
        _("remote id"),
        max_length=255,
        help_text=_("Google object id or Apple serial number; never changes."),
    )
    program_key = models.CharField(_("program"), max_length=KEY_LENGTH, blank=True, db_index=True)
    card_label = models.CharField(_("card"), max_length=200, blank=True)
    presence = models.CharField(
        _("presence"), max_length=10, choices=Presence.choices, default=Presence.UNKNOWN
    )
    presence_source = models.CharField(
        _("known from"), max_length=12, choices=PresenceSource.choices, blank=True
    )
    presence_at = models.DateTimeField(_("known since"), null=True, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.ACTIVE)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    due_at = models.DateTimeField(
        _("due since"), null=True, blank=True, help_text=_("Empty: the phone is right.")
    )
    changed_at = models.DateTimeField(
        _("changed"),
        null=True,
        blank=True,
        help_text=_("When the card last changed, or somebody asked for it to be sent."),
    )
    tried_at = models.DateTimeField(
        _("tried"),
        null=True,
        blank=True,
        help_text=_("When a worker last compared or sent it, whatever came of it."),
    )
    priority = models.PositiveSmallIntegerField(
        _("priority"), choices=Priority.choices, default=Priority.NORMAL
    )
    is_forced = models.BooleanField(_("forced"), default=False)
    desired_revision = models.PositiveBigIntegerField(_("desired revision"), default=1)
    synced_revision = models.PositiveBigIntegerField(_("synced revision"), default=0)
    fingerprint = models.CharField(
        _("fingerprint"),
        max_length=64,
        blank=True,
        help_text=_("Of what the provider has for certain; empty when that is not known."),
    )
    payload = models.JSONField(_("delivered payload"), default=dict, blank=True)
    synced_at = models.DateTimeField(_("synced"), null=True, blank=True)
    expires_at = models.DateTimeField(
        _("expires"),
        null=True,
        blank=True,
        db_index=True,
        help_text=_("When the card expires, if that is yet to come: the pass is due then."),
    )

    authentication_token = models.CharField(max_length=150, blank=True, editable=False)
    change_tag = models.PositiveBigIntegerField(
        _("change tag"), default=0, help_text=_("Apple only: grows with each version.")
    )
    modified_at = models.DateTimeField(
        _("version of"), null=True, blank=True, help_text=_("A whole second, never used twice.")
    )

    lease_token = models.CharField(max_length=32, blank=True, editable=False)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    takeovers = models.PositiveSmallIntegerField(default=0, editable=False)

    failing_runs = models.PositiveSmallIntegerField(_("failing runs"), default=0)
    last_code = models.CharField(_("last failure"), max_length=32, blank=True)
    last_outcome = models.CharField(max_length=10, blank=True, editable=False)
    last_run = models.ForeignKey(
        "loyalty_wallet.SyncRun",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="passes",
        verbose_name=_("last run"),
    )

    objects = WalletPassQuerySet.as_manager()

    class Meta:
        verbose_name = _("wallet pass")
        verbose_name_plural = _("wallet passes")
        constraints = (
            models.UniqueConstraint(fields=("card_key", "wallet"), name="wallet_pass_unique"),
            models.UniqueConstraint(fields=("wallet", "remote_id"), name="wallet_pass_remote_id"),
        )
        indexes = (
            models.Index(
                fields=("wallet", "priority", "due_at"),
                condition=Q(due_at__isnull=False),
                name="wallet_pass_due",
            ),
        )
        permissions = (
            ("resync_walletpass", _("Can sync wallet passes again")),
            ("erase_walletpass", _("Can erase cards from the wallets")),
        )

    def __str__(self) -> str:
        return f"{self.card_label or self.card_key} ({self.wallet})"

    @property
    def is_due(self) -> bool:
        return self.due_at is not None

    @staticmethod
    def new_authentication_token() -> str:
        """Make the secret with which a phone proves that it holds the pass."""
        return secrets.token_urlsafe(32)

    @staticmethod
    def new_suffix() -> str:
        """Make the opaque, unguessable part of a remote id."""
        return uuid.uuid4().hex


class ErasedCard(models.Model):
    """A card that was, or is being, erased from the wallets: it never gets a pass again.

    Its key is all that is kept of it.
    """

    card_key = models.CharField(_("card key"), max_length=KEY_LENGTH, unique=True)
    asked_at = models.DateTimeField(_("asked for"), auto_now_add=True)

    class Meta:
        verbose_name = _("erased card")
        verbose_name_plural = _("erased cards")

    def __str__(self) -> str:
        return self.card_key


class WalletProgram(models.Model):
    """One program in one wallet: the Google class that its cards' objects belong to."""

    program_key = models.CharField(_("program"), max_length=KEY_LENGTH)
    wallet = models.CharField(_("wallet"), max_length=64)
    remote_id = models.CharField(_("remote id"), max_length=255)
    fingerprint = models.CharField(_("fingerprint"), max_length=64, blank=True)
    payload = models.JSONField(_("delivered payload"), default=dict, blank=True)
    synced_at = models.DateTimeField(_("synced"), null=True, blank=True)

    class Meta:
        verbose_name = _("wallet program")
        verbose_name_plural = _("wallet programs")
        constraints = (
            models.UniqueConstraint(fields=("program_key", "wallet"), name="wallet_program_unique"),
        )

    def __str__(self) -> str:
        return f"{self.program_key} ({self.wallet})"
