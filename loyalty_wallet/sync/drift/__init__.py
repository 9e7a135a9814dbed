"""The drift audit: what a provider really has, whoever changed it, compared with what we delivered.

Fingerprints say what we sent; only reading it back says what is there now.
"""

from __future__ import annotations

from .service import audit_wallets, report_of

__all__ = ["audit_wallets", "report_of"]
