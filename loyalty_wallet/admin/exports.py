"""Failures as a CSV file: streamed, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone

from ..redaction import harmless

COLUMNS = {
    "run": "run_id",
    "card": "wallet_pass__card_key",
    "label": "wallet_pass__card_label",
    "program": "wallet_pass__program_key",
    "wallet": "wallet_pass__wallet",
    "remote_id": "wallet_pass__remote_id",
    "code": "code",
    "http_status": "http_status",
    "reason": "reason",
    "attempts": "attempts",
    "is_retryable": "is_retryable",
    "message": "message",
    "failed_at": "failed_at",
    "resolved_at": "resolved_at",
    "resolved_by_run": "resolved_by_id",
}
CHUNK_SIZE = 1000
BYTE_ORDER_MARK = "\ufeff"
"""Without it a spreadsheet reads names with accents in an encoding of its own."""


class _Echo:
    def write(self, line: str) -> str:
        return line


def failures_csv(failures: QuerySet[Any], name: str) -> StreamingHttpResponse:
    """Return a download of these failures, read a thousand at a time while it is sent."""
    return StreamingHttpResponse(
        _lines(failures),
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "X-Content-Type-Options": "nosniff",
        },
    )


def _lines(failures: QuerySet[Any]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield BYTE_ORDER_MARK + writer.writerow(COLUMNS)
    for row in _rows(failures):
        yield writer.writerow([_cell(value) for value in row])


def _rows(failures: QuerySet[Any]) -> Iterator[Iterable[Any]]:
    # By key rather than with one cursor: a download takes as long as its reader likes.
    rest = failures.order_by("pk").values_list("pk", *COLUMNS.values())
    last = 0
    while chunk := list(rest.filter(pk__gt=last)[:CHUNK_SIZE]):
        yield from (row[1:] for row in chunk)
        last = chunk[-1][0]


def _cell(value: object) -> object:
    if isinstance(value, datetime):
        return timezone.localtime(value).isoformat(timespec="seconds")
    return harmless(value)
