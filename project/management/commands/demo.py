from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError

from project.demo import live
from project.demo import shop as corner
from project.demo.ending import Ending
from project.demo.screen import Screen
from project.demo.shop import Shop
from project.demo.story import Story, prepare_database
from project.demo.wallets import emulated_wallets, forget_broker

FEWEST_CARDS, MOST_CARDS = 10, 5000


class Command(BaseCommand):
    help = (
        "Show the app at work in half a minute: emulated wallets, a shop with cards, iPhones, seven "
        "things that go wrong, and how the sync mends them. Needs no configuration, contacts "
        "nothing outside this machine, and changes only its own data. "
        "Exit status: 0 when every card is right in the end, else 1."
    )
    # The demo brings its own settings; what the environment configures is not its business.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--cards", type=int, default=300, metavar="N", help="so many cards (%(default)s)"
        )
        parser.add_argument(
            "--fast", action="store_true", help="retry after 0.1, 0.2 and 0.3 s, not 1, 4 and 16 s"
        )
        parser.add_argument(
            "--serve",
            type=int,
            nargs="?",
            const=8000,
            metavar="PORT",
            help="afterwards keep everything going behind the admin, until Ctrl-C (%(const)s)",
        )
        parser.add_argument(
            "--interval",
            type=float,
            default=30,
            metavar="SECONDS",
            help="with --serve: from one sync to the next (%(default)s)",
        )
        parser.add_argument(
            "--any-database", action="store_true", help="accept another database than SQLite"
        )

    def handle(
        self,
        *,
        cards: int,
        fast: bool,
        serve: int | None,
        interval: float,
        any_database: bool,
        **options: Any,
    ) -> None:
        if not FEWEST_CARDS <= cards <= MOST_CARDS:
            raise CommandError(f"--cards takes {FEWEST_CARDS} to {MOST_CARDS}.", returncode=2)
        if interval <= 0:
            raise CommandError("--interval takes a positive number of seconds.", returncode=2)
        ending = Ending()
        screen = Screen(self.stdout, self.stderr, ending=ending)
        try:
            with ExitStack() as stack:
                stack.enter_context(ending.listen())
                stack.enter_context(_quiet_log())
                site = live.Site(serve or 0)
                stack.callback(site.close)
                live.check_database()
                # First of all: the cards of the last demo are removed, and nobody is told of it.
                forget_broker()
                prepare_database(screen, any_database=any_database)
                stack.callback(corner.release_database)
                if serve is not None:
                    live.check_login()
                providers = stack.enter_context(emulated_wallets(site.url, is_fast=fast))
                stack.enter_context(site.serving())
                shop = Shop()
                story = Story(screen, providers, shop, is_fast=fast)
                story.tell(cards)
                _conclude(screen, story)
                if serve is None:
                    _say_how_to_go_on(screen)
                else:
                    _say_where_to_look(screen, site.url, shop)
                    town = live.Town(screen, providers.google, shop, interval=interval)
                    town.live_until(ending)
                    screen.say("The end: no sync, site or emulator is left running.")
        except OperationalError as error:
            raise CommandError(f"The database does not work: {error}") from error
        except SystemExit:
            self.stderr.write("Stopped. Run it again: it starts from the beginning.")
            raise


@contextmanager
def _quiet_log() -> Iterator[None]:
    """Leave to the screen what the log would say again."""
    logger = logging.getLogger("loyalty_wallet")
    level = logger.level
    logger.setLevel(logging.ERROR)
    logger.addFilter(_is_no_alarm)
    try:
        yield
    finally:
        logger.removeFilter(_is_no_alarm)
        logger.setLevel(level)


def _is_no_alarm(record: logging.LogRecord) -> bool:
    # What goes wrong here goes wrong on purpose, and nobody is to be woken for it.
    return not hasattr(record, "raised_at")


def _conclude(screen: Screen, story: Story) -> None:
    if story.problems:
        raise CommandError("The demo went differently than told: " + "; ".join(story.problems))
    screen.say()
    screen.say(
        f"Every phone is right, after {story.seconds:.0f} s. Nothing has left this machine.",
        style="bold green",
    )


def _say_how_to_go_on(screen: Screen) -> None:
    screen.step("How to go on.")
    screen.say("manage.py demo --serve       the same, then the admin, with life in it")
    screen.say("manage.py wallet_emulator    an emulated Google for settings of your own")
    screen.say("README.md                    how to install the app in a project")


def _say_where_to_look(screen: Screen, url: str, shop: Shop) -> None:
    password = live.make_login()
    [card] = shop.pick(1)
    screen.step(f"Open {url}/admin/")
    screen.say(
        f"Or be a customer: the page from which {card.holder_name} adds the card to a phone:"
    )
    screen.address(f"{url}{card.get_card_url()}")
    screen.say(f"Login {live.LOGIN}, password {password} (new each time). Ctrl-C ends it.")
    screen.say("Customers shop, Google has its moods, and each sync adds to the history.")
