"""The few words on a pass that are ours, and not the shop's; the English one is the key."""

from __future__ import annotations

from collections.abc import Mapping

POINTS = "Points"
POINTS_CHANGED = "Points: %@"
STAMPS = "Stamps"
STAMPS_CHANGED = "Stamps: %@"
TIER = "Tier"
MEMBER = "Member"
CARD_NUMBER = "Card number"
REWARD = "Reward"
PROGRAM = "Program"

TRANSLATIONS: Mapping[str, Mapping[str, str]] = {
    "de": {
        POINTS: "Punkte",
        POINTS_CHANGED: "Punkte: %@",
        STAMPS: "Stempel",
        STAMPS_CHANGED: "Stempel: %@",
        TIER: "Stufe",
        MEMBER: "Mitglied",
        CARD_NUMBER: "Kartennummer",
        REWARD: "Prämie",
        PROGRAM: "Programm",
    },
    "fr": {
        POINTS: "Points",
        POINTS_CHANGED: "Points : %@",
        STAMPS: "Tampons",
        STAMPS_CHANGED: "Tampons : %@",
        TIER: "Niveau",
        MEMBER: "Membre",
        CARD_NUMBER: "Numéro de carte",
        REWARD: "Récompense",
        PROGRAM: "Programme",
    },
}
OF = {"en": "of", "de": "von", "fr": "sur"}
"""Between two numbers, as in "3 of 10". Not among the words that phones translate by themselves."""
LANGUAGES = tuple(OF)


def in_language(text: str, language: str) -> str:
    """Return one of the words in a language (`de`, `de-at`); what has no translation stays."""
    return TRANSLATIONS.get(language.partition("-")[0], {}).get(text, text)
