"""What authenticates pushes without a certificate, and what guards the devices' tokens.

Source: Apple, "Establishing a token-based connection to APNs".
"""

from __future__ import annotations

import threading
import time

from google.auth import jwt
from google.auth.crypt import es256

from ...exceptions import MisconfiguredError
from ..base import PushAnswer
from ..secrets import Source, read_secret

RENEW_AFTER_SECONDS = 50 * 60
"""Apple takes tokens of up to an hour, and new ones at most every 20 minutes."""
RENEW_AT_MOST_EVERY_SECONDS = 20 * 60


class PushToken:
    """The provider token of a team: made of its `.p8` key, kept for most of its hour.

    Safe to share between threads. The key is read when first needed.
    """

    def __init__(self, push_key: Source, *, key_id: str, team_identifier: str) -> None:
        self._push_key = push_key
        self._key_id = key_id
        self._team_identifier = team_identifier
        self._lock = threading.Lock()
        self._token = ""
        self._made_at = float("-inf")

    @property
    def is_due(self) -> bool:
        """Whether `get` makes a new token, and reads the key for it."""
        return time.monotonic() - self._made_at > RENEW_AFTER_SECONDS

    def get(self, *, refused: str = "") -> str:
        """Return the token: another one than `refused`, unless that was made only just now.

        Raises MisconfiguredError when the key cannot be used.
        """
        with self._lock:
            age = time.monotonic() - self._made_at
            is_refused = bool(refused) and refused == self._token
            if self.is_due or (is_refused and age > RENEW_AT_MOST_EVERY_SECONDS):
                self._token = self._make()
                self._made_at = time.monotonic()
            return self._token

    def _make(self) -> str:
        key = read_secret(self._push_key, "the push key")
        try:
            signer = es256.ES256Signer.from_string(key, self._key_id)
            claims = {"iss": self._team_identifier, "iat": int(time.time())}
            return str(jwt.encode(signer, claims).decode())
        except (ValueError, TypeError, AttributeError) as error:
            # The exception's own text may quote the key.
            raise MisconfiguredError("The push key is not an Apple .p8 key.") from error


class TokenGuard:
    """Notices when APNs knows hardly any of the tokens: then not they are wrong, but we are."""

    FIRST = 50
    MOST_BAD = 10

    def __init__(self) -> None:
        self._answers = 0
        self._bad = 0

    def note(self, answer: PushAnswer) -> bool:
        """Count an answer; return True once more than a fifth of the first fifty are bad."""
        if self._answers < self.FIRST:
            self._answers += 1
            self._bad += answer is PushAnswer.BAD_TOKEN
        return self._bad > self.MOST_BAD
