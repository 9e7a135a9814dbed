"""Lets the admin's own index of our app, on any site, show the overview."""

from __future__ import annotations

from typing import Any

from django import template

from ..admin.overview import Overview, read_overview

register = template.Library()


@register.simple_tag(takes_context=True)
def wallet_overview(context: dict[str, Any]) -> Overview | None:
    """Return what the overview shows, or None for whom it is not meant."""
    return read_overview(context["request"])
