"""Everything that can go wrong, as a closed list.

    LoyaltyWalletError
    ├── DeliveryError                an attempt to bring one pass up to date failed
    │   ├── UnavailableError         unavailable          retried
    │   ├── NetworkError             network              retried
    │   ├── DeliveryTimeoutError     timeout              retried
    │   ├── RateLimitedError         rate_limited         retried, pauses the wallet
    │   ├── UnauthorizedError        unauthorized         stops the wallet for this run
    │   ├── ForbiddenError           forbidden            stops the wallet for this run
    │   ├── MisconfiguredError       misconfigured        stops the wallet for this run
    │   ├── RejectedError            rejected             fails the card at once
    │   ├── ClassMissingError        class_missing        fails the card at once
    │   ├── NotFoundError            not_found            fails the card at once
    │   ├── InvalidCardError         invalid_card         fails the card at once
    │   ├── CardsGoneError           cards_gone           fails the card at once
    │   ├── NotificationQuotaError   notification_quota   fails the card at once
    │   ├── PushRefusedError         push_refused         fails the card at once
    │   ├── DeferredError            deferred             not tried, due next time
    │   └── BugError                 bug                  fails the card at once
    ├── LeaseLostError               another worker holds the pass now
    ├── ForgedCallbackError          a provider's callback is not from the provider
    ├── AddToWalletError             a card cannot be put on a phone now
    ├── LinkError                    a customer's link is none of ours, or has expired
    ├── RunActiveError               another full run is going
    ├── SyncInTransactionError       a sync was asked for within a transaction
    └── SelectionError               what to sync was not understood

Each `DeliveryError` has a stable `code`, says whether trying again helps, and carries a cause and a
remedy in one sentence each. Its message is redacted when it is made: no log, table or page can show what a
provider echoed back.
"""

from __future__ import annotations

from typing import ClassVar

from .redaction import redact


def gettext_noop(text: str) -> str:
    """Mark `text` for translation where it is shown; this module knows no Django."""
    return text


class LoyaltyWalletError(Exception):
    """The base of all errors of this package."""


class LeaseLostError(LoyaltyWalletError):
    """Our lease on a pass ended before a request could start; its new holder delivers it."""


class ForgedCallbackError(LoyaltyWalletError):
    """A callback is forged, damaged, expired, or meant for somebody else; nothing follows from it."""


class AddToWalletError(LoyaltyWalletError):
    """A card cannot be put on a phone now.

    `code` is that of the delivery that failed, or `unknown_card`, `inactive`, `expired`, `erased`,
    `no_wallet`;
    `is_temporary` says whether waiting, or mending the wallet's configuration, helps.
    """

    def __init__(self, message: str, *, code: str, is_temporary: bool = False) -> None:
        super().__init__(redact(message))
        self.code = code
        self.is_temporary = is_temporary


class LinkError(LoyaltyWalletError):
    """A customer's link is none of ours, or was one before it expired."""

    def __init__(self, message: str, *, is_expired: bool = False) -> None:
        super().__init__(message)
        self.is_expired = is_expired


class RunActiveError(LoyaltyWalletError):
    """Another full run is going; `run_id` says which."""

    def __init__(self, message: str, *, run_id: int | None = None) -> None:
        super().__init__(message)
        self.run_id = run_id


class SyncInTransactionError(LoyaltyWalletError, RuntimeError):
    """A sync was asked for within a transaction: nobody else would see what it holds, and a card
    that is never committed would be on a phone."""


class SelectionError(LoyaltyWalletError, ValueError):
    """A selection names a program, wallet or run that does not exist, or two things at once."""


class DeliveryError(LoyaltyWalletError):
    """One attempt to bring one pass up to date failed. Do not raise directly.

    `http_status` and `reason` are the provider's own, where there was an answer;
    `retry_after_seconds` is how long it asked us to wait.
    """

    code: ClassVar[str]
    cause: ClassVar[str]
    """Why, in one sentence for whoever looks after the cards; `remedy` is what to do."""
    remedy: ClassVar[str]
    is_retryable: ClassVar[bool] = False
    stops_wallet: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        http_status: int | None = None,
        reason: str = "",
        retry_after_seconds: float | None = None,
    ) -> None:
        self.message = redact(message)
        self.http_status = http_status
        self.reason = redact(reason, limit=100)
        self.retry_after_seconds = retry_after_seconds
        super().__init__(self.message)


class UnavailableError(DeliveryError):
    """The provider answered 5xx or 408, or something that is not an answer of its API."""

    code = "unavailable"
    cause = gettext_noop("The provider is in trouble: it answered with an error of its own.")
    is_retryable = True
    remedy = gettext_noop("Wait: the provider is in trouble and the next run tries again.")


class NetworkError(DeliveryError):
    """The connection could not be made, or broke before the answer was whole."""

    code = "network"
    cause = gettext_noop("This machine could not reach the provider, or the connection broke.")
    is_retryable = True
    remedy = gettext_noop(
        "Check that this machine reaches the provider: DNS, firewall, proxy and TLS."
    )


