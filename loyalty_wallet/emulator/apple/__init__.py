"""The emulated Apple: certificates, push service and phone."""

from __future__ import annotations

from .apns import ApnsEmulator, Push
from .authority import Authority, Issued

__all__ = ["ApnsEmulator", "Authority", "Issued", "Push"]
