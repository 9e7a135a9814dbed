"""Takes over passes that another system has handed out: customers keep them on their phones.

An installed pass never changes its Google object id, or its Apple serial number and token, so they
are taken over as they are. The next sync brings each pass up to date and rings its phones.
"""

from __future__ import annotations

from .matching import MATCHES
from .planning import Problem
from .reading import COLUMNS, ImportSourceError, PassRow, read_csv
from .service import ImportReport, import_passes
from .walletpass import read_walletpass

__all__ = [
    "COLUMNS",
    "MATCHES",
    "ImportReport",
    "ImportSourceError",
    "PassRow",
    "Problem",
    "import_passes",
    "read_csv",
    "read_walletpass",
]
