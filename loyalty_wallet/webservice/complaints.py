"""What phones report of our web service, sorted by kind.

The wording is Wallet's own and undocumented; what is not recognised is kept as `other`.
"""

from __future__ import annotations

import re
from collections import Counter
from http import HTTPStatus

from django.db.models import F
from django.utils import timezone

from ..models import AppleDeviceComplaint, WalletPass
from ..redaction import MASK, redact
from .bodies import BodyError
from .devices import apple_wallets, is_identifier

MOST_LINES = 100
LONGEST_LINE = 1000

Kind = AppleDeviceComplaint.Kind

_KINDS: list[tuple[Kind, re.Pattern[str]]] = [
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        (Kind.AUTHENTICATION, r"authentication fail|unauthori[sz]ed"),
        (Kind.UNCHANGED_PASS, r"pass was unchanged|but the pass was the same"),
        (Kind.SPURIOUS_PUSH, r"spurious push"),
        (Kind.UNREGISTERED, r"unregistered serial"),
        (Kind.SAME_TAG, r"remained the same|same last ?updated|tag (was )?unchanged"),
        (Kind.MISSING_TAG, r"(no|missing|without a?) ?(last ?updated|tag)"),
        (Kind.MISSING_LAST_MODIFIED, r"missing last.modified|no last.modified"),
        (Kind.IGNORED_CONDITION, r"ignored .*if-modified-since|if-modified-since .*ignored"),
        (Kind.WRONG_PASS, r"requested .*received"),
        (Kind.INVALID_PASS, r"invalid pass|invalid signature|not a valid pass|manifest"),
        (Kind.MALFORMED, r"malformed"),
        (Kind.UNEXPECTED_STATUS, r"unexpected response code|status code"),
        (Kind.CONNECTION, r"connection|timed out|network|could not connect"),
    )
]
_PASS = re.compile(
    r"pass type (?:identifier )?([\w.-]+).{0,40}?serial number ([\w.~-]+)", re.IGNORECASE
)

_DEVICE = re.compile(r"(?<=devices/)[^/\s]+|\b[0-9A-Fa-f]{64,}\b")
"""A device's own name opens its list, and its push token is nobody's business."""


def read_lines(content: object) -> list[str]:
    """Return the lines that a phone sent. Raises BodyError when there are none."""
    lines = content.get("logs") if isinstance(content, dict) else None
    if not isinstance(lines, list):
        raise BodyError(HTTPStatus.BAD_REQUEST)
    return [
        line[:LONGEST_LINE].replace("\x00", "")
        for line in lines[:MOST_LINES]
        if isinstance(line, str)
    ]


def kind_of(line: str) -> Kind:
    """Return what a line complains of."""
    return next((kind for kind, pattern in _KINDS if pattern.search(line)), Kind.OTHER)


def record(lines: list[str]) -> None:
    """Count the lines by kind and pass; of each the last one is kept."""
    counts: Counter[tuple[Kind, int | None, str]] = Counter()
    messages = {}
    for line in lines:
        pass_type, pk = _pass_in(line)
        key = (kind_of(line), pk, pass_type)
        counts[key] += 1
        messages[key] = _readable(line)
    now = timezone.now()
    for key, count in counts.items():
        kind, pk, pass_type = key
        rows = AppleDeviceComplaint.objects.filter(
            kind=kind, wallet_pass=pk, pass_type_identifier=pass_type
        )
        if not rows.update(count=F("count") + count, message=messages[key], last_at=now):
            AppleDeviceComplaint.objects.create(
                kind=kind,
                wallet_pass_id=pk,
                pass_type_identifier=pass_type,
                count=count,
                message=messages[key],
                first_at=now,
                last_at=now,
            )


def _readable(line: str) -> str:
    text = line.encode("utf-8", "replace").decode()
    return redact(_DEVICE.sub(MASK, text), limit=500)


def _pass_in(line: str) -> tuple[str, int | None]:
    """Return the pass type and the pass that a line names, if they are ours."""
    found = _PASS.search(line)
    if found is None:
        return "", None
    pass_type, serial_number = found[1].rstrip(".,"), found[2].rstrip(".,")
    wallets = apple_wallets(pass_type)
    if not wallets or not is_identifier(serial_number):
        return "", None
    passes = WalletPass.objects.filter(wallet__in=wallets, remote_id=serial_number)
    return pass_type, passes.values_list("pk", flat=True).first()
