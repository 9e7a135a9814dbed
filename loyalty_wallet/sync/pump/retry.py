"""When a failed attempt is tried again: tenacity's policy objects decide, the schedule waits."""

from __future__ import annotations

from collections.abc import Sequence

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_chain,
    wait_fixed,
)

from ...exceptions import DeferredError, DeliveryError

LONGEST_RETRY_AFTER_SECONDS = 30
"""A provider that asks for more than this is asked again by the next run."""


class RetryPolicy:
    """Up to `len(delays) + 1` attempts, and these seconds between them."""

    def __init__(self, delays: Sequence[float], *, max_attempts: int | None = None) -> None:
        most = len(delays) + 1
        self.attempts = most if max_attempts is None else min(max_attempts, most)
        self._policy = Retrying(
            retry=retry_if_exception(_is_retryable),
            stop=stop_after_attempt(self.attempts),
            wait=wait_chain(*(wait_fixed(delay) for delay in delays or (0,))),
        )

    def delay_after(self, attempts: int, error: DeliveryError) -> float | None:
        """Return the seconds to wait after the attempt that failed so; None to give up.

        Raises DeferredError when the provider asks for a longer wait than a run should take.
        """
        state = RetryCallState(self._policy, None, (), {})
        state.attempt_number = attempts
        state.set_exception((type(error), error, None))
        if not self._policy.retry(state):
            return None
        asked = error.retry_after_seconds or 0
        if asked > LONGEST_RETRY_AFTER_SECONDS:
            raise DeferredError(
                f"The provider asks to wait {asked:.0f} s: {error.message}",
                http_status=error.http_status,
                reason=error.reason,
            )
        if self._policy.stop(state):
            return None
        return max(float(self._policy.wait(state)), asked)


def _is_retryable(error: BaseException) -> bool:
    return isinstance(error, DeliveryError) and error.is_retryable
