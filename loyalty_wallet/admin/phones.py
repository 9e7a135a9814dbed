"""What iPhones complain of, in our own words: each kind says what it means and what to do.

Push tokens and authentication tokens are on none of these pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _

from ..models import AppleDeviceComplaint
from .base import ReadOnlyAdmin
from .words import BAD, IDLE, NOTHING, badge, link, when

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

SHORT_LENGTH = 80

Kind = AppleDeviceComplaint.Kind

_HARMLESS = {Kind.CONNECTION, Kind.SPURIOUS_PUSH, Kind.UNCHANGED_PASS, Kind.OTHER}
"""They happen to everybody now and then; only many of them say something."""

_REMEDIES: dict[str, _StrPromise] = {
    Kind.AUTHENTICATION: _(
        "The phone's token did not open its pass. Check that the proxy lets the Authorization "
        "header through, and that no pass was issued anew under the same serial number."
    ),
    Kind.UNEXPECTED_STATUS: _(
        "The phone got another status than Apple allows. Look at the message for the number, and "
        "in the web server's log for who sent it: a proxy, a login page or a redirect."
    ),
    Kind.CONNECTION: _(
        "The phone did not reach the web service. A few are normal. If there are many, check DNS, "
        "certificate and firewall of the host in web_service_url."
    ),
    Kind.MALFORMED: _(
        "The phone could not read an answer. Check that no proxy rewrites JSON answers."
    ),
    Kind.INVALID_PASS: _(
        "The phone refused a signed pass. Check the certificate and its WWDR intermediate, and "
        "that no proxy changes what is downloaded."
    ),
    Kind.UNCHANGED_PASS: _(
        "The phone was told of a change and got the same pass. Harmless, unless it goes on."
    ),
    Kind.SPURIOUS_PUSH: _(
        "The phone was pushed and found nothing new. Harmless, unless it goes on."
    ),
    Kind.UNREGISTERED: _("The phone was told of a pass that it has not registered."),
    Kind.MISSING_TAG: _("The phone got serial numbers without a tag: does a proxy cut answers?"),
    Kind.SAME_TAG: _(
        "The phone got news under the tag that it had: does a proxy or a cache answer for us?"
    ),
    Kind.MISSING_LAST_MODIFIED: _(
        "A pass came without Last-Modified. Check that the proxy leaves the header alone."
    ),
    Kind.IGNORED_CONDITION: _(
        "A pass was sent though the phone had it. Check that the proxy lets If-Modified-Since "
        "through."
    ),
    Kind.WRONG_PASS: _("The phone got another pass than it asked for: does a cache answer for us?"),
    Kind.OTHER: _("A message that is not known here. The text below is the phone's own."),
}


class ComplaintAdmin(ReadOnlyAdmin):
    """One row for each kind of complaint and each pass, however often phones have sent it."""

    list_display = (
        "kind_badge",
        "card",
        "count",
        "last",
        "short_message",
    )
    list_display_links = ("kind_badge",)
    list_filter = ("kind",)
    list_select_related = ("wallet_pass",)
    search_fields = (
        "wallet_pass__card_key",
        "wallet_pass__card_label",
        "wallet_pass__remote_id",
        "message",
    )
    ordering = ("-last_at", "-pk")
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    fields = (
        "kind_badge",
        "remedy",
        "card",
        "pass_type_identifier",
        "count",
        "message",
        "first",
        "last",
    )
    readonly_fields = ("kind_badge", "remedy", "card", "first", "last")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("wallet_pass__payload")

    @admin.display(description=_("kind"), ordering="kind")
    def kind_badge(self, row: AppleDeviceComplaint) -> SafeString:
        tone = IDLE if row.kind in _HARMLESS else BAD
        return badge(row.get_kind_display(), tone, title=str(_REMEDIES.get(row.kind, "")))

    @admin.display(description=_("what to do"))
    def remedy(self, row: AppleDeviceComplaint) -> str:
        return str(_REMEDIES.get(row.kind, NOTHING))

    @admin.display(description=_("pass"), ordering="wallet_pass__card_label")
    def card(self, row: AppleDeviceComplaint) -> SafeString | str:
        wallet_pass = row.wallet_pass
        if wallet_pass is None:
            return NOTHING
        url = reverse("admin:loyalty_wallet_walletpass_change", args=[wallet_pass.pk])
        return link(url, wallet_pass)

    @admin.display(description=_("last message"))
    def short_message(self, row: AppleDeviceComplaint) -> SafeString | str:
        # What went wrong is at the end, after all that the phone did.
        problem = row.message.rpartition("encountered error:")[2].strip() or row.message
        short = Truncator(problem).chars(SHORT_LENGTH)
        return format_html('<span class="lw-message" title="{}">{}</span>', row.message, short)

    @admin.display(description=_("first"), ordering="first_at")
    def first(self, row: AppleDeviceComplaint) -> SafeString | str:
        return when(row.first_at, is_short=True)

    @admin.display(description=_("last"), ordering="last_at")
    def last(self, row: AppleDeviceComplaint) -> SafeString | str:
        return when(row.last_at, is_short=True)
