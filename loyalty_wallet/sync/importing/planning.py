"""What to take over: rows made into passes, and everything that is wrong with them found."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ...cards import Card
from ...models import WalletPass
from ...registry import get_wallets
from ...sources import get_card_source
from ...wallets.apple import AppleWallet
from ...wallets.base import Wallet
from ...wallets.google import GoogleWallet
from ..erasure import erased_among
from ..outbox import in_chunks
from .matching import matcher
from .reading import PassRow

logger = logging.getLogger("loyalty_wallet.sync")

CHUNK_SIZE = 500

_KEY = re.compile(r".{1,191}")
_TOKEN = re.compile(r"[!-~]{16,150}")
_IDENTIFIER = re.compile(r"[A-Za-z0-9._~-]{1,100}")
_PUSH_TOKEN = re.compile(r"[0-9A-Fa-f]{8,200}")
_ANY_ID = re.compile(r"[!-~]{1,255}")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a pass is not taken over, and where it was found. Never quotes a token."""

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}."


@dataclass(slots=True, kw_only=True)
class PlannedPass:
    """One pass to take over, with the devices that hold it and their push tokens."""

    place: str
    wallet: Wallet
    card_key: str
    remote_id: str
    token: str = field(repr=False)
    devices: dict[str, str] = field(default_factory=dict, repr=False)
    card: Card | None = None
    known: WalletPass | None = None

    @property
    def is_ours(self) -> bool:
        """The card has this very pass already."""
        return self.known is not None and self.known.remote_id == self.remote_id


@dataclass(slots=True, kw_only=True)
class Plan:
    """What would be taken over, and what is wrong with the rest."""

    passes: list[PlannedPass] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def refuse(self, place: str, text: str) -> None:
        """Leave out what was found there."""
        self.problems.append(Problem(place, text))


def plan_import(rows: Iterable[PassRow], *, match: str, replaces_unused: bool) -> Plan:
    """Read the rows and look at what they would change, without changing it."""
    plan = Plan()
    gathered = _gather(_with_keys(rows, match, plan), plan)
    by_wallet: dict[str, list[PlannedPass]] = defaultdict(list)
    for planned in gathered:
        by_wallet[planned.wallet.alias].append(planned)
    for alias, group in by_wallet.items():
        for start in range(0, len(group), CHUNK_SIZE):
            chunk = group[start : start + CHUNK_SIZE]
            plan.passes += _find(chunk, alias, plan, replaces_unused=replaces_unused)
    return plan


def _with_keys(rows: Iterable[PassRow], match: str, plan: Plan) -> Iterator[tuple[PassRow, str]]:
    """Yield the rows that make sense by themselves, each with its card's key."""
    find = matcher(match)
    sound = (row for row in rows if _is_sound(row, plan))
    for chunk in _chunks(sound):
        found = find({row.card for row in chunk})
        for row in chunk:
            keys = found.get(row.card, [])
            if len(keys) == 1 and _KEY.fullmatch(keys[0]):
                yield row, keys[0]
            elif keys:
                plan.refuse(row.place, f"{row.card!r} may mean any of {len(keys)} cards")
            else:
                plan.refuse(row.place, f"{row.card!r} means no card")


def _chunks(rows: Iterator[PassRow]) -> Iterator[list[PassRow]]:
    chunk: list[PassRow] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK_SIZE:
            yield chunk
            chunk = []
    yield chunk


def _is_sound(row: PassRow, plan: Plan) -> bool:
    problem = row.problem or _fault_of(row)
    if problem:
        plan.refuse(row.place, problem)
    return not problem


def _fault_of(row: PassRow) -> str:
    wallet = get_wallets().get(row.wallet)
    if not _KEY.fullmatch(row.card):
        return "card: missing, or too long"
    if wallet is None:
        known = ", ".join(get_wallets()) or "none"
        return f"wallet: {row.wallet or 'none'!r} is not configured (configured: {known})"
    wrong = [name for name, is_right in _judge(row, wallet) if not is_right]
    return f"{', '.join(wrong)}: missing, or not as it should be" if wrong else ""


