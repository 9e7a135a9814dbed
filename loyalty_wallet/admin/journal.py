"""Who did what, in the admin's own history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.http import HttpRequest

MOST_ENTRIES = 200
"""What a person can tick on a page is logged object by object, a whole list in one entry."""


def note(
    request: HttpRequest,
    objects: Sequence[Model],
    change: str,
    *,
    flag: int = CHANGE,
    all_of_them: str = "",
) -> None:
    """Write a change into the history of these objects.

    More than `MOST_ENTRIES` of them make one entry, which calls them `all_of_them`.
    """
    if not objects:
        return
    user_id: Any = request.user.pk
    if len(objects) <= MOST_ENTRIES:
        LogEntry.objects.log_actions(user_id, objects, flag, change)
        return
    LogEntry.objects.create(
        user_id=user_id,
        content_type=ContentType.objects.get_for_model(objects[0]),
        object_repr=all_of_them[:200],
        action_flag=flag,
        change_message=change,
    )
