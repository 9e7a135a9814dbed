"""What can go wrong with a push, by name, and the faults in force.

Source of the answers: Apple, "Handling notification responses from APNs".
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

ANSWERS: Mapping[str, tuple[int, str]] = {
    "bad_certificate": (403, "BadCertificate"),
    "bad_certificate_environment": (403, "BadCertificateEnvironment"),
    "bad_device_token": (400, "BadDeviceToken"),
    "bad_environment_key_id": (403, "BadEnvironmentKeyIdInToken"),
    "bad_expiration_date": (400, "BadExpirationDate"),
    "bad_path": (404, "BadPath"),
    "bad_priority": (400, "BadPriority"),
    "bad_topic": (400, "BadTopic"),
    "device_token_not_for_topic": (400, "DeviceTokenNotForTopic"),
    "duplicate_headers": (400, "DuplicateHeaders"),
    "expired_provider_token": (403, "ExpiredProviderToken"),
    "expired_token": (410, "ExpiredToken"),
    "forbidden": (403, "Forbidden"),
    "idle_timeout": (400, "IdleTimeout"),
    "internal_server_error": (500, "InternalServerError"),
    "invalid_provider_token": (403, "InvalidProviderToken"),
    "invalid_push_type": (400, "InvalidPushType"),
    "method_not_allowed": (405, "MethodNotAllowed"),
    "missing_provider_token": (403, "MissingProviderToken"),
    "missing_topic": (400, "MissingTopic"),
    "payload_empty": (400, "PayloadEmpty"),
    "payload_too_large": (413, "PayloadTooLarge"),
    "service_unavailable": (503, "ServiceUnavailable"),
    "shutdown": (503, "Shutdown"),
    "too_many_provider_token_updates": (429, "TooManyProviderTokenUpdates"),
    "too_many_requests": (429, "TooManyRequests"),
    "topic_disallowed": (400, "TopicDisallowed"),
    "unregistered": (410, "Unregistered"),
    "unrelated_key_id": (403, "UnrelatedKeyIdInToken"),
}
TRANSPORT = frozenset(
    {
        "no_body",  # 503 without a body
        "slow",  # accepted, late
        "hang",  # never answered
        "reset_stream",  # the stream is reset in the middle
        "refuse_stream",  # the stream is reset before anything was looked at
        "reset_connection",  # the connection is gone
        "goaway",  # the connection is ended before this push
    }
)


@dataclass(slots=True, kw_only=True)
class PushFault:
    """One ordered fault; `left` None means for ever.

    `since` is what a 410 says of when the token died, `seconds` how late a slow answer is.
    """

    name: str
    left: int | None
    since: datetime
    seconds: float


class PushFaults:
    """The faults in force, by push token; those for one token come before those for all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: dict[str | None, list[PushFault]] = defaultdict(list)

    def order(
        self,
        push_token: str | None,
        name: str,
        *,
        times: int | None,
        since: datetime | None,
        seconds: float,
    ) -> None:
        """Put a fault in force. Raises ValueError for one that does not exist."""
        if name not in ANSWERS and name not in TRANSPORT:
            raise ValueError(
                f"Unknown fault {name!r}: use {', '.join(sorted([*ANSWERS, *TRANSPORT]))}."
            )
        if times is not None and times < 1:
            raise ValueError("times must be at least 1, or None for ever.")
        fault = PushFault(name=name, left=times, since=since or datetime.now(UTC), seconds=seconds)
        with self._lock:
            self._faults[push_token].append(fault)

    def heal(self) -> None:
        """Take all faults out of force."""
        with self._lock:
            self._faults.clear()

    def draw(self, push_token: str) -> PushFault | None:
        """Return what goes wrong with a push to this device."""
        if not self._faults:
            return None
        with self._lock:
            for key in (push_token, None):
                for fault in self._faults.get(key, ()):
                    if fault.left is not None:
                        fault.left -= 1
                        if not fault.left:
                            self._faults[key].remove(fault)
                    return fault
        return None
