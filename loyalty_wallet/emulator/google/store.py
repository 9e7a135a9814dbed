"""The classes and objects that the emulated Google holds. Stored values are never changed in place."""

from __future__ import annotations

import time
from typing import Any

from .errors import AlreadyExistsError, NotificationQuotaError, ResourceNotFoundError
from .rules import Resource

# Google sets these itself and ignores what a client sends for them.
SET_BY_GOOGLE = ("kind", "hasUsers", "hasLinkedDevice", "classReference", "version")
# "Ephemeral": Google acts on it and forgets it.
NOT_KEPT = (*SET_BY_GOOGLE, "notifyPreference")

NOTIFICATIONS_PER_DAY = 3
DAY_SECONDS = 24 * 60 * 60


class Shelf:
    """All resources of one kind, by id, in the order of their creation."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.resources: dict[str, Resource] = {}
        self._notified_at: dict[str, list[float]] = {}

    def get(self, resource_id: str) -> Resource:
        """Return what is stored; raises ResourceNotFoundError."""
        try:
            return self.resources[resource_id]
        except KeyError:
            raise ResourceNotFoundError(f"Loyalty {self.name} {resource_id} not found.") from None

    def refuse_duplicate(self, resource_id: str) -> None:
        """Raise AlreadyExistsError for an id that is taken."""
        if resource_id in self.resources:
            raise AlreadyExistsError(f"Loyalty {self.name} {resource_id} already exists.")

    def put(self, resource_id: str, resource: Resource) -> None:
        """Store a whole resource."""
        self.resources[resource_id] = resource

    def edit(self, resource_id: str, fields: Resource) -> None:
        """Change fields without any rule, as if someone else had; None removes a field."""
        self.resources[resource_id] = merged(self.resources[resource_id], fields)

    def forget(self, resource_id: str) -> None:
        """Drop a resource, which Google itself never does."""
        del self.resources[resource_id]

    def clear(self) -> None:
        """Drop all resources."""
        self.resources = {}
        self._notified_at = {}

    def spend_notification(self, resource_id: str) -> None:
        """Count one TEXT_AND_NOTIFY; raises NotificationQuotaError for the fourth in 24 hours."""
        since = time.monotonic() - DAY_SECONDS
        recent = [at for at in self._notified_at.get(resource_id, []) if at > since]
        if len(recent) >= NOTIFICATIONS_PER_DAY:
            issuer_id = resource_id.partition(".")[0]
            raise NotificationQuotaError(
                f"Quota exceeded for issuer {issuer_id} when adding TEXT_AND_NOTIFY message to"
                f" {self.name} {resource_id}"
            )
        self._notified_at[resource_id] = [*recent, time.monotonic()]


def merged(stored: Resource, patch: Resource) -> Resource:
    """Apply PATCH: sent top-level fields replace stored ones whole, null clears."""
    result = {**stored, **patch}
    for field, value in patch.items():
        if value is None:
            del result[field]
    return result


def as_kept(body: Resource) -> Resource:
    """Return what Google keeps of a body: without its own and its ephemeral fields."""
    return {field: value for field, value in body.items() if field not in NOT_KEPT}


def without_nulls(value: Any) -> Any:
    """Return the value without fields that are null, at any depth."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value
