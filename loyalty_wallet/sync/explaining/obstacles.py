"""What is said of a pass to which its card is not sent."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext as _

from ...exceptions import failure_classes
from ...models import WalletPass
from .truth import Obstacle, Truth


def sentences_on(truth: Truth) -> Iterator[str]:
    """Yield why nothing is sent, or nothing but a blank pass."""
    match truth.obstacle:
        case Obstacle.MISCONFIGURED:
            yield _("Nothing can be sent, for the settings are wrong.")
            if truth.error is not None:
                yield truth.error.message
        case Obstacle.NOT_CONFIGURED:
            yield _("Nothing is sent: no wallet “%(wallet)s” is configured here.") % {
                "wallet": truth.row.wallet
            }
        case Obstacle.CARD_GONE:
            yield from _gone(truth.row)
        case Obstacle.ERASED:
            yield from _erasure(truth.row)
        case Obstacle.NOT_NAMED:
            yield _("Nothing is sent: the card's program does not name this wallet.")


def _gone(row: WalletPass) -> Iterator[str]:
    if row.state == WalletPass.State.VOIDED and row.due_at is None:
        yield _("The card itself is gone from its table: the pass was made void and blank.")
    else:
        yield _("The card itself is gone from its table: the pass is to be made void and blank.")


def _erasure(row: WalletPass) -> Iterator[str]:
    if row.state == WalletPass.State.ERASED:
        yield _("The card was erased from the wallets: the pass is void and blank, for good.")
    elif row.due_at is None:
        yield _(
            "The card is being erased from the wallets: the pass is void and blank, and its phones "
            "are forgotten when they have fetched it."
        )
    else:
        yield _(
            "The card is being erased from the wallets: the pass is made void and blank, and this "
            "is tried until it is done."
        )
        if row.last_code:
            yield _("The last attempt failed (%(code)s).") % {"code": row.last_code}
            known = failure_classes().get(row.last_code)
            if known is not None:
                yield _(known.remedy)
