from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Count, QuerySet

from ...exceptions import SelectionError
from ...models import AppleRegistration, SyncRun, WalletPass
from ...registry import get_wallets
from ...sync import Selection, SyncReport, sync_wallet_passes
from ...sync.erasure import erase_cards, gone_cards
from ...sync.explaining.lookup import find_card_keys
from ...sync.outbox import in_chunks

NOT_DONE = 1
USAGE = 2


class Command(BaseCommand):
    help = (
        "Erase cards from the wallets, for good: their passes are made void and blank at Google and "
        "on iPhones, and what is known of their customers' phones is forgotten. The shop's own rows "
        "stay. Exits with 1 while a provider has not taken it: the next run goes on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "cards",
            nargs="*",
            metavar="KEY",
            help="key, card number, Google object id or Apple serial number",
        )
        parser.add_argument(
            "--gone",
            action="store_true",
            help="the cards that have passes, but are not in the card source any more",
        )
        parser.add_argument("--no-input", action="store_true", help="do not ask")

    def handle(self, **options: Any) -> None:
        if bool(options["cards"]) == options["gone"]:
            raise CommandError("Name cards, or say --gone.", returncode=USAGE)
        try:
            keys = list(gone_cards()) if options["gone"] else find_card_keys(options["cards"])
        except SelectionError as error:
            raise CommandError(str(error), returncode=USAGE) from error
        if not keys:
            self.stdout.write("No card is gone: there is nothing to erase.")
            return
        if not options["no_input"]:
            self._ask(keys)
        erase_cards(keys)
        report = sync_wallet_passes(
            selection=Selection.of_cards(keys), trigger=SyncRun.Trigger.COMMAND
        )
        self._tell(keys, report)

    def _ask(self, keys: list[str]) -> None:
        cards = "1 card" if len(keys) == 1 else f"{len(keys):,} cards"
        self.stdout.write(f"This erases {cards} from the wallets, and cannot be undone:")
        passes: dict[str, int] = {}
        phones = 0
        for chunk in in_chunks(keys):
            held = WalletPass.objects.for_cards(chunk)
            for alias, count in held.values_list("wallet").annotate(count=Count("pk")).order_by():
                passes[alias] = passes.get(alias, 0) + count
            registrations = AppleRegistration.objects.filter(wallet_pass__in=held)
            phones += registrations.values("device").distinct().count()
        for alias, count in sorted(passes.items()):
            self.stdout.write(f"  {alias}: passes that are made void and blank: {count:,}")
        if phones:
            self.stdout.write(f"  phones that are forgotten: {phones:,}")
        try:
            answer = input("Type 'yes' to erase: ")
        except EOFError:
            answer = ""
        if answer.strip() != "yes":
            raise CommandError("Nothing was erased.", returncode=USAGE)

    def _tell(self, keys: list[str], report: SyncReport) -> None:
        configured = list(get_wallets())
        erasing = [
            row
            for chunk in in_chunks(keys)
            for row in _erasing(chunk).values_list("card_key", "wallet", "due_at")
        ]
        self.stdout.write(f"Erased: {len(set(keys) - {key for key, *_ in erasing}):,} cards.")
        if waiting := sum(due_at is None for *_, due_at in erasing):
            self.stdout.write(
                f"Passes that wait for their phones to fetch what is void, then they are forgotten: {waiting:,}."
            )
        for failure in report.failures:
            self.stdout.write(
                f"{failure.card_id} ({failure.wallet}): {failure.code}: {failure.message}"
            )
        if unknown := sorted({wallet for _, wallet, _ in erasing} - set(configured)):
            self.stdout.write(f"Not configured here, and so not asked: {', '.join(unknown)}.")
        if any(due_at is not None for *_, due_at in erasing):
            raise CommandError(
                report.error or "Not all of it is done; it stays due, and the next run goes on.",
                returncode=NOT_DONE,
            )


def _erasing(card_keys: list[str]) -> QuerySet[WalletPass]:
    return WalletPass.objects.for_cards(card_keys).filter(state=WalletPass.State.ERASING)
