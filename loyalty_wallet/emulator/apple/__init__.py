"""The emulated Apple: certificates, push service and phone."""

from __future__ import annotations

from .authority import Authority, Issued

__all__ = ["Authority", "Issued"]
