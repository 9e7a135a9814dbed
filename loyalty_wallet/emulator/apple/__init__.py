"""The emulated Apple: certificates, push service and phone."""

from __future__ import annotations

from .apns import ApnsEmulator, Push
from .authority import Authority, Issued
from .phone import PassOnPhone, Phone
from .signatures import InvalidPassError

__all__ = [
    "ApnsEmulator",
    "Authority",
    "InvalidPassError",
    "Issued",
    "PassOnPhone",
    "Phone",
    "Push",
]
