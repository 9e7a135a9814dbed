"""What of a selection is still due, as one run sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from django.db.models import Count, Q

from ...models import SyncRun, WalletPass


class Backlog:
    """The due passes of a selection, without what the run has failed to deliver itself.

    `scopes` gives the conditions that together make the selection, anew at each call.
    """

    def __init__(self, scopes: Callable[[], Iterator[Q]], run: SyncRun | None) -> None:
        self._scopes = scopes
        self._run = run
        self.failed_pks: set[int] = set()
        """What failed, where there is no run on record to tell."""

    def scopes(self, alias: str, *, is_again: bool = False) -> Iterator[Q]:
        """Yield conditions for what may be claimed in one wallet.

        The first time that is everything due. `is_again` leaves out what became due since the run
        began, but for what the run itself has delivered: a shop in full swing must not keep it
        going for ever.
        """
        mine = Q(wallet=alias)
        if self._run is not None:
            mine &= ~Q(last_run=self._run) | Q(last_code="")
            if is_again:
                mine &= Q(last_run=self._run) | self._due_before_the_run()
        elif self.failed_pks:
            mine &= ~Q(pk__in=self.failed_pks)
        return (mine & scope for scope in self._scopes())

    def is_longer_than(self, length: int, alias: str) -> bool:
        """Say whether more than `length` passes are due in one wallet."""
        due = 0
        for scope in self.scopes(alias):
            due += WalletPass.objects.due().filter(scope)[: length + 1].count()
            if due > length:
                return True
        return False

    def has_rest(self, aliases: Iterable[str]) -> bool:
        """Say whether a pass that was due when the run began still is, whoever holds it.

        Not asked by its lease: that may end between our last claim and this question.
        """
        rest = WalletPass.objects.due().filter(self._due_before_the_run())
        return any(rest.filter(scope).exists() for alias in aliases for scope in self.scopes(alias))

    def _due_before_the_run(self) -> Q:
        return Q() if self._run is None else Q(due_at__lte=self._run.started_at)

    def count_cards(self, aliases: list[str]) -> int:
        """Count the distinct cards that the run has not come to."""
        left = WalletPass.objects.due().filter(wallet__in=aliases)
        if self._run is not None:
            seen = WalletPass.objects.filter(last_run=self._run)
            left = left.exclude(card_key__in=seen.values("card_key"))
        else:
            left = left.exclude(pk__in=self.failed_pks)
        return sum(
            left.filter(scope).aggregate(cards=Count("card_key", distinct=True))["cards"]
            for scope in self._scopes()
        )
