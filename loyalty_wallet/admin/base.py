"""What all our admin pages have in common: the style sheet, and pages that only show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    # Django's own class takes no type arguments at run time.
    ModelAdmin = admin.ModelAdmin


class StyledAdmin(ModelAdmin):
    """A page with our style sheet: words on colours, in light and dark."""

    class Media:
        css = {"all": ("loyalty_wallet/admin.css",)}


class ReadOnlyAdmin(StyledAdmin):
    """Shows what the sync wrote down; nobody edits history by hand."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
