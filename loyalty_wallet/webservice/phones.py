"""Which phone is asking, as far as its user agent says, and whether a person is."""

from __future__ import annotations

import re
from enum import StrEnum

from django.http import HttpRequest

_IPHONE = re.compile(r"\b(iPhone|iPod)\b")
_ANDROID = re.compile(r"\bAndroid\b")
# Those that fetch what is in a message to show a preview of it, and those that collect pages.
_ROBOT = re.compile(
    r"bot\b|bot[/_-]|crawler|spider|slurp|preview|facebookexternalhit|whatsapp|slack-?img"
    r"|skypeuripreview|safelinks",
    re.IGNORECASE,
)


class Phone(StrEnum):
    """What a card can be added to from here."""

    IPHONE = "iphone"
    ANDROID = "android"
    NONE = "none"
    """A desktop, or something that does not say."""


def phone_of(request: HttpRequest) -> Phone:
    """Return the kind of phone that the page is read on."""
    agent = request.headers.get("User-Agent", "")
    if _IPHONE.search(agent):
        return Phone.IPHONE
    return Phone.ANDROID if _ANDROID.search(agent) else Phone.NONE


def is_robot(request: HttpRequest) -> bool:
    """Say whether a program follows the link of its own accord, and says so."""
    return bool(_ROBOT.search(request.headers.get("User-Agent", "")))


def is_ahead_of_time(request: HttpRequest) -> bool:
    """Say whether a browser fetches this before anybody has asked for it."""
    purposes = [request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Moz")]
    return any("prefetch" in purpose.lower() for purpose in purposes)