def _judge(row: PassRow, wallet: Wallet) -> Iterator[tuple[str, bool]]:
    """Yield each part of a row that matters to its wallet, and whether it may be so."""
    if not isinstance(wallet, AppleWallet):
        prefix = f"{wallet.issuer_id}." if isinstance(wallet, GoogleWallet) else ""
        is_right = bool(_ANY_ID.fullmatch(row.remote_id)) and row.remote_id.startswith(prefix)
        if prefix:
            is_right = is_right and bool(_IDENTIFIER.fullmatch(row.remote_id))
        yield "remote_id", is_right
        yield "device", not (row.device or row.push_token)
        return
    yield "remote_id", bool(_IDENTIFIER.fullmatch(row.remote_id))
    yield "token", bool(_TOKEN.fullmatch(row.token))
    if row.device or row.push_token:
        yield "device", bool(_IDENTIFIER.fullmatch(row.device))
        yield "push_token", bool(_PUSH_TOKEN.fullmatch(row.push_token))


def _gather(rows: Iterable[tuple[PassRow, str]], plan: Plan) -> list[PlannedPass]:
    """Make one pass of all rows about it; refuse rows that contradict earlier ones."""
    by_card: dict[tuple[str, str], PlannedPass] = {}
    by_id: dict[tuple[str, str], PlannedPass] = {}
    for row, key in rows:
        wallet = get_wallets()[row.wallet]
        planned = PlannedPass(
            place=row.place, wallet=wallet, card_key=key, remote_id=row.remote_id, token=row.token
        )
        earlier = by_card.setdefault((row.wallet, key), planned)
        if (earlier.remote_id, earlier.token) != (row.remote_id, row.token):
            plan.refuse(row.place, f"the card has another id or token in {earlier.place}")
            continue
        owner = by_id.setdefault((row.wallet, row.remote_id), earlier)
        if owner is not earlier:
            if earlier is planned:
                del by_card[row.wallet, key]
            plan.refuse(row.place, f"another card has this id in {owner.place}")
        elif row.device:
            # The push token is the device's: the one that comes last holds.
            earlier.devices[row.device] = row.push_token
    return list(by_card.values())


def _find(
    group: Sequence[PlannedPass], alias: str, plan: Plan, *, replaces_unused: bool
) -> Iterator[PlannedPass]:
    """Yield what can be taken over of one wallet's passes, with their cards and known passes."""
    keys = [planned.card_key for planned in group]
    cards = dict(_cards(keys))
    passes = WalletPass.objects.filter(wallet=alias).defer("payload")
    known = {row.card_key: row for row in passes.filter(card_key__in=keys)}
    ids = [planned.remote_id for planned in group]
    owners = dict(passes.filter(remote_id__in=ids).values_list("remote_id", "card_key"))
    held = set(
        passes.filter(card_key__in=keys, registrations__isnull=False).values_list(
            "card_key", flat=True
        )
    )
    erased = erased_among(keys)
    for planned in group:
        planned.card, planned.known = cards.get(planned.card_key), known.get(planned.card_key)
        if planned.card_key in erased:
            plan.refuse(planned.place, "the card was erased from the wallets, for good")
            continue
        may_replace = replaces_unused and planned.card_key not in held
        if problem := _objection(planned, owners, may_replace=may_replace):
            plan.refuse(planned.place, problem)
        else:
            yield planned


def _objection(planned: PlannedPass, owners: Mapping[str, str], *, may_replace: bool) -> str:
    alias, row = planned.wallet.alias, planned.known
    if planned.card is None:
        return f"there is no card {planned.card_key!r} that can be read"
    if alias not in planned.card.program.wallets:
        return f"the card's program does not name the wallet {alias!r}"
    if owners.get(planned.remote_id, planned.card_key) != planned.card_key:
        return "another card has a pass with this id already"
    if row is None:
        return ""
    is_published = planned.wallet.is_published
    if planned.is_ours:
        differs = is_published and row.authentication_token != planned.token
        return "the card has this pass already, with another token" if differs else ""
    is_kept = _was_handed_out(row) and not (may_replace and is_published)
    return "the card has a pass already, with another id" if is_kept else ""


def _was_handed_out(row: WalletPass) -> bool:
    """Say whether somebody may have a pass of ours: only what has been delivered is handed out."""
    is_known_of = row.presence != WalletPass.Presence.UNKNOWN
    return bool(row.fingerprint or row.synced_at or row.modified_at or is_known_of)


def _cards(keys: Iterable[str]) -> Iterator[tuple[str, Card]]:
    source = get_card_source()
    for chunk in in_chunks(keys, CHUNK_SIZE):
        for row in source.rows_for(chunk):
            try:
                yield source.key_for(row), source.to_card(row)
            except Exception:
                # The shop's own code; its card is refused like one that is not there.
                logger.exception("A card could not be read; its pass is not taken over.")
