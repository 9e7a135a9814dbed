"""Messages to customers, each at most once.

Google neither deletes a message nor notices the same one twice. What is sent is therefore written
down before it is sent, under an id that follows from the text: whoever sends it again, after a crash
or an answer that was lost, looks for it first.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from django.db import router
from django.db.models import Count, QuerySet
from django.utils import timezone

from ...conf import get_conf
from ...exceptions import RejectedError
from ...models import WalletMessage, WalletNotification, WalletPass
from ...registry import get_wallets
from ...wallets.base import MessageOutcome, PassMessage, Wallet
from ..erasure import erase_again, erased_among
from ..outbox import in_chunks
from ..phones.notifications import count, spent_among
from ..pump.limits import RateLimiter, slot_source_for
from ..pump.retry import RetryPolicy
from ..pump.threads import DeliveryThread
from ..report import CardFailure
from ..transactions import committed_at_its_end, in_transaction
from .mailing import Letter, Mailing

MOST_MESSAGES = 10
"""That Google keeps of one object; it takes no more."""
IN_PROGRESS = timedelta(minutes=5)
"""For so long a message that somebody else is sending is left to them."""

State = WalletMessage.State


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReport:
    """What became of a message, counted in passes."""

    sent: int
    muted: int
    """Of those that were sent: customers who were not notified, for they had been often enough."""
    already: int
    """They have it already, or somebody is sending it at this moment."""
    failures: Sequence[CardFailure]


def send_message(
    card_keys: Iterable[str], header: str, body: str, *, notify: bool = False, reference: str = ""
) -> MessageReport:
    """Put a message on the passes of these cards, at most once on each, and say what came of it.

    For wallets whose provider takes messages, which is Google's, and passes that were delivered
    there. The same text is the same message, however often this is called: call it again with the
    same cards when some have failed. To send it another time on purpose, give another `reference`.
    With `notify` Google tells the customers, three times a day at most; else nobody is told.

    An object takes ten messages in its life. Never raises for a provider's fault. Raises
    ValueError without a text, and SyncInTransactionError within a transaction.
    """
    if not (header.strip() and body.strip()):
        raise ValueError("A message needs a header and a body.")
    text = _Text(header=header, body=body, notify=notify, reference=reference)
    keys = list(dict.fromkeys(str(key) for key in card_keys))
    letters: list[Letter] = []
    already = 0
    failures: list[CardFailure] = []
    wallets = {alias: wallet for alias, wallet in get_wallets().items() if wallet.can_notify}
    thread = DeliveryThread()
    try:
        for chunk in in_chunks(keys):
            for wallet in wallets.values():
                written, known = _write(chunk, wallet, text)
                already += known
                _send(wallet, written, thread)
                failures += _record(wallet, written)
                letters += written
    finally:
        thread.close()
    outcomes = [letter.outcome for letter in letters]
    return MessageReport(
        sent=sum(outcome in (MessageOutcome.SENT, MessageOutcome.MUTED) for outcome in outcomes),
        muted=sum(
            letter.outcome is MessageOutcome.MUTED
            or (letter.outcome is MessageOutcome.SENT and notify and not letter.message.notify)
            for letter in letters
        ),
        already=already + outcomes.count(MessageOutcome.FOUND),
        failures=tuple(failures),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    header: str
    body: str
    notify: bool
    reference: str

    def for_pass(self, remote_id: str) -> PassMessage:
        parts = "\0".join((remote_id, self.header, self.body, self.reference))
        return PassMessage(
            id=hashlib.sha256(parts.encode()).hexdigest()[:32],
            header=self.header,
            body=self.body,
            notify=self.notify,
        )


def _write(card_keys: Sequence[str], wallet: Wallet, text: _Text) -> tuple[list[Letter], int]:
    """Write down what is about to be sent; return that, and how many passes need nothing."""
    now = timezone.now()
    erased = erased_among(card_keys)
    passes = WalletPass.objects.for_cards(key for key in card_keys if key not in erased)
    passes = passes.filter(wallet=wallet.alias, state=WalletPass.State.ACTIVE)
    rows = list(passes.filter(synced_at__isnull=False).values_list("pk", "card_key", "remote_id"))
    messages = {pk: text.for_pass(remote_id) for pk, _, remote_id in rows}
    ids = [message.id for message in messages.values()]
    written = WalletMessage.objects.filter(wallet_pass__in=list(messages), message_id__in=ids)
    token = uuid.uuid4().hex
    with committed_at_its_end(router.db_for_write(WalletMessage)):
        # What was begun and not ended, by a process that died or got no answer, is taken over.
        stale = written.filter(state=State.TRYING, tried_at__lte=now - IN_PROGRESS)
        stale.update(token=token, tried_at=now)
        known = set(written.values_list("wallet_pass", flat=True))
        # Two may write down the same message at once: the table lets only one through.
        WalletMessage.objects.bulk_create(
            [
                WalletMessage(wallet_pass_id=pk, message_id=message.id, tried_at=now, token=token)
                for pk, message in messages.items()
                if pk not in known
            ],
            ignore_conflicts=True,
        )
        ours = set(written.filter(token=token).values_list("wallet_pass", flat=True))
    letters = [
        Letter(
            pk=pk,
            card_key=card_key,
            remote_id=remote_id,
            message=messages[pk],
            may_be_there=pk in known,
        )
        for pk, card_key, remote_id in rows
        if pk in ours
    ]
    return letters, len(rows) - len(letters)


def _send(wallet: Wallet, letters: Sequence[Letter], thread: DeliveryThread) -> None:
    """Send what may be sent; the others of these letters get their error here."""
    pks = [letter.pk for letter in letters]
    had = WalletMessage.objects.filter(wallet_pass__in=pks).order_by().values("wallet_pass")
    full = set(
        had.annotate(count=Count("pk"))
        .filter(count__gt=MOST_MESSAGES)
        .values_list("wallet_pass", flat=True)
    )
    spent = spent_among(pks, WalletNotification.Kind.MESSAGE)
    for letter in letters:
        if letter.pk in full:
            letter.error = RejectedError(
                f"The pass has {MOST_MESSAGES} messages: it takes no more."
            )
        elif letter.pk in spent:
            letter.message = replace(letter.message, notify=False)
    to_send = [letter for letter in letters if letter.error is None]
    if to_send:
        Mailing(
            wallet,
            to_send,
            policy=RetryPolicy(get_conf().retry_delays),
            limiter=RateLimiter(slot_source_for(wallet)),
        ).send(thread)


def _record(wallet: Wallet, letters: Sequence[Letter]) -> list[CardFailure]:
    """Write what came of these; what is refused for certain may be sent anew."""
    unsure = [letter for letter in letters if letter.error is not None and letter.may_be_there]
    refused = [letter for letter in letters if letter.error is not None and letter not in unsure]
    loud = [
        letter.pk
        for letter in letters
        if letter.message.notify and letter.outcome is MessageOutcome.SENT
    ]

    def write() -> None:
        _rows_of([letter for letter in letters if letter.outcome is not None]).update(
            state=State.SENT
        )
        _rows_of(refused).delete()
        # Nobody is sending it any more: the next call looks for it at once.
        _rows_of(unsure).update(tried_at=timezone.now() - IN_PROGRESS)
        if loud:
            count(loud, WalletNotification.Kind.MESSAGE)
        if erased := erased_among(letter.card_key for letter in letters):
            # Erased while this was under way: the message must go as well.
            late = [letter.pk for letter in letters if letter.card_key in erased]
            erase_again(late, router.db_for_write(WalletPass))

    in_transaction(write)
    return [
        CardFailure(
            card_id=letter.card_key,
            wallet=wallet.alias,
            code=letter.error.code,
            attempts=letter.attempts,
            http_status=letter.error.http_status,
            message=letter.error.message,
        )
        for letter in letters
        if letter.error is not None
    ]


def _rows_of(letters: Iterable[Letter]) -> QuerySet[WalletMessage]:
    letters = list(letters)
    return WalletMessage.objects.filter(
        wallet_pass__in=[letter.pk for letter in letters],
        message_id__in=[letter.message.id for letter in letters],
    )
