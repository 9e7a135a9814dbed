"""When operators are called, and by whom they hear of it."""

from __future__ import annotations

from .alerts import check_alarms
from .notices import Alert

__all__ = ["Alert", "check_alarms"]
