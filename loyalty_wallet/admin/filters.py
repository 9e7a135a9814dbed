"""The filters of the lists. None of them counts rows or reads a large table more than once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ..conf import get_conf
from ..exceptions import failure_classes
from ..models import SyncFailure, WalletPass

if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList
    from django.utils.functional import _StrOrPromise


_ENDED = (WalletPass.State.VOIDED, WalletPass.State.ERASING, WalletPass.State.ERASED)


class PassStatusFilter(admin.SimpleListFilter):
    """Passes by whether the phone is right."""

    title = _("status")
    parameter_name = "status"

    def lookups(
        self, request: HttpRequest, model_admin: Any
    ) -> Iterable[tuple[str, _StrOrPromise]]:
        return (
            ("due", _("due")),
            ("failing", _("failing")),
            ("set_aside", _("set aside")),
            ("right", _("right")),
            ("ended", _("void or erased")),
        )

    def queryset(self, request: HttpRequest, queryset: Any) -> QuerySet[Any] | None:
        match self.value():
            case "due":
                passes: QuerySet[Any] = queryset.due()
            case "failing":
                passes = queryset.failing()
            case "set_aside":
                passes = queryset.set_aside()
            case "right":
                right = queryset.filter(due_at__isnull=True)
                passes = right.exclude(state__in=(WalletPass.State.SET_ASIDE, *_ENDED))
            case "ended":
                passes = queryset.filter(state__in=_ENDED)
            case _:
                return None
        return passes


class WalletFilter(admin.SimpleListFilter):
    """Rows of one configured wallet."""

    title = _("wallet")
    parameter_name = "wallet"
    lookup = "wallet"

    def lookups(
        self, request: HttpRequest, model_admin: Any
    ) -> Iterable[tuple[str, _StrOrPromise]]:
        return [(alias, alias) for alias in get_conf().wallets]

    def has_output(self) -> bool:
        return bool(self.lookup_choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        return queryset.filter(**{self.lookup: self.value()}) if self.value() else None


class FailureWalletFilter(WalletFilter):
    """Failures in one configured wallet."""

    lookup = "wallet_pass__wallet"


class ProgramKeyFilter(admin.SimpleListFilter):
    """Passes of one program that has some."""

    title = _("program")
    parameter_name = "program"
    lookup = "program_key"

    def lookups(
        self, request: HttpRequest, model_admin: Any
    ) -> Iterable[tuple[str, _StrOrPromise]]:
        keys = WalletPass.objects.exclude(program_key="").order_by("program_key")
        return [(key, key) for key in keys.values_list("program_key", flat=True).distinct()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        return queryset.filter(**{self.lookup: self.value()}) if self.value() else None


class FailureProgramFilter(ProgramKeyFilter):
    """Failures of the passes of one program."""

    lookup = "wallet_pass__program_key"


class OpenFailuresFilter(admin.SimpleListFilter):
    """Runs of whose failures some are open still."""

    title = _("failures")
    parameter_name = "failures"

    def lookups(
        self, request: HttpRequest, model_admin: Any
    ) -> Iterable[tuple[str, _StrOrPromise]]:
        return (("open", _("some are still open")),)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        if self.value() != "open":
            return None
        return queryset.filter(pk__in=SyncFailure.objects.open().order_by().values("run"))


class FailureStateFilter(admin.SimpleListFilter):
    """Open failures unless something else is asked for: nobody looks for what is mended."""

    title = _("state")
    parameter_name = "state"

    def lookups(
        self, request: HttpRequest, model_admin: Any
    ) -> Iterable[tuple[str, _StrOrPromise]]:
        return (("resolved", _("resolved")), ("all", _("all")))

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        choices = super().choices(changelist)
        # Django calls the choice without a value "All".
        yield {**next(choices), "display": _("open")}
        yield from choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        match self.value():
            case "all":
                return None
            case "resolved":
                return queryset.filter(resolved_at__isnull=False)
        return queryset.filter(resolved_at__isnull=True)


class FailureCodeFilter(admin.SimpleListFilter):
    """Failures of one kind, from the closed list."""

    title = _("code")
    parameter_name = "code"

    def lookups(
        self, request: HttpRequest, model_admin: Any
    ) -> Iterable[tuple[str, _StrOrPromise]]:
        return [(code, code) for code in failure_classes()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        return queryset.filter(code=self.value()) if self.value() else None
