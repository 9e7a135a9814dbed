"""The shop's side: programs, cards and the transactions that move their balances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.validators import MinLengthValidator, RegexValidator
from django.db import models, router, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..cards import ProgramKind
from ..signals import cards_changed, program_changed
from .shown import ShownModel


class LoyaltyProgram(ShownModel):
    """What a shop offers: points, stamps or both, and the wallets its cards are in."""

    class Kind(models.TextChoices):
        POINTS = ProgramKind.POINTS.value, _("points")
        STAMPS = ProgramKind.STAMPS.value, _("stamps")
        HYBRID = ProgramKind.HYBRID.value, _("points and stamps")

    shown_fields = (
        "name",
        "slug",
        "kind",
        "issuer_name",
        "logo_url",
        "hero_image_url",
        "background_color",
        "points_label",
        "stamps_required",
        "reward",
        "google_wallet",
        "apple_wallet",
        "auto_issue",
        "is_active",
    )

    name = models.CharField(_("name"), max_length=100)
    slug = models.SlugField(_("slug"), unique=True)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices, default=Kind.POINTS)
    issuer_name = models.CharField(
        _("issuer name"), max_length=100, help_text=_("The shop's name as the card shows it.")
    )
    logo_url = models.URLField(_("logo URL"), blank=True)
    hero_image_url = models.URLField(_("hero image URL"), blank=True)
    background_color = models.CharField(
        _("background colour"),
        max_length=7,
        blank=True,
        validators=[RegexValidator(r"^#(?:[0-9a-fA-F]{3}){1,2}\Z", _("Write #rgb or #rrggbb."))],
    )
    points_label = models.CharField(_("points label"), max_length=30, default="Points")
    stamps_required = models.PositiveSmallIntegerField(_("stamps required"), default=10)
    reward = models.CharField(_("reward"), max_length=200, blank=True)
    google_wallet = models.CharField(
        _("Google wallet"),
        max_length=64,
        blank=True,
        default="google",
        help_text=_("Alias of a configured wallet; blank means that no card goes there."),
    )
    apple_wallet = models.CharField(
        _("Apple wallet"),
        max_length=64,
        blank=True,
        default="apple",
        help_text=_("Alias of a configured wallet; blank means that no card goes there."),
    )
    auto_issue = models.BooleanField(
        _("issue at once"),
        default=True,
        help_text=_("Make the wallet passes of a card as soon as the card is saved."),
    )
    notifies = models.BooleanField(
        _("notify of a higher balance"),
        default=False,
        help_text=_(
            "Let Google tell a customer at once when points or stamps have risen, three times a "
            "day at most. A sync that catches up tells nobody."
        ),
    )
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    class Meta:
        verbose_name = _("loyalty program")
        verbose_name_plural = _("loyalty programs")
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        written = kwargs.get("update_fields")
        changed = self.changed_face(written)
        is_new = self._state.adding
        using = kwargs.get("using") or router.db_for_write(type(self))
        with transaction.atomic(using=using):
            super().save(*args, **kwargs)
            if changed and not is_new:
                program_changed.send(sender=type(self), program=self)
            self.remember_face_after_commit(written, using)


class LoyaltyCard(ShownModel):
    """One customer's card in one program."""

    shown_fields = (
        "program_id",
        "card_number",
        "holder_name",
        "points_balance",
        "stamps",
        "tier",
        "expires_at",
        "is_active",
    )

    program = models.ForeignKey(
        LoyaltyProgram, on_delete=models.PROTECT, related_name="cards", verbose_name=_("program")
    )
    card_number = models.CharField(
        _("card number"), max_length=64, validators=[MinLengthValidator(1)]
    )
    holder_name = models.CharField(_("holder"), max_length=100, blank=True)
    points_balance = models.BigIntegerField(_("points balance"), default=0)
    stamps = models.IntegerField(_("stamps"), default=0)
    tier = models.CharField(_("tier"), max_length=50, blank=True)
    expires_at = models.DateTimeField(
        _("expires"),
        null=True,
        blank=True,
        help_text=_("From then on phones show the card as expired. Empty: never."),
    )
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True, db_index=True)

    class Meta:
        verbose_name = _("loyalty card")
        verbose_name_plural = _("loyalty cards")
        constraints = (
            models.UniqueConstraint(
                fields=("program", "card_number"), name="loyalty_card_number_unique"
            ),
        )

    def __str__(self) -> str:
        return f"{self.card_number} {self.holder_name}".strip()

    def save(self, *args: Any, **kwargs: Any) -> None:
        written = kwargs.get("update_fields")
        changed = self.changed_face(written)
        using = kwargs.get("using") or router.db_for_write(type(self))
        with transaction.atomic(using=using):
            super().save(*args, **kwargs)
            if changed:
                cards_changed.send(sender=type(self), card_keys=[self.key])
            self.remember_face_after_commit(written, using)

    @property
    def key(self) -> str:
        """The card's key in the pass table."""
        return str(self.pk)

    @property
    def google_object_id(self) -> str:
        """The id of the card's Google Wallet object; empty while the card has none."""
        return self._remote_id(self.program.google_wallet)

    @property
    def apple_serial_number(self) -> str:
        """The serial number of the card's Apple Wallet pass; empty while the card has none."""
        return self._remote_id(self.program.apple_wallet)

    def _remote_id(self, alias: str) -> str:
        from .passes import WalletPass

        passes = WalletPass.objects.filter(card_key=self.key, wallet=alias)
        return passes.values_list("remote_id", flat=True).first() or ""

    def save_link(self, *, origins: Sequence[str] = ()) -> str:
        """Return the link that saves the card to Google Wallet; see `loyalty_wallet.adding`.

        Inserts the card's object first if Google does not have it yet. Raises AddToWalletError.
        """
        from ..adding import save_link

        return save_link(self, origins=origins)

    def get_card_url(self) -> str:
        """Return the path of the page on which the customer adds the card to a phone.

        Another one each time: it expires after `LINK_MAX_AGE`.
        """
        from ..adding import card_page_url

        return card_page_url(self)

    def record(
        self, kind: str, points: int = 0, stamps: int = 0, reference: str = ""
    ) -> LoyaltyTransaction:
        """Write a transaction, move the balance and mark the card's passes due, all or nothing.

        `points` and `stamps` are signed for `adjust` and `void`; what a customer redeems lowers
        the balance whichever sign it is given with. Two processes that record on one card at the
        same time lose nothing: the balance is moved by the database.

        Raises ValueError for an unknown kind, for nothing to move, and for a negative `earn` or
        `stamp`.
        """
        kind = LoyaltyTransaction.Kind(kind)
        if kind is LoyaltyTransaction.Kind.REDEEM:
            points, stamps = -abs(points), -abs(stamps)
        elif kind in (LoyaltyTransaction.Kind.EARN, LoyaltyTransaction.Kind.STAMP) and (
            points < 0 or stamps < 0
        ):
            raise ValueError(
                f"A transaction of kind {kind.value!r} cannot take away; use 'adjust'."
            )
        if not points and not stamps:
            raise ValueError("A transaction moves points or stamps; both are 0.")
        with transaction.atomic(using=router.db_for_write(type(self))):
            type(self)._default_manager.filter(pk=self.pk).update(
                points_balance=F("points_balance") + points,
                stamps=F("stamps") + stamps,
                updated_at=timezone.now(),
            )
            entry = LoyaltyTransaction.objects.create(
                card=self, kind=kind, points=points, stamps=stamps, reference=reference
            )
            cards_changed.send(sender=type(self), card_keys=[self.key])
        self.refresh_from_db(fields=["points_balance", "stamps", "updated_at"])
        return entry


class LoyaltyTransaction(models.Model):
    """One movement of a card's balance. Append-only: a mistake is mended by another one."""

    class Kind(models.TextChoices):
        EARN = "earn", _("earn")
        REDEEM = "redeem", _("redeem")
        STAMP = "stamp", _("stamp")
        ADJUST = "adjust", _("adjust")
        VOID = "void", _("void")

    card = models.ForeignKey(
        LoyaltyCard, on_delete=models.CASCADE, related_name="transactions", verbose_name=_("card")
    )
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices)
    points = models.BigIntegerField(_("points"), default=0)
    stamps = models.IntegerField(_("stamps"), default=0)
    reference = models.CharField(_("reference"), max_length=100, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("loyalty transaction")
        verbose_name_plural = _("loyalty transactions")
        indexes = (models.Index(fields=("created_at", "card"), name="loyalty_transaction_recent"),)

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.points:+d} / {self.stamps:+d}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("A transaction is never changed; record an 'adjust' or a 'void'.")
        super().save(*args, **kwargs)