class DeliveryTimeoutError(DeliveryError):
    """The whole answer did not arrive within the wallet's total timeout."""

    code = "timeout"
    cause = gettext_noop("The provider did not answer in time.")
    is_retryable = True
    remedy = gettext_noop(
        "Wait: the provider is slow. If it lasts, check the network and the images' hosts."
    )


class RateLimitedError(DeliveryError):
    """The provider asks for fewer requests per second (429, or 403 rateLimitExceeded)."""

    code = "rate_limited"
    cause = gettext_noop("The provider asks for fewer requests per second.")
    is_retryable = True
    remedy = gettext_noop(
        "Lower requests_per_second, or ask the provider for a higher quota for this project."
    )


class UnauthorizedError(DeliveryError):
    """The access token was refused, or none was granted."""

    code = "unauthorized"
    cause = gettext_noop("The provider refused our key.")
    stops_wallet = True
    remedy = gettext_noop(
        "Create a new key for the service account and configure it: the old one is revoked."
    )


class ForbiddenError(DeliveryError):
    """The issuer does not know the service account, or the API is off in its project."""

    code = "forbidden"
    cause = gettext_noop("The provider does not let our account change this issuer's cards.")
    stops_wallet = True
    remedy = gettext_noop(
        "Invite the service account's e-mail as a Developer in the Google Pay & Wallet Console, "
        "and enable the Google Wallet API in its Cloud project."
    )


class MisconfiguredError(DeliveryError):
    """A key is unreadable, a certificate expired or not matching, or the API root is wrong."""

    code = "misconfigured"
    cause = gettext_noop("A key or certificate cannot be used, or an address is wrong.")
    stops_wallet = True
    remedy = gettext_noop("Correct the wallet's OPTIONS: the message names what is wrong.")


class RejectedError(DeliveryError):
    """The provider refused what was sent (400) and would refuse it again."""

    code = "rejected"
    cause = gettext_noop("The provider refused what was sent and would refuse it again.")
    remedy = gettext_noop(
        "Correct the card or program data that the message names; sending it again is no help."
    )


class ClassMissingError(DeliveryError):
    """The provider has no class for the card's program, and it could not be made."""

    code = "class_missing"
    cause = gettext_noop(
        "The provider has no class for the card's program, and it could not be made."
    )
    remedy = gettext_noop(
        "Check the issuer id and that the program's class exists and is not a draft."
    )


class NotFoundError(DeliveryError):
    """The pass is gone at the provider and RECREATE_MISSING is off."""

    code = "not_found"
    cause = gettext_noop("The pass is gone at the provider, and missing passes are not made again.")
    remedy = gettext_noop("Turn RECREATE_MISSING on, or find out who removed the pass.")


class InvalidCardError(DeliveryError):
    """The card cannot be shown: its source failed, or a field breaks the provider's rules."""

    code = "invalid_card"
    cause = gettext_noop("The card could not be read, or a field breaks the provider's rules.")
    remedy = gettext_noop("Correct the field that the message names, then sync the card again.")


class CardsGoneError(DeliveryError):
    """Most cards of a run are not in the card source: it is more likely broken than they are gone."""

    code = "cards_gone"
    cause = gettext_noop(
        "The card source does not find most of the cards: it may be broken, so nothing was voided."
    )
    remedy = gettext_noop(
        "Mend the card source; if the cards are meant to be gone, "
        "manage.py erase_wallet_card --gone erases them."
    )


class NotificationQuotaError(DeliveryError):
    """The provider's cap on notifications (3 per pass in 24 hours) is reached."""

    code = "notification_quota"
    cause = gettext_noop("The customer has had as many notifications as the provider allows.")
    remedy = gettext_noop("Sync without notifying; the cap is lifted after 24 hours.")


class PushRefusedError(DeliveryError):
    """The push service took none of the pass's devices."""

    code = "push_refused"
    cause = gettext_noop("Apple's push service took none of the card's devices.")
    remedy = gettext_noop("Wait for the next run; if it lasts, check the push certificate.")


class DeferredError(DeliveryError):
    """The pass was not tried to the end in this run and stays due."""

    code = "deferred"
    cause = gettext_noop("The provider was down or the run ended before the card's turn came.")
    is_retryable = True
    remedy = gettext_noop("Nothing to do: the next run takes it up.")


class BugError(DeliveryError):
    """An exception that nobody expected; its traceback is in the log."""

    code = "bug"
    cause = gettext_noop("An error in the software that nobody expected.")
    remedy = gettext_noop("Look up the traceback in the log and report it.")


class KilledWorkerError(BugError):
    """The pass was claimed again and again by workers that did not live to record it."""


def failure_classes() -> dict[str, type[DeliveryError]]:
    """Return every failure by its code, in the order of the list above."""
    return {failure.code: failure for failure in DeliveryError.__subclasses__()}
